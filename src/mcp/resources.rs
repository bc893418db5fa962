//! Resources: the same reads as the tools behind them, under addresses.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use tokio_util::sync::CancellationToken;

use crate::{
    docker::names::quote,
    error::{Error, Result},
    gateway::{Failure, Gateway, Request, caller::Caller},
    tool::Json,
};

/// One kind of resource: where it is, and the tool that answers it.
struct Kind {
    template: &'static str,
    tool: &'static str,
    title: &'static str,
    about: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        template: "quaymaster://hosts",
        tool: "list_hosts",
        title: "Docker hosts",
        about: "The hosts with mode, tags, note and status, as list_hosts shows them.",
    },
    Kind {
        template: "quaymaster://tools",
        tool: "find_tools",
        title: "Tools",
        about: "Every tool with toolset, effect and permissions, and whether it is listed or why not.",
    },
    Kind {
        template: "quaymaster://audit",
        tool: "read_audit_log",
        title: "Own calls",
        about: "What you called and how it ended, as read_audit_log shows it.",
    },
    Kind {
        template: "docker://{host}/containers",
        tool: "list_containers",
        title: "Containers of a host",
        about: "Every container of a host, as list_containers shows them; docker://containers means the default host.",
    },
    Kind {
        template: "docker-logs://{host}/{container}",
        tool: "container_logs",
        title: "Logs of a container",
        about: "The last 100 lines; an empty host means the default one.",
    },
    Kind {
        template: "docker-stats://{host}/{container}",
        tool: "container_stats",
        title: "Statistics of a container",
        about: "CPU, memory, network and block I/O, now; an empty host means the default one.",
    },
];

impl Kind {
    /// The name of one about the gateway itself, which has no placeholder.
    fn own_name(&self) -> Option<&'static str> {
        self.template.strip_prefix("quaymaster://")
    }
}

/// As many tools as can be asked for at once.
const MOST_TOOLS: usize = 200;
/// How many hosts are listed one by one; beyond that the template has to do.
const LISTED_HOSTS: usize = 15;

/// The resources that have no placeholder, and the containers of each host.
pub(super) fn list(gateway: &Gateway) -> Vec<Resource> {
    let hosts = gateway.fleet().configs();
    let listed = if hosts.len() <= LISTED_HOSTS { hosts } else { &[] };
    let mut resources = Vec::new();
    for kind in kinds(gateway) {
        if let Some(name) = kind.own_name() {
            resources.push(Resource::new(kind.template, name).with_title(kind.title).with_description(kind.about));
        } else if kind.tool == "list_containers" {
            resources.extend(listed.iter().map(|host| {
                Resource::new(format!("docker://{}/containers", host.name), format!("containers of {}", host.name))
                    .with_title(format!("Containers of {}", host.name))
            }));
        }
    }
    resources.into_iter().map(|resource| resource.with_mime_type("application/json")).collect()
}

/// The resources with placeholders.
pub(super) fn templates(gateway: &Gateway) -> Vec<ResourceTemplate> {
    kinds(gateway)
        .filter(|kind| kind.own_name().is_none())
        .map(|kind| ResourceTemplate::new(kind.template, kind.tool).with_title(kind.title).with_description(kind.about))
        .collect()
}

/// Reads a resource: a call of the tool behind it.
pub(super) async fn read(
    gateway: &Arc<Gateway>,
    uri: String,
    caller: Caller,
    cancelled: CancellationToken,
) -> Result<ReadResourceResult> {
    let (tool, arguments) = target(gateway, &uri)?;
    let request = Request { cancelled, ..Request::new(caller, tool, arguments) };
    let answer = gateway.call(request).await.map_err(|failure| match failure {
        Failure::UnknownTool(_) => unknown(&uri),
        Failure::Tool(error) => error,
        Failure::Asked { .. } => Error::internal("a resource asked for an approval"),
    })?;
    let contents = match answer.structured {
        Some(fields) => ResourceContents::text(serde_json::Value::Object(fields).to_string(), uri)
            .with_mime_type("application/json"),
        None => ResourceContents::text(answer.text, uri),
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The kinds whose tool was not denied.
fn kinds(gateway: &Gateway) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| gateway.catalogue().find(kind.tool).is_ok())
}

/// The call that an address stands for.
fn target(gateway: &Gateway, uri: &str) -> Result<(&'static str, Json)> {
    let (scheme, rest) = uri.split_once("://").ok_or_else(|| unknown(uri))?;
    let decoded = percent_decode_str(rest).decode_utf8().map_err(|_| unknown(uri))?;
    let (authority, path) = decoded.split_once('/').unwrap_or((&decoded, ""));
    let host =
        if authority.is_empty() { gateway.fleet().default_host()?.config().name.clone() } else { authority.to_owned() };
    let (tool, arguments) = match (scheme, authority, path) {
        ("quaymaster", "hosts", "") => ("list_hosts", Vec::new()),
        ("quaymaster", "tools", "") => ("find_tools", vec![("limit", MOST_TOOLS.into())]),
        ("quaymaster", "audit", "") => ("read_audit_log", Vec::new()),
        ("docker", "containers", "") => {
            let host = gateway.fleet().default_host()?.config().name.clone();
            ("list_containers", vec![("host", host.into()), ("all", true.into())])
        }
        ("docker", _, "containers") => ("list_containers", vec![("host", host.into()), ("all", true.into())]),
        ("docker-logs", _, container) if !container.is_empty() => {
            ("container_logs", vec![("host", host.into()), ("container", container.into())])
        }
        ("docker-stats", _, container) if !container.is_empty() => {
            ("container_stats", vec![("host", host.into()), ("containers", vec![container].into())])
        }
        _ => return Err(unknown(uri)),
    };
    Ok((tool, arguments.into_iter().map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)).collect()))
}

fn unknown(uri: &str) -> Error {
    let known: Vec<&str> = KINDS.iter().map(|kind| kind.template).collect();
    Error::not_found(format!("there is no resource {}", quote(uri))).hint(format!("resources: {}", known.join(", ")))
}
