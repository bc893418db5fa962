//! Files into a container: a text as one file, or files of the gateway's machine below a directory.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    tool::{Access, Call, LONGEST_JOB, Permission, Plan, Summary, Tool},
    tools::copy::{Load, Sent, inside, owner, parted},
};

/// The longest text that is taken, in bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// Puts a text or files into a container, running or not. What is there under the same names is replaced.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutContainerArchive {
    /// Name or id.
    container: String,
    /// In the container: with `content` the file, with `from` a directory.
    path: String,
    /// Below `files.roots`: a file; a directory, whose contents are put; a tar (`.tgz` too), which is unpacked.
    #[serde(default)]
    from: Option<String>,
    /// Or the file's text, up to 1 MiB.
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

impl PutContainerArchive {
    /// The directory of the container that the tar is unpacked in, and with `content` the name of the file.
    fn place(&self) -> Result<(&str, Option<&str>)> {
        let path = inside("path", &self.path)?;
        match (&self.from, &self.content) {
            (Some(_), None) => Ok((path, None)),
            (None, Some(content)) if content.len() > LONGEST_TEXT => {
                Err(Error::invalid("argument \"content\" is longer than 1 MiB").hint("put a file with \"from\""))
            }
            (None, Some(_)) => match parted(path) {
                Some((directory, name)) => Ok((directory, Some(name))),
                None => Err(Error::invalid(format!("argument \"path\": {} is no file", quote(path)))
                    .hint("with \"content\" it is the file's own path, such as \"/etc/motd\"")),
            },
            _ => Err(Error::invalid("one of the arguments \"from\" and \"content\" is needed, and not both")),
        }
    }
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
                Load::text(name, owner(docker, &container.id, &self.path).await?, content.clone())
            }
            (Some(from), ..) => Load::contents(from, call).await?,
            _ => return Err(Error::internal("there is nothing to put")),
        };
        let Sent { bytes, entries, left_out } = load.put(docker, container, directory, call).await?;
        Ok(Put { container: container.name.clone(), path: self.path, bytes, entries, left_out, from: self.from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind as Failure;

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
}
