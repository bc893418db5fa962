//! How a path is refused: in the words of whoever wrote it, and with nothing of this machine that they did not write.

use std::{ffi::OsStr, io, path::Path};

use nix::errno::Errno;

use super::walk::Fault;
use crate::error::{Error, Result};

/// The longest piece of a path that is repeated, in characters.
const SHOWN: usize = 120;

/// An argument with the path that it names.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    argument: String,
    path: String,
}

impl Refused {
    pub(super) fn new(argument: &str, path: &str) -> Self {
        Self { argument: argument.to_owned(), path: path.to_owned() }
    }

    /// The same for what lies below it.
    pub(super) fn inside(&self, path: &str) -> Self {
        let path = if path == "." { self.path.clone() } else { format!("{}/{path}", self.path.trim_end_matches('/')) };
        Self { argument: self.argument.clone(), path }
    }

    /// The path as it was written.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// `argument "to": "x.tar" is ...`.
    fn that(&self, what: &str) -> String {
        let mut shown: String = self.path.chars().take(SHOWN).flat_map(char::escape_debug).collect();
        if self.path.chars().nth(SHOWN).is_some() {
            shown.push('…');
        }
        format!("argument \"{}\": \"{shown}\" {what}", self.argument)
    }

    pub(super) fn by(&self, fault: Fault) -> Error {
        match fault {
            Fault::Outside => self.outside(),
            Fault::Secret(name) => self.secret(&name),
            Fault::NoDirectory => Error::not_found(self.that("goes through something that is no directory")),
            Fault::Endless => Error::invalid(self.that("has too many links or parts")),
            Fault::Io(error) => self.read(&error),
        }
    }

    pub(super) fn senseless(&self) -> Error {
        Error::invalid(self.that("is no path")).hint("give one without control characters, of at most 4096 bytes")
    }

    pub(super) fn rootless(&self) -> Error {
        Error::denied(self.that("is refused: no directory of the gateway's machine is open to arguments"))
            .hint("the directory that it was started in is too much for that; ask the person to add [files] roots = [\"DIRECTORY\"] to its configuration")
    }

    pub(super) fn outside(&self) -> Error {
        Error::denied(self.that("lies outside of \"files.roots\", or a link on its way leads there"))
            .hint("a relative path begins at the first root; the person can add a directory with [files] roots = [\"DIRECTORY\"]")
    }

    fn secret(&self, name: &OsStr) -> Error {
        Error::denied(self.that("has, or leads to, a name under which secrets are kept"))
            .hint("the person can allow the name with [files] allow = [\"NAME\"]")
            .detail(name.to_string_lossy())
    }

    pub(super) fn own(&self) -> Error {
        Error::denied(self.that("lies in a directory of Quaymaster's own"))
            .hint("its configuration, state and secrets are never files of an argument")
    }

    pub(super) fn closed(&self, root: &Path, error: &io::Error) -> Error {
        Error::config(self.that("cannot be looked for: its root in \"files.roots\" cannot be opened"))
            .hint("ask the person to look at [files] in the configuration")
            .detail(format!("{}: {error}", root.display()))
    }

    pub(super) fn unmounted(&self, root: &Path) -> Error {
        Error::denied(self.that("lies inside of the container that Quaymaster runs in, on none of its mounts"))
            .hint("ask the person to start the container with -v DIRECTORY:ROOT, where ROOT is the directory in \"files.roots\", or the working one")
            .detail(format!("such as -v DIRECTORY:{}", root.display()))
    }

    pub(super) fn directory(&self) -> Error {
        Error::invalid(self.that("is a directory")).hint("name a file")
    }

    pub(super) fn no_directory(&self) -> Error {
        Error::invalid(self.that("is no directory")).hint("name a directory")
    }

    pub(super) fn special(&self) -> Error {
        Error::invalid(self.that("is no regular file")).hint("links, pipes, sockets and devices are not taken here")
    }

    pub(super) fn taken(&self) -> Error {
        Error::conflict(self.that("exists already")).hint("choose another name, or set \"overwrite\"")
    }

    pub(super) fn too_large(&self, limit: u64) -> Error {
        Error::invalid(self.that(&format!("is larger than {} KiB", limit >> 10)))
    }

    /// What a file holds is not what it held when it was opened.
    pub(super) fn changed(&self) -> Error {
        Error::conflict(self.that("was changed while it was read")).hint("try again when nothing writes to it")
    }

    /// A failure of the system to read.
    pub(super) fn read(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(self.that("does not exist")),
            io::ErrorKind::InvalidInput => self.special(),
            // What was a directory has become a link meanwhile.
            io::ErrorKind::NotADirectory => self.changed(),
            _ if error.raw_os_error() == Some(Errno::ELOOP as i32) => self.changed(),
            io::ErrorKind::PermissionDenied => Error::denied(self.that("must not be read by the gateway's account")),
            _ => Error::internal(self.that("cannot be read")),
        }
        .detail(error.to_string())
    }

    /// A failure of the system to write.
    pub(super) fn write(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(self.that("has no directory to lie in")),
            io::ErrorKind::AlreadyExists => self.taken(),
            io::ErrorKind::IsADirectory => self.directory(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::denied(self.that("cannot be written there by the gateway's account"))
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::conflict(self.that("does not fit: the disk of the gateway's machine is full"))
            }
            io::ErrorKind::FileTooLarge => Error::conflict(self.that("is too large for the disk that it lies on")),
            _ => Error::internal(self.that("cannot be written")),
        }
        .detail(error.to_string())
    }

    /// Does it on a thread that may wait for a disk.
    pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Error::internal("work on a file broke off").detail(error.to_string()))?
    }
}
