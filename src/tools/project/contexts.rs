//! What of a project's build contexts the docker CLI may send.
//!
//! The classic builder gets a context as one archive, which passes the private socket: names of secrets are sifted out
//! there. `BuildKit` asks for files one by one over a channel that nobody sees into: it is told with a `.dockerignore`.

use futures_util::TryStreamExt;
use serde_json::Value;

use super::rendered::{Rendered, is_address, text};
use crate::{
    docker::{
        cli::{self, Archive, Private},
        names::quote,
    },
    error::{Error, Kind, Result},
    files::{self, Files},
    tools::transfer::secrets_left_out,
};

/// The largest Dockerfile, and the largest `.dockerignore`, in bytes.
const LARGEST: u64 = 1 << 20;
const IGNORE: &str = ".dockerignore";
const DOCKERFILE: &str = "Dockerfile";

/// The sieve of one run.
pub(super) struct Contexts(pub(super) files::Sieve);

impl cli::Sieve for Contexts {
    fn sift(&self, archive: Archive) -> Archive {
        Box::pin(self.0.sift(archive))
    }

    fn note(&self) -> Option<String> {
        secrets_left_out(self.0.left_out())
    }
}

impl Rendered {
    /// The same project, built by `BuildKit`: its Dockerfiles are copies in a private directory, and beside each is
    /// what must not be asked for.
    ///
    /// # Errors
    /// `denied` for a further context that is a directory, which has no such file; those of the files.
    pub(crate) async fn for_buildkit(&self, private: &Private, files: &Files) -> Result<Self> {
        let mut project = self.clone();
        let copies = private.directory("files")?;
        let services = project.document.get_mut("services").and_then(Value::as_object_mut);
        for (number, (name, service)) in services.into_iter().flatten().enumerate() {
            let Some(build) = service.get_mut("build").filter(|build| build.is_object()) else { continue };
            let key = format!("services.{name}.build");
            let (dockerfile, ignored) = told(&key, build, files).await?;
            let copy = format!("files/{number}.Dockerfile");
            private.put(&copy, dockerfile.as_bytes())?;
            private.put(&format!("{copy}.dockerignore"), format!("{ignored}\n{}", files.ignored()).as_bytes())?;
            if let Some(fields) = build.as_object_mut() {
                fields.remove("dockerfile_inline");
                let place = copies.join(format!("{number}.Dockerfile")).display().to_string();
                fields.insert("dockerfile".to_owned(), place.replace('$', "$$").into());
            }
        }
        Ok(project)
    }
}

/// The Dockerfile of a build, and what it ignores by itself.
async fn told(key: &str, build: &Value, files: &Files) -> Result<(String, String)> {
    let others = build.get("additional_contexts").and_then(Value::as_object);
    for (name, other) in others.into_iter().flatten() {
        let other = other.as_str().unwrap_or_default();
        if !is_address(other) && !matches!(other.split_once(':'), Some(("docker-image" | "service", _))) {
            return Err(Error::denied(format!(
                "{} is the directory {}",
                quote(&format!("{key}.additional_contexts.{name}")),
                quote(other)
            ))
            .hint("put it into the context itself; with BuildKit others are service:NAME or docker-image://IMAGE"));
        }
    }
    // It was written so that nothing in it is filled in.
    let plain = |value: &str| value.replace("$$", "$");
    let context = plain(text(build.get("context")).unwrap_or("."));
    let usual = format!("{context}/{IGNORE}");
    if let Some(inline) = text(build.get("dockerfile_inline")) {
        let ignored = read(key, &usual, files).await?;
        return Ok((plain(inline), ignored.unwrap_or_default()));
    }
    let file = plain(text(build.get("dockerfile")).unwrap_or(DOCKERFILE));
    let place = if file.starts_with('/') { file } else { format!("{context}/{file}") };
    let dockerfile = read(&format!("{key}.dockerfile"), &place, files).await?.ok_or_else(|| {
        Error::not_found(format!("{}: there is no {}", quote(&format!("{key}.dockerfile")), quote(&place)))
            .hint("name it with \"dockerfile\", or give its text as \"dockerfile_inline\"")
    })?;
    let ignored = match read(key, &format!("{place}.dockerignore"), files).await? {
        Some(ignored) => Some(ignored),
        None => read(key, &usual, files).await?,
    };
    Ok((dockerfile, ignored.unwrap_or_default()))
}

/// A small text below the roots; `None` where there is none.
async fn read(key: &str, place: &str, files: &Files) -> Result<Option<String>> {
    let source = match files.open(key, place).await {
        Ok(source) => source,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if source.length > LARGEST {
        return Err(Error::invalid(format!("{} at {} is larger than 1 MiB", quote(place), quote(key))));
    }
    let bytes = source.into_stream().try_collect::<Vec<_>>().await?.concat();
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{} at {} is no text", quote(place), quote(key))))?;
    Ok(Some(text))
}
