//! Files between containers and the gateway's machine: paths in there, what comes out, what goes in.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::{
    transfer::{self, IDLE, keep, received, unsound},
    view,
};
use crate::{
    docker::{Docker, Target, archive::PathStat, names::quote, stream as wire},
    error::{Error, Kind, Result},
    files::{Admit, Archived, Kind as FileKind, LeftOut, Owner, Seen, checked, pack, unwrapped, wrapped},
    tool::{Call, Object, text::count},
};

/// A path that is longer is none in any container.
const LONGEST_PATH: usize = 4096;
/// What a new file is, where nothing says more.
const PLAIN: Owner = Owner { uid: 0, gid: 0, mode: 0o644 };

/// Refuses what is no absolute path of a container.
///
/// # Errors
/// `invalid`, naming the argument.
pub(crate) fn inside<'a>(argument: &str, path: &'a str) -> Result<&'a str> {
    if path.starts_with('/') && path.len() <= LONGEST_PATH && !path.chars().any(char::is_control) {
        return Ok(path);
    }
    Err(Error::invalid(format!("argument \"{argument}\": {} is no absolute path", quote(path)))
        .hint("such as \"/etc/hosts\": a path in the container, from its root"))
}

/// The archive of a path, or of what the path leads to.
///
/// # Errors
/// `not_found` where the container has no such path, `invalid` for what is neither file nor directory.
pub(crate) async fn opened(docker: &Docker, container: &Object, path: &str) -> Result<(PathStat, wire::Bytes)> {
    let missing = |error: Error| match error.kind() {
        // The engine's words differ, and some name paths of its own.
        Kind::NotFound => Error::not_found(format!("container {} has no {}", quote(&container.name), quote(path)))
            .hint("look with exec_in_container, or at a directory above")
            .detail(error.message()),
        _ => error,
    };
    let (stat, archive) = docker.archive(&container.id, path).await.map_err(missing)?;
    let (stat, archive) = if stat.is_link() && stat.target.starts_with('/') {
        docker.archive(&container.id, &stat.target).await.map_err(missing)?
    } else {
        (stat, archive)
    };
    if stat.is_file() || stat.is_directory() {
        return Ok((stat, archive));
    }
    Err(Error::invalid(format!("{} is neither a file nor a directory", quote(path)))
        .hint("links that lead nowhere, pipes, sockets and devices have no contents to get"))
}

/// What came out of a container into a file.
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    /// Entries of a tar.
    pub(crate) entries: Option<u64>,
    /// How many links of a tar lead out of it.
    pub(crate) links: Option<u64>,
}

/// Writes what was opened into a file below the roots: a file as it is, a directory as a tar.
///
/// # Errors
/// What the stream ends with, and what the disk refuses: then nothing of the file is left.
pub(crate) async fn fetched(
    stat: &PathStat,
    archive: wire::Bytes,
    to: &str,
    overwrite: bool,
    call: &Call,
) -> Result<Fetched> {
    let draft = call.files().create("to", to, overwrite).await?;
    if stat.is_directory() {
        let (tar, seen) = checked(received(archive), Archived::Files);
        let bytes = keep(tar, draft, call).await?;
        return Ok(Fetched {
            bytes,
            entries: Some(seen.entries()),
            links: Some(seen.links()).filter(|links| *links > 0),
        });
    }
    let (_, contents) = unwrapped(received(archive)).await.map_err(unsound)?;
    Ok(Fetched { bytes: keep(contents, draft, call).await?, entries: None, links: None })
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A tar on its way into a container, and what can be said of it once it has gone.
pub(crate) struct Load {
    tar: Pieces,
    total: Option<u64>,
    seen: Option<Arc<Seen>>,
    left_out: Option<Arc<LeftOut>>,
}

/// What went into a container.
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    /// Entries of a tar.
    pub(crate) entries: Option<u64>,
    /// What of a directory was not put.
    pub(crate) left_out: Option<String>,
}

impl Load {
    fn of(tar: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self { tar: Box::pin(tar), total: None, seen: None, left_out: None }
    }

    /// A text as one file.
    pub(crate) fn text(name: &str, owner: Owner, text: String) -> Self {
        let (length, text) = (text.len() as u64, Bytes::from(text));
        Self { total: Some(length), ..Self::of(wrapped(name, owner, length, stream::iter([Ok(text)]))) }
    }

    /// The contents of a directory below the roots.
    ///
    /// # Errors
    /// Those of the path.
    pub(crate) async fn directory(from: &str, call: &Call) -> Result<Self> {
        let directory = call.files().directory("from", from).await?;
        let left_out = Some(directory.left_out());
        Ok(Self { left_out, ..Self::of(pack(directory, |_, _| Admit::Keep, Vec::new())) })
    }

