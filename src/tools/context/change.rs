//! Contexts made, chosen and removed.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{named, view::endpoint};
use crate::{
    config::spec::EndpointSpec,
    docker::{cli::Private, names::quote},
    error::{Error, Result},
    tool::{Access, Call, HostlessTool, Permission, Program, Summary},
};

/// What changes the configuration of this machine's docker CLI.
const SYSTEM: &[Permission] = &[Permission::System];
/// The longest description, in characters.
const LONGEST: usize = 200;
/// The largest TLS file, in bytes.
const LARGEST: u64 = 256 << 10;

/// Creates a context of the docker CLI on the gateway's machine; no host of Quaymaster.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextCreate {
    /// Its name.
    context: String,
    /// `unix:///PATH`, `tcp://HOST:PORT` or `ssh://[USER@]HOST[:PORT]`; no password.
    endpoint: String,
    /// What people see beside its name.
    #[serde(default)]
    description: Option<String>,
    /// For TCP: a directory with `ca.pem`, and `cert.pem` with `key.pem` for a client.
    #[serde(default)]
    tls: Option<String>,
}

/// Chooses the context that the docker CLI on the gateway's machine uses.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextUse {
    /// Its name, or `default`.
    context: String,
}

/// Removes a context of the docker CLI on the gateway's machine, unless it is in use.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextRm {
    /// Its name.
    context: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    context: String,
    done: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
}

impl Summary for Done {
    fn summary(&self) -> String {
        format!("context \"{}\" was {}", self.context, self.done)
    }
}

impl HostlessTool for ContextCreate {
    const NAME: &'static str = "context_create";
    const ACCESS: Access = Access::mutate(SYSTEM);
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const CLI_CONFIG: bool = true;
    type Output = Done;

    fn check(&self) -> Result<()> {
        named(&self.context)?;
        self.address()?;
        let is_long = |text: &String| text.chars().count() > LONGEST || text.chars().any(char::is_control);
        if self.description.as_ref().is_some_and(is_long) {
            return Err(Error::invalid("argument \"description\" is too long, or has control characters")
                .hint("one line of at most 200 characters"));
        }
        Ok(())
    }

    async fn call(self, call: &Call) -> Result<Done> {
        let address = self.address()?;
        let mut docker = format!("host={address}");
        let files = match &self.tls {
            Some(directory) => Some(copied(directory, call).await?),
            None => None,
        };
        for (option, path) in files.iter().flat_map(|(_, files)| files) {
            docker = format!("{docker},{option}={}", path.display());
        }
        let mut arguments = vec!["create".to_owned(), format!("--docker={docker}")];
        arguments.extend(self.description.as_ref().map(|text| format!("--description={text}")));
        arguments.push(self.context.clone());
        call.programs().context(&arguments).await?;
        Ok(Done { context: self.context, done: "created", endpoint: Some(endpoint(&address)) })
    }
}

impl ContextCreate {
    /// The endpoint as the docker CLI takes it, after a check by the grammar of hosts.
    fn address(&self) -> Result<String> {
        let spec = EndpointSpec::of(&self.endpoint, self.tls.is_some()).map_err(|refused| {
            Error::invalid(format!("argument \"endpoint\": {refused}")).hint(refused.hint_text().unwrap_or_default())
        })?;
        if matches!(spec, EndpointSpec::Auto | EndpointSpec::Local) {
            return Err(Error::invalid(format!("argument \"endpoint\": {} is no address", quote(&self.endpoint)))
                .hint("unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]"));
        }
        let address = spec.to_string();
        if address.contains([',', '"', '\n']) {
            return Err(Error::invalid(format!("argument \"endpoint\": {} has a comma or a quote", quote(&address)))
                .hint("the docker CLI cannot take it"));
        }
        Ok(address)
    }
}

/// TLS files with the options that name them, and what keeps them while the CLI reads them.
type TlsFiles = (Private, Vec<(&'static str, PathBuf)>);

/// Copies of the TLS files of a directory below a root.
async fn copied(path: &str, call: &Call) -> Result<TlsFiles> {
    let directory = call.files().directory("tls", path).await?;
    let private = call.programs().private()?;
    let mut files = Vec::new();
    for (option, name) in [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")] {
        if let Some(bytes) = directory.read(name, LARGEST).await? {
            files.push((option, private.put(name, &bytes)?));
        }
    }
    let has = |wanted: &str| files.iter().any(|(option, _)| *option == wanted);
    if !has("ca") || has("cert") != has("key") {
        return Err(Error::invalid(
            "argument \"tls\": the directory needs ca.pem, and cert.pem with key.pem or neither",
        )
        .hint("name a directory that has them"));
    }
    Ok((private, files))
}

impl HostlessTool for ContextUse {
    const NAME: &'static str = "context_use";
    const ACCESS: Access = Access::mutate(SYSTEM);
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const CLI_CONFIG: bool = true;
    type Output = Done;

    fn check(&self) -> Result<()> {
        named(&self.context).map(drop)
    }

    async fn call(self, call: &Call) -> Result<Done> {
        call.programs().context(&["use".to_owned(), self.context.clone()]).await?;
        Ok(Done { context: self.context, done: "chosen", endpoint: None })
    }
}

impl HostlessTool for ContextRm {
    const NAME: &'static str = "context_rm";
    const ACCESS: Access = Access::destroy(SYSTEM);
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const CLI_CONFIG: bool = true;
    type Output = Done;

    fn check(&self) -> Result<()> {
        if named(&self.context)? == "default" {
            return Err(Error::invalid("argument \"context\": \"default\" is no context of its own")
                .hint("context_ls shows those that there are"));
        }
        Ok(())
    }

    async fn call(self, call: &Call) -> Result<Done> {
        call.programs().context(&["rm".to_owned(), self.context.clone()]).await?;
        Ok(Done { context: self.context, done: "removed", endpoint: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_those_of_the_grammar() {
        let address = |endpoint: &str, tls: Option<&str>| {
            let create: ContextCreate =
                serde_json::from_value(json!({"context": "ab", "endpoint": endpoint, "tls": tls})).unwrap();
            create.address()
        };
        assert_eq!(address("ssh://ops@prod:2222", None).unwrap(), "ssh://ops@prod:2222");
        assert_eq!(address("tcp://prod", Some("certs")).unwrap(), "tcp://prod:2376");
        assert_eq!(address("unix:///run/docker.sock", None).unwrap(), "unix:///run/docker.sock");
        for endpoint in [
            "auto",
            "local",
            "tcp://prod:2375",
            "ssh://ops:hunter2@prod",
            "unix:///a,b",
            "unix:///a\",skip-tls-verify=true",
            "tcp://127.0.0.1:2375,skip-tls-verify=true",
            "http://x",
            "",
            "npipe:////./pipe/x",
        ] {
            let error = address(endpoint, None).unwrap_err();
            assert!(error.message().contains("\"endpoint\"") && !error.message().contains("hunter2"), "{error}");
        }
    }
}
