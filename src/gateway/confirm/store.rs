//! The files of the approvals: who may have written one, and how one is written, moved and read without a gap.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::{fcntl::OFlag, unistd::Uid};

use super::{hex, ticket::Ticket};
use crate::{
    error::{Error, Result},
    secret::random,
};

/// The largest file that is read, in bytes; none of ours is larger.
const LARGEST: u64 = 512 << 10;
/// So many entries of a directory are looked at.
const MOST: usize = 1000;
/// How long what nobody waits for any more is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Where a ticket is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for a person.
    Pending,
    /// A person said yes.
    Approved,
    /// It has let its call pass.
    Used,
    /// A person said no.
    Rejected,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Used, Self::Rejected];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Used => "used",
            Self::Rejected => "rejected",
        }
    }
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What it says.
    pub(super) bytes: Vec<u8>,
    /// Which file it is, whatever its name.
    inode: (u64, u64),
}

/// The directory `approvals` of a state directory.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store of a state directory, if it has one.
    ///
    /// # Errors
    /// `config` where somebody else could have put files there.
    pub(super) fn find(state: &Path) -> Result<Option<Self>> {
        let root = state.join("approvals");
        for (directory, private) in [(state, false), (&root, true)] {
            match fs::symlink_metadata(directory) {
                Ok(metadata) => trust(directory, &metadata, private)?,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(None);
                }
                Err(error) => return Err(broken(directory, &error)),
            }
        }
        let store = Self { root };
        for stage in Stage::ALL {
            let directory = store.directory(stage);
            match fs::symlink_metadata(&directory) {
                Ok(metadata) => trust(&directory, &metadata, true)?,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(broken(&directory, &error)),
            }
        }
        Ok(Some(store))
    }

    /// The store of a state directory, made where it is missing.
    ///
    /// # Errors
    /// As [`Store::find`], and where it cannot be made.
    pub(super) fn make(state: &Path) -> Result<Self> {
        let root = state.join("approvals");
        let made = |directory: &Path| {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| broken(directory, &error))
        };
        made(state)?;
        // Nothing is made inside a directory that somebody else holds.
        trust(state, &fs::symlink_metadata(state).map_err(|error| broken(state, &error))?, false)?;
        for stage in Stage::ALL {
            made(&root.join(stage.as_str()))?;
        }
        Self::find(state)?.ok_or_else(|| broken(&root, &io::Error::from(ErrorKind::NotFound)))
    }

    /// The tickets of a stage.
    pub(super) fn list(&self, stage: Stage) -> Result<Vec<Ticket>> {
        let directory = self.directory(stage);
        let entries = fs::read_dir(&directory).map_err(|error| broken(&directory, &error))?;
        let tickets = entries.take(MOST).filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Ticket::try_from(name.strip_suffix(".json")?.to_owned()).ok()
        });
        Ok(tickets.collect())
    }

    /// Reads a file that only we can have written; `None` where there is none.
    ///
    /// # Errors
    /// `config` for a link, a pipe, a file of another owner or with other rights, one that is too large.
    pub(super) fn read(&self, stage: Stage, ticket: &Ticket) -> Result<Option<Found>> {
        read(&self.path(stage, ticket))
    }

    /// Whether a stage has anything of that name, whatever it is.
    pub(super) fn has(&self, stage: Stage, ticket: &Ticket) -> bool {
        !matches!(fs::symlink_metadata(self.path(stage, ticket)), Err(error) if error.kind() == ErrorKind::NotFound)
    }

    /// Writes a file whole or not at all, and has it on the disk when it returns.
    pub(super) fn write(&self, stage: Stage, ticket: &Ticket, bytes: &[u8]) -> Result<()> {
        let directory = self.directory(stage);
        let temporary = directory.join(format!(".{ticket}.{}", hex::write(&random::<8>()?)));
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            // The process's mask may have taken rights away from its owner too.
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path(stage, ticket))?;
            File::open(&directory)?.sync_all()
        };
        written().map_err(|error| {
            fs::remove_file(&temporary).ok();
            broken(&directory, &error)
        })
    }

    /// Moves a file to another stage; of several who try, one is told that it did.
    pub(super) fn take(&self, from: Stage, to: Stage, ticket: &Ticket) -> Result<bool> {
        let (source, target) = (self.path(from, ticket), self.path(to, ticket));
        if !renamed(&source, &target)? {
            return Ok(false);
        }
        // Otherwise a machine that loses power could wake up with the file where it was.
        for directory in [self.directory(to), self.directory(from)] {
            File::open(&directory).and_then(|file| file.sync_all()).map_err(|error| broken(&directory, &error))?;
        }
        Ok(true)
    }

    /// Takes a file out of its stage; of several who try, one gets it.
    pub(super) fn claim(&self, stage: Stage, ticket: &Ticket) -> Result<Option<Found>> {
        let hidden = self.directory(stage).join(format!(".{ticket}.{}", hex::write(&random::<8>()?)));
        if !renamed(&self.path(stage, ticket), &hidden)? {
            return Ok(None);
        }
        let found = read(&hidden);
        fs::remove_file(&hidden).ok();
        found
    }

    /// Removes a ticket; whether it was there is all the same.
    pub(super) fn remove(&self, stage: Stage, ticket: &Ticket) {
        fs::remove_file(self.path(stage, ticket)).ok();
    }

    /// Removes what has been there for an hour; a ticket lives for minutes.
    pub(super) fn sweep(&self) {
        let now = SystemTime::now();
        for stage in Stage::ALL {
            for entry in fs::read_dir(self.directory(stage)).into_iter().flatten().take(MOST).flatten() {
                let Some(written) = entry.metadata().ok().and_then(|metadata| metadata.modified().ok()) else {
                    continue;
                };
                // A file from the future was written before the clock was set back.
                let age = now.duration_since(written).unwrap_or_else(|ahead| ahead.duration());
                if age > KEPT {
                    fs::remove_file(entry.path()).ok();
                }
            }
        }
    }

    fn directory(&self, stage: Stage) -> PathBuf {
        self.root.join(stage.as_str())
    }

    fn path(&self, stage: Stage, ticket: &Ticket) -> PathBuf {
        self.directory(stage).join(format!("{ticket}.json"))
    }
}

