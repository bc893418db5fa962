//! The files of the gateway's machine that arguments may name: below configured roots only, and never by a way that leads out of them.

mod archive;
mod directory;
mod draft;
mod mounts;
mod names;
mod pack;
mod refusal;
mod roots;
mod sieve;
mod source;
mod walk;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};

use crate::{
    config::{Environment, FileSettings},
    error::{Error, Result},
};
pub use archive::{Archived, JudgeOfNames, Owner, Seen, checked, unwrapped, wrapped};
pub use directory::{Directory, LeftOut};
pub use draft::Draft;
use names::Names;
pub use pack::{Admit, pack};
use refusal::Refused;
pub use sieve::Sieve;
pub use source::Source;
use walk::{Place, Until, walk};

/// What the kernel says of the mounts of this process.
const MOUNTS: &str = "/proc/self/mountinfo";
/// The longest path that is looked at, in bytes.
const LONGEST: usize = 4096;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Where files that arguments name may lie.
#[derive(Debug, Clone, Default)]
pub struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    /// None where nobody has said which, and the working directory is no harmless one.
    roots: Vec<PathBuf>,
    names: Arc<Names>,
    /// What is Quaymaster's own: who could write there would approve by himself.
    own: Vec<PathBuf>,
    /// Where the mounts are told, when the process runs in a container: what lies on none of them goes with it.
    mounts: Option<PathBuf>,
}

/// A place below a root, and everything that a refusal of it says.
struct Found {
    place: Place,
    /// Where that is, links followed.
    path: PathBuf,
    refused: Refused,
}

impl Files {
    /// The roots of a configuration; without one, the working directory, unless that holds more than some work:
    /// the root of the machine, a home, what is above one, or what belongs to the system.
    #[must_use]
    pub fn new(settings: &FileSettings, environment: &Environment) -> Self {
        let usual = || roots::usual(&environment.working_directory, environment.home.as_deref());
        let inner = Inner {
            roots: settings.roots.clone().unwrap_or_else(|| usual().into_iter().collect()),
            names: Arc::new(Names::new(&settings.allow)),
            own: roots::own(environment),
            mounts: environment.container.is_some().then(|| MOUNTS.into()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Refuses these directories too, wherever the roots are: what is kept there decides what calls may do.
    #[must_use]
    pub fn sparing(self, own: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut inner = Inner::clone(&self.inner);
        inner.own.extend(own);
        Self { inner: Arc::new(inner) }
    }

    /// Opens a regular file below a root, for reading.
    ///
    /// # Errors
    /// `denied` for what lies elsewhere or has a name that needs naming, `not_found`, `invalid` for what is no
    /// file.
    pub async fn open(&self, argument: &str, path: &str) -> Result<Source> {
        self.blocking(argument, path, |inner, refused| {
            let Found { place, refused, .. } = inner.find(refused, Until::End)?;
            let name = place.name.clone().ok_or_else(|| refused.directory())?;
            let file = walk::open_file(&place.directory, &name).map_err(|error| refused.read(&error))?;
            Source::new(file.into_std(), name.to_string_lossy().into_owned(), refused)
        })
        .await
    }

    /// A directory below a root, as a handle that nothing leads out of.
    ///
    /// # Errors
    /// As [`Files::open`]; `invalid` for what is no directory.
    pub async fn directory(&self, argument: &str, path: &str) -> Result<Directory> {
        self.blocking(argument, path, |inner, refused| {
            let Found { place, path, refused } = inner.find(refused, Until::End)?;
            match place.name {
                None => Ok(Directory::new(place.directory, inner.names.clone(), refused, path)),
                Some(_) => Err(refused.no_directory()),
            }
        })
        .await
    }

    /// What a path leads to.
    ///
    /// # Errors
    /// As [`Files::open`]; `invalid` for what is neither.
    pub async fn kind(&self, argument: &str, path: &str) -> Result<Kind> {
        self.blocking(argument, path, |inner, refused| {
            let Found { place, refused, .. } = inner.find(refused, Until::End)?;
            let Some(name) = place.name else { return Ok(Kind::Directory) };
            let metadata = place.directory.symlink_metadata(&name).map_err(|error| refused.read(&error))?;
            if metadata.is_file() { Ok(Kind::File) } else { Err(refused.special()) }
        })
        .await
    }

    /// The whole path of what exists below a root, with every link of it followed.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub async fn locate(&self, argument: &str, path: &str) -> Result<PathBuf> {
        self.blocking(argument, path, |inner, refused| Ok(inner.find(refused, Until::End)?.path)).await
    }

    /// A new file below a root, written beside its place under another name and renamed at the end.
    ///
    /// # Errors
    /// As [`Files::can_create`].
    pub async fn create(&self, argument: &str, path: &str, overwrite: bool) -> Result<Draft> {
        self.blocking(argument, path, move |inner, refused| {
            let (directory, name, refused) = inner.vacant(refused, overwrite)?;
            Draft::begin(directory, name, overwrite, refused)
        })
        .await
    }

    /// Whether [`Files::create`] could succeed, without writing.
    ///
    /// # Errors
    /// As [`Files::open`]; `not_found` where the directory is missing, `conflict` where the name is taken and
    /// must not be, or by something that is no file.
    pub async fn can_create(&self, argument: &str, path: &str, overwrite: bool) -> Result<()> {
        self.blocking(argument, path, move |inner, refused| {
            let (directory, _, refused) = inner.vacant(refused, overwrite)?;
            walk::is_writable(&directory).map_err(|error| refused.write(&error))
        })
        .await
    }

    /// The names that need naming, as lines of a `.dockerignore` that leaves them out of what a program sends.
    #[must_use]
    pub fn ignored(&self) -> String {
        self.inner.names.ignored()
    }

    /// Does what may wait for a disk on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        argument: &str,
        path: &str,
        work: impl FnOnce(&Inner, Refused) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let refused = Refused::new(argument, path);
        if path.is_empty() || path.len() > LONGEST || path.chars().any(char::is_control) {
            return Err(refused.senseless());
        }
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner, refused)).await;
        done.map_err(|error| Error::internal("a file could not be looked at").detail(error.to_string()))?
    }
}

