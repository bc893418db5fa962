//! What is noted of one call while it runs, and its two lines in the audit.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Failure, Request,
    audit::{Audit, Closing, Opening},
};
use crate::{
    docker::Host,
    error::Result,
    redact,
    secret::{SCHEME, random},
    tool::{Answer, Effect, Json, Permissions},
};

/// One call: its opening line is written once it was decided, or at its end if it never was.
pub(super) struct Record {
    started: Instant,
    stage: AtomicU8,
    state: Mutex<State>,
}

/// The arguments whose values are those of variables.
const VARIABLES: [&str; 2] = ["env", "build_args"];
/// Nothing but reads was sent.
const BEFORE: u8 = 0;
/// What changes an engine may have been sent.
const BEGUN: u8 = 1;
/// It was taken back in time.
const STOPPED: u8 = 2;

struct State {
    opening: Opening,
    /// As they came, until the opening line is written: masking them is dear, and is done once.
    arguments: Json,
    opened: bool,
    closed: bool,
}

impl Record {
    /// The record of a request, before anything was looked at.
    pub(super) fn new(request: &Request) -> Self {
        let opening = Opening {
            call: id(),
            caller: request.caller.clone(),
            tool: redact::shown(&request.tool).chars().take(64).collect(),
            via: None,
            hosts: Vec::new(),
            effect: None,
            permissions: None,
            decision: None,
            rule: None,
            arguments: Value::Null,
        };
        Self {
            started: Instant::now(),
            stage: AtomicU8::new(BEFORE),
            state: Mutex::new(State { opening, arguments: request.arguments.clone(), opened: false, closed: false }),
        }
    }

