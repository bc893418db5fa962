//! A file that is written: beside its place under another name, renamed when it is whole, gone when it never was.

use std::{ffi::OsString, fmt::Write as _, io};

use bytes::Bytes;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use tokio::{fs::File, io::AsyncWriteExt};

use super::refusal::Refused;
use crate::{error::Result, secret::random};

/// A file that has not its name yet. Dropped before [`Draft::keep`], it leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    file: File,
    written: u64,
    leaf: Leaf,
    refused: Refused,
}

/// The name under which it is written, and the one that it gets.
#[derive(Debug)]
struct Leaf {
    directory: Dir,
    own: OsString,
    name: OsString,
    overwrite: bool,
    kept: bool,
}

impl Draft {
    pub(super) fn begin(directory: Dir, name: OsString, overwrite: bool, refused: Refused) -> Result<Self> {
        let mut own = String::from(".quaymaster-");
        for byte in random::<8>()? {
            // Writing to a text cannot fail.
            let _ = write!(own, "{byte:02x}");
        }
        let mut options = OpenOptions::new();
        // What comes out of containers and images may be secret, as the docker CLI assumes too.
        options.write(true).create_new(true).mode(0o600).follow(FollowSymlinks::No);
        let file = directory.open_with(&own, &options).map_err(|error| refused.write(&error))?;
        let leaf = Leaf { directory, own: own.into(), name, overwrite, kept: false };
        Ok(Self { file: File::from_std(file.into_std()), written: 0, leaf, refused })
    }

    /// Appends.
    ///
    /// # Errors
    /// `conflict` where the disk is full, and what else the system refuses.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.file.write_all(&bytes).await.map_err(|error| self.refused.write(&error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives it its name; answers how many bytes it has.
    ///
    /// # Errors
    /// `conflict` where the name has been taken meanwhile, and what else the system refuses.
    pub async fn keep(self) -> Result<u64> {
        let Self { mut file, written, mut leaf, refused } = self;
        let stored = async {
            file.flush().await?;
            file.sync_all().await
        };
        stored.await.map_err(|error| refused.write(&error))?;
        Refused::blocking(move || leaf.keep().map_err(|error| refused.write(&error))).await?;
        Ok(written)
    }
}

impl Leaf {
    fn keep(&mut self) -> io::Result<()> {
        if self.overwrite {
            self.rename()?;
        } else {
            // Unlike a rename, a link never replaces anything.
            match self.directory.hard_link(&self.own, &self.directory, &self.name) {
                Ok(()) => self.directory.remove_file(&self.own)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // A file system without links: between the look and the rename is a moment.
                Err(_) => match self.directory.symlink_metadata(&self.name) {
                    Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                    Err(_) => self.rename()?,
                },
            }
        }
        self.kept = true;
        Ok(())
    }

    fn rename(&self) -> io::Result<()> {
        self.directory.rename(&self.own, &self.directory, &self.name)
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.directory.remove_file(&self.own)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a half-written file was left behind");
        }
    }
}
