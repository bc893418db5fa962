//! A directory that is read: a handle, what of it is left out, and its files by name.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use cap_std::fs::Dir;

use super::{
    names::Names,
    refusal::Refused,
    walk::{self, Until, walk},
};
use crate::error::{Kind, Result};

/// A directory below a root; nothing leads out of it.
#[derive(Debug)]
pub struct Directory {
    pub(super) handle: Dir,
    pub(super) names: Arc<Names>,
    pub(super) refused: Refused,
    pub(super) left_out: Arc<LeftOut>,
    place: PathBuf,
}

/// How many entries a tar of a directory does not hold, and why; complete when the tar is.
#[derive(Debug, Default)]
pub struct LeftOut {
    secret: AtomicU64,
    special: AtomicU64,
}

impl LeftOut {
    /// Those whose name `files.allow` would have to name.
    #[must_use]
    pub fn secret(&self) -> u64 {
        self.secret.load(Ordering::Relaxed)
    }

    /// Sockets, pipes and devices.
    #[must_use]
    pub fn special(&self) -> u64 {
        self.special.load(Ordering::Relaxed)
    }

    pub(super) fn count_secret(&self) {
        self.secret.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_special(&self) {
        self.special.fetch_add(1, Ordering::Relaxed);
    }
}

impl Directory {
    pub(super) fn new(handle: Dir, names: Arc<Names>, refused: Refused, place: PathBuf) -> Self {
        Self { handle, names, refused, left_out: Arc::default(), place }
    }

    /// Where it is, links followed: for a program that reads it by itself, and never for an answer.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What a tar of it does not hold; to be kept before the directory is packed, and read afterwards.
    #[must_use]
    pub fn left_out(&self) -> Arc<LeftOut> {
        self.left_out.clone()
    }

    /// A regular file of it by relative path, whole; `None` where there is none.
    ///
    /// # Errors
    /// As [`super::Files::open`]; `invalid` for one that is larger than `limit` bytes.
    pub async fn read(&self, path: &str, limit: u64) -> Result<Option<Bytes>> {
        let handle = self.handle.try_clone().map_err(|error| self.refused.read(&error))?;
        let (names, refused, path) = (self.names.clone(), self.refused.inside(path), path.to_owned());
        let read = Refused::blocking(move || {
            let place = walk(handle, Path::new(&path), &names, Until::End).map_err(|fault| refused.by(fault))?;
            let name = place.name.ok_or_else(|| refused.directory())?;
            let file = walk::open_file(&place.directory, &name).map_err(|error| refused.read(&error))?;
            let mut bytes = Vec::new();
            file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| refused.read(&error))?;
            if bytes.len() as u64 > limit { Err(refused.too_large(limit)) } else { Ok(Bytes::from(bytes)) }
        });
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