impl Inner {
    /// Follows a path from the root that it lies below.
    fn find(&self, refused: Refused, until: Until) -> Result<Found> {
        let (root, directory, rest) = self.begin(&refused)?;
        let place = walk(directory, &rest, &self.names, until).map_err(|fault| refused.by(fault))?;
        let path = root.join(&place.path);
        let real = |own: &Path| fs::canonicalize(own).unwrap_or_else(|_| own.to_owned());
        if self.own.iter().any(|own| path.starts_with(real(own))) {
            return Err(refused.own());
        }
        if let Some(mounts) = &self.mounts {
            let mounts = fs::read_to_string(mounts).map_err(|error| refused.read(&error))?;
            if !mounts::holds(&mounts, &path) {
                return Err(refused.unmounted(&root));
            }
        }
        Ok(Found { place, path, refused })
    }

    /// Where a new file goes: its directory and its name, which must not be taken unless that is wanted.
    fn vacant(&self, refused: Refused, overwrite: bool) -> Result<(Dir, std::ffi::OsString, Refused)> {
        if refused.path().ends_with('/') {
            return Err(refused.directory());
        }
        let Found { place, refused, .. } = self.find(refused, Until::Name)?;
        let name = place.name.ok_or_else(|| refused.directory())?;
        match place.directory.symlink_metadata(&name) {
            Ok(metadata) if metadata.is_dir() => Err(refused.directory()),
            Ok(metadata) if overwrite && metadata.is_file() => Ok(()),
            Ok(_) if overwrite => Err(refused.special()),
            Ok(_) => Err(refused.taken()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(refused.read(&error)),
        }?;
        Ok((place.directory, name, refused))
    }

    /// The root that a path lies below, opened, and the path from there; a relative one begins at the first.
    fn begin(&self, refused: &Refused) -> Result<(PathBuf, Dir, PathBuf)> {
        let path = Path::new(refused.path());
        let first = self.roots.first().ok_or_else(|| refused.rootless())?;
        let opened = |root: &Path| -> io::Result<(PathBuf, Dir)> {
            let root = fs::canonicalize(root)?;
            let directory = Dir::open_ambient_dir(&root, ambient_authority())?;
            Ok((root, directory))
        };
        if path.is_relative() {
            let (root, directory) = opened(first).map_err(|error| refused.closed(first, &error))?;
            return Ok((root, directory, path.to_owned()));
        }
        // Written as the root is configured, or as it is called without its links.
        let below = self.roots.iter().find_map(|configured| {
            let real = fs::canonicalize(configured).ok()?;
            let rest = path.strip_prefix(configured).or_else(|_| path.strip_prefix(&real)).ok()?;
            Some((configured, rest))
        });
        let (configured, rest) = below.ok_or_else(|| refused.outside())?;
        let (root, directory) = opened(configured).map_err(|error| refused.closed(configured, &error))?;
        Ok((root, directory, rest.to_owned()))
    }
}

#[cfg(test)]
mod tests;
