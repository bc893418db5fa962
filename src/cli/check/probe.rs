//! `check --probe-guard`: whether endpoints themselves refuse writes; the one write that no policy decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Mode,
    docker::{Host, probe::Enforcement},
    error::{Error, Result},
    gateway::{
        Gateway,
        audit::{Closing, Opening},
    },
    redact,
    secret::random,
    tool::{Effect, Permission, Permissions},
};

/// What connecting, looking and asking may take together.
const PATIENCE: Duration = Duration::from_secs(15);
/// How an audit names it.
const NAME: &str = "check --probe-guard";

/// What was found about one host.
#[derive(Serialize)]
pub(super) struct Probed {
    enforcement: Enforcement,
    meaning: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Probed {
    /// What is worth keeping: what is not known changes nothing.
    pub(super) fn result(&self) -> Option<Enforcement> {
        Some(self.enforcement).filter(|enforcement| *enforcement != Enforcement::Unknown)
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("enforcement {}: {}{detail}", self.enforcement.as_str(), self.meaning)
    }

    /// A host that did not answer is not probed.
    pub(super) fn unanswered() -> Self {
        Self::open(&Error::unreachable("the host did not answer"))
    }

    fn open(error: &Error) -> Self {
        Self {
            enforcement: Enforcement::Unknown,
            meaning: format!("{}; what was found before stays", error.message()),
            detail: error.detail_text().map(str::to_owned),
        }
    }

    fn of(enforcement: Enforcement, mode: Mode) -> Self {
        let meaning = match (enforcement, mode) {
            (Enforcement::Endpoint, _) => "the endpoint itself refused to start a container".to_owned(),
            (_, Mode::Rw) => "the endpoint lets writes through, as the host allows".to_owned(),
            (_, mode) => format!(
                "the endpoint lets writes through: only Quaymaster holds ({}); \"quaymaster proxy-config\" closes it",
                mode.as_str()
            ),
        };
        Self { enforcement, meaning, detail: None }
    }
}

/// Probes one host; the write is in the audit before it leaves, or it does not leave.
pub(super) async fn probe(gateway: &Gateway, host: &Arc<Host>) -> Probed {
    match audited(gateway, host).await {
        Ok(enforcement) => Probed::of(enforcement, host.config().mode),
        Err(error) => Probed::open(&error),
    }
}

async fn audited(gateway: &Gateway, host: &Host) -> Result<Enforcement> {
    let (started, caller) = (Instant::now(), gateway.caller("command line"));
    let hosts = vec![host.config().name.clone()];
    let call = format!("{:016x}", u64::from_ne_bytes(random()?));
    let opening = Opening {
        call: call.clone(),
        caller: caller.clone(),
        tool: NAME.to_owned(),
        via: None,
        hosts: hosts.clone(),
        effect: Some(Effect::Mutate),
        permissions: Some(Permissions::of(&[Permission::Lifecycle])),
        decision: Some("allow"),
        rule: Some("the person's own probe".to_owned()),
        arguments: Value::Null,
    };
    gateway.audit().open(opening, true).await?;
    let late = |_| Err(Error::timeout(format!("the endpoint did not answer within {} s", PATIENCE.as_secs())));
    let found = tokio::time::timeout(PATIENCE, host.probe_guard()).await.unwrap_or_else(late);
    let (outcome, error) = match &found {
        Ok(_) => ("ok".to_owned(), None),
        Err(error) => (error.kind().as_str().to_owned(), Some(error.message().to_owned())),
    };
    let detail = found.as_ref().err().and_then(|error| error.detail_text().map(redact::shown));
    let (tool, elapsed) = (NAME.to_owned(), started.elapsed());
    gateway.audit().close(Closing { call, caller, tool, hosts, outcome, error, detail, took: elapsed, bytes: 0 }).await;
    found
}