    /// A file below the roots as it is, under another name and somebody else's where that is said.
    ///
    /// # Errors
    /// Those of the path.
    pub(crate) async fn file(from: &str, renamed: Option<(&str, Owner)>, call: &Call) -> Result<Self> {
        let source = call.files().open("from", from).await?;
        let (own, length) = (source.name.clone(), source.length);
        let plain = Owner { mode: source.mode() & 0o777, ..PLAIN };
        let (name, owner) = renamed.unwrap_or((&own, plain));
        Ok(Self { total: Some(length), ..Self::of(wrapped(name, owner, length, source.into_stream())) })
    }

    /// What lies below the roots: the contents of a directory, those of a tar, or a file.
    ///
    /// # Errors
    /// Those of the path.
    pub(crate) async fn contents(from: &str, call: &Call) -> Result<Self> {
        if call.files().kind("from", from).await? == FileKind::Directory {
            return Self::directory(from, call).await;
        }
        let source = call.files().open("from", from).await?;
        if is_archive(&source.name) {
            let (tar, seen) = checked(source.into_stream(), Archived::Files);
            return Ok(Self { seen: Some(seen), ..Self::of(tar) });
        }
        drop(source);
        Self::file(from, None, call).await
    }

    /// Unpacks it in a directory of a container.
    ///
    /// # Errors
    /// `not_found` where the container has no such directory, and those of the daemon.
    pub(crate) async fn put(self, docker: &Docker, container: &Object, directory: &str, call: &Call) -> Result<Sent> {
        let (tar, sent) = transfer::told(self.tar, self.total, call);
        let target = Target::new(format!("/containers/{}/archive", container.id)).query("path", directory);
        // What is a directory there stays one.
        docker.put(target.query("noOverwriteDirNonDir", "true"), tar, IDLE).await.map_err(|error| {
            let name = quote(&container.name);
            match error.kind() {
                Kind::NotFound => Error::not_found(format!("container {name} has no directory {}", quote(directory)))
                    .hint("make it first, or put a directory into one above")
                    .detail(error.message()),
                _ => error,
            }
        })?;
        Ok(Sent {
            bytes: self.total.unwrap_or_else(|| sent.load(Ordering::Relaxed)),
            entries: self.seen.map(|seen| seen.entries()),
            left_out: self.left_out.and_then(|left_out| told_of(&left_out)),
        })
    }
}

/// The directory that a file of a container is in, and its name there; nothing where the path is no file's.
pub(crate) fn parted(path: &str) -> Option<(&str, &str)> {
    let (directory, name) = path.rsplit_once('/')?;
    let is_name = !matches!(name, "" | "." | "..");
    is_name.then_some((if directory.is_empty() { "/" } else { directory }, name))
}

/// Whether a file is unpacked and not put as it is.
fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Whose the file is that is replaced: a new text does not make it somebody else's.
///
/// # Errors
/// `conflict` for a directory, and those of the daemon.
pub(crate) async fn owner(docker: &Docker, container: &str, path: &str) -> Result<Owner> {
    match docker.archive(container, path).await {
        Ok((stat, archive)) if stat.is_file() => Ok(unwrapped(received(archive)).await.map_err(unsound)?.0),
        Ok((stat, _)) if stat.is_directory() => {
            Err(Error::conflict(format!("{} is a directory", quote(path))).hint("name a file in it"))
        }
        Ok(_) => Ok(PLAIN),
        Err(error) if error.kind() == Kind::NotFound => Ok(PLAIN),
        Err(error) => Err(error),
    }
}

/// What of a directory was not put.
fn told_of(left_out: &LeftOut) -> Option<String> {
    let several = |number: u64, what: &str| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        (number > 0).then(|| count(number, what))
    };
    let secret = several(left_out.secret(), "name").map(|names| format!("{names} of secrets (see \"files.allow\")"));
    let special = several(left_out.special(), "pipe, socket or device");
    let told: Vec<String> = secret.into_iter().chain(special).collect();
    (!told.is_empty()).then(|| view::clipped(&told.join(", "), 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_at_the_root() {
        for path in ["/", "/etc/hosts", "/a b;c/ü"] {
            assert!(inside("path", path).is_ok(), "{path}");
        }
        for path in ["", "etc/hosts", "./x", "/a\0b", "/a\nb", &format!("/{}", "x".repeat(5000))] {
            assert_eq!(inside("path", path).unwrap_err().kind(), Kind::Invalid, "{path}");
        }
    }

    #[test]
    fn a_tar_is_told_by_its_name() {
        for (name, archive) in [("a.tar", true), ("A.TGZ", true), ("a.tar.gz", true), ("a.gz", false), ("tar", false)] {
            assert_eq!(is_archive(name), archive, "{name}");
        }
    }

    #[test]
    fn a_file_is_in_a_directory() {
        assert_eq!(parted("/etc/motd"), Some(("/etc", "motd")));
        assert_eq!(parted("/motd"), Some(("/", "motd")));
        for path in ["/", "/etc/", "/etc/..", "/.", "motd"] {
            assert_eq!(parted(path), None, "{path}");
        }
    }
}
