//! The whole surface, found from a small list: which tool does what is wanted, and how it is called.

mod ranking;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Gateway, OwnTool};
use crate::{
    docker::{Host, names::quote},
    error::{Error, Result, nearest},
    gateway::{
        caller::Caller,
        catalogue::{Entry, groups},
        decision::facts,
        policy::{self, Decision},
    },
    tool::{
        Call, Effect, Json, Permission, Summary,
        text::{count, first_sentence},
    },
};
use ranking::Ranking;

/// How many tools are shown with their schemas when nothing is said.
const FEW: usize = 5;
/// How many are shown without, when nothing is looked for.
const MANY: usize = 30;
/// How many further ones are named.
const FURTHER: usize = 24;
/// The most bytes of the tools that are shown whole; one tool never takes half of it.
const ROOM: usize = 5_200;

/// Finds tools, those that are not listed too, and answers their input schemas.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindTools {
    /// In a few words. Default: every tool, without schemas.
    #[serde(default)]
    query: Option<String>,
    /// Only of this toolset, such as `swarm`.
    #[serde(default)]
    toolset: Option<String>,
    /// Their worst effect.
    #[serde(default)]
    effect: Option<Worst>,
    /// The most tools. Default: 5, without a query 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Worst {
    Read,
    Mutate,
    Destroy,
}

impl Worst {
    const fn effect(self) -> Effect {
        match self {
            Self::Read => Effect::Read,
            Self::Mutate => Effect::Mutate,
            Self::Destroy => Effect::Destroy,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Found {
    tools: Vec<Row>,
    /// Further ones that fit, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more: Vec<&'static str>,
    #[serde(skip)]
    matched: usize,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    name: &'static str,
    toolset: &'static str,
    /// The worst, and in brackets the mildest where that differs.
    effect: String,
    /// What it may need beside `read`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<&'static str>,
    /// Whether the list of tools has it; otherwise `why` says why not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    listed: bool,
    /// The tool to call it through.
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<&'static str>,
    /// Why it is not listed: `toolset`, the rule by which no host allows it, or the program that is missing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<Json>,
}

impl Summary for Found {
    fn summary(&self) -> String {
        if self.matched == 0 {
            return "no tool fits: say it in other words, or leave the query out".to_owned();
        }
        let through = if self.tools.iter().any(|row| row.through.is_some()) {
            "; what is not listed is called through the tool that it names, with name and arguments"
        } else {
            ""
        };
        let more = if self.more.is_empty() { "" } else { "; ask for one by its name to see its schema" };
        let fit = if self.matched == 1 { "fits" } else { "fit" };
        format!("{} {fit}{through}{more}", count(self.matched, "tool"))
    }
}

impl OwnTool for FindTools {
    const NAME: &'static str = "find_tools";
    const CORE: bool = true;
    type Output = Found;

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, _: &Caller, _: &Call) -> Result<Found> {
        let toolset = self.toolset.as_deref().map(known).transpose()?;
        let fits = |entry: &&Entry| {
            toolset.is_none_or(|toolset| entry.toolset == toolset)
                && self.effect.is_none_or(|worst| entry.card.access.effect == worst.effect())
        };
        let query = self.query.as_deref().map(str::trim).filter(|query| !query.is_empty());
        let entries: Vec<&Entry> = gateway.catalogue.entries().collect();
        let found: Vec<&Entry> = match query {
            Some(query) => Ranking::new(&entries).search(query).into_iter().filter(fits).collect(),
            None => entries.into_iter().filter(fits).collect(),
        };
        let most = self.limit.unwrap_or(if query.is_some() { FEW } else { MANY });
        let (matched, mut room) = (found.len(), ROOM);
        let (mut tools, mut more) = (Vec::new(), Vec::new());
        for entry in found {
            let row = Row::of(entry, gateway, query.is_some());
            let size = serde_json::to_string(&row).map_or(0, |text| text.len());
            // Without a query the caller has asked for as many as there are.
            if tools.len() < most && (query.is_none() || size <= room) {
                room = room.saturating_sub(size);
                tools.push(row);
            } else if query.is_none() || more.len() < FURTHER.min(2 * most) {
                more.push(entry.card.name);
            }
        }
        Ok(Found { tools, more, matched })
    }
}

impl Row {
    fn of(entry: &Entry, gateway: &Gateway, whole: bool) -> Self {
        let (card, access) = (&entry.card, entry.card.access);
        let listed = gateway.catalogue.lists(card.name);
        let refused = if listed { None } else { refused(entry, gateway) };
        let through = if access.effect == Effect::Read { "read_tool" } else { "call_tool" };
        let callable = !listed && refused.is_none() && gateway.catalogue.lists(through);
        let is_described = whole && refused.is_none();
        Self {
            name: card.name,
            toolset: entry.toolset,
            effect: if access.mildest == access.effect {
                access.effect.to_string()
            } else {
                format!("{} [{}]", access.effect, access.mildest)
            },
            permissions: access
                .at_most
                .iter()
                .filter(|permission| *permission != Permission::Read)
                .map(Permission::as_str)
                .collect(),
            listed,
            through: (whole && callable).then_some(through),
            why: (!listed).then(|| refused.unwrap_or_else(|| "toolset".to_owned())),
            about: whole
                .then(|| if is_described { card.about().to_owned() } else { first_sentence(card.about()).to_owned() }),
            input_schema: is_described.then(|| entry.input_schema(&gateway.config)),
        }
    }
}

/// Why even the mildest call of a tool cannot be made: the rule and the reason of the first host where no host allows
/// it, or what has to be installed.
fn refused(entry: &Entry, gateway: &Gateway) -> Option<String> {
    let access = entry.card.access;
    let mut first = None;
    for host in gateway.fleet.all() {
        match policy::decide(&facts(entry, &host, access.mildest, access.always)) {
            Decision::Deny { rule, reason, .. } => drop(first.get_or_insert(format!("{rule}: {reason}"))),
            Decision::Allow | Decision::Ask(_) => {
                return gateway.catalogue.missing(&entry.card).map(|error| {
                    let hint = error.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
                    format!("program: {error}{hint}")
                });
            }
        }
    }
    first
}

/// A toolset that exists.
fn known(name: &str) -> Result<&'static str> {
    let names = || groups().map(|group| group.name);
    names().find(|known| *known == name).ok_or_else(|| {
        let hint = nearest(name, names()).map_or_else(
            || format!("toolsets: {}", names().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        Error::invalid(format!("argument \"toolset\": there is no toolset {}", quote(name))).hint(hint)
    })
}

/// The words of a schema: the names of its properties, and what is said about them.
fn arguments(schema: &Json) -> impl Iterator<Item = (&str, &str)> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, property)| {
        (name.as_str(), property.get("description").and_then(Value::as_str).unwrap_or_default())
    })
}
