//! Files into a container: a text as one file, or files of the gateway's machine below a directory.

use std::{pin::Pin, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::archive::inside;
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Kind as Failure, Result},
    files::{Admit, Archived, Kind, LeftOut, Owner, Seen, checked, pack, unwrapped, wrapped},
    tool::{Access, Call, LONGEST_JOB, Permission, Plan, Summary, Tool, text::count},
    tools::{
        transfer::{IDLE, received, told, unsound},
        view,
    },
};

/// The longest text that is taken, in bytes.
const LONGEST_TEXT: usize = 1 << 20;
/// What a new file is, where nothing says more.
const PLAIN: Owner = Owner { uid: 0, gid: 0, mode: 0o644 };

/// Puts a text or files into a container, running or not. What is there under the same names is replaced.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutContainerArchive {
    /// Name or id.
    container: String,
    /// An absolute path in the container: with `content` the file, with `from` a directory that exists.
    path: String,
    /// Below `files.roots` (relative to the first): a file; a directory, whose contents are put; or a tar
    /// (`.tar`, `.tar.gz`, `.tgz`), which is unpacked.
    #[serde(default)]
    from: Option<String>,
    /// In its place: the text of the file, up to 1 MiB.
    #[serde(default)]
    content: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Put {
    container: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// What was sent.
    bytes: u64,
    /// Entries of a tar.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    /// What of a directory was not put.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
}

