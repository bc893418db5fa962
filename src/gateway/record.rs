//! What is noted of one call while it runs, and its two lines in the audit.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
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
    secret::random,
    tool::{Answer, Effect, Json, Permissions},
};

/// One call: its opening line is written once it was decided, or at its end if it never was.
pub(super) struct Record {
    started: Instant,
    state: Mutex<State>,
}

struct State {
    opening: Opening,
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
            hosts: Vec::new(),
            effect: None,
            permissions: None,
            decision: None,
            rule: None,
            arguments: masked(&request.arguments),
        };
        Self { started: Instant::now(), state: Mutex::new(State { opening, opened: false, closed: false }) }
    }

    /// Notes which hosts it is for.
    pub(super) fn hosts(&self, hosts: &[Arc<Host>]) {
        self.state().opening.hosts = hosts.iter().map(|host| host.config().name.clone()).collect();
    }

    /// Notes its parsed arguments.
    pub(super) fn arguments(&self, arguments: &Json) {
        self.state().opening.arguments = masked(arguments);
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
        let (outcome, error, bytes) = match outcome {
            Ok(answer) => {
                let structured =
                    answer.structured.as_ref().map(|fields| Value::Object(fields.clone()).to_string().len());
                ("ok".to_owned(), None, answer.text.len() + structured.unwrap_or_default())
            }
            Err(Failure::UnknownTool(error) | Failure::Tool(error)) => {
                let detail = error.detail_text().map(|detail| format!(": {detail}")).unwrap_or_default();
                (error.kind().as_str().to_owned(), Some(redact::shown(&format!("{error}{detail}"))), 0)
            }
            Err(Failure::Asked { .. }) => ("asked".to_owned(), None, 0),
        };
        let (call, caller) = {
            let state = self.state();
            (state.opening.call.clone(), state.opening.caller.clone())
        };
        audit.close(Closing { call, caller, outcome, error, took: self.started.elapsed(), bytes }).await;
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
            state.opening.clone()
        };
        audit.open(opening, synced).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Arguments as they may be written down.
fn masked(arguments: &Json) -> Value {
    let mut document = Value::Object(arguments.clone());
    redact::document(&mut document, &redact::Reveal::default());
    redact::texts(&mut document);
    document
}

/// A random id of a call.
fn id() -> String {
    // An id only tells calls apart.
    format!("{:016x}", u64::from_be_bytes(random().unwrap_or_default()))
}
