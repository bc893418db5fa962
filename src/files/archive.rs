//! Tars on their way: every entry is looked at before it goes on, and none is held in memory.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, Read},
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use futures_util::{Stream, StreamExt, stream};
use tar::{Archive, Entry, EntryType, Header};
use tokio::sync::{
    mpsc::{Receiver, Sender, channel},
    oneshot,
};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::error::{Error, Result};

/// The bytes of one piece of a tar.
const PIECE: usize = 64 << 10;
/// How many pieces wait to be taken.
const PIECES: usize = 4;
/// No image and no directory that anybody moves in this way has more entries.
const MOST_ENTRIES: u64 = 2_000_000;
/// As many links that lead out are remembered.
const MOST_LINKS: usize = 20_000;
/// The longest file of an archive that is read, and not only passed on, in bytes.
const LONGEST_READ: u64 = 4 << 20;
/// The longest name that a header holds, in bytes.
const SHORT_NAME: usize = 100;
/// What every archive ends with: two empty blocks.
const END: [u8; 1024] = [0; 1024];

/// Judges a name that an image is going to have.
pub type JudgeOfNames = Box<dyn Fn(&str) -> Result<()> + Send>;

/// What an archive is, and so what may be in it.
pub enum Archived {
    /// Files of a container or a person: a link may lead anywhere, but nothing may lie behind it.
    Files,
    /// An image as engines save it: no link leads out. The function judges the names that its images are going
    /// to have.
    Image(JudgeOfNames),
}

/// What has been seen of an archive so far.
#[derive(Debug, Default)]
pub struct Seen {
    entries: AtomicU64,
    links: AtomicU64,
}

impl Seen {
    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// How many of them are links that lead out of it.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.links.load(Ordering::Relaxed)
    }
}

/// A tar piece by piece, each let go when the entries in it were looked at; one that is compressed with gzip is
/// sent on as the tar that it holds.
///
/// It ends in an error at the first entry whose name or link leads out, and where it is no tar.
pub fn checked(
    bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
    archived: Archived,
) -> (impl Stream<Item = Result<Bytes>> + Send + 'static, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let (pieces, receiver) = channel(PIECES);
    let (failures, told) = (pieces.clone(), seen.clone());
    let bytes = Box::pin(bytes.map(|piece| piece.map_err(io::Error::other)));
    let input = SyncIoBridge::new(StreamReader::new(bytes));
    tokio::task::spawn_blocking(move || {
        let checked =
            plain(input).and_then(|input| Check { archived, seen: told, out: HashSet::new() }.run(input, pieces));
        if let Err(error) = checked {
            // Nobody hears of it where nobody reads any more.
            let _ = failures.blocking_send(Err(error));
        }
    });
    (received(receiver), seen)
}

/// Whose a file is and what may be done with it, as a tar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The permissions.
    pub mode: u32,
}

