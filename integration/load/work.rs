//! What one of the callers does: reads, writes, calls that are taken back, calls that make no sense; one after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Soak,
    chance::Chance,
    client::Outcome,
    ledger::{LABEL, State},
    tally::{Ended, GONE, Hope},
};

/// The hosts that are real.
pub(crate) const REAL: [&str; 3] = ["local", "staging", "prod"];
/// The containers that are always there, on every real host.
pub(crate) const STEADY: [&str; 2] = ["soak-steady-1", "soak-steady-2"];

/// One of the callers.
pub(crate) struct Caller {
    soak: Arc<Soak>,
    chance: Chance,
}

impl Caller {
    pub(crate) fn new(soak: Arc<Soak>, chance: Chance) -> Self {
        Self { soak, chance }
    }

    /// Calls until the end.
    pub(crate) async fn work(mut self) {
        while Instant::now() < self.soak.end {
            match self.chance.below(100) {
                0..=67 => self.read().await,
                68..=79 => self.live().await,
                80..=85 => self.exec().await,
                86..=88 => self.pull().await,
                89..=93 => self.ask_the_silent().await,
                _ => self.talk_nonsense().await,
            }
        }
    }

    async fn read(&mut self) {
        let host = *self.chance.of(&REAL);
        let container = *self.chance.of(&STEADY);
        let seconds = 1 + self.chance.below(3);
        let (tool, mut arguments) = match self.chance.below(100) {
            0..=17 => ("list_containers", json!({"all": true})),
            18..=21 => ("list_containers", json!({"host": "all"})),
            22..=33 => ("inspect_container", json!({"container": container})),
            34..=45 => ("container_logs", json!({"container": container, "grep": "status=50[0-9]", "tail": 20})),
            46..=50 => ("container_logs", json!({"container": container, "tail": 5, "follow_for": seconds})),
            51..=57 => ("container_stats", json!({"containers": [container]})),
            58..=63 => ("events", json!({"since": "2m", "follow_for": seconds, "limit": 20})),
            64..=67 => ("events", json!({"since": "5m", "limit": 50})),
            68..=73 => ("survey_hosts", json!({"host": "all", "detail": "all"})),
            74..=79 => ("list_hosts", json!({})),
            80..=84 => ("find", json!({"host": "all", "query": "soak-steady"})),
            85..=87 => ("disk_usage", json!({})),
            88..=93 => ("list_images", json!({})),
            94..=96 => ("list_networks", json!({})),
            _ => ("info", json!({})),
        };
        let is_of_host = tool != "list_hosts";
        let scope = arguments.get("host").is_some();
        if is_of_host && !scope {
            arguments["host"] = json!(host);
        }
        let named = if is_of_host && !scope { host } else { "all" };
        let started = Instant::now();
        let timed = matches!(tool, "list_containers" | "inspect_container") && named != "all";
        let outcome = self.call(tool, named, arguments, started, timed).await;
        if let (true, Outcome::Done(answer)) = (scope, &outcome) {
            self.every_well_host_answered(tool, answer, started);
        }
    }

    /// An answer about all hosts has every one of them that is well, whatever the others do.
    fn every_well_host_answered(&self, tool: &str, answer: &Value, started: Instant) {
        let now = Instant::now();
        let hosts = answer.pointer("/structuredContent/hosts").and_then(Value::as_array);
        for host in REAL.into_iter().filter(|host| !self.soak.tally.suffers(host, started, now)) {
            let row = hosts.into_iter().flatten().find(|row| row["host"] == host);
            let status = row.and_then(|row| row["status"].as_str()).unwrap_or("missing");
            // A container that restarts or ended badly is no failure of its host.
            if !matches!(status, "ok" | "degraded") {
                let row = row.map(Value::to_string).unwrap_or_default();
                self.soak.tally.broken(format!("{tool} of all hosts: {host} is {status}: {row}"));
            }
        }
    }

    /// A container's life: run, two commands, stopped, removed.
    async fn live(&mut self) {
        let host = *self.chance.of(&REAL);
        let number = self.soak.ledger.begin(host);
        let begun = Instant::now();
        let arguments = json!({
            "host": host, "image": self.soak.image, "command": ["sleep", "900"], "init": true,
            "labels": {LABEL: number.to_string()},
        });
        let outcome = self.call("run_container", host, arguments, begun, false).await;
        let id = match &outcome {
            Outcome::Done(answer) => answer.pointer("/structuredContent/id").and_then(Value::as_str),
            _ => None,
        };
        let Some(id) = id else { return };
        self.soak.ledger.set(number, State::Made);
        let container = json!([id]);
        for turn in 0..2 {
            let script = format!("echo {number}-{turn} >>/tmp/soak; echo written");
            self.call_exec(host, id, &script, begun).await;
        }
        let script = "sort /tmp/soak | uniq -d | sed 's/^/twice: /'; echo looked";
        if let Outcome::Done(answer) = self.call_exec(host, id, script, begun).await {
            let text = answer.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
            if text.contains("twice: ") || !text.contains("looked") {
                self.soak.tally.broken(format!("commands in {id} on {host}: {text}"));
            }
        }
        self.call("stop_container", host, json!({"host": host, "containers": container, "grace": 0}), begun, false)
            .await;
        self.soak.ledger.set(number, State::Unknown);
        let arguments = json!({"host": host, "containers": container, "force": true});
        if let Outcome::Done(_) = self.call("remove_container", host, arguments, begun, false).await {
            self.soak.ledger.set(number, State::Removed);
        }
    }

