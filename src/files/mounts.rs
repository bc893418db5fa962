//! What of a container's files outlives it: what lies on a mount, read off what the kernel says of them.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

/// Kinds of file systems that hold no files of anybody.
const HOLLOW: [&str; 8] = ["proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "securityfs"];

/// Whether a path lies on a mount that was given to the container, by the lines of proc(5):
/// id, parent, device, root, mount point, options, any number of fields, `-`, kind, source, options.
///
/// The image's own layers are mounted at `/`, and a fresh tmpfs goes with the container as they do.
pub(super) fn holds(mounts: &str, path: &Path) -> bool {
    let mut nearest: Option<(PathBuf, bool)> = None;
    for line in mounts.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        let kind = kind.split(' ').next().unwrap_or_default();
        let point = PathBuf::from(unescaped(point).as_ref());
        let depth = |path: &Path| path.components().count();
        // The last mount covers those before it at the same point.
        if path.starts_with(&point) && nearest.as_ref().is_none_or(|(known, _)| depth(known) <= depth(&point)) {
            let is_own = kind == "tmpfs" && root == "/";
            let is_kept = point != Path::new("/") && !is_own && !HOLLOW.contains(&kind);
            nearest = Some((point, is_kept));
        }
    }
    nearest.is_some_and(|(_, is_kept)| is_kept)
}

/// The kernel writes a blank, a tab, a line end and a backslash as three octal digits.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    Cow::Owned(plain.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
500 400 0:57 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A
501 500 0:60 / /proc rw,nosuid - proc proc rw
502 500 0:61 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
503 500 254:1 /srv/work /mounted rw,relatime - ext4 /dev/vda1 rw
504 503 0:70 / /mounted/cache rw,relatime - tmpfs tmpfs rw
505 500 254:1 /srv/my\\040data /my\\040data ro,relatime - ext4 /dev/vda1 rw
506 500 0:25 /user/1000/x /given rw - tmpfs tmpfs rw
507 500 254:1 /var/lib/docker/volumes/v/_data /data rw shared:5 master:7 - ext4 /dev/vda1 rw
508 507 0:57 / /data/over rw - overlay overlay rw
nonsense
509 500 - x";

    #[test]
    fn what_was_mounted_is_kept_and_the_rest_is_not() {
        for path in ["/mounted", "/mounted/a/b.tar", "/my data/x", "/given/x", "/data/x", "/data/over/x"] {
            assert!(holds(MOUNTS, Path::new(path)), "{path}");
        }
        for path in ["/", "/app/x", "/mountedx/x", "/mounted/cache/x", "/proc/1", "/dev/shm/x", "/tmp/x", "/my"] {
            assert!(!holds(MOUNTS, Path::new(path)), "{path}");
        }
        assert!(!holds("", Path::new("/mounted")));
    }

    #[test]
    fn a_later_mount_covers_an_earlier_one() {
        let mounts = "1 0 8:1 /a /mounted rw - ext4 x rw\n2 1 0:9 / /mounted rw - tmpfs tmpfs rw";
        assert!(!holds(mounts, Path::new("/mounted/x")));
    }
}