/// The one file that a tar holds: whose it is, then its contents piece by piece.
///
/// # Errors
/// `invalid` where the tar holds something else.
pub async fn unwrapped(
    bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> Result<(Owner, impl Stream<Item = Result<Bytes>> + Send + 'static)> {
    let (told, owner) = oneshot::channel();
    let (pieces, receiver) = channel(PIECES);
    let bytes = Box::pin(bytes.map(|piece| piece.map_err(io::Error::other)));
    let input = SyncIoBridge::new(StreamReader::new(bytes));
    tokio::task::spawn_blocking(move || {
        let mut archive = Archive::new(input);
        let first = archive.entries().and_then(|mut entries| entries.next().transpose());
        let opened = first.map_err(unreadable).and_then(|entry| {
            let entry = entry.filter(|entry| entry.header().entry_type().is_file());
            let entry = entry.ok_or_else(|| Error::invalid("the archive holds no file"))?;
            let header = entry.header();
            let read = || Ok(Owner { uid: header.uid()?, gid: header.gid()?, mode: header.mode()? });
            Ok((read().map_err(unreadable)?, entry))
        });
        let mut entry = match opened {
            Ok((owner, entry)) => {
                if told.send(Ok(owner)).is_err() {
                    return;
                }
                entry
            }
            Err(error) => return drop(told.send(Err(error))),
        };
        loop {
            let mut piece = vec![0; PIECE];
            let piece = match entry.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(unreadable(error)),
            };
            if pieces.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    let owner = owner.await.map_err(|_| Error::internal("an archive could not be read"))??;
    Ok((owner, received(receiver)))
}

/// A tar of one file: `length` bytes of a stream.
pub fn wrapped(
    name: &str,
    owner: Owner,
    length: u64,
    bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let mut head = BytesMut::new();
    if name.len() > SHORT_NAME {
        // As GNU tar does: the name is the contents of an entry in front.
        head.extend_from_slice(
            header(EntryType::GNULongName, "././@LongLink", owner, name.len() as u64 + 1).as_bytes(),
        );
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(&[0]);
        head.extend_from_slice(padding(name.len() as u64 + 1));
    }
    head.extend_from_slice(header(EntryType::Regular, name, owner, length).as_bytes());
    let tail = [padding(length), &END].concat();
    let (head, tail) = (stream::iter([Ok(head.freeze())]), stream::iter([Ok(Bytes::from(tail))]));
    head.chain(bytes).chain(tail)
}

fn header(kind: EntryType, name: &str, owner: Owner, size: u64) -> Header {
    let mut header = Header::new_gnu();
    let name = name.as_bytes().get(..name.len().min(SHORT_NAME)).unwrap_or_default();
    if let Some(place) = header.as_mut_bytes().get_mut(..name.len()) {
        place.copy_from_slice(name);
    }
    header.set_entry_type(kind);
    header.set_uid(owner.uid);
    header.set_gid(owner.gid);
    header.set_mode(owner.mode);
    header.set_size(size);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    header.set_mtime(now.as_secs());
    header.set_cksum();
    header
}

/// What fills the last block of so many bytes.
fn padding(length: u64) -> &'static [u8] {
    let over = usize::try_from(length % 512).unwrap_or_default();
    END.get(..(512 - over) % 512).unwrap_or_default()
}

fn received(receiver: Receiver<Result<Bytes>>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|piece| (piece, receiver)) })
}

/// The tar itself: what gzip has packed is unpacked, and what else is packed is refused.
pub(super) fn plain(input: impl Read + Send + 'static) -> Result<Box<dyn Read>> {
    let mut input = BufReader::with_capacity(PIECE, input);
    let begin = input.fill_buf().map_err(unreadable)?;
    match begin {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(input))),
        [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Err(Error::unsupported("the archive is compressed in another way than with gzip")
                .hint("unpack it to a plain tar first"))
        }
        _ => Ok(Box::new(input)),
    }
}

/// What reading an archive failed with: an error of ours on its way through, or what the bytes are not.
#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
pub(super) fn unreadable(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(ours) => ours.clone(),
        None if error.kind() == io::ErrorKind::BrokenPipe => Error::cancelled("nobody reads the archive any more"),
        None => Error::invalid("the archive is no sound tar").detail(error.to_string()),
    }
}

fn refused(path: &Path, what: &str) -> Error {
    let shown: String = path.to_string_lossy().chars().take(120).flat_map(char::escape_debug).collect();
    Error::denied(format!("the archive has the entry \"{shown}\", {what}"))
        .hint("nothing of it was taken over from there on; make the archive without it")
}

/// The bytes that a tar is read from, let go only when more are asked for: what was read was looked at by then.
struct Tee<R> {
    input: R,
    held: BytesMut,
    pieces: Sender<Result<Bytes>>,
}

impl<R> Tee<R> {
    fn release(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.held, BytesMut::with_capacity(PIECE)).freeze();
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.held.len() >= PIECE / 2 {
            self.release()?;
        }
        let read = self.input.read(buffer)?;
        self.held.extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

struct Check {
    archived: Archived,
    seen: Arc<Seen>,
    /// Links that lead out, by path: nothing may lie behind one.
    out: HashSet<PathBuf>,
}

impl Check {
    fn run(mut self, input: Box<dyn Read>, pieces: Sender<Result<Bytes>>) -> Result<()> {
        let mut archive = Archive::new(Tee { input, held: BytesMut::with_capacity(PIECE), pieces });
        let mut entries = archive.entries().map_err(unreadable)?;
        for entry in &mut entries {
            self.entry(&mut entry.map_err(unreadable)?)?;
        }
        if self.seen.entries() == 0 {
            return Err(Error::invalid("the archive is empty, or no tar"));
        }
        let mut tee = archive.into_inner();
        // What comes behind its end is nothing that was looked at.
        tee.held.extend_from_slice(&END);
        tee.release().map_err(unreadable)
    }

