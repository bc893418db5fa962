//! `check`: proves the configuration and every connection, and says how to mend what fails.

mod mend;
mod probe;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use futures_util::{StreamExt, stream};
use serde::{Serialize, Serializer};

use probe::Probed;

use super::{Paint, Screen, exit, screen::Cell, usage};
use crate::{
    docker::{Health, Host, twins},
    error::{Error, Result},
    gateway::Gateway,
    redact,
    tool::text::count,
};

/// What one host may take: a little beyond the 5 s of connecting, which tells more about what is wrong.
const PATIENCE: Duration = Duration::from_millis(5_300);
/// How many hosts are asked at once.
const AT_ONCE: usize = 256;

/// What `check` takes.
#[derive(Args)]
pub(super) struct Check {
    /// Names of hosts, or tag:NAME; all hosts if none is given
    #[arg(value_name = "HOST")]
    chosen: Vec<String>,
    /// Also finds out whether each endpoint itself refuses writes: asks it to start a container that does not exist,
    /// on (ro) hosts too. Agents see the result in the list of hosts
    #[arg(long)]
    probe_guard: bool,
}

/// What was found, in the words of `--json`.
#[derive(Serialize)]
struct Report {
    origin: String,
    warnings: Vec<String>,
    hosts: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    host: String,
    ok: bool,
    mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    limits: Vec<(&'static str, String)>,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    probed: Option<Probed>,
    #[serde(skip)]
    id: Option<String>,
}

#[derive(Serialize)]
struct Wrong {
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Check {
    pub(super) async fn run(self, gateway: &Arc<Gateway>, screen: &Screen, json: bool) -> Result<ExitCode> {
        let hosts = self.chosen(gateway).map_err(|error| usage(&error))?;
        let look = async |host: Arc<Host>| {
            let mut finding = prove(&host).await;
            if self.probe_guard {
                let probed = if finding.ok { probe::probe(gateway, &host).await } else { Probed::unanswered() };
                finding.probed = Some(probed);
            }
            finding
        };
        let findings: Vec<Finding> = stream::iter(hosts).map(look).buffered(AT_ONCE).collect().await;
        let failed = findings.iter().any(|finding| !finding.ok);
        let mut report = Report::new(gateway, findings);
        report.keep(gateway);
        if json {
            screen.print_json(&report)?;
        } else {
            screen.print(&report.text(screen))?;
        }
        Ok(exit(failed))
    }

    fn chosen(&self, gateway: &Gateway) -> Result<Vec<Arc<Host>>> {
        if self.chosen.is_empty() {
            return Ok(gateway.fleet().all());
        }
        let mut chosen: Vec<Arc<Host>> = Vec::new();
        for scope in &self.chosen {
            for host in gateway.fleet().scope(scope)? {
                if !chosen.iter().any(|known| Arc::ptr_eq(known, &host)) {
                    chosen.push(host);
                }
            }
        }
        Ok(chosen)
    }
}

/// Settings and what they are, in their own order.
fn as_map<S: Serializer>(limits: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(limits.iter().map(|(setting, value)| (setting, value)))
}

/// Connects, asks who answers, and reads one document as every tool does.
async fn prove(host: &Arc<Host>) -> Finding {
    let late = |_| Err(Error::timeout("the daemon answers a ping, but did not tell its state within 5 s"));
    let answer = tokio::time::timeout(PATIENCE, host.reading().info(PATIENCE)).await.unwrap_or_else(late);
    let config = host.config();
    let engine = host.engine().filter(|_| answer.is_ok());
    let Health { latency, .. } = host.health();
    Finding {
        host: config.name.clone(),
        ok: answer.is_ok(),
        mode: config.mode.as_str(),
        limits: config.limits.differences(config.mode, &config.endpoint),
        endpoint: config.endpoint.to_string(),
        engine: engine.as_ref().and_then(|engine| engine.version.clone()),
        api: engine.as_ref().map(|engine| engine.api.to_string()),
        latency_ms: latency.filter(|_| answer.is_ok()).map(|time| (time.as_secs_f64() * 10_000.0).round() / 10.0),
        id: engine.and_then(|engine| engine.id),
        error: answer.err().map(|error| Wrong {
            kind: error.kind().as_str(),
            mend: mend::of(&config.endpoint, &error).map(|mend| redact::shown(&mend)),
            message: redact::shown(error.message()),
            detail: error.detail_text().map(redact::shown),
        }),
        probed: None,
    }
}

impl Report {
    fn new(gateway: &Gateway, hosts: Vec<Finding>) -> Self {
        let ids = hosts.iter().filter_map(|finding| Some((finding.host.as_str(), finding.id.as_deref()?)));
        let warnings = gateway.config().warnings.iter().cloned().chain(twins(ids)).collect();
        Self { origin: gateway.config().origin.clone(), warnings, hosts }
    }

