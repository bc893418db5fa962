//! Contexts as they may be shown: where they lead, without who logs in there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::named;
use crate::{
    error::{Error, Result},
    redact,
    tool::{Call, HostlessTool, Program, Summary, text::count},
    tools::view::{clipped, flag, text, texts},
};

/// How many contexts are shown.
const MOST: usize = 200;
/// The longest text of a person's, in characters.
const LONGEST: usize = 200;

/// Lists the docker CLI's contexts on the gateway's machine, and which one is in use there.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextLs {}

/// Shows one context of the docker CLI on the gateway's machine: endpoint, description, which TLS files it has.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextInspect {
    /// Its name.
    context: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    contexts: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    name: String,
    endpoint: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_use: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Inspected {
    name: String,
    endpoint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    /// Whether nobody has to prove who answers there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skips_tls_verify: bool,
    /// The names of its TLS files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_files: Vec<String>,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        let used = self.contexts.iter().find(|row| row.in_use).map_or("default", |row| row.name.as_str());
        format!("{}; \"{used}\" is in use", count(self.contexts.len(), "context"))
    }
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        format!("context \"{}\" leads to {}", self.name, self.endpoint)
    }
}

impl HostlessTool for ContextLs {
    const NAME: &'static str = "context_ls";
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const CLI_CONFIG: bool = true;
    type Output = Listed;

    async fn call(self, call: &Call) -> Result<Listed> {
        let arguments = ["ls", "--format", "{{json .}}"].map(str::to_owned);
        let printed = call.programs().context(&arguments).await?;
        let documents = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(Listed { contexts: documents.take(MOST).map(|document| row(&document)).collect() })
    }
}

impl HostlessTool for ContextInspect {
    const NAME: &'static str = "context_inspect";
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const CLI_CONFIG: bool = true;
    type Output = Inspected;

    async fn call(self, call: &Call) -> Result<Inspected> {
        let arguments = ["inspect", named(&self.context)?].map(str::to_owned);
        let printed = call.programs().context(&arguments).await?;
        let documents: Vec<Value> = serde_json::from_str(&printed).map_err(|error| {
            Error::docker("docker tells of the context in a way that is not known").detail(error.to_string())
        })?;
        let document = documents.first().ok_or_else(|| Error::not_found("there is no such docker context"))?;
        Ok(inspected(document))
    }
}

fn row(document: &Value) -> Row {
    let shown = |field: &str| clipped(&redact::shown(text(document, field)), LONGEST);
    Row {
        name: shown("Name"),
        endpoint: endpoint(text(document, "DockerEndpoint")),
        in_use: flag(document, "Current"),
        description: shown("Description"),
        error: shown("Error"),
    }
}

fn inspected(document: &Value) -> Inspected {
    let part = |pointer: &str| document.pointer(pointer).unwrap_or(&Value::Null);
    let docker = part("/Endpoints/docker");
    let shown = |value: &Value, field: &str| clipped(&redact::shown(text(value, field)), LONGEST);
    let files = texts(part("/TLSMaterial"), "docker").map(|file| clipped(&redact::shown(file), LONGEST));
    Inspected {
        name: shown(document, "Name"),
        endpoint: endpoint(text(docker, "Host")),
        description: shown(part("/Metadata"), "Description"),
        skips_tls_verify: flag(docker, "SkipTLSVerify"),
        tls_files: files.collect(),
    }
}

/// An address without who logs in there.
pub(super) fn endpoint(address: &str) -> String {
    let plain = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", path.split(['?', '#']).next().unwrap_or_default())
        }
        None => address.rsplit('@').next().unwrap_or_default().to_owned(),
    };
    clipped(&redact::shown(&plain), LONGEST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_logs_in_is_not_told() {
        for (address, shown) in [
            ("ssh://ops:hunter2@prod.example.com:2222/run/docker.sock", "ssh://prod.example.com:2222/run/docker.sock"),
            ("ssh://ops@prod", "ssh://prod"),
            ("tcp://a:b@c@host:2376?x=hunter2#y", "tcp://host:2376"),
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("user:pass@host", "host"),
            ("", ""),
        ] {
            assert_eq!(endpoint(address), shown, "{address}");
        }
    }

    #[test]
    fn keys_are_named_and_places_are_not() {
        let document = json!({"Name": "prod", "Metadata": {"Description": "eu"}, "Endpoints": {"docker":
            {"Host": "tcp://ann:hunter2@prod:2376", "SkipTLSVerify": true}}, "TLSMaterial": {"docker": ["ca.pem", "key.pem"]},
            "Storage": {"MetadataPath": "/home/ann/.docker/contexts/meta/x", "TLSPath": "/home/ann/x"}});
        let shown = serde_json::to_value(inspected(&document)).unwrap();
        let expected = json!({"name": "prod", "endpoint": "tcp://prod:2376", "description": "eu", "skips_tls_verify": true,
            "tls_files": ["ca.pem", "key.pem"]});
        assert_eq!(shown, expected);
    }
}
