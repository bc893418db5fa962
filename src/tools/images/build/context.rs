//! What a build is made from: a directory, a Dockerfile alone, or an address.

use std::{collections::BTreeMap, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, stream};
use sha2::{Digest, Sha256};

use super::{BuildImage, ignore::Ignore};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    files::{self, Directory, LeftOut},
    tool::Call,
    tools::{
        dockerfile::{self, Taken},
        transfer::secrets_left_out,
    },
};

/// The largest Dockerfile, and the largest `.dockerignore`, in bytes.
const LARGEST: u64 = 1 << 20;
const IGNORE: &str = ".dockerignore";
const DOCKERFILE: &str = "Dockerfile";

/// What a build is made from.
pub(super) struct Context {
    /// The Dockerfile's path in what is sent.
    dockerfile: String,
    /// Its text, as it is judged and as it is sent; of what the daemon fetches nobody knows it.
    text: Option<Bytes>,
    /// Whether it was typed, and is no part of the directory.
    is_typed: bool,
    from: From,
}

enum From {
    Nothing,
    Address(String),
    Directory { directory: Option<Directory>, ignore: Option<Bytes>, left_out: Arc<LeftOut> },
}

/// A tar on its way.
type Tar = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

impl Context {
    /// Looks at what was named; nothing but the Dockerfile and what is to be left out is read.
    pub(super) async fn of(build: &BuildImage, docker: &Docker, call: &Call) -> Result<Self> {
        let typed = build.dockerfile_content.as_ref().map(|text| Bytes::from(text.clone()));
        if typed.is_some() && build.dockerfile.is_some() {
            return Err(
                Error::invalid("\"dockerfile\" and \"dockerfile_content\" are both given").hint("give one of them")
            );
        }
        let dockerfile = inside(build.dockerfile.as_deref().unwrap_or(DOCKERFILE))?;
        match (build.context.as_deref(), typed) {
            (None, None) => Err(Error::invalid("neither \"context\" nor \"dockerfile_content\" is given")
                .hint("give a directory, or the text of a Dockerfile")),
            (None, typed) => {
                Ok(Self { dockerfile: DOCKERFILE.to_owned(), text: typed, is_typed: true, from: From::Nothing })
            }
            (Some(address), typed) if is_address(address) => {
                docker.may_fetch("context", address)?;
                if typed.is_some() {
                    return Err(Error::invalid(
                        "\"dockerfile_content\" and a context that the daemon fetches exclude each other",
                    )
                    .hint("name the Dockerfile in it with \"dockerfile\""));
                }
                Ok(Self { dockerfile, text: None, is_typed: false, from: From::Address(address.to_owned()) })
            }
            (Some(path), typed) => {
                let directory = call.files().directory("context", path).await?;
                let left_out = directory.left_out();
                let ignore = directory.read(IGNORE, LARGEST).await?;
                let (dockerfile, text, is_typed) = if let Some(text) = typed {
                    // A name that nothing in the directory has.
                    (format!(".dockerfile.{:.20}", format!("{:x}", Sha256::digest(&text))), text, true)
                } else {
                    let text = directory.read(&dockerfile, LARGEST).await?.ok_or_else(|| {
                        Error::not_found(format!("there is no {} in the context", quote(&dockerfile)))
                            .hint("name it with \"dockerfile\", or give its text as \"dockerfile_content\"")
                    })?;
                    (dockerfile, text, false)
                };
                let from = From::Directory { directory: Some(directory), ignore, left_out };
                let context = Self { dockerfile, text: Some(text), is_typed, from };
                // What makes no sense is told before anything is sent.
                context.ignore()?;
                Ok(context)
            }
        }
    }

    /// The Dockerfile's path in what is sent.
    pub(super) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// What the daemon fetches.
    pub(super) fn address(&self) -> Option<&str> {
        match &self.from {
            From::Address(address) => Some(address),
            From::Nothing | From::Directory { .. } => None,
        }
    }

