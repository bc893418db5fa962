//! An archive that another program has made, without the entries whose names need naming.

use std::{
    io::{self, Write},
    path::{Component, Path},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tar::{Archive, Builder, Entry};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{
    Files, LeftOut,
    archive::{plain, unreadable},
    names::Names,
    pack::{PIECES, Pipe},
};
use crate::error::{Error, Result};

/// In front of what describes a file with holes: another name may be among it.
const SPARSE: &str = "GNU.sparse.";

/// Takes entries with names of secrets out of archives, and counts them.
#[derive(Debug, Clone)]
pub struct Sieve {
    names: Arc<Names>,
    left_out: Arc<LeftOut>,
}

impl Files {
    /// A sieve for what a program packs by itself.
    #[must_use]
    pub fn sieve(&self) -> Sieve {
        Sieve { names: self.inner.names.clone(), left_out: Arc::default() }
    }
}

impl Sieve {
    /// What it has left out so far.
    #[must_use]
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// A tar without the entries that have such a name anywhere in their path, or are another name for one; one that
    /// is compressed with gzip is sent on as the tar that it holds.
    ///
    /// It ends in an error where the bytes are neither.
    pub fn sift(
        &self,
        bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let (pieces, receiver) = channel(PIECES);
        let (failures, sieve) = (pieces.clone(), self.clone());
        let bytes = Box::pin(bytes.map(|piece| piece.map_err(io::Error::other)));
        let input = SyncIoBridge::new(StreamReader::new(bytes));
        tokio::task::spawn_blocking(move || {
            let sifted = plain(input).and_then(|input| sieve.run(input, Pipe::new(pieces)).map_err(unreadable));
            if let Err(error) = sifted {
                // Nobody hears of it where nobody reads any more.
                let _ = failures.blocking_send(Err(error));
            }
        });
        stream::unfold(receiver, |mut receiver: Receiver<Result<Bytes>>| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        })
    }

    fn run(&self, input: Box<dyn io::Read>, pipe: Pipe) -> io::Result<()> {
        let mut archive = Archive::new(input);
        let mut kept = Builder::new(pipe);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let is_link = entry.header().entry_type().is_hard_link();
            let target = if is_link { entry.link_name()? } else { None };
            let path = entry.path()?;
            if self.denies(&path) || target.is_some_and(|target| self.denies(&target)) {
                // What lies in a directory goes with it.
                if !path.parent().is_some_and(|above| self.denies(above)) {
                    self.left_out.count_secret();
                }
            } else {
                drop(path);
                pass(&mut entry, &mut kept)?;
            }
        }
        // What comes behind the end is read, so that whoever writes it can end, and goes no further.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        kept.into_inner()?.flush()
    }

    fn denies(&self, path: &Path) -> bool {
        path.components().any(|part| matches!(part, Component::Normal(name) if self.names.deny(name)))
    }
}

