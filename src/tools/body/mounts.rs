//! Mounts as `docker run` takes them: `source:/destination[:options]` or `type=...,src=...,dst=...`.

use bollard::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType, MountVolumeOptions,
};

use super::values::{size, wrong};
use crate::{
    docker::names,
    error::{Error, Result},
};

const SHORT: &str = "\"volume:/path\", \"/path/on/the/host:/path:ro\", or \"/path\" for an anonymous volume";
const LONG: &str = "\"type=bind|volume|tmpfs,src=...,dst=...\" with readonly, bind-propagation, bind-nonrecursive, \
                    volume-nocopy, volume-subpath, tmpfs-size, tmpfs-mode";

/// The words that the engine takes after the second colon.
const OPTIONS: [&str; 16] = [
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "consistent",
    "cached",
    "delegated",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "bind-recursive",
    "bind-nonrecursive",
];

/// Mounts, by where they stand in the body of a request.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// `source:/destination[:options]`; the engine makes a directory that is missing on its host.
    pub(crate) binds: Vec<String>,
    /// Destinations of anonymous volumes.
    pub(crate) anonymous: Vec<String>,
    /// Those of the long form; the engine refuses a source that is missing.
    pub(crate) long: Vec<Mount>,
}

/// Reads all of them.
pub(crate) fn mounts(specs: &[String]) -> Result<Mounts> {
    let mut mounts = Mounts::default();
    for spec in specs {
        if spec.chars().any(char::is_control) {
            return Err(wrong("mounts", spec, "no mount", SHORT));
        }
        // A path or the name of a volume never begins with `word=`.
        if spec.split(',').next().is_some_and(|first| first.contains('=') && !first.contains(['/', ':'])) {
            mounts.long.push(long(spec)?);
        } else {
            short(spec, &mut mounts)?;
        }
    }
    Ok(mounts)
}

fn short(spec: &str, mounts: &mut Mounts) -> Result<()> {
    let refused = || wrong("mounts", spec, "no mount", SHORT);
    let mut parts = spec.split(':');
    let (source, destination, options) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(destination), None, ..) => {
            mounts.anonymous.push(inside(spec, destination)?);
            return Ok(());
        }
        (Some(source), Some(destination), options, None) => (source, destination, options),
        _ => return Err(refused()),
    };
    if source.starts_with(['.', '~']) {
        return Err(refused().hint("the path is on the Docker host and must be absolute"));
    }
    if !source.starts_with('/') {
        names::object("mounts", source)?;
    }
    inside(spec, destination)?;
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        if !OPTIONS.contains(&option) {
            return Err(wrong("mounts", option, "no option of a mount", &format!("allowed: {}", OPTIONS.join(", "))));
        }
    }
    mounts.binds.push(spec.to_owned());
    Ok(())
}

/// A destination: an absolute path in the container.
fn inside(spec: &str, destination: &str) -> Result<String> {
    if destination.starts_with('/') && !destination.trim_matches('/').is_empty() {
        Ok(destination.to_owned())
    } else {
        Err(wrong("mounts", spec, "no mount", SHORT))
    }
}