    fn entry(&mut self, entry: &mut Entry<'_, Tee<Box<dyn Read>>>) -> Result<()> {
        if self.seen.entries.fetch_add(1, Ordering::Relaxed) >= MOST_ENTRIES {
            return Err(Error::denied(format!("the archive has more than {MOST_ENTRIES} entries")));
        }
        let written = entry.path().map_err(unreadable)?.into_owned();
        let path = settled(Path::new(""), &written).ok_or_else(|| refused(&written, "whose name leads out of it"))?;
        let behind = path.ancestors().skip(1).any(|above| self.out.contains(above));
        if behind {
            return Err(refused(&written, "which lies behind a link that leads out of it"));
        }
        // A later entry takes the place of an earlier one.
        self.out.remove(&path);
        let target = entry.link_name().map_err(unreadable)?.map(std::borrow::Cow::into_owned).unwrap_or_default();
        match entry.header().entry_type() {
            EntryType::Link => {
                let inner =
                    settled(Path::new(""), &target).ok_or_else(|| refused(&written, "a link that leads out of it"))?;
                if inner.ancestors().any(|part| self.out.contains(part)) {
                    return Err(refused(&written, "a link that leads out of it"));
                }
            }
            EntryType::Symlink if settled(path.parent().unwrap_or(Path::new("")), &target).is_none() => {
                if matches!(self.archived, Archived::Image(_)) {
                    return Err(refused(&written, "a link that leads out of it"));
                }
                self.seen.links.fetch_add(1, Ordering::Relaxed);
                if self.out.len() >= MOST_LINKS {
                    return Err(Error::denied(format!(
                        "the archive has more than {MOST_LINKS} links that lead out of it"
                    )));
                }
                self.out.insert(path);
            }
            EntryType::Regular | EntryType::Continuous => self.names(&path, entry)?,
            _ => {}
        }
        Ok(())
    }

    /// Judges the names that an image is going to have, where the entry is a file that says them.
    fn names(&self, path: &Path, entry: &mut Entry<'_, Tee<Box<dyn Read>>>) -> Result<()> {
        let Archived::Image(judge) = &self.archived else { return Ok(()) };
        let names: fn(&serde_json::Value) -> Vec<String> = match path.to_str() {
            Some("manifest.json") => of_manifest,
            Some("index.json") => of_index,
            Some("repositories") => of_repositories,
            _ => return Ok(()),
        };
        if entry.size() > LONGEST_READ {
            return Err(refused(path, "which is too large for what it is"));
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(unreadable)?;
        let document = serde_json::from_slice(&text).map_err(|_| refused(path, "which is no JSON"))?;
        names(&document).iter().try_for_each(|name| judge(name))
    }
}

/// `[{"RepoTags": ["a:1"]}]`: of every engine.
fn of_manifest(document: &serde_json::Value) -> Vec<String> {
    let images = document.as_array().into_iter().flatten();
    let tags =
        images.flat_map(|image| image.get("RepoTags").and_then(serde_json::Value::as_array).into_iter().flatten());
    tags.filter_map(serde_json::Value::as_str).map(str::to_owned).collect()
}

/// `{"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/library/a:1"}}]}`: of the OCI.
fn of_index(document: &serde_json::Value) -> Vec<String> {
    let images = document.get("manifests").and_then(serde_json::Value::as_array).into_iter().flatten();
    let names = images.filter_map(|image| image.pointer("/annotations/io.containerd.image.name")?.as_str());
    names.map(str::to_owned).collect()
}

/// `{"a": {"1": "id"}}`: of engines from before 1.10.
fn of_repositories(document: &serde_json::Value) -> Vec<String> {
    let repositories = document.as_object().into_iter().flatten();
    let names = repositories
        .flat_map(|(name, tags)| tags.as_object().into_iter().flatten().map(move |(tag, _)| format!("{name}:{tag}")));
    names.collect()
}

/// A path from a directory of an archive, without its dots; `None` where it leads out.
fn settled(from: &Path, path: &Path) -> Option<PathBuf> {
    let mut settled = from.to_owned();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => settled.push(name),
            Component::ParentDir => {
                if !settled.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(settled)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use futures_util::TryStreamExt;
    use tar::Builder;

    use super::*;
    use crate::error::Kind;

    /// A tar of entries: kind, name, and its contents or what it links to; the names as they are, whatever they are.
    fn tar(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, name, text) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o644);
            let is_link = matches!(kind, EntryType::Link | EntryType::Symlink);
            if is_link {
                header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_size(if is_link { 0 } else { text.len() as u64 });
            header.set_cksum();
            builder.append(&header, if is_link { &[][..] } else { text.as_bytes() }).unwrap();
        }
        builder.into_inner().unwrap()
    }

