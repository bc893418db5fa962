//! The gateway's credentials for registries: which there are, whether they work, and what a person does about them.

use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::names::{self, quote},
    error::{Error, Kind, Result},
    registry::{Admission, Source},
    tool::{Call, HostlessTool, Summary, text::count},
    tools::{pull::reference::Reference, view::clipped},
};

/// How many registries are asked at once.
const AT_ONCE: usize = 8;
/// How many are asked at all.
const MOST: usize = 50;

/// Shows for which registries the gateway has credentials, whether they work, and the command that gives new ones.
///
/// A person runs it; credentials are never typed into a tool.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Such as `ghcr.io`. Default: all that are known.
    #[serde(default)]
    registry: Option<String>,
}

/// Shows for which registries the gateway has credentials, and the command by which a person takes them away.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Logout {
    /// Such as `ghcr.io`. Default: all that are known.
    #[serde(default)]
    registry: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Credentials {
    registries: Vec<Row>,
    /// What a person runs on the gateway's machine.
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    registry: String,
    /// `works`, `refused`, `open` (it asks for none), `none`, or the kind of an error.
    status: &'static str,
    /// `docker config`, `helper NAME` or `variables`.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Summary for Credentials {
    fn summary(&self) -> String {
        let working = self.registries.iter().filter(|row| row.status == "works").count();
        format!(
            "{}, the credentials for {working} work",
            count(self.registries.len(), "registry").replace("registrys", "registries")
        )
    }
}

impl HostlessTool for Login {
    const NAME: &'static str = "login";
    type Output = Credentials;

    async fn call(self, call: &Call) -> Result<Credentials> {
        looked(self.registry.as_deref(), "login", call).await
    }
}

impl HostlessTool for Logout {
    const NAME: &'static str = "logout";
    type Output = Credentials;

    async fn call(self, call: &Call) -> Result<Credentials> {
        looked(self.registry.as_deref(), "logout", call).await
    }
}

async fn looked(registry: Option<&str>, verb: &str, call: &Call) -> Result<Credentials> {
    let asked = registry.map(checked).transpose()?;
    let registries: Vec<String> = match &asked {
        Some(registry) => vec![registry.clone()],
        None => call.registries().known().await?.into_iter().collect(),
    };
    let hidden = registries.len().saturating_sub(MOST);
    let rows = stream::iter(registries.into_iter().take(MOST)).map(|registry| row(registry, call)).buffered(AT_ONCE);
    let command = match asked.as_deref() {
        Some("docker.io") => format!("docker {verb}"),
        Some(registry) => format!("docker {verb} {registry}"),
        None => format!("docker {verb} REGISTRY"),
    };
    let note = (hidden > 0).then(|| format!("{hidden} more were not asked; name one"));
    Ok(Credentials { registries: rows.collect().await, command, note })
}

/// `HOST[:PORT]` as it stands in front of an image.
fn checked(registry: &str) -> Result<String> {
    let refused = || {
        Error::invalid(format!("argument \"registry\": {} is none", quote(registry)))
            .hint("HOST or HOST:PORT as in front of an image, such as \"ghcr.io\"; Docker Hub is \"docker.io\"")
    };
    let reference = format!("{registry}/x");
    names::image("registry", &reference).map_err(|_| refused())?;
    let found = Reference::of(&reference);
    if registry.contains('/') || found.registry() != registry {
        return Err(refused());
    }
    Ok(found.foreign_registry().unwrap_or("docker.io").to_ascii_lowercase())
}

async fn row(registry: String, call: &Call) -> Row {
    let source = match call.registries().source(&registry).await {
        Ok(source) => source,
        Err(error) => return failed(registry, None, &error),
    };
    let source = source.map(|source| match source {
        Source::Variables => "variables".to_owned(),
        Source::Configuration => "docker config".to_owned(),
        Source::Helper(name) => format!("helper {}", clipped(&name, 100)),
    });
    match call.registries().admission(&registry).await {
        Ok(Admission::Known) => Row { registry, status: "works", source, error: None },
        Ok(Admission::Anybody) => Row { registry, status: "open", source, error: None },
        Err(error) if error.kind() == Kind::Denied && source.is_none() => {
            // The registry wants some, or the gateway may not go there at all.
            let is_private = error.detail_text().is_some();
            let status = if is_private { "denied" } else { "none" };
            Row { registry, status, source, error: Some(error.to_string()) }
        }
        Err(error) => failed(registry, source, &error),
    }
}

fn failed(registry: String, source: Option<String>, error: &Error) -> Row {
    let status =
        if error.kind() == Kind::Denied && error.detail_text().is_none() { "refused" } else { error.kind().as_str() };
    Row { registry, status, source, error: Some(clipped(error.message(), 300)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_what_stands_in_front_of_images() {
        for (given, name) in [
            ("ghcr.io", "ghcr.io"),
            ("GHCR.io", "ghcr.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
        ] {
            assert_eq!(checked(given).unwrap(), name);
        }
        for given in
            ["", "nginx", "https://ghcr.io", "ghcr.io/", "ghcr.io/x", "a b.c", "-a.b", "x; rm -rf /", "$(x).io"]
        {
            assert!(checked(given).is_err(), "{given}");
        }
    }
}
