//! The directory of the audit: who may write in it, which files in it are ours, and which are being written.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, geteuid, unlinkat},
};

use super::{chain::Sealed, lines::Backwards};

/// How long the beginning of a file waits for that of another process.
const PATIENCE: Duration = Duration::from_secs(2);

/// The directory, opened once: what is done in it is done in this one, whatever its path leads to later.
pub(super) struct Directory {
    path: PathBuf,
    handle: File,
}

/// A file of the audit, as it is listed.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was last written.
    pub(super) written: SystemTime,
}

impl Directory {
    /// Opens it, and makes it first where it is missing.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let directory = Self::open(path)?;
        directory.admit()?;
        Ok(directory)
    }

    /// Opens it for writing where it exists.
    pub(super) fn again(path: &Path) -> io::Result<Self> {
        let directory = Self::open(path)?;
        directory.admit()?;
        Ok(directory)
    }

    /// Opens it for reading.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = open(path, flags, Mode::empty()).map_err(|error| match error {
            // Linux says so of a link where a directory is wanted.
            nix::Error::ENOTDIR | nix::Error::ELOOP => refusal("it is a symbolic link, or no directory"),
            error => error.into(),
        })?;
        Ok(Self { path: path.to_owned(), handle: handle.into() })
    }

    /// Why nothing should be trusted to it: it is somebody else's, or others can write in it.
    pub(super) fn fault(&self) -> io::Result<Option<&'static str>> {
        let metadata = self.handle.metadata()?;
        Ok(if metadata.uid() != geteuid().as_raw() {
            Some("the directory belongs to another account")
        } else if metadata.mode() & 0o022 != 0 {
            Some("others can write in the directory: chmod 700 mends that")
        } else {
            None
        })
    }

    fn admit(&self) -> io::Result<()> {
        self.fault()?.map_or(Ok(()), |fault| Err(refusal(fault)))
    }

    /// Keeps other processes from beginning or removing a file while it is held.
    ///
    /// It is let go with the directory at the latest.
    pub(super) fn hold(&self) {
        let started = std::time::Instant::now();
        // Whoever holds it longer has been stopped; two that begin at once do no harm beyond a link too few.
        while matches!(self.handle.try_lock(), Err(TryLockError::WouldBlock)) && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it go.
    pub(super) fn release(&self) {
        self.handle.unlock().ok();
    }

    /// The files of the audit, oldest first by name, and how many others there are.
    pub(super) fn list(&self) -> io::Result<(Vec<Listed>, usize)> {
        let (mut listed, mut others) = (Vec::new(), 0);
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().filter(|name| is_ours(name)).map(str::to_owned) else {
                others += 1;
                continue;
            };
            match entry.metadata() {
                Ok(metadata) => {
                    listed.push(Listed { name, bytes: metadata.len(), written: metadata.modified()? });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        listed.sort_by(|left, right| left.name.cmp(&right.name));
        Ok((listed, others))
    }

    /// Opens a file for reading; never a link, a pipe or a device.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&self.handle, name, flags, Mode::empty()).map_err(|error| match error {
            nix::Error::ELOOP => refusal("it is a symbolic link"),
            error => error.into(),
        })?;
        let file = File::from(file);
        if file.metadata()?.is_file() { Ok(file) } else { Err(refusal("it is no file")) }
    }

    /// Makes a file that nobody else has, and marks it as being written for as long as it is open.
    pub(super) fn create(&self, pid: i32) -> io::Result<(String, File)> {
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut moment = Timestamp::now();
        loop {
            let name = format!("audit-{}-{pid}.jsonl", moment.strftime("%Y%m%dT%H%M%S.%3fZ"));
            match openat(&self.handle, name.as_str(), flags, Mode::from_bits_truncate(0o600)) {
                Ok(file) => {
                    let file = File::from(file);
                    // Nobody holds it for longer than a look takes.
                    file.lock()?;
                    return Ok((name, file));
                }
                // In a container every process may have the same number.
                Err(nix::Error::EEXIST) => moment += Duration::from_millis(1),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Waits until the names in it are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Whether a path in it still leads to this file.
    pub(super) fn leads_to(&self, name: &str, file: &File) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let (found, own) = (std::fs::symlink_metadata(self.path.join(name)), file.metadata());
        matches!((found.map(identity), own.map(identity)), (Ok(found), Ok(own)) if found == own)
    }

    /// The last line of a file that no living process writes; nothing where one does, or where there is none.
    pub(super) fn last_of_closed(&self, name: &str) -> Option<Sealed> {
        let file = self.file(name).ok().filter(is_closed)?;
        Sealed::read(&Backwards::new(file).ok()?.next().ok()??)
    }
}

/// Whether no living process writes it. The look itself is shared, so two do not disturb each other.
pub(super) fn is_closed(file: &File) -> bool {
    let closed = file.try_lock_shared().is_ok();
    if closed {
        file.unlock().ok();
    }
    closed
}

/// Whether a name is one of ours: `audit-20261120T080000.000Z-4711.jsonl`.
pub(super) fn is_ours(name: &str) -> bool {
    let Some(inner) = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".jsonl")) else { return false };
    let Some((moment, pid)) = inner.split_once('-') else { return false };
    let fits = |(place, pattern): (u8, u8)| if pattern == b'0' { place.is_ascii_digit() } else { place == pattern };
    let pattern = b"00000000T000000.000Z";
    moment.len() == pattern.len()
        && moment.bytes().zip(pattern.iter().copied()).all(fits)
        && (1..=10).contains(&pid.len())
        && pid.bytes().all(|byte| byte.is_ascii_digit())
}

/// The process in a file's name.
pub(super) fn pid(name: &str) -> &str {
    Path::new(name).file_stem().and_then(OsStr::to_str).and_then(|stem| stem.rsplit('-').next()).unwrap_or_default()
}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        assert!(is_ours("audit-20261120T080000.123Z-1.jsonl"));
        assert_eq!(pid("audit-20261120T080000.123Z-4711.jsonl"), "4711");
        for name in [
            "audit-20261120T080000Z-1.jsonl",
            "audit-20261120T080000.123Z-.jsonl",
            "audit-20261120T080000.123Z-12345678901.jsonl",
            "audit-20261120T080000.123Z-1.jsonl.gz",
            "audit-20261120T080000.123Z-1-2.jsonl",
            "audit-../../../../../etc/pwd-1.jsonl",
            "audit.jsonl",
            "notes.txt",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