    async fn sent(bytes: Vec<u8>, archived: Archived) -> Result<(Vec<u8>, Arc<Seen>)> {
        let pieces: Vec<Result<Bytes>> = bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let (checked, seen) = checked(stream::iter(pieces), archived);
        Ok((checked.try_collect::<Vec<Bytes>>().await?.concat(), seen))
    }

    fn image(judge: impl Fn(&str) -> Result<()> + Send + 'static) -> Archived {
        Archived::Image(Box::new(judge))
    }

    #[tokio::test]
    async fn a_sound_tar_passes_as_it_is() {
        let large = "x".repeat(300_000);
        let tar = tar(&[
            (EntryType::Directory, "./a/", ""),
            (EntryType::Regular, "./a/b", &large),
            (EntryType::Symlink, "a/c", "../a/b"),
            (EntryType::Link, "d", "a/b"),
            (EntryType::Symlink, "etc", "/etc"),
        ]);
        let (passed, seen) = sent(tar.clone(), Archived::Files).await.unwrap();
        // The end may be written once more.
        let is_same = |passed: &[u8]| passed.starts_with(&tar) && passed[tar.len()..].iter().all(|byte| *byte == 0);
        assert!(is_same(&passed));
        assert_eq!((seen.entries(), seen.links()), (5, 1));

        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&tar).unwrap();
        assert!(is_same(&sent(packed.finish().unwrap(), Archived::Files).await.unwrap().0));

        let mut longer = tar.clone();
        longer.extend_from_slice(&tar);
        assert!(is_same(&sent(longer, Archived::Files).await.unwrap().0), "what comes behind the end is not sent");
    }

    #[tokio::test]
    async fn names_and_links_that_lead_out_are_refused() {
        let sound = (EntryType::Regular, "first", "x");
        for bad in [
            &[(EntryType::Regular, "../x", "x")][..],
            &[(EntryType::Regular, "a/../../x", "x")],
            &[(EntryType::Regular, "/etc/passwd", "x")],
            &[(EntryType::Directory, "..", "")],
            &[(EntryType::Link, "x", "/etc/passwd")],
            &[(EntryType::Link, "a/x", "../../etc/passwd")],
            &[(EntryType::Symlink, "out", "/etc"), (EntryType::Regular, "out/passwd", "x")],
            &[(EntryType::Symlink, "a/out", "../../x"), (EntryType::Regular, "./a/out/y/z", "x")],
            &[(EntryType::Symlink, "out", "/etc"), (EntryType::Link, "x", "out/passwd")],
            &[(EntryType::Symlink, "out", "/etc"), (EntryType::Link, "x", "out")],
        ] {
            let entries = [&[sound], bad].concat();
            let error = sent(tar(&entries), Archived::Files).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{bad:?}");
        }
        let replaced =
            [(EntryType::Symlink, "d", "/etc"), (EntryType::Directory, "d", ""), (EntryType::Regular, "d/x", "")];
        assert!(sent(tar(&replaced), Archived::Files).await.is_ok());
        let link = tar(&[sound, (EntryType::Symlink, "out", "/etc")]);
        assert_eq!(sent(link, image(|_| Ok(()))).await.unwrap_err().kind(), Kind::Denied);
    }

