//! Completion of what prompts and resources take: names that exist for the caller, by the lists that are tools.
//!
//! A list that does not come at once completes nothing: whoever types does not wait for a daemon.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{prompts, resources};
use crate::{
    docker::names::quote,
    error::{Error, Result},
    gateway::{Gateway, Request, caller::Caller},
    tool::Json,
};

/// How long a list may take.
const AT_ONCE: Duration = Duration::from_millis(900);
/// How many rows of it are looked at.
const ROWS: usize = 200;

/// Where the values of an argument come from.
enum Values {
    /// The configuration.
    Hosts,
    /// A tool's rows: its name, where they are, their field, and whether it finds names that contain a text.
    Rows { tool: &'static str, rows: &'static str, field: &'static str, finds: bool },
}

impl Values {
    /// By the name of an argument; none for one that takes anything.
    fn of(argument: &str) -> Option<Self> {
        let rows = |tool, rows, field, finds| Some(Self::Rows { tool, rows, field, finds });
        match argument {
            "host" | "left" | "right" => Some(Self::Hosts),
            "container" | "containers" | "source" | "target" => rows("list_containers", "containers", "name", true),
            "project" => rows("list_containers", "containers", "project", false),
            "image" | "images" | "old" | "new" => rows("list_images", "images", "references", false),
            "network" => rows("list_networks", "networks", "name", true),
            "volume" => rows("list_volumes", "volumes", "name", true),
            "service" => rows("list_services", "services", "name", true),
            _ => None,
        }
    }
}

/// The values that an argument could take and that begin with what was typed; then those that contain it.
///
/// # Errors
/// `invalid` for a prompt, a resource or an argument that does not exist.
pub(super) async fn complete(
    gateway: &Arc<Gateway>,
    request: CompleteRequestParams,
    caller: Caller,
    cancelled: CancellationToken,
) -> Result<CompleteResult> {
    let CompleteRequestParams { r#ref: reference, argument, context, .. } = request;
    known(gateway, &reference, &argument.name)?;
    let given = context.and_then(|context| context.arguments).unwrap_or_default();
    let host = given.get("host").filter(|host| !host.is_empty());
    // A name that is to be made is none of those that there are.
    let is_new = matches!(&reference, Reference::Prompt(prompt) if prompt.name == "create_multiarch_manifest");
    let (names, more) = match Values::of(&argument.name).filter(|_| !is_new) {
        None => (BTreeSet::new(), false),
        Some(Values::Hosts) => (gateway.fleet().configs().iter().map(|config| config.name.clone()).collect(), false),
        Some(Values::Rows { tool, rows, field, finds }) => {
            let mut arguments = Json::new();
            arguments.insert("limit".into(), ROWS.into());
            arguments.extend(host.map(|host| ("host".to_owned(), host.as_str().into())));
            if tool == "list_containers" {
                arguments.insert("all".into(), true.into());
            }
            if finds && !argument.value.is_empty() {
                arguments.insert("name".into(), argument.value.as_str().into());
            }
            let request = Request { cancelled, ..Request::new(caller, tool, arguments) };
            listed(gateway, request, rows, field).await
        }
    };
    let typed = argument.value.to_lowercase();
    let begins = |name: &&String| name.to_lowercase().starts_with(&typed);
    let contains = |name: &&String| !begins(name) && name.to_lowercase().contains(&typed);
    let mut values: Vec<String> = names.iter().filter(begins).chain(names.iter().filter(contains)).cloned().collect();
    let total = values.len();
    values.truncate(CompletionInfo::MAX_VALUES);
    let total_known = u32::try_from(total).ok().filter(|_| !more);
    let info = CompletionInfo::with_pagination(values, total_known, more || total > CompletionInfo::MAX_VALUES);
    Ok(CompleteResult::new(info.map_err(|error| Error::internal("a completion is too long").detail(error))?))
}

/// One field of the rows that a tool answers, and whether there are more; nothing where there is no answer in time.
async fn listed(gateway: &Arc<Gateway>, request: Request, rows: &str, field: &str) -> (BTreeSet<String>, bool) {
    let cancelled = request.cancelled.clone();
    let answer = tokio::time::timeout(AT_ONCE, gateway.call(request)).await;
    let Ok(Ok(answer)) = answer else {
        cancelled.cancel();
        return (BTreeSet::new(), false);
    };
    let fields = answer.structured.unwrap_or_default();
    let rows = fields.get(rows).and_then(Value::as_array).into_iter().flatten();
    let names = rows.filter_map(|row| row.get(field)).flat_map(|value| match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        value => value.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    });
    (names.filter(|name| !name.is_empty()).collect(), fields.contains_key("cursor"))
}

/// Refuses what is completed for nothing that exists.
fn known(gateway: &Gateway, reference: &Reference, argument: &str) -> Result<()> {
    let (what, name, known) = match reference {
        Reference::Prompt(prompt) => {
            let prompts = prompts::list(gateway);
            let found = prompts.into_iter().find(|known| known.name == prompt.name);
            let has = |known: rmcp::model::Prompt| {
                known.arguments.unwrap_or_default().iter().any(|known| known.name == argument)
            };
            ("prompt", &prompt.name, found.map(has))
        }
        Reference::Resource(resource) => {
            let templates = resources::templates(gateway);
            let found = templates.into_iter().find(|known| known.uri_template == resource.uri);
            (
                "resource template",
                &resource.uri,
                found.map(|known| known.uri_template.contains(&format!("{{{argument}}}"))),
            )
        }
        _ => {
            return Err(Error::invalid("what is completed is neither a prompt nor a resource template")
                .hint("complete the prompts and templates that their lists show"));
        }
    };
    match known {
        Some(true) => Ok(()),
        Some(false) => Err(Error::invalid(format!("{what} {} has no argument {}", quote(name), quote(argument)))
            .hint("complete the arguments that the lists of prompts and templates show")),
        None => Err(Error::invalid(format!("there is no {what} {}", quote(name)))
            .hint("complete the prompts and templates that their lists show")),
    }
}