impl Summary for Put {
    fn summary(&self) -> String {
        let from = self.from.as_deref().map_or("the text".to_owned(), |from| format!("\"{from}\""));
        format!("{from} is in \"{}\" of container \"{}\"", self.path, self.container)
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A tar on its way, and what can be said of it once it has gone.
struct Load {
    tar: Pieces,
    total: Option<u64>,
    seen: Option<std::sync::Arc<Seen>>,
    left_out: Option<std::sync::Arc<LeftOut>>,
}

impl Load {
    fn of(tar: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self { tar: Box::pin(tar), total: None, seen: None, left_out: None }
    }
}

impl PutContainerArchive {
    /// The directory of the container that the tar is unpacked in, and with `content` the name of the file.
    fn place(&self) -> Result<(&str, Option<&str>)> {
        let path = inside("path", &self.path)?;
        match (&self.from, &self.content) {
            (Some(_), None) => Ok((path, None)),
            (None, Some(content)) if content.len() > LONGEST_TEXT => {
                Err(Error::invalid("argument \"content\" is longer than 1 MiB").hint("put a file with \"from\""))
            }
            (None, Some(_)) => match path.rsplit_once('/') {
                Some((directory, name)) if !matches!(name, "" | "." | "..") => {
                    Ok((if directory.is_empty() { "/" } else { directory }, Some(name)))
                }
                _ => Err(Error::invalid(format!("argument \"path\": {} is no file", quote(path)))
                    .hint("with \"content\" it is the file's own path, such as \"/etc/motd\"")),
            },
            _ => Err(Error::invalid("one of the arguments \"from\" and \"content\" is needed, and not both")),
        }
    }

    async fn load(&self, from: &str, call: &Call) -> Result<Load> {
        if call.files().kind("from", from).await? == Kind::Directory {
            let directory = call.files().directory("from", from).await?;
            let left_out = Some(directory.left_out());
            return Ok(Load { left_out, ..Load::of(pack(directory, |_, _| Admit::Keep, Vec::new())) });
        }
        let source = call.files().open("from", from).await?;
        if is_archive(&source.name) {
            let (tar, seen) = checked(source.into_stream(), Archived::Files);
            return Ok(Load { seen: Some(seen), ..Load::of(tar) });
        }
        let (name, length) = (source.name.clone(), source.length);
        let owner = Owner { mode: source.mode() & 0o777, ..PLAIN };
        Ok(Load { total: Some(length), ..Load::of(wrapped(&name, owner, length, source.into_stream())) })
    }
}

/// Whether a file is unpacked and not put as it is.
fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

impl Tool for PutContainerArchive {
    const NAME: &'static str = "put_container_archive";
    const ACCESS: Access = Access::destroy(&[Permission::Files]);
    type Output = Put;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.place()?;
        let container = reading.container("container", &self.container).await?;
        if let Some(from) = &self.from {
            call.files().kind("from", from).await?;
        }
        Ok(Plan::declared(Self::ACCESS).on([container]).entering())
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Put> {
        let container = plan.object()?;
        let (directory, name) = self.place()?;
        let load = match (&self.from, &self.content, name) {
            (None, Some(content), Some(name)) => {
                let owner = owner(docker, &container.id, &self.path).await?;
                let (length, text) = (content.len() as u64, Bytes::from(content.clone()));
                Load { total: Some(length), ..Load::of(wrapped(name, owner, length, stream::iter([Ok(text)]))) }
            }
            (Some(from), ..) => self.load(from, call).await?,
            _ => return Err(Error::internal("there is nothing to put")),
        };
        let (tar, sent) = told(load.tar, load.total, call);
        let target = Target::new(format!("/containers/{}/archive", container.id)).query("path", directory);
        // What is a directory there stays one.
        docker.put(target.query("noOverwriteDirNonDir", "true"), tar, IDLE).await.map_err(|error| {
            let name = quote(&container.name);
            match error.kind() {
                Failure::NotFound => {
                    Error::not_found(format!("container {name} has no directory {}", quote(directory)))
                        .hint("make it first, or put a directory into one above")
                        .detail(error.message())
                }
                _ => error,
            }
        })?;
        Ok(Put {
            container: container.name.clone(),
            path: self.path.clone(),
            bytes: load.total.unwrap_or_else(|| sent.load(Ordering::Relaxed)),
            entries: load.seen.map(|seen| seen.entries()),
            left_out: load.left_out.and_then(|left_out| told_of(&left_out)),
            from: self.from,
        })
    }
}

/// Whose the file is that is replaced: a new text does not make it somebody else's.
async fn owner(docker: &Docker, container: &str, path: &str) -> Result<Owner> {
    match docker.archive(container, path).await {
        Ok((stat, archive)) if stat.is_file() => Ok(unwrapped(received(archive)).await.map_err(unsound)?.0),
        Ok((stat, _)) if stat.is_directory() => {
            Err(Error::conflict(format!("{} is a directory", quote(path))).hint("name a file in it"))
        }
        Ok(_) => Ok(PLAIN),
        Err(error) if error.kind() == Failure::NotFound => Ok(PLAIN),
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

    fn asked(path: &str, from: Option<&str>, content: Option<&str>) -> PutContainerArchive {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        PutContainerArchive { container: "web".into(), path: path.into(), from: owned(from), content: owned(content) }
    }

    #[test]
    fn a_text_is_a_file_and_files_go_into_a_directory() {
        assert_eq!(asked("/etc/motd", None, Some("x")).place().unwrap(), ("/etc", Some("motd")));
        assert_eq!(asked("/motd", None, Some("x")).place().unwrap(), ("/", Some("motd")));
        assert_eq!(asked("/srv", Some("x"), None).place().unwrap(), ("/srv", None));
        for (path, from, content) in [
            ("/etc/", None, Some("x")),
            ("/", None, Some("x")),
            ("/etc/..", None, Some("x")),
            ("etc/motd", None, Some("x")),
            ("/srv", None, None),
            ("/srv", Some("x"), Some("x")),
            ("/srv", None, Some(&*"x".repeat(LONGEST_TEXT + 1))),
        ] {
            assert_eq!(asked(path, from, content).place().unwrap_err().kind(), Failure::Invalid, "{path}");
        }
    }

    #[test]
    fn a_tar_is_told_by_its_name() {
        for (name, archive) in [("a.tar", true), ("A.TGZ", true), ("a.tar.gz", true), ("a.gz", false), ("tar", false)] {
            assert_eq!(is_archive(name), archive, "{name}");
        }
    }
}