    #[tokio::test]
    async fn what_is_no_tar_is_refused() {
        for bytes in [&b""[..], b"hello", &[0; 1024], &[0xff; 4096], b"BZh91AY&SY", &[0x1f, 0x8b, 8, 0, 1, 2, 3]] {
            let error = sent(bytes.to_vec(), Archived::Files).await.unwrap_err();
            assert!(matches!(error.kind(), Kind::Invalid | Kind::Unsupported), "{bytes:?}: {error:?}");
        }
        let whole = tar(&[(EntryType::Regular, "a", &"x".repeat(5000))]);
        assert_eq!(sent(whole[..3000].to_vec(), Archived::Files).await.unwrap_err().kind(), Kind::Invalid);
        let broken = stream::iter(vec![Ok(Bytes::from(whole[..600].to_vec())), Err(Error::timeout("silent"))]);
        let (checked, _) = checked(broken, Archived::Files);
        assert_eq!(checked.try_collect::<Vec<Bytes>>().await.unwrap_err().kind(), Kind::Timeout);
    }

    #[tokio::test]
    async fn one_file_is_wrapped_and_unwrapped() {
        let long = "n".repeat(150);
        for (name, length) in [("a", 0_usize), ("a", 512), ("b.txt", 70_000), (long.as_str(), 5)] {
            let contents = Bytes::from(vec![b'x'; length]);
            let owner = Owner { uid: 1000, gid: 7, mode: 0o640 };
            let tar = wrapped(name, owner, length as u64, stream::iter([Ok(contents.clone())]));
            let tar = tar.try_collect::<Vec<Bytes>>().await.unwrap().concat();
            let mut archive = Archive::new(tar.as_slice());
            let names: Vec<_> =
                archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
            assert_eq!(names, [Path::new(name)]);
            let (read, bytes) = unwrapped(stream::iter([Ok(Bytes::from(tar))])).await.unwrap();
            assert_eq!(read, owner);
            assert_eq!(bytes.try_collect::<Vec<Bytes>>().await.unwrap().concat(), contents);
        }
        let directory = tar(&[(EntryType::Directory, "a/", "")]);
        assert!(unwrapped(stream::iter([Ok(Bytes::from(directory))])).await.is_err());
    }

    #[tokio::test]
    async fn a_bad_entry_is_not_let_go() {
        let entries = [(EntryType::Regular, "first", "harmless"), (EntryType::Regular, "../second", "HARMFUL")];
        let pieces = stream::iter(vec![Ok(Bytes::from(tar(&entries)))]);
        let (checked, _) = checked(pieces, Archived::Files);
        let passed: Vec<Result<Bytes>> = checked.collect().await;
        assert!(passed.last().unwrap().is_err());
        let passed: Vec<u8> = passed.into_iter().flatten().flatten().collect();
        assert!(!passed.windows(7).any(|window| window == b"HARMFUL"));
    }

    #[tokio::test]
    async fn the_names_of_images_are_judged_before_they_leave() {
        let judge = |name: &str| if name.contains("denied") { Err(Error::denied("no")) } else { Ok(()) };
        for (file, text, passes) in [
            ("manifest.json", r#"[{"Config": "x", "RepoTags": ["a:1", "denied:1"]}]"#, false),
            ("./manifest.json", r#"[{"RepoTags": null}, {"RepoTags": ["denied:1"]}]"#, false),
            (
                "index.json",
                r#"{"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/x/denied:1"}}]}"#,
                false,
            ),
            ("repositories", r#"{"denied": {"1": "x"}}"#, false),
            ("manifest.json", "no json", false),
            ("manifest.json", r#"[{"RepoTags": ["a:1"]}]"#, true),
            ("layer/manifest.json", r#"[{"RepoTags": ["denied:1"]}]"#, true),
        ] {
            let bytes = tar(&[(EntryType::Regular, file, text)]);
            assert_eq!(sent(bytes, image(judge)).await.is_ok(), passes, "{file} {text}");
        }
    }
}