fn renamed(source: &Path, target: &Path) -> Result<bool> {
    match fs::rename(source, target) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(broken(source, &error)),
    }
}

fn read(path: &Path) -> Result<Option<Found>> {
    // A link is not followed, and a pipe does not hold us up.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(broken(path, &error)),
    };
    let metadata = file.metadata().map_err(|error| broken(path, &error))?;
    let wrong = if !metadata.is_file() {
        Some("it is no file")
    } else if metadata.uid() != Uid::effective().as_raw() {
        Some("it belongs to somebody else")
    } else if metadata.mode() & 0o7777 != 0o600 {
        Some("its mode is not 600")
    } else if metadata.nlink() != 1 {
        Some("it has several names")
    } else if metadata.len() > LARGEST {
        Some("it is too large")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(foreign(path, wrong));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| broken(path, &error))?;
    Ok(Some(Found { bytes, inode: (metadata.dev(), metadata.ino()) }))
}

/// Refuses a directory that others could have filled; a private one also where others could read it.
fn trust(directory: &Path, metadata: &Metadata, private: bool) -> Result<()> {
    let forbidden = if private { 0o077 } else { 0o022 };
    if !metadata.is_dir() {
        return Err(foreign(directory, "it is no directory; a link is not followed"));
    }
    if metadata.uid() != Uid::effective().as_raw() {
        return Err(foreign(directory, "it belongs to somebody else"));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(foreign(directory, "others than its owner have rights there; run chmod 700 on it"));
    }
    Ok(())
}

fn foreign(path: &Path, wrong: &str) -> Error {
    Error::config("the approvals in the state directory cannot be trusted")
        .hint("ask the person to run \"quaymaster approve --list\", which says why")
        .detail(format!("{}: {wrong}", path.display()))
}

