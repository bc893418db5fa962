//! What the policy says of a call that is planned and not made.

use std::sync::Arc;

use super::{
    Gateway,
    body::Finding,
    caller::Caller,
    catalogue::Run,
    decision::{Verdict, facts},
    forward::Routed,
    policy::{self, Decision},
};
use crate::{
    docker::Host,
    error::{Error, Result},
    tool::{Call, Effect, Json, Permissions},
};

/// What the policy says of a call that is not made.
#[derive(Debug)]
pub struct Explained {
    /// The tool.
    pub tool: &'static str,
    /// The host, of a call that is for one.
    pub host: Option<String>,
    /// What the call would do.
    pub effect: Effect,
    /// What it would need.
    pub permissions: Permissions,
    /// The names of the objects it would act on.
    pub objects: Vec<String>,
    /// What the policy says.
    pub decision: Decision,
    /// What would pass, but not in silence.
    pub notes: Vec<Finding>,
}

impl Gateway {
    /// What the policy says of a call, which is planned but not made.
    ///
    /// # Errors
    /// Those that the call would have before its decision: unknown tool, wrong arguments, missing objects.
    pub async fn explain(&self, tool: &str, arguments: Json, caller: &Caller) -> Result<Explained> {
        let found = self.catalogue.find(tool).map_err(|error| {
            let hint = error.hint_text().unwrap_or_default().to_owned();
            Error::invalid(format!("argument \"tool\": {error}")).hint(hint)
        })?;
        let Routed { entry, mut arguments, .. } = self.routed(found, arguments)?;
        let (tool, access) = (entry.card.name, entry.card.access);
        let hosts = self.hosts_of(&entry, &mut arguments, caller)?;
        let host = hosts.first().filter(|_| hosts.len() == 1);
        let early = |host: &Arc<Host>| policy::decide(&facts(&entry, host, access.mildest, access.always));
        let beyond = || policy::beyond(tool, access.effect, entry.ceiling).unwrap_or_else(|| self.granted(&entry));
        let mut explained = Explained {
            tool,
            host: host.map(|host| host.config().name.clone()),
            effect: access.mildest,
            permissions: access.always,
            objects: Vec::new(),
            decision: host.map_or_else(beyond, early),
            notes: Vec::new(),
        };
        let parse = match entry.run {
            Run::One(parse) => parse,
            Run::Fleet(parse) => return parse(arguments, entry.card.input()).map(|_| explained),
            Run::Hostless(parse) => return parse(arguments, entry.card.input()).map(|_| explained),
            Run::Own(parse) => return parse(arguments, entry.card.input()).map(|_| explained),
            Run::Forward { .. } => return Err(Error::internal("a call that carries another one was not taken apart")),
        };
        let parsed = parse(arguments, entry.card.input())?;
        self.catalogue.missing(&entry.card).map_or(Ok(()), Err)?;
        if let (Some(host), Decision::Allow | Decision::Ask(_)) = (host, &explained.decision) {
            let call = Call::new(tool, Arc::new(|_| {}), self.means.clone(), self.cursors.clone());
            let call = call.of(&caller.principal).bound(
                entry.card.name,
                [host.config().name.as_str()].into_iter(),
                &parsed.arguments(),
            );
            let planned = async {
                let plan = parsed.plan(&host.reading(), &call).await?;
                let verdict = self.decide(&entry, host, &plan).await?;
                Ok((plan, verdict))
            };
            let planned = planned.await.map_err(|error: Error| error.on(&host.config().name))?;
            let (plan, Verdict { decision, findings }) = planned;
            explained.effect = plan.effect;
            explained.permissions = plan.permissions;
            explained.objects =
                plan.objects.iter().map(|object| format!("{} {}", object.kind.as_str(), object.name)).collect();
            explained.decision = decision;
            explained.notes = findings.into_iter().filter(Finding::is_noted).collect();
        }
        Ok(explained)
    }
}