    async fn exec(&mut self) {
        let (host, container) = (*self.chance.of(&REAL), *self.chance.of(&STEADY));
        let script = match self.chance.below(3) {
            0 => "for i in $(seq 1 400); do echo line $i of some output; done",
            1 => "sleep 2; echo slept",
            _ => "cat /etc/passwd; echo problem >&2; exit 3",
        };
        self.call_exec(host, container, script, Instant::now()).await;
    }

    async fn call_exec(&mut self, host: &'static str, container: &str, script: &str, since: Instant) -> Outcome {
        let arguments = json!({"host": host, "container": container, "shell": script, "timeout": 20});
        self.call("exec_in_container", host, arguments, since, false).await
    }

    async fn pull(&mut self) {
        let host = *self.chance.of(&REAL);
        let arguments = json!({"host": host, "image": self.soak.pulled});
        self.call("pull_image", host, arguments, Instant::now(), false).await;
    }

    async fn ask_the_silent(&mut self) {
        let host = *self.chance.of(&["dead", "hung"]);
        let (tool, arguments) = match self.chance.below(3) {
            0 => ("list_containers", json!({"host": host})),
            1 => ("container_logs", json!({"host": host, "container": "web", "grep": "x"})),
            _ => ("stop_container", json!({"host": host, "containers": ["web"]})),
        };
        let started = Instant::now();
        let outcome = self.soak.client.call(tool, arguments, None).await;
        self.note(tool, host, Hope::Nothing, started, started, &outcome, false);
    }

    async fn talk_nonsense(&mut self) {
        let host = *self.chance.of(&REAL);
        let call = |name: &str, arguments: Value| ("tools/call", json!({"name": name, "arguments": arguments}));
        let (method, params) = match self.chance.below(10) {
            0 => call("no_such_tool", json!({})),
            1 => call("list_containers", json!({"host": host, "no_such_argument": 1})),
            2 => call("list_containers", json!({"host": "nowhere"})),
            3 => call("inspect_container", json!({"host": host, "container": "../../version"})),
            4 => call("list_containers", json!([1, 2])),
            5 => ("tools/call", json!({})),
            6 => call("stop_container", json!({"containers": ["x"]})),
            7 => ("no/such/method", json!({})),
            8 => call("container_logs", json!({"host": host, "container": "soak-steady-1", "grep": "(["})),
            _ => {
                // Its answer has no id: they are counted at the end.
                self.soak.garbage();
                self.soak.client.line("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\"").await.ok();
                return;
            }
        };
        let started = Instant::now();
        let outcome = self.soak.client.request(method, params, None).await;
        self.note("nonsense", host, Hope::Refusal, started, started, &outcome, false);
    }

    /// A call, one in ten of them taken back after a moment.
    async fn call(
        &mut self,
        tool: &'static str,
        host: &'static str,
        arguments: Value,
        since: Instant,
        timed: bool,
    ) -> Outcome {
        let take_back = (self.chance.below(10) == 0).then(|| Duration::from_millis(self.chance.below(300)));
        let started = Instant::now();
        let steady = STEADY.into_iter().find(|name| named(&arguments).any(|other| other == *name));
        let outcome = self.soak.client.call(tool, arguments, take_back).await;
        let since = match (&outcome, steady) {
            (Outcome::Failed { kind, .. }, Some(name))
                if GONE.contains(&kind.as_str()) && !self.runs(host, name).await =>
            {
                self.soak.begun
            }
            _ => since,
        };
        self.note(tool, host, Hope::Answer, since, started, &outcome, timed);
        outcome
    }

    /// Whether an engine itself says that a container runs: one that was killed may take long to bring it back.
    async fn runs(&self, host: &str, container: &str) -> bool {
        let Some(engine) = self.soak.engines.iter().find(|engine| engine.host == host) else { return true };
        let state = engine.ask("GET", &format!("/containers/{container}/json")).await;
        state.is_ok_and(|state| state["State"]["Status"] == "running")
    }

    #[expect(clippy::too_many_arguments, reason = "it only puts them together")]
    fn note(
        &self,
        tool: &'static str,
        host: &'static str,
        hope: Hope,
        since: Instant,
        started: Instant,
        outcome: &Outcome,
        timed: bool,
    ) {
        self.soak.tally.note(&Ended { tool, host, hope, since, started, outcome, timed });
    }
}

/// The containers that a call names.
fn named(arguments: &Value) -> impl Iterator<Item = &str> {
    let several = arguments["containers"].as_array().into_iter().flatten();
    several.chain([&arguments["container"]]).filter_map(Value::as_str)
}
