//! How the fleet is, in one answer: totals, then only what is wrong; two requests for each host.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{line, names};
use crate::{
    docker::{Docker, Target, twins},
    error::{Error, Result},
    tool::{Call, FleetTool, HostAnswer, Summary, text::count},
    tools::view::text,
};

/// What a host may take: a little beyond the 5 s of connecting, whose failure is to be remembered.
const PATIENCE: Duration = Duration::from_millis(5_200);
/// When an answer has to have begun: before the whole is given up, so that a silent host is known for one.
const HEADERS: Duration = Duration::from_secs(5);
/// So many containers of a host are named for one problem, the rest is counted.
const NAMED: usize = 5;
/// The longest sentence of a daemon that is repeated, in characters.
const SENTENCE: usize = 140;
/// What the rows of one answer may take, in bytes; the hosts with the worst problems come first.
const ROOM: usize = 14_000;
/// What the names of further hosts may take.
const ROOM_FOR_NAMES: usize = 4_000;

/// Surveys all Docker hosts at once: what is broken and where; totals, then only hosts and containers with a problem.
///
/// Each host has 5 s; one that does not answer is named. Start here for "how is my fleet".
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SurveyHosts {
    /// Which hosts have rows. Default: problems.
    #[serde(default)]
    detail: Detail,
}

/// Which hosts get a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Detail {
    #[default]
    Problems,
    All,
}

/// What one host said.
pub(super) struct Look {
    mode: &'static str,
    since: Option<SystemTime>,
    again: Option<Duration>,
    daemon: Result<Daemon>,
    containers: Result<Containers>,
}

struct Daemon {
    version: String,
    id: String,
    warnings: Vec<String>,
}

#[derive(Default)]
struct Containers {
    running: usize,
    stopped: usize,
    paused: usize,
    failed: usize,
    unhealthy: Vec<String>,
    restarting: Vec<String>,
    dead: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Survey {
    totals: Totals,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<Row>,
    /// Hosts with something wrong that found no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts_not_shown: Option<usize>,
    /// Their names, as far as there is room.
    #[serde(skip_serializing_if = "String::is_empty")]
    not_shown: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ok: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    daemon_warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next: Vec<String>,
}

#[derive(Default, Serialize, JsonSchema)]
struct Totals {
    hosts: usize,
    ok: usize,
    degraded: usize,
    unreachable: usize,
    running: usize,
    stopped: usize,
    unhealthy: usize,
    restarting: usize,
    paused: usize,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    /// `ok`, `degraded`, or the kind of the error.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<usize>,
    /// Stopped ones whose exit code is not zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_with_error: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Calls fail at once until the host is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    tried_again_in_s: Option<u64>,
    #[serde(skip)]
    next: Option<String>,
}

/// What daemons say about themselves, said once with the hosts that say it.
#[derive(Serialize, JsonSchema)]
struct Warning {
    warning: String,
    hosts: String,
}

impl Summary for Survey {
    fn summary(&self) -> String {
        let Totals { hosts, ok, degraded, unreachable, running, stopped, unhealthy, restarting, paused } = self.totals;
        let some = |number: usize, word: &str| if number > 0 { format!(", {number} {word}") } else { String::new() };
        format!(
            "{}: {ok} ok{}{}; {}, {running} running{}{}{}",
            count(hosts, "host"),
            some(degraded, "degraded"),
            some(unreachable, "unreachable"),
            count(running + stopped + restarting + paused, "container"),
            some(unhealthy, "unhealthy"),
            some(restarting, "restarting"),
            some(paused, "paused"),
        )
    }
}

impl FleetTool for SurveyHosts {
    const NAME: &'static str = "survey_hosts";
    const CORE: bool = true;
    const WHOLE_FLEET: bool = true;
    type Part = Look;
    type Output = Survey;

    fn deadline(&self) -> Option<Duration> {
        // `ask` has ended before.
        Some(PATIENCE + Duration::from_millis(300))
    }

    /// Never fails: a host that cannot be asked is what a survey is for.
    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Look> {
        let (info, listed) = tokio::join!(
            in_time(docker.info(HEADERS)),
            in_time(async {
                let list = docker.json(Target::new("/containers/json").query("all", "1").patient(HEADERS)).await?;
                // Counted at once: the lists of many hosts must not be held at the same time.
                Ok(Containers::count(&list))
            })
        );
        Ok(Look {
            mode: docker.config().mode.as_str(),
            since: docker.health().failure.map(|(_, since)| since),
            again: docker.health().tripped.map(|tripped| tripped.again),
            daemon: info.map(|info| Daemon::new(&info)),
            containers: listed,
        })
    }

