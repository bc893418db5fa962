//! A private directory of files for one run: what a program reads that is nobody else's business, and what it writes for us.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::programs::Programs;
use crate::error::{Error, Result};

/// A directory that only its owner can look into; gone with the last who holds it.
#[derive(Debug, Clone)]
pub struct Private {
    directory: Arc<TempDir>,
}

impl Programs {
    /// Makes a private directory for a run.
    ///
    /// # Errors
    /// `internal` where the disk refuses.
    pub fn private(&self) -> Result<Private> {
        let own = fs::Permissions::from_mode(0o700);
        let made =
            tempfile::Builder::new().prefix("quaymaster-").rand_bytes(12).permissions(own).tempdir_in(&self.base);
        made.map(|directory| Private { directory: Arc::new(directory) }).map_err(|error| refused(&error))
    }
}

impl Private {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file that only its owner can read; answers where it is.
    ///
    /// # Errors
    /// `internal` where the disk refuses, or the name is taken.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path().join(name);
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(bytes)
        };
        written().map_err(|error| refused(&error))?;
        Ok(path)
    }

    /// Makes an empty directory in it; answers where it is.
    ///
    /// # Errors
    /// `internal` where the disk refuses.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).map_err(|error| refused(&error))?;
        Ok(path)
    }

    /// Reads a file that a program has left in it; `None` where there is none, or a larger one.
    #[must_use]
    pub fn read(&self, name: &str, limit: u64) -> Option<String> {
        let mut text = String::new();
        let read = File::open(self.path().join(name)).ok()?.take(limit + 1).read_to_string(&mut text).ok()?;
        (read as u64 <= limit).then_some(text)
    }
}

fn refused(error: &io::Error) -> Error {
    Error::internal("a private directory for the docker CLI cannot be made")
        .hint("the disk or the temporary directory of Quaymaster's machine may be full; report it")
        .detail(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn what_is_private_is_its_owners_and_goes() {
        let base = tempfile::tempdir().unwrap();
        let variables = [("TMPDIR".to_owned(), base.path().display().to_string())].into();
        let programs = Programs::new(&Environment { variables, ..Environment::default() });
        let private = programs.private().unwrap();
        let path = private.put("secret", b"hunter2").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(private.path()), mode(&path)), (0o700, 0o600));
        assert!(private.put("secret", b"other").is_err());
        assert_eq!(private.read("secret", 7).as_deref(), Some("hunter2"));
        assert_eq!((private.read("secret", 6), private.read("nothing", 9)), (None, None));
        let copy = private.clone();
        drop(private);
        assert!(path.exists());
        drop(copy);
        assert!(!path.exists());
    }
}
