//! The way from a root to a file, one part of the path after the other, on handles of directories.
//!
//! Nothing is opened by a path: every part is opened in the directory before it, without following
//! links. A link is read and its parts are walked as if they had been written, so it cannot lead
//! out or to a name that is refused, and whoever swaps a directory for a link meanwhile gains
//! nothing.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    path::{Component, Path, PathBuf},
};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, File, OpenOptions};
use nix::{
    fcntl::AtFlags,
    unistd::{AccessFlags, faccessat},
};

use super::names::Names;

/// As many links are followed on one way, as by Linux.
const MOST_LINKS: usize = 40;
/// As deep as a path can be.
pub(super) const DEEPEST: usize = 256;

/// How far a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// To what it leads to, which exists.
    End,
    /// To its last name, which may not exist and is not followed.
    Name,
}

/// Where a way ended.
pub(super) struct Place {
    /// The directory itself, or the one that the name is in.
    pub(super) directory: Dir,
    /// What is no directory, or has not been looked at.
    pub(super) name: Option<OsString>,
    /// The way as it was walked, from the root.
    pub(super) path: PathBuf,
}

/// Why a way cannot be walked.
#[derive(Debug)]
pub(super) enum Fault {
    /// It leads out of the root.
    Outside,
    /// It has a name that is refused.
    Secret(OsString),
    /// A part of it is no directory, and more parts follow.
    NoDirectory,
    /// Too many links, or too deep.
    Endless,
    /// The system refuses.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Walks a relative path.
pub(super) fn walk(root: Dir, path: &Path, names: &Names, until: Until) -> Result<Place, Fault> {
    let mut ahead: VecDeque<OsString> = VecDeque::new();
    push(&mut ahead, path)?;
    let mut links = 0;
    let mut way: Vec<(OsString, Dir)> = Vec::new();
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            way.pop().ok_or(Fault::Outside)?;
            continue;
        }
        if names.deny(&part) {
            return Err(Fault::Secret(part));
        }
        let here = way.last().map_or(&root, |(_, directory)| directory);
        if until == Until::Name && ahead.is_empty() {
            return Ok(ended(root, way, Some(part)));
        }
        let kind = here.symlink_metadata(&part)?.file_type();
        if kind.is_symlink() {
            links += 1;
            let target = here.read_link_contents(&part)?;
            if links > MOST_LINKS {
                return Err(Fault::Endless);
            }
            push(&mut ahead, &target)?;
        } else if kind.is_dir() {
            let directory = here.open_dir_nofollow(&part)?;
            way.push((part, directory));
            if way.len() > DEEPEST {
                return Err(Fault::Endless);
            }
        } else if ahead.is_empty() {
            return Ok(ended(root, way, Some(part)));
        } else {
            return Err(Fault::NoDirectory);
        }
    }
    Ok(ended(root, way, None))
}

fn ended(root: Dir, way: Vec<(OsString, Dir)>, name: Option<OsString>) -> Place {
    let path = way.iter().map(|(part, _)| part).chain(&name).collect();
    let directory = way.into_iter().next_back().map_or(root, |(_, directory)| directory);
    Place { directory, name, path }
}

/// Puts the parts of a path in front of those that are still ahead.
fn push(ahead: &mut VecDeque<OsString>, path: &Path) -> Result<(), Fault> {
    for part in path.components().rev() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => ahead.push_front("..".into()),
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::RootDir | Component::Prefix(_) => return Err(Fault::Outside),
        }
    }
    Ok(())
}

/// Opens a regular file of a directory for reading; what is something else is not opened, or not waited for.
pub(super) fn open_file(directory: &Dir, name: &OsStr) -> io::Result<File> {
    // Opening a device can do something, so it is looked at first; what is opened is looked at again.
    if !directory.symlink_metadata(name)?.is_file() {
        return Err(special());
    }
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = directory.open_with(name, &options)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(special()) }
}

/// What a place is that holds no bytes of its own.
pub(super) fn special() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

/// Whether files can be made in a directory.
pub(super) fn is_writable(directory: &Dir) -> io::Result<()> {
    Ok(faccessat(directory, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)?)
}