    fn combine(self, answers: Vec<HostAnswer<Look>>, _: &Call) -> Result<Survey> {
        let mut totals = Totals { hosts: answers.len(), ..Totals::default() };
        let mut ids: Vec<(String, String)> = Vec::new();
        let mut said: Vec<(String, Vec<String>)> = Vec::new();
        let mut rows = Vec::new();
        for HostAnswer { host, answer } in answers {
            let look = answer.unwrap_or_else(|error| Look::failed(&error));
            look.add_to(&mut totals);
            if let Ok(daemon) = &look.daemon {
                ids.push((host.clone(), daemon.id.clone()));
                for warning in &daemon.warnings {
                    match said.iter_mut().find(|(known, _)| known == warning) {
                        Some((_, hosts)) => hosts.push(host.clone()),
                        None => said.push((warning.clone(), vec![host.clone()])),
                    }
                }
            }
            rows.push(look.row(host));
        }
        for row in &rows {
            match row.status {
                "ok" => totals.ok += 1,
                "degraded" => totals.degraded += 1,
                _ => totals.unreachable += 1,
            }
        }
        rows.sort_by_key(|row| match row.status {
            "ok" => 2,
            "degraded" => 1,
            _ => 0,
        });
        let next = rows.iter().filter_map(|row| row.next.clone()).take(4).collect();
        let fine: Vec<String> = rows.iter().filter(|row| row.status == "ok").map(|row| row.host.clone()).collect();
        if self.detail == Detail::Problems {
            rows.retain(|row| row.status != "ok");
            // What ended badly once is history, not a problem of now.
            for row in &mut rows {
                row.stopped_with_error = None;
            }
        }
        let (hosts, left) = fitting(rows);
        let room = left.iter().scan(0, |size, name| {
            *size += name.len() + 2;
            Some(*size)
        });
        let not_shown = names(&left, room.take_while(|size| *size <= ROOM_FOR_NAMES).count());
        // The daemons of a fleet tend to say the same: the rarest is the likeliest to matter.
        said.sort_by_key(|(_, hosts)| hosts.len());
        Ok(Survey {
            totals,
            hosts,
            hosts_not_shown: (!left.is_empty()).then_some(left.len()),
            not_shown,
            ok: if fine.len() > 15 { count(fine.len(), "host") } else { fine.join(", ") },
            daemon_warnings: said
                .into_iter()
                .take(5)
                .map(|(warning, hosts)| Warning { warning, hosts: names(&hosts, NAMED) })
                .collect(),
            warnings: twins(ids.iter().map(|(host, id)| (host.as_str(), id.as_str())).filter(|(_, id)| !id.is_empty())),
            next,
        })
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Err(Error::timeout("the host did not answer within 5 s"));
    tokio::time::timeout(PATIENCE, request).await.unwrap_or_else(late)
}

/// The first rows that find room, and the hosts of those that do not.
fn fitting(mut rows: Vec<Row>) -> (Vec<Row>, Vec<String>) {
    let sizes = rows.iter().scan(0, |size, row| {
        *size += serde_json::to_string(row).map_or(0, |text| text.len());
        Some(*size)
    });
    let shown = sizes.take_while(|size| *size <= ROOM).count();
    let left = rows.drain(shown..).map(|row| row.host).collect();
    (rows, left)
}

impl Daemon {
    fn new(info: &Value) -> Self {
        let warnings = info.get("Warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        Self {
            version: line(text(info, "ServerVersion"), 40),
            id: text(info, "ID").to_owned(),
            warnings: warnings.map(|warning| line(warning.trim_start_matches("WARNING: "), SENTENCE)).collect(),
        }
    }
}

impl Containers {
    fn count(list: &Value) -> Self {
        let mut counts = Self::default();
        for container in list.as_array().into_iter().flatten() {
            let name = container.pointer("/Names/0").and_then(Value::as_str).unwrap_or_else(|| text(container, "Id"));
            let name = line(name.trim_start_matches('/'), 64);
            let status = text(container, "Status");
            match text(container, "State") {
                "running" => counts.running += 1,
                "paused" => counts.paused += 1,
                "restarting" => counts.restarting.push(name.clone()),
                state => {
                    counts.stopped += 1;
                    counts.failed += usize::from(exit_code(status).is_some_and(|code| code != 0));
                    if state == "dead" {
                        counts.dead.push(name.clone());
                    }
                }
            }
            // Before API 1.52 only the words for people tell.
            let health = container.pointer("/Health/Status").and_then(Value::as_str);
            if health == Some("unhealthy") || status.ends_with("(unhealthy)") {
                counts.unhealthy.push(name);
            }
        }
        counts
    }
}

/// The code of `Exited (1) 3 minutes ago`.
fn exit_code(status: &str) -> Option<i64> {
    status.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

impl Look {
    /// A host about which nothing is known but this.
    fn failed(error: &Error) -> Self {
        Self { mode: "", since: None, again: None, daemon: Err(error.clone()), containers: Err(error.clone()) }
    }

    fn add_to(&self, totals: &mut Totals) {
        let Ok(containers) = &self.containers else { return };
        totals.running += containers.running;
        totals.stopped += containers.stopped;
        totals.paused += containers.paused;
        totals.unhealthy += containers.unhealthy.len();
        totals.restarting += containers.restarting.len();
    }

    fn row(self, host: String) -> Row {
        let mut row = Row {
            host,
            status: "ok",
            mode: Some(self.mode).filter(|mode| !mode.is_empty()),
            engine: self
                .daemon
                .as_ref()
                .ok()
                .map(|daemon| daemon.version.clone())
                .filter(|version| !version.is_empty()),
            running: None,
            stopped: None,
            stopped_with_error: None,
            problems: Vec::new(),
            error: None,
            since: None,
            tried_again_in_s: None,
            next: None,
        };
        if let (Err(error), Err(_)) = (&self.containers, &self.daemon) {
            row.status = error.kind().as_str();
            row.error = Some(line(error.message(), SENTENCE));
            row.since = self.since.map(rfc3339);
            row.tried_again_in_s = self.again.map(|again| again.as_secs());
            row.next =
                Some(format!("do not try other ways to {0}; ask the person to run: quaymaster check {0}", row.host));
            return row;
        }
        if let Err(error) = &self.daemon {
            row.problems.push(format!("the daemon's own state cannot be read: {}", line(error.message(), SENTENCE)));
        }
        match &self.containers {
            Err(error) => {
                row.problems.push(format!("its containers cannot be listed: {}", line(error.message(), SENTENCE)));
            }
            Ok(containers) => {
                row.running = Some(containers.running);
                row.stopped = Some(containers.stopped);
                row.stopped_with_error = Some(containers.failed).filter(|failed| *failed > 0);
                let found = [
                    ("restarting", &containers.restarting),
                    ("unhealthy", &containers.unhealthy),
                    ("dead", &containers.dead),
                ];
                for (word, found) in found.into_iter().filter(|(_, found)| !found.is_empty()) {
                    row.problems.push(format!("{word}: {}", names(found, NAMED)));
                }
                row.next = containers.look_closer(&row.host);
            }
        }
        if !row.problems.is_empty() {
            row.status = "degraded";
        }
        row
    }
}

impl Containers {
    /// The call that tells more about the worst of them.
    fn look_closer(&self, host: &str) -> Option<String> {
        if let Some(name) = self.restarting.first() {
            return Some(format!("container_logs(host={host}, container={name}, tail=50)"));
        }
        let name = self.unhealthy.first()?;
        Some(format!("inspect_container(host={host}, container={name}, section=health)"))
    }
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::Output;

    fn healthy(number: usize) -> HostAnswer<Look> {
        let info = json!({"ServerVersion": "26.1.5", "ID": number.to_string(), "Warnings": ["WARNING: No swap limit support"]});
        let list = json!([{"Names": ["/web"], "State": "running", "Status": "Up 3 days (healthy)"}]);
        look(&format!("host-{number:02}"), Ok(&info), Ok(&list))
    }

    fn look(host: &str, info: Result<&Value>, list: Result<&Value>) -> HostAnswer<Look> {
        let answer = Look {
            mode: "rw",
            since: None,
            again: None,
            daemon: info.map(Daemon::new),
            containers: list.map(Containers::count),
        };
        HostAnswer { host: host.into(), answer: Ok(answer) }
    }

    fn survey(detail: Detail, answers: Vec<HostAnswer<Look>>) -> (Value, String) {
        let answer = SurveyHosts { detail }.combine(answers, &Call::alone()).unwrap().answer(None).unwrap();
        (answer.structured.unwrap().into(), answer.text)
    }

    fn crowded() -> Vec<Value> {
        (0..300)
            .map(|number| json!({"Names": [format!("/a-rather-long-container-name-{number:03}")], "State": "restarting", "Status": ""}))
            .collect()
    }

    #[test]
    fn fifty_hosts_with_two_bad_ones_are_a_short_answer() {
        let mut answers: Vec<_> = (0..48).map(healthy).collect();
        let gone = Error::unreachable("the daemon cannot be reached: it did not accept a connection within 5 s");
        answers.push(look("dead", Err(gone.clone()), Err(gone)));
        answers.push(look("sick", Ok(&json!({"ServerVersion": "20.10.24"})), Ok(&crowded().into())));
        let (structured, text) = survey(Detail::Problems, answers);
        assert!(structured.to_string().len() < 4_800 && text.len() < 4_800, "{structured}\n{text}");
        assert_eq!(structured["totals"]["ok"], 48);
        assert_eq!(structured["ok"], "48 hosts");
        let rows: Vec<_> =
            structured["hosts"].as_array().unwrap().iter().map(|row| (&row["host"], &row["status"])).collect();
        assert_eq!(rows, [(&json!("dead"), &json!("unreachable")), (&json!("sick"), &json!("degraded"))]);
        assert!(structured["hosts"][1]["problems"][0].as_str().unwrap().ends_with("-004 and 295 more"), "{structured}");
        assert!(
            text.ends_with("50 hosts: 48 ok, 1 degraded, 1 unreachable; 348 containers, 48 running, 300 restarting"),
            "{text}"
        );
    }

    #[test]
    fn containers_are_counted_by_what_is_wrong() {
        let list = json!([
            {"Names": ["/web"], "State": "running", "Status": "Up 3 minutes (unhealthy)"},
            {"Names": ["/new"], "State": "running", "Status": "Up", "Health": {"Status": "unhealthy"}},
            {"Names": ["/cron"], "State": "exited", "Status": "Exited (0) 1 hour ago"},
            {"Names": ["/job"], "State": "exited", "Status": "Exited (137) 1 hour ago"},
            {"Names": ["/rest"], "State": "paused", "Status": "Up (Paused)"},
            {"Names": ["/x"], "State": "dead", "Status": "Dead"},
            {"State": "a state of the future"},
            "not even an object",
        ]);
        let counts = Containers::count(&list);
        assert_eq!((counts.running, counts.stopped, counts.paused, counts.failed), (2, 5, 1, 1));
        assert_eq!((counts.unhealthy.join(" "), counts.dead.join(" ")), ("web new".into(), "x".into()));
        assert_eq!(exit_code("Exited (-1) now"), Some(-1));
        assert_eq!(exit_code("Created"), None);
    }

    #[test]
    fn half_an_answer_is_an_answer() {
        let denied = Error::denied("the endpoint refuses this");
        let (structured, _) = survey(Detail::Problems, vec![look("proxy", Err(denied), Ok(&json!([])))]);
        assert_eq!(structured["hosts"][0]["status"], "degraded");
        assert_eq!(structured["hosts"][0]["running"], 0);
        assert!(structured["hosts"][0]["problems"][0].as_str().unwrap().contains("refuses"), "{structured}");
    }

    #[test]
    fn daemons_that_say_the_same_are_told_once() {
        let (structured, _) = survey(Detail::Problems, (0..8).map(healthy).collect());
        let said = json!([{"warning": "No swap limit support", "hosts": "host-00, host-01, host-02, host-03, host-04 and 3 more"}]);
        assert_eq!(structured["daemon_warnings"], said);
        assert!(structured.get("hosts").is_none(), "{structured}");
    }

    #[test]
    fn every_host_has_its_row_when_asked() {
        let (structured, _) = survey(Detail::All, (0..50).map(healthy).collect());
        assert_eq!(structured["hosts"].as_array().unwrap().len(), 50);
    }

    #[test]
    fn an_answer_about_a_thousand_hosts_has_an_end() {
        let list: Value = crowded().into_iter().take(20).collect();
        let answers = (0..1000).map(|number| look(&format!("host-{number}"), Ok(&json!({})), Ok(&list))).collect();
        let (structured, text) = survey(Detail::Problems, answers);
        assert!(structured.to_string().len() < 24_000 && text.len() < 24_000);
        let shown = structured["hosts"].as_array().unwrap().len();
        assert_eq!(structured["hosts_not_shown"], 1000 - shown);
    }
}