    /// Keeps what probes found; where that fails, the person is told.
    fn keep(&mut self, gateway: &Gateway) {
        let config = |name: &str| gateway.fleet().configs().iter().find(|config| config.name == name);
        let found: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|finding| Some((config(&finding.host)?, finding.probed.as_ref()?.result()?)))
            .collect();
        if found.is_empty() {
            return;
        }
        if let Err(error) = gateway.probes().keep(&found, jiff::Timestamp::now()) {
            let detail = error.detail_text().map(|detail| format!(": {detail}")).unwrap_or_default();
            self.warnings.push(format!("{error}{detail}"));
        }
    }

    fn text(&self, screen: &Screen) -> String {
        let show = |text: &str| screen.out.show(&text.replace('\n', " ")).into_owned();
        let rows: Vec<Vec<Cell>> = self.hosts.iter().map(Finding::row).collect();
        let mut lines = vec![screen.table(&["", "HOST", "MODE", "ENGINE", "API", "LATENCY", "ENDPOINT"], &rows)];
        let before = lines.len();
        for finding in self.hosts.iter().filter(|finding| !finding.limits.is_empty()) {
            let limits = finding.limits.iter().map(|(setting, value)| format!("{setting}: {value}"));
            let limits = limits.collect::<Vec<_>>().join("; ");
            lines.push(format!("{}: {}", screen.out.paint(Paint::Bold, &finding.host), show(&limits)));
        }
        if lines.len() > before {
            lines.push(String::new());
        }
        for finding in &self.hosts {
            let Some(wrong) = &finding.error else { continue };
            lines.push(format!("{}: {}", screen.out.paint(Paint::Red, &finding.host), show(&wrong.message)));
            for (word, what) in [("detail:", &wrong.detail), ("mend:", &wrong.mend)] {
                if let Some(what) = what.as_ref().filter(|what| !what.is_empty()) {
                    lines.push(format!("  {} {}", screen.out.paint(Paint::Bold, word), show(what)));
                }
            }
            lines.push(String::new());
        }
        let probed = self.hosts.iter().filter_map(|finding| Some((&finding.host, finding.probed.as_ref()?)));
        lines.extend(
            probed.map(|(host, probed)| format!("{}: {}", screen.out.paint(Paint::Bold, host), show(&probed.line()))),
        );
        let mark = screen.out.paint(Paint::Yellow, "warning:");
        lines.extend(self.warnings.iter().map(|warning| format!("{mark} {}", show(warning))));
        let failed = self.hosts.iter().filter(|finding| !finding.ok).count();
        let (total, origin) = (count(self.hosts.len(), "host"), show(&self.origin));
        lines.push(match failed {
            0 => format!("{total} from {origin}: all answer"),
            _ => format!("{total} from {origin}: {} ok, {failed} failed", self.hosts.len() - failed),
        });
        lines.join("\n")
    }
}

impl Finding {
    fn row(&self) -> Vec<Cell> {
        let status = if self.ok { Cell("ok".into(), Paint::Green) } else { Cell("fail".into(), Paint::Red) };
        vec![
            status,
            self.host.clone().into(),
            self.mode.into(),
            self.engine.clone().unwrap_or_default().into(),
            self.api.clone().unwrap_or_default().into(),
            self.latency_ms.map(|latency| format!("{latency:.1} ms")).unwrap_or_default().into(),
            self.endpoint.clone().into(),
        ]
    }
}
