//! A directory as a tar, made while it is sent: one thread reads, a bounded channel carries.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, Metadata, MetadataExt, ReadDir};
use futures_util::{Stream, stream};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    directory::Directory,
    walk::{self, DEEPEST},
};
use crate::error::{Error, Result};

/// The bytes of one piece of the tar.
const PIECE: usize = 64 << 10;
/// How many pieces wait to be sent.
pub(super) const PIECES: usize = 4;

/// What becomes of an entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// It is packed.
    Keep,
    /// It is not, but what lies below it may be.
    Skip,
    /// Neither it nor what lies below it.
    SkipTree,
}

/// A tar of a directory, streamed as it is read: links as links and never followed, pipes, sockets, devices and
/// names that are refused left out and counted, every owner `0:0`.
///
/// `admit` is asked about each entry, with its path below the directory and whether it is a directory itself.
/// `extra` are files that are put in first and replace those of the same path.
pub fn pack(
    directory: Directory,
    admit: impl FnMut(&str, bool) -> Admit + Send + 'static,
    extra: Vec<(String, Bytes)>,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let (pieces, receiver) = channel(PIECES);
    let failures = pieces.clone();
    tokio::task::spawn_blocking(move || {
        let packed = Packing { directory, admit, extra }.run(Pipe::new(pieces));
        if let Err(error) = packed {
            // Nobody hears of it where nobody reads any more.
            let _ = failures.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, |mut receiver: Receiver<Result<Bytes>>| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}

/// What a thread that packs writes to.
pub(super) struct Pipe {
    piece: BytesMut,
    pieces: Sender<Result<Bytes>>,
}

impl Pipe {
    pub(super) fn new(pieces: Sender<Result<Bytes>>) -> Self {
        Self { piece: BytesMut::new(), pieces }
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.send() }
    }
}

struct Packing<F> {
    directory: Directory,
    admit: F,
    extra: Vec<(String, Bytes)>,
}

/// A directory on the way down, with what has not been read of it.
struct Level {
    handle: Dir,
    entries: ReadDir,
    path: PathBuf,
}

impl<F: FnMut(&str, bool) -> Admit> Packing<F> {
    fn run(mut self, pipe: Pipe) -> Result<()> {
        let mut tar = Builder::new(pipe);
        let sent = |error: io::Error| Error::internal("a tar cannot be written").detail(error.to_string());
        for (path, contents) in &self.extra {
            let mut header = header(EntryType::Regular, 0o644, contents.len() as u64, 0);
            tar.append_data(&mut header, path, contents.as_ref()).map_err(sent)?;
        }
        let handle = self.directory.handle.try_clone().map_err(|error| self.unread(Path::new("."), &error))?;
        let mut way = vec![self.level(handle, PathBuf::new())?];
        while let Some(level) = way.last_mut() {
            let Some(entry) = level.entries.next() else {
                way.pop();
                continue;
            };
            let name = entry.map_err(|error| self.unread(&level.path, &error))?.file_name();
            let path = level.path.join(&name);
            let below = match self.entry(&mut tar, &level.handle, &name, &path) {
                Ok(below) => below,
                // It went while the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(self.unread(&path, &error)),
            };
            if let Some(below) = below {
                if way.len() >= DEEPEST {
                    return Err(self.unread(&path, &io::Error::other("too deep")));
                }
                way.push(self.level(below, path)?);
            }
        }
        let mut pipe = tar.into_inner().map_err(sent)?;
        pipe.flush().map_err(sent)
    }

    fn level(&self, handle: Dir, path: PathBuf) -> Result<Level> {
        let entries = handle.entries().map_err(|error| self.unread(&path, &error))?;
        Ok(Level { handle, entries, path })
    }

    /// Packs one entry; answers the directory that it is, where that has to be read too.
    fn entry(
        &mut self,
        tar: &mut Builder<Pipe>,
        parent: &Dir,
        name: &OsString,
        path: &Path,
    ) -> io::Result<Option<Dir>> {
        let metadata = parent.symlink_metadata(name)?;
        let shown = path.to_string_lossy();
        let admitted = (self.admit)(&shown, metadata.is_dir());
        if admitted == Admit::SkipTree || (admitted == Admit::Skip && !metadata.is_dir()) {
            return Ok(None);
        }
        // Asked first: what nobody wants is not counted as missing.
        if self.directory.names.deny(name) {
            self.directory.left_out.count_secret();
            return Ok(None);
        }
        if metadata.is_dir() {
            let directory = parent.open_dir_nofollow(name)?;
            if admitted == Admit::Keep {
                // With the slash at its end that other programs write too.
                tar.append_data(&mut of(EntryType::Directory, &metadata, 0), path.join(""), io::empty())?;
            }
            return Ok(Some(directory));
        }
        if self.extra.iter().any(|(extra, _)| Path::new(extra) == path) {
            return Ok(None);
        }
        if metadata.is_symlink() {
            let target = parent.read_link_contents(name)?;
            tar.append_link(&mut of(EntryType::Symlink, &metadata, 0), path, target)?;
        } else if metadata.is_file() {
            let file = walk::open_file(parent, name)?;
            let metadata = file.metadata()?;
            let (length, mut header) = (metadata.len(), of(EntryType::Regular, &metadata, metadata.len()));
            tar.append_data(&mut header, path, Whole { file: file.take(length), left: length })?;
        } else {
            self.directory.left_out.count_special();
        }
        Ok(None)
    }

    fn unread(&self, path: &Path, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::cancelled("nobody reads the tar any more"),
            io::ErrorKind::UnexpectedEof => self.directory.refused.inside(&path.to_string_lossy()).changed(),
            _ => self.directory.refused.inside(&path.to_string_lossy()).read(error),
        }
    }
}

/// A file that must be as long as its header says.
struct Whole<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

fn of(kind: EntryType, metadata: &Metadata, size: u64) -> Header {
    header(kind, metadata.mode() & 0o7777, size, u64::try_from(metadata.mtime()).unwrap_or_default())
}

/// The header of an entry that belongs to nobody of this machine.
fn header(kind: EntryType, mode: u32, size: u64, modified: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(modified);
    header
}
