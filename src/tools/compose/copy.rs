//! Files between the container of a service and the gateway's machine.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::one;
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Kind, Result},
    files::Kind as FileKind,
    tool::{Access, Call, Effect, LONGEST_JOB, Object, Permission, Plan, Summary, Tool},
    tools::{
        copy::{Load, fetched, inside, opened, owner, parted},
        view::bytes,
    },
};

/// Copies files out of a compose service's container, or into it.
///
/// One side is `service:/path`, the other lies below `files.roots`. A directory comes out as a tar.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeCp {
    /// Its name.
    project: String,
    /// What is copied.
    from: String,
    /// Where to.
    to: String,
    /// Container's number. Default: the first that runs.
    #[serde(default)]
    index: Option<u64>,
    /// Of a file that comes out. Default: false.
    #[serde(default)]
    overwrite: bool,
}

/// Which way files go; the service, the path in its container, the path of this machine.
#[derive(Debug, PartialEq, Eq)]
enum Way<'a> {
    Out { service: &'a str, path: &'a str, to: &'a str },
    In { service: &'a str, path: &'a str, from: &'a str },
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Copied {
    container: String,
    from: String,
    to: String,
    bytes: u64,
    /// Entries of a tar.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    /// What of a directory was not copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
}

impl Summary for Copied {
    fn summary(&self) -> String {
        let container = quote(&self.container);
        format!("\"{}\" is in \"{}\" ({}, container {container})", self.from, self.to, bytes(self.bytes))
    }
}

impl Tool for ComposeCp {
    const NAME: &'static str = "compose_cp";
    const ACCESS: Access = Access::destroy(&[]).sometimes(Permission::Files).down_to(Effect::Read);
    type Output = Copied;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let plan = Plan::declared(Self::ACCESS).needing(Permission::Files);
        let way = self.way()?;
        let (Way::Out { service, .. } | Way::In { service, .. }) = way;
        let member = one(reading, &self.project, service, self.index).await?;
        let container = reading.container("project", member.id()).await?;
        match way {
            Way::Out { to, .. } => {
                call.files().can_create("to", to, self.overwrite).await?;
                Ok(plan.on([container]).at_most(Effect::Read))
            }
            Way::In { from, .. } => {
                call.files().kind("from", from).await?;
                Ok(plan.on([container]).entering())
            }
        }
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Copied> {
        let container = plan.object()?;
        let (bytes, entries, left_out) = match self.way()? {
            Way::Out { path, to, .. } => {
                let (stat, archive) = opened(docker, container, path).await?;
                let fetched = fetched(&stat, archive, to, self.overwrite, call).await?;
                (fetched.bytes, fetched.entries, None)
            }
            Way::In { path, from, .. } => {
                let (load, directory) = load(docker, container, from, path, call).await?;
                let sent = load.put(docker, container, directory, call).await?;
                (sent.bytes, sent.entries, sent.left_out)
            }
        };
        Ok(Copied { container: container.name.clone(), from: self.from, to: self.to, bytes, entries, left_out })
    }
}

impl ComposeCp {
    fn way(&self) -> Result<Way<'_>> {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        match (of_service(from), of_service(to)) {
            (Some((service, path)), None) => Ok(Way::Out { service, path: inside("from", path)?, to }),
            (None, Some((service, path))) => Ok(Way::In { service, path: inside("to", path)?, from }),
            _ => Err(Error::invalid("one of the arguments \"from\" and \"to\" has to name a service, and not both")
                .hint("such as from \"web:/etc/hosts\" and to \"hosts\", or the other way round")),
        }
    }
}

/// `service:/path`.
fn of_service(text: &str) -> Option<(&str, &str)> {
    let (service, path) = text.split_once(':')?;
    (path.starts_with('/') && !service.is_empty() && !service.contains('/')).then_some((service, path))
}

/// What goes into a container, and the directory there: a file into a directory under its own name, onto a file as
/// that file, and where there is nothing under the name that was given.
async fn load<'a>(
    docker: &Docker,
    container: &Object,
    from: &str,
    path: &'a str,
    call: &Call,
) -> Result<(Load, &'a str)> {
    if call.files().kind("from", from).await? == FileKind::Directory {
        return Ok((Load::directory(from, call).await?, path));
    }
    let is_directory = match docker.archive(&container.id, path).await {
        Ok((stat, _)) if stat.is_link() && stat.target.starts_with('/') => {
            matches!(docker.archive(&container.id, &stat.target).await, Ok((stat, _)) if stat.is_directory())
        }
        Ok((stat, _)) => stat.is_directory(),
        Err(error) if error.kind() == Kind::NotFound => false,
        Err(error) => return Err(error),
    };
    match parted(path).filter(|_| !is_directory) {
        Some((directory, name)) => {
            let owner = owner(docker, &container.id, path).await?;
            Ok((Load::file(from, Some((name, owner)), call).await?, directory))
        }
        // Where it is none, the engine says so.
        None => Ok((Load::file(from, None, call).await?, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cp(from: &str, to: &str) -> ComposeCp {
        ComposeCp { project: "shop".into(), from: from.into(), to: to.into(), index: None, overwrite: false }
    }

    #[test]
    fn one_side_names_a_service() {
        assert_eq!(
            cp("web:/etc/hosts", "x/hosts").way().unwrap(),
            Way::Out { service: "web", path: "/etc/hosts", to: "x/hosts" }
        );
        assert_eq!(cp("x", "web:/tmp").way().unwrap(), Way::In { service: "web", path: "/tmp", from: "x" });
        // A colon alone makes no service.
        assert_eq!(cp("a:b.txt", "web:/tmp").way().unwrap(), Way::In { service: "web", path: "/tmp", from: "a:b.txt" });
        for (from, to) in [("a", "b"), ("web:/a", "db:/b"), ("web:a", "b"), (":/a", "b"), ("x/web:/a", "b")] {
            assert_eq!(cp(from, to).way().unwrap_err().kind(), Kind::Invalid, "{from} {to}");
        }
        assert_eq!(cp(&format!("web:/{}", "x".repeat(5000)), "b").way().unwrap_err().kind(), Kind::Invalid);
    }
}
