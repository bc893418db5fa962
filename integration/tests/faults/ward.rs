//! A gateway with two hosts: `ill`, to which things happen, and `well`, which has to keep answering meanwhile.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quaymaster::{
    config::Environment,
    gateway::{Failure, Gateway, Request},
    tool::Answer,
};
use serde_json::{Map, Value, json};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::rig::{Link, Reply, Rig, environment, lab};

/// How long a recovery may take: a breaker that was open for half a minute, and a little.
const RECOVERY: Duration = Duration::from_secs(45);

/// Both hosts behind one gateway.
pub struct Ward {
    pub rig: Rig,
}

/// A call that goes on while the test does something else.
pub struct Running {
    call: JoinHandle<Result<Answer, Failure>>,
    pub cancelled: CancellationToken,
}

impl Ward {
    /// A host at an endpoint, beside the lab's local one.
    pub fn with(endpoint: &str) -> Self {
        Self::for_person(environment(), endpoint)
    }

    /// The same for a person with a home of their own.
    pub fn for_person(environment: Environment, endpoint: &str) -> Self {
        let specs = [format!("ill={endpoint}"), format!("well={}", Link::Unix.endpoint())];
        Self { rig: Rig::among(environment, &specs) }
    }

    /// Calls a tool on the host to which things happen.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.rig.call(tool, on("ill", arguments).into()).await
    }

    /// The same without waiting for it.
    pub fn begin(&self, tool: &str, arguments: Value) -> Running {
        let gateway = self.rig.gateway.clone();
        let request = Request::new(gateway.caller("test"), tool, on("ill", arguments));
        let cancelled = request.cancelled.clone();
        Running { call: tokio::spawn(async move { gateway.call(request).await }), cancelled }
    }

    /// Lists every container; answers their names.
    pub async fn list(&self) -> Result<Vec<String>, String> {
        list(&self.rig.gateway, "ill", json!({"all": true})).await
    }

    /// Starts a container that runs a script; answers its name.
    pub async fn run(&self, suffix: &str, script: &str) -> String {
        let name = self.rig.name(suffix);
        let command = ["sh", "-c", script];
        self.call("run_container", json!({"image": lab("LAB_IMAGE"), "name": name, "command": command})).await.ok();
        name
    }

    /// Waits until the host answers again, with nothing done to the gateway but what an agent may do.
    pub async fn recovers(&self) {
        let end = Instant::now() + RECOVERY;
        loop {
            // Refused when it was done a moment ago.
            self.call("reconnect_host", json!({})).await;
            match self.list().await {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < end, "no recovery within {RECOVERY:?}: {error}"),
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Watches the other host from now on.
    pub fn witness(&self) -> Witness {
        let (gateway, over) = (self.rig.gateway.clone(), CancellationToken::new());
        let done = over.clone();
        let watch = tokio::spawn(async move {
            let mut answers = Vec::new();
            loop {
                let started = Instant::now();
                let answer = list(&gateway, "well", json!({"name": "of-nobody"})).await;
                answers.push(answer.map(|_| started.elapsed()));
                if done.is_cancelled() {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
            answers
        });
        Witness { watch, over }
    }
}

/// Looks whether the other host keeps answering.
pub struct Witness {
    watch: JoinHandle<Vec<Result<Duration, String>>>,
    over: CancellationToken,
}

impl Witness {
    /// It always did, and never waited for the host that does not.
    pub async fn saw_no_trouble(self) {
        self.over.cancel();
        let answers = self.watch.await.expect("the witness");
        let times: Vec<Duration> = answers.into_iter().map(|answer| answer.expect("the other host answers")).collect();
        // What the ill host makes its callers wait for is 5 s at the least.
        let slowest = times.iter().max().expect("it was asked");
        assert!(*slowest < Duration::from_secs(4), "the other host took {slowest:?}");
    }
}

impl Running {
    /// Its answer, which must come within a limit.
    #[track_caller]
    pub fn within(self, limit: Duration) -> impl Future<Output = Reply> {
        let here = std::panic::Location::caller();
        async move {
            let ended = timeout(limit, self.call).await.unwrap_or_else(|_| panic!("not within {limit:?}: {here}"));
            Reply::of(ended.expect("the call"))
        }
    }
}

/// An error that names the host and has one of these kinds; answers its message.
#[track_caller]
pub fn told(error: &Value, kinds: &[&str]) -> String {
    assert_eq!(error["host"], "ill", "{error}");
    assert!(kinds.contains(&error["kind"].as_str().unwrap_or_default()), "{error}");
    // The words of an engine speak for themselves.
    assert!(error["kind"] == "docker" || error["hint"].is_string(), "it says what to do next: {error}");
    error["message"].as_str().expect("a message").to_owned()
}

/// The names that a list answers, over all its pages.
pub async fn list(gateway: &Arc<Gateway>, host: &str, filter: Value) -> Result<Vec<String>, String> {
    let mut arguments = on(host, filter);
    let mut names = Vec::new();
    loop {
        let request = Request::new(gateway.caller("test"), "list_containers", arguments.clone());
        let answer = gateway.call(request).await.map_err(|failure| format!("{failure:?}"))?;
        let listed = Value::Object(answer.structured.ok_or("no structured answer")?);
        if listed["hosts"][0]["status"] != "ok" {
            return Err(listed["hosts"].to_string());
        }
        let rows = listed["containers"].as_array().ok_or("no rows")?;
        names.extend(rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)));
        let Some(cursor) = listed.get("cursor") else { return Ok(names) };
        arguments.insert("cursor".into(), cursor.clone());
    }
}

fn on(host: &str, arguments: Value) -> Map<String, Value> {
    let Value::Object(mut arguments) = arguments else { panic!("arguments are an object") };
    arguments.insert("host".into(), host.into());
    arguments
}
