//! Which hosts a call is for: reads default to the first, writes must name one.

use std::sync::Arc;

use super::{Gateway, caller::Caller, catalogue::Entry};
use crate::{
    docker::{Host, names::quote},
    error::{Error, Result},
    tool::{Effect, HostArgument, Json, schema},
};

impl Gateway {
    /// Takes `host` off the arguments: reads default to the first host, writes must name one, plans carry theirs.
    pub(super) fn hosts_of(&self, entry: &Entry, arguments: &mut Json, caller: &Caller) -> Result<Vec<Arc<Host>>> {
        let card = &entry.card;
        if card.host == HostArgument::None {
            return Ok(Vec::new());
        }
        if card.host == HostArgument::Planned {
            let given: Json = schema::parse(arguments.clone(), card.input())?;
            let plan = given.get("plan").and_then(serde_json::Value::as_str).unwrap_or_default();
            return Ok(vec![self.fleet.host(&self.means.plans.host_of(&caller.principal, plan)?)?]);
        }
        let given = match arguments.remove("host") {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(name)) => Some(name),
            Some(other) => {
                return Err(Error::invalid(format!(
                    "argument \"host\" must be a string, not {}",
                    quote(&other.to_string())
                ))
                .hint("give the name of one host; list_hosts shows them"));
            }
        };
        match (card.host, given) {
            (HostArgument::Fleet { .. }, Some(scope)) => self.fleet.scope(&scope),
            (HostArgument::Fleet { whole: true }, None) => Ok(self.fleet.all()),
            (_, Some(name)) if name == "all" || name.starts_with("tag:") => {
                Err(Error::invalid(format!("argument \"host\": {} takes one host, not {}", card.name, quote(&name)))
                    .hint("call it once for each host"))
            }
            (_, Some(name)) => Ok(vec![self.fleet.host(&name)?]),
            (_, None) if card.access.effect == Effect::Read || self.fleet.configs().len() == 1 => {
                Ok(vec![self.fleet.default_host()?])
            }
            (_, None) => Err(Error::invalid(format!(
                "argument \"host\" is missing: {} {}",
                card.name,
                card.access.effect.verb()
            ))
            .hint(format!("name the host to act on; {}", self.names()))),
        }
    }

    fn names(&self) -> String {
        let configs = self.fleet.configs();
        if configs.len() > 15 {
            return "list_hosts shows them".to_owned();
        }
        format!("hosts: {}", configs.iter().map(|config| config.name.as_str()).collect::<Vec<_>>().join(", "))
    }
}