/// Writes an entry as it came: its header, and in front of it what did not fit in there.
fn pass<R: io::Read>(entry: &mut Entry<'_, R>, kept: &mut Builder<Pipe>) -> io::Result<()> {
    let mut records = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let key = extension.key().map_err(io::Error::other)?;
            if key.starts_with(SPARSE) {
                return Err(io::Error::other(Error::unsupported("the archive has a file with holes")));
            }
            records.push((key.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    if entry.header().entry_type().is_gnu_sparse() {
        return Err(io::Error::other(Error::unsupported("the archive has a file with holes")));
    }
    let header = entry.header().clone();
    // Names that GNU tar writes as entries of their own.
    let own = |name: &str| records.iter().any(|(key, _)| key == name);
    let (has_path, has_target) = (own("path"), own("linkpath"));
    if !has_path && *entry.path_bytes() != *header.path_bytes() {
        records.push(("path".to_owned(), entry.path_bytes().into_owned()));
    }
    if let (false, Some(target)) = (has_target, entry.link_name_bytes())
        && header.link_name_bytes().as_deref() != Some(&*target)
    {
        records.push(("linkpath".to_owned(), target.into_owned()));
    }
    kept.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
    kept.append(&header, entry)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use futures_util::TryStreamExt;
    use tar::{EntryType, Header};

    use super::*;
    use crate::config::{Environment, FileSettings};

    fn entry(builder: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, text: &str) {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o640);
        header.set_size(0);
        if kind == EntryType::Link {
            builder.append_link(&mut header, path, text).unwrap();
        } else {
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
    }

    async fn sifted(bytes: Vec<u8>) -> Result<(Vec<u8>, u64)> {
        let sieve = Files::new(&FileSettings::default(), &Environment::default()).sieve();
        let pieces: Vec<Result<Bytes>> = bytes.chunks(700).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let kept = sieve.sift(stream::iter(pieces)).try_collect::<Vec<Bytes>>().await?.concat();
        Ok((kept, sieve.left_out().secret()))
    }

    fn listed(bytes: &[u8]) -> Vec<(String, u64)> {
        let mut archive = Archive::new(bytes);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.path().unwrap().display().to_string(), entry.size())).collect()
    }

    #[tokio::test]
    async fn names_of_secrets_are_left_out_and_all_else_passes() {
        let mut builder = Builder::new(Vec::new());
        let long = format!("{}/end", "deep/".repeat(60));
        let large = "x".repeat(200_000);
        entry(&mut builder, EntryType::Regular, ".env", "SECRET=1");
        entry(&mut builder, EntryType::Regular, "large", &large);
        entry(&mut builder, EntryType::Directory, ".git/", "");
        entry(&mut builder, EntryType::Regular, ".git/config", "url");
        entry(&mut builder, EntryType::Regular, &long, "long");
        entry(&mut builder, EntryType::Link, "another", "./.env");
        builder.append_pax_extensions([("SCHILY.xattr.user.a", &b"kept"[..]), ("path", b"keys/id_rsa")]).unwrap();
        entry(&mut builder, EntryType::Regular, "harmless", "PRIVATE");
        builder.append_pax_extensions([("SCHILY.xattr.user.a", &b"kept"[..])]).unwrap();
        entry(&mut builder, EntryType::Regular, "last", "end");
        let (kept, left_out) = sifted(builder.into_inner().unwrap()).await.unwrap();
        let expected = [("large", 200_000), (long.as_str(), 4), ("last", 3)];
        assert_eq!(listed(&kept), expected.map(|(path, size)| (path.to_owned(), size)));
        assert_eq!(left_out, 4);
        let mut archive = Archive::new(kept.as_slice());
        let mut last = archive.entries().unwrap().map(Result::unwrap).last().unwrap();
        assert_eq!(last.header().mode().unwrap(), 0o640);
        let extension = last.pax_extensions().unwrap().unwrap().next().unwrap().unwrap();
        assert_eq!((extension.key().unwrap(), extension.value_bytes()), ("SCHILY.xattr.user.a", &b"kept"[..]));
        assert!(!String::from_utf8_lossy(&kept).contains("PRIVATE"));
    }

    #[tokio::test]
    async fn what_is_no_tar_does_not_pass() {
        let mut builder = Builder::new(Vec::new());
        entry(&mut builder, EntryType::Regular, "a", &"x".repeat(5_000));
        let whole = builder.into_inner().unwrap();
        let packed = [&[0x1f, 0x8b, 8, 0][..], &[7; 2_000]].concat();
        for bytes in [packed, whole[..3_000].to_vec(), vec![b'x'; 4_096]] {
            sifted(bytes).await.unwrap_err();
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&whole).unwrap();
        for bytes in [packed.finish().unwrap(), whole] {
            assert_eq!(listed(&sifted(bytes).await.unwrap().0), [("a".to_owned(), 5_000)]);
        }
        assert_eq!(sifted(vec![0; 1_024]).await.unwrap().0, vec![0; 1_024], "an empty one is a tar");
    }
}