    /// Says that a change may be sent from now on; `false` when the call was taken back before.
    pub(super) fn begins(&self) -> bool {
        self.stage.compare_exchange(BEFORE, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes the call back; `false` when a change may have been sent already.
    pub(super) fn stops(&self) -> bool {
        self.stage.compare_exchange(BEFORE, STOPPED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// What is left of a time that began when the call was received.
    pub(super) fn left_of(&self, time: Duration) -> Duration {
        time.saturating_sub(self.started.elapsed())
    }

    /// The names of the hosts that it is for.
    pub(super) fn named_hosts(&self) -> Vec<String> {
        self.state().opening.hosts.clone()
    }

    /// Notes that it came through another tool, and what it is really of.
    pub(super) fn came(&self, via: &'static str, tool: &str, arguments: &Json) {
        let mut state = self.state();
        state.opening.via = Some(via);
        tool.clone_into(&mut state.opening.tool);
        state.arguments.clone_from(arguments);
    }

    /// Notes which hosts it is for.
    pub(super) fn hosts(&self, hosts: &[Arc<Host>]) {
        self.state().opening.hosts = hosts.iter().map(|host| host.config().name.clone()).collect();
    }

    /// Notes its parsed arguments.
    pub(super) fn arguments(&self, arguments: Json) {
        self.state().arguments = arguments;
    }

    /// Notes that it is refused before it comes to a plan; its lines are written at its end.
    pub(super) fn denied(&self, effect: Effect, permissions: Permissions, rule: &str) {
        let mut state = self.state();
        state.opening.effect = Some(effect);
        state.opening.permissions = Some(permissions);
        state.opening.decision = Some("deny");
        state.opening.rule = Some(rule.to_owned());
    }

    /// Writes that it may happen. A call that changes something has its line on the disk when this returns.
    ///
    /// # Errors
    /// `denied` for such a call when the line cannot be written.
    pub(super) async fn allowed(
        &self,
        audit: &Audit,
        effect: Effect,
        permissions: Permissions,
        rule: Option<String>,
    ) -> Result<()> {
        let written = self.open(audit, Some((effect, permissions, "allow", rule)), effect != Effect::Read).await;
        if effect == Effect::Read { Ok(()) } else { written }
    }

    /// Writes that it may not, or not yet.
    pub(super) async fn refused(
        &self,
        audit: &Audit,
        effect: Effect,
        permissions: Permissions,
        decision: &'static str,
        rule: &str,
    ) {
        self.open(audit, Some((effect, permissions, decision, Some(rule.to_owned()))), false).await.ok();
    }

    /// Writes how it ended, once.
    pub(super) async fn end(&self, audit: &Audit, outcome: Result<&Answer, &Failure>) {
        if std::mem::replace(&mut self.state().closed, true) {
            return;
        }
        self.open(audit, None, false).await.ok();
        let mut closing = {
            let Opening { call, caller, tool, hosts, .. } = self.state().opening.clone();
            let (outcome, took) = ("ok".to_owned(), self.started.elapsed());
            Closing { call, caller, tool, hosts, outcome, error: None, detail: None, took, bytes: 0 }
        };
        match outcome {
            Ok(answer) => {
                closing.bytes = answer.bytes();
            }
            Err(Failure::UnknownTool(error) | Failure::Tool(error)) => {
                error.kind().as_str().clone_into(&mut closing.outcome);
                closing.error = Some(redact::shown(error.message()));
                closing.detail = error.detail_text().map(redact::shown);
            }
            Err(Failure::Asked { .. }) => "asked".clone_into(&mut closing.outcome),
        }
        audit.close(closing).await;
    }

    async fn open(
        &self,
        audit: &Audit,
        decided: Option<(Effect, Permissions, &'static str, Option<String>)>,
        synced: bool,
    ) -> Result<()> {
        let opening = {
            let mut state = self.state();
            if std::mem::replace(&mut state.opened, true) {
                return Ok(());
            }
            if let Some((effect, permissions, decision, rule)) = decided {
                state.opening.effect = Some(effect);
                state.opening.permissions = Some(permissions);
                state.opening.decision = Some(decision);
                state.opening.rule = rule;
            }
            let arguments = masked(std::mem::take(&mut state.arguments));
            Opening { arguments, ..state.opening.clone() }
        };
        audit.open(opening, synced).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Arguments as they may be written down.
fn masked(mut arguments: Json) -> Value {
    let variables: Vec<_> =
        VARIABLES.iter().filter_map(|name| Some((*name, arguments.get_mut(*name).map(Value::take)?))).collect();
    let mut document = Value::Object(arguments);
    redact::document(&mut document, &redact::Reveal::default());
    redact::texts(&mut document);
    for (name, mut variables) in variables {
        if let Some(place) = document.get_mut(name) {
            mask(&mut variables);
            *place = variables;
        }
    }
    document
}

/// Masks the value of every variable, whatever shape a caller gave to them; a secret that is only named stays.
fn mask(variables: &mut Value) {
    match variables {
        Value::Object(fields) => {
            for value in fields.values_mut() {
                let named = value.as_str().is_some_and(|text| text.starts_with(SCHEME));
                if !named {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    *value = redact::mask(&text).into();
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => *text = redact::variable(text),
        _ => {}
    }
}

/// A random id of a call.
fn id() -> String {
    // An id only tells calls apart.
    format!("{:016x}", u64::from_be_bytes(random().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_variables_are_masked_in_any_shape() {
        let secret = "hunter2hunter2";
        for env in [
            json!({"A": secret, "N": 5}),
            json!([format!("A={secret}"), {"A": secret}]),
            json!(format!("A={secret}")),
            json!({"A": {"B": secret}}),
        ] {
            let masked = masked(json!({"env": env}).as_object().unwrap().clone()).to_string();
            assert!(!masked.contains(secret) && masked.contains("<redacted"), "{masked}");
        }
        let both = masked(json!({"env": {"A": secret}, "build_args": {"B": secret}}).as_object().unwrap().clone());
        assert!(!both.to_string().contains(secret), "{both}");
        let named = masked(json!({"env": {"A": "secret://db"}}).as_object().unwrap().clone());
        assert_eq!(named["env"]["A"], "secret://db");
    }
}