    /// The images that the Dockerfile takes.
    pub(super) fn taken(&self, arguments: &BTreeMap<String, String>) -> Taken {
        let text = self.text.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        dockerfile::taken(&text, arguments)
    }

    fn ignore(&self) -> Result<Ignore> {
        let From::Directory { ignore: Some(text), .. } = &self.from else { return Ignore::parse("", &[]) };
        let text = String::from_utf8_lossy(text);
        if self.is_typed { Ignore::parse(&text, &[IGNORE]) } else { Ignore::parse(&text, &[IGNORE, &self.dockerfile]) }
    }

    /// The tar that is sent, made while it is.
    pub(super) fn pack(&mut self) -> Result<Tar> {
        let mut ignore = self.ignore()?;
        let text = self.text.clone().unwrap_or_default();
        // What was judged is what is sent, whatever became of the file since.
        let mut extra = vec![(self.dockerfile.clone(), text.clone())];
        match &mut self.from {
            From::Directory { directory, ignore: own, .. } => {
                match own {
                    // The daemon takes out of the context what this file names: so a typed Dockerfile is no part of it.
                    own if self.is_typed => {
                        let own = own.as_deref().map_or_else(|| IGNORE.into(), String::from_utf8_lossy);
                        extra.push((IGNORE.to_owned(), format!("{own}\n{}\n", self.dockerfile).into()));
                    }
                    Some(own) => extra.push((IGNORE.to_owned(), own.clone())),
                    None => {}
                }
                let directory = directory.take().ok_or_else(|| Error::internal("a context is sent once"))?;
                let admit = move |path: &str, is_directory: bool| ignore.admit(path, is_directory);
                Ok(Box::pin(files::pack(directory, admit, extra)))
            }
            From::Nothing | From::Address(_) => Ok(Box::pin(stream::iter([alone(&self.dockerfile, &text)]))),
        }
    }

    /// What of the directory was not sent though nothing in it says so.
    pub(super) fn note(&self) -> Option<String> {
        let From::Directory { left_out, .. } = &self.from else { return None };
        secrets_left_out(left_out)
    }
}

/// A tar with one file in it.
fn alone(name: &str, text: &Bytes) -> Result<Bytes> {
    let written = || {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_ref())?;
        tar.into_inner()
    };
    let written: std::io::Result<Vec<u8>> = written();
    written.map(Bytes::from).map_err(|error| Error::internal("a tar cannot be written").detail(error.to_string()))
}

/// Whether it is something to fetch, and no path of this machine.
fn is_address(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@")
}

/// A path in the context.
fn inside(path: &str) -> Result<String> {
    let plain = path.strip_prefix("./").unwrap_or(path);
    let is_good = !plain.is_empty()
        && !plain.starts_with('/')
        && !plain.chars().any(char::is_control)
        && plain.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_good {
        return Ok(plain.to_owned());
    }
    Err(Error::invalid(format!("argument \"dockerfile\": {} is no path in the context", quote(path)))
        .hint("a relative path, such as \"docker/Dockerfile\"; elsewhere, give its text as \"dockerfile_content\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_lies_in_its_context() {
        assert_eq!(inside("./docker/Dockerfile").unwrap(), "docker/Dockerfile");
        for path in ["", "/etc/passwd", "../Dockerfile", "a/../../b", "a//b", "a\n", "a/"] {
            assert!(inside(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for address in ["https://a/b", "git://a/b", "git@a:b", "file:///etc", "ssh://a/b"] {
            assert!(is_address(address), "{address}");
        }
        for path in [".", "/srv/app", "app", "~/x", "github.com/acme/x"] {
            assert!(!is_address(path), "{path}");
        }
    }

    #[test]
    fn one_file_makes_a_tar() {
        let tar = alone("Dockerfile", &Bytes::from_static(b"FROM scratch\n")).unwrap();
        let mut archive = tar::Archive::new(tar.as_ref());
        let mut entries = archive.entries().unwrap();
        assert_eq!(entries.next().unwrap().unwrap().path().unwrap().to_str(), Some("Dockerfile"));
        assert!(entries.next().is_none());
    }
}