fn long(spec: &str) -> Result<Mount> {
    let refused = |part: &str| wrong("mounts", part, "no part of a mount", LONG);
    let mut kind = MountType::VOLUME;
    let mut mount = Mount::default();
    let mut bind = MountBindOptions::default();
    let mut volume = MountVolumeOptions::default();
    let mut tmpfs = MountTmpfsOptions::default();
    for part in spec.split(',') {
        let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
        let text = || value.filter(|value| !value.is_empty()).ok_or_else(|| refused(part));
        let flag = || match value {
            None | Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(refused(part)),
        };
        match key {
            "type" => {
                kind = match text()? {
                    "bind" => MountType::BIND,
                    "volume" => MountType::VOLUME,
                    "tmpfs" => MountType::TMPFS,
                    _ => return Err(refused(part)),
                }
            }
            "src" | "source" => mount.source = Some(text()?.to_owned()),
            "dst" | "destination" | "target" => mount.target = Some(inside(spec, text()?)?),
            "readonly" | "ro" => mount.read_only = flag()?,
            "bind-propagation" => {
                let propagation = text()?.parse::<MountBindOptionsPropagationEnum>();
                bind.propagation = Some(propagation.map_err(|_| refused(part))?);
            }
            "bind-nonrecursive" => bind.non_recursive = flag()?,
            "volume-nocopy" => volume.no_copy = flag()?,
            "volume-subpath" => volume.subpath = Some(text()?.to_owned()),
            "tmpfs-size" => tmpfs.size_bytes = Some(size("mounts", text()?)?),
            "tmpfs-mode" => {
                tmpfs.mode = Some(i64::from_str_radix(text()?, 8).map_err(|_| refused(part))?);
            }
            _ => return Err(refused(part)),
        }
    }
    if mount.target.is_none() {
        return Err(Error::invalid(format!("argument \"mounts\": {} has no \"dst\"", names::quote(spec))).hint(LONG));
    }
    match (kind, mount.source.as_deref()) {
        (MountType::BIND, Some(source)) if source.starts_with('/') => {}
        (MountType::VOLUME, Some(source)) => {
            names::object("mounts", source)?;
        }
        (MountType::VOLUME | MountType::TMPFS, None) => {}
        (MountType::TMPFS, Some(_)) => return Err(refused(spec).hint("a tmpfs has no \"src\"")),
        _ => return Err(refused(spec).hint("\"src\" of a bind is an absolute path on the Docker host")),
    }
    mount.typ = Some(kind);
    // The engine refuses options of another type.
    mount.bind_options = (bind != MountBindOptions::default()).then_some(bind);
    mount.volume_options = (volume != MountVolumeOptions::default()).then_some(volume);
    mount.tmpfs_options = (tmpfs != MountTmpfsOptions::default()).then_some(tmpfs);
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(spec: &str) -> Result<Mounts> {
        mounts(&[spec.to_owned()])
    }

    #[test]
    fn short_forms_stay_as_they_are() {
        for spec in ["data:/var/lib/x", "/srv/a:/a:ro", "/srv/a=b:/a", "data:/x:nocopy,ro"] {
            assert_eq!(one(spec).unwrap().binds, [spec], "{spec}");
        }
        assert_eq!(one("/cache").unwrap().anonymous, ["/cache"]);
    }

    #[test]
    fn long_forms_are_taken_apart() {
        let mount = &one("type=bind,source=/srv/a,target=/a,readonly,bind-propagation=rslave").unwrap().long[0];
        assert_eq!(mount.typ, Some(MountType::BIND));
        assert_eq!((mount.source.as_deref(), mount.target.as_deref()), (Some("/srv/a"), Some("/a")));
        assert_eq!(mount.read_only, Some(true));
        let propagation = mount.bind_options.as_ref().unwrap().propagation;
        assert_eq!(propagation, Some(MountBindOptionsPropagationEnum::RSLAVE));
        let mount = &one("type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1777").unwrap().long[0];
        let tmpfs = mount.tmpfs_options.as_ref().unwrap();
        assert_eq!((tmpfs.size_bytes, tmpfs.mode), (Some(64 << 20), Some(0o1777)));
        let mount = &one("src=data,dst=/d,readonly=false,volume-nocopy").unwrap().long[0];
        assert_eq!((mount.typ, mount.read_only), (Some(MountType::VOLUME), Some(false)));
        assert!(mount.volume_options.as_ref().unwrap().no_copy.unwrap());
    }

    #[test]
    fn nonsense_is_refused() {
        for spec in [
            "",
            "data",
            "data:x",
            "./a:/a",
            "~/a:/a",
            "../a:/a",
            "a/b:/a",
            "a:/b:/c:ro",
            "a:/b:up",
            "a:/",
            ":/a",
            "a:",
            "a\n:/b",
            "type=bind,dst=/a",
            "type=bind,src=a,dst=/a",
            "type=tmpfs,src=x,dst=/a",
            "type=npipe,src=x,dst=/a",
            "type=volume,src=a/b,dst=/a",
            "src=data",
            "src=data,dst=a",
            "src=data,dst=/a,readonly=maybe",
            "src=data,dst=/a,volume-opt=o=bind",
            "dst=/a,tmpfs-mode=9",
        ] {
            assert!(one(spec).is_err(), "{spec:?}");
        }
    }
}