fn broken(path: &Path, error: &io::Error) -> Error {
    Error::config("the approvals in the state directory cannot be read or written")
        .hint("ask the person to run \"quaymaster approve --list\", which says why")
        .detail(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store, Ticket) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::make(&directory.path().join("state")).unwrap();
        (directory, store, Ticket::new().unwrap())
    }

    #[test]
    fn what_is_made_is_private() {
        let (directory, store, ticket) = store();
        store.write(Stage::Pending, &ticket, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        let state = directory.path().join("state");
        for private in [&state, &store.root, &store.directory(Stage::Pending), &store.directory(Stage::Used)] {
            assert_eq!(mode(private), 0o700, "{}", private.display());
        }
        assert_eq!(mode(&store.path(Stage::Pending, &ticket)), 0o600);
        assert_eq!(fs::read_dir(store.directory(Stage::Pending)).unwrap().count(), 1, "no temporary file is left");
        assert_eq!(store.list(Stage::Pending).unwrap(), std::slice::from_ref(&ticket));
        assert_eq!(store.read(Stage::Pending, &ticket).unwrap().unwrap().bytes, b"x");
        assert!(Store::find(&directory.path().join("none")).unwrap().is_none());
        assert!(Store::find(&state).unwrap().is_some());
    }

    #[test]
    fn directories_of_others_are_refused() {
        for (part, mode) in [("", 0o770), ("", 0o702), ("approvals", 0o750), ("approvals/approved", 0o701)] {
            let (directory, _, _) = store();
            let state = directory.path().join("state");
            fs::set_permissions(state.join(part), Permissions::from_mode(mode)).unwrap();
            let error = Store::find(&state).unwrap_err();
            assert!(error.detail_text().unwrap().contains("chmod 700"), "{part} {mode:o}: {error:?}");
            assert!(Store::make(&state).is_err());
        }
        for part in ["state", "state/approvals", "state/approvals/approved"] {
            let (directory, _, _) = store();
            let (path, elsewhere) = (directory.path().join(part), directory.path().join("elsewhere"));
            fs::rename(&path, &elsewhere).unwrap();
            std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
            let error = Store::find(&directory.path().join("state")).unwrap_err();
            assert!(error.detail_text().unwrap().contains("a link is not followed"), "{part}: {error:?}");
            assert!(Store::make(&directory.path().join("state")).is_err(), "{part}");
        }
        // Others may read what is above the store.
        let (directory, _, _) = store();
        fs::set_permissions(directory.path().join("state"), Permissions::from_mode(0o755)).unwrap();
        assert!(Store::find(&directory.path().join("state")).unwrap().is_some());
    }

    #[test]
    fn files_that_we_did_not_write_are_refused() {
        let (directory, store, ticket) = store();
        let path = store.path(Stage::Approved, &ticket);
        let plain = directory.path().join("plain");
        let attempts: [(&str, &dyn Fn()); 6] = [
            ("mode", &|| {
                fs::write(&path, "x").unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            }),
            ("symbolic link", &|| {
                fs::write(&plain, "x").unwrap();
                fs::set_permissions(&plain, Permissions::from_mode(0o600)).unwrap();
                std::os::unix::fs::symlink(&plain, &path).unwrap();
            }),
            ("hard link", &|| fs::hard_link(&plain, &path).unwrap()),
            ("pipe", &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap()),
            ("directory", &|| fs::create_dir(&path).unwrap()),
            ("large", &|| {
                fs::write(&path, vec![b' '; 600 << 10]).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            }),
        ];
        for (name, plant) in attempts {
            plant();
            assert!(store.read(Stage::Approved, &ticket).is_err(), "{name}");
            assert!(store.has(Stage::Approved, &ticket), "{name}");
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
        assert!(store.read(Stage::Approved, &ticket).unwrap().is_none());
    }

    #[test]
    fn one_of_many_takes_a_file() {
        let (_directory, store, ticket) = store();
        for _ in 0..20 {
            store.write(Stage::Approved, &ticket, b"x").unwrap();
            let taken = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| store.take(Stage::Approved, Stage::Used, &ticket).unwrap()))
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).filter(|taken| *taken).count()
            });
            assert_eq!(taken, 1);
        }
        assert!(store.claim(Stage::Used, &ticket).unwrap().is_some());
        assert!(store.claim(Stage::Used, &ticket).unwrap().is_none());
    }

    #[test]
    fn what_is_old_is_swept() {
        let (_directory, store, old) = store();
        let new = Ticket::new().unwrap();
        for ticket in [&old, &new] {
            store.write(Stage::Used, ticket, b"x").unwrap();
        }
        let back = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
        File::options().write(true).open(store.path(Stage::Used, &old)).unwrap().set_modified(back).unwrap();
        store.sweep();
        assert_eq!(store.list(Stage::Used).unwrap(), [new]);
    }
}
