//! The change of one container for another, step by step, and the way back from every step.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::kept::text;
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Kind, Result},
    tool::{Call, Json, Object, Progress},
    tools::{
        logs::last_lines,
        view::{clipped, items},
    },
};

/// How long the engine may take for one step.
const STEP: Duration = Duration::from_secs(60);
/// The longest grace of a container that is waited for, in seconds.
const GRACE: u64 = 600;
/// How long a container may take to become healthy, at most and at least.
const HEALTHY: (u64, u64) = (600, 30);
/// How long a container without a health check has to run.
const STEADY: Duration = Duration::from_secs(2);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a step on the way back is tried, and how long between two times.
const TRIES: (usize, Duration) = (3, Duration::from_secs(2));
/// What all of it may take, the way back included.
pub(super) const LONGEST: Duration = Duration::from_secs(GRACE + HEALTHY.0 + 30 * 60);
/// The engine's times are in billionths of a second.
const SECOND: u64 = 1_000_000_000;
/// What is done, in so many steps.
const STEPS: usize = 6;

/// What is sent to make the new container.
pub(super) struct Order {
    /// Its name, where it is another one.
    pub(super) name: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) body: Json,
    /// Networks that are connected one by one, and its place in each.
    pub(super) further: Vec<(String, Value)>,
}

/// The new container.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) warnings: Vec<String>,
}

/// One container on its way out.
pub(super) struct Swap<'a> {
    docker: &'a Docker,
    old: &'a Object,
    call: &'a Call,
}

/// What it is called while it is replaced.
pub(super) fn aside(old: &Object) -> String {
    format!("{}-before-{}", old.name, old.id.get(..8).unwrap_or_default())
}

/// `running`, `running, healthy`.
pub(super) fn state(container: &Object) -> String {
    match (text(&container.facts, "/State/Status"), text(&container.facts, "/State/Health/Status")) {
        (status, "" | "none") => status.to_owned(),
        (status, health) => format!("{status}, {health}"),
    }
}

impl<'a> Swap<'a> {
    pub(super) fn new(docker: &'a Docker, old: &'a Object, call: &'a Call) -> Self {
        Self { docker, old, call }
    }

    fn ran(&self) -> bool {
        self.old.is("/State/Running") || self.old.is("/State/Restarting")
    }

    /// Puts the new one in the old one's place; on any failure the old one is what it was.
    ///
    /// # Errors
    /// What failed, and what became of the old one.
    pub(super) async fn replace(&self, order: &Order) -> Result<Made> {
        let mut made = None;
        match self.steps(order, &mut made).await {
            Ok(made) => Ok(made),
            Err(error) => Err(self.back(made, error).await),
        }
    }

    async fn steps(&self, order: &Order, made: &mut Option<String>) -> Result<Made> {
        self.tell(0, "puts the old one aside");
        self.rename(&aside(self.old)).await?;
        self.tell(1, "makes the new one");
        let new = self.create(order).await?;
        *made = Some(new.id.clone());
        for (network, endpoint) in &order.further {
            let body = json!({"Container": new.id, "EndpointConfig": endpoint});
            self.write(Target::new(format!("/networks/{network}/connect")), Some(&body), STEP).await?;
        }
        // What did not run is made anew and stays as it was.
        if self.ran() {
            self.tell(2, "stops the old one");
            let grace = self.old.fact("/Config/StopTimeout").and_then(Value::as_u64).unwrap_or(10).min(GRACE);
            let stop = Target::new(format!("/containers/{}/stop", self.old.id));
            self.write(stop, None, STEP + Duration::from_secs(grace)).await?;
            self.tell(3, "starts the new one");
            self.start(&new.id).await?;
            self.tell(4, "waits until it runs and is healthy");
            self.watch(&new.id).await?;
        }
        Ok(new)
    }

    /// Removes the old one; what is worth knowing about it.
    pub(super) async fn finish(&self) -> Option<String> {
        self.tell(5, "removes the old one");
        let removed = self.remove(&self.old.id, false).await;
        let mut notes: Vec<String> = Vec::new();
        if !self.ran() {
            notes.push("it was not started, as the old one did not run".to_owned());
        }
        if self.old.is("/State/Paused") {
            notes.push("the old one was paused".to_owned());
        }
        if let Err(error) = removed {
            notes.push(format!("the old one remains, stopped, as {}: {}", quote(&aside(self.old)), error.message()));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    async fn create(&self, order: &Order) -> Result<Made> {
        let name = order.name.as_deref().unwrap_or(&self.old.name);
        let mut target = Target::new("/containers/create").query("name", name);
        if let Some(platform) = &order.platform {
            target = target.query("platform", platform);
        }
        let answer = self.write(target, Some(&Value::Object(order.body.clone())), STEP).await?;
        let id = text(&answer, "/Id").to_owned();
        if id.is_empty() {
            return Err(Error::docker("the daemon made a container and does not say which"));
        }
        self.docker.made(&id);
        let warnings = items(&answer, "Warnings").filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Made { id, warnings })
    }

    /// Waits until a container runs and is healthy.
    async fn watch(&self, id: &str) -> Result<()> {
        let mut steady: Option<Instant> = None;
        let mut limit = Duration::from_secs(HEALTHY.1);
        let (started, mut missed) = (Instant::now(), 0);
        loop {
            let container = match self.docker.container("container", id).await {
                Ok(container) => container,
                Err(error) if error.kind() == Kind::NotFound => {
                    return Err(Error::docker("the new container ended and is gone"));
                }
                // A look that fails says nothing about the container.
                Err(error) => {
                    missed += 1;
                    if missed > TRIES.0 {
                        return Err(error);
                    }
                    sleep(TRIES.1).await;
                    continue;
                }
            };
            limit = limit.max(time_to_be_healthy(&container));
            match judge(&container) {
                Look::Healthy => return Ok(()),
                Look::Runs if steady.get_or_insert_with(Instant::now).elapsed() >= STEADY => return Ok(()),
                Look::Runs | Look::Starting if started.elapsed() < limit => {}
                Look::Runs | Look::Starting => {
                    let error = format!("the new container was not healthy within {} s", limit.as_secs());
                    return Err(self.with_words(&container, error).await);
                }
                Look::Failed(how) => return Err(self.with_words(&container, format!("the new container {how}")).await),
            }
            sleep(PAUSE).await;
        }
    }

    /// What a container said before it goes.
    async fn with_words(&self, container: &Object, mut error: String) -> Error {
        let probes = items(container.fact("/State/Health").unwrap_or(&Value::Null), "Log");
        if let Some(probe) = probes.last().map(|probe| text(probe, "/Output").trim()).filter(|text| !text.is_empty()) {
            error = format!("{error}; its health check said: {}", clipped(probe, 200));
        }
        let lines = last_lines(self.docker, container, 5).await.unwrap_or_default();
        if !lines.is_empty() {
            error = format!("{error}; its last lines: {}", lines.join(" / "));
        }
        Error::docker(error)
    }

    /// Removes the new one and gives the old one its name and its state back.
    async fn back(&self, made: Option<String>, error: Error) -> Error {
        self.tell(STEPS - 1, "brings the old one back");
        let name = quote(&self.old.name);
        let mut left = Vec::new();
        if let Some(id) = &made
            && let Err(error) = again(|| self.remove(id, true)).await
        {
            left.push(format!("the new one could not be removed ({}): remove_container", error.message()));
        }
        // First that it runs, then what it is called: every step is taken, whatever became of the others.
        if self.ran()
            && let Err(error) = again(|| self.revive()).await
        {
            left.push(format!("{name} could not be started again ({}): start_container", error.message()));
        }
        if let Err(error) = again(|| self.rename_back()).await {
            let aside = quote(&aside(self.old));
            left.push(format!("{name} is still called {aside} ({}): rename_container", error.message()));
        }
        let why = error.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
        match left.as_slice() {
            [] if self.ran() => error.hint(format!("the old container {name} is back and running{why}")),
            [] => error.hint(format!("the old container {name} is as it was{why}")),
            left => error.hint(format!("look at it now: {}{why}", left.join("; "))),
        }
    }

    async fn revive(&self) -> Result<()> {
        self.start(&self.old.id).await?;
        let now = self.docker.container("container", &self.old.id).await?;
        if self.old.is("/State/Paused") && !now.is("/State/Paused") {
            self.write(Target::new(format!("/containers/{}/pause", self.old.id)), None, STEP).await?;
        }
        Ok(())
    }

    async fn rename_back(&self) -> Result<()> {
        let now = self.docker.container("container", &self.old.id).await?;
        if now.name == self.old.name { Ok(()) } else { self.rename(&self.old.name).await }
    }

    async fn rename(&self, name: &str) -> Result<()> {
        let target = Target::new(format!("/containers/{}/rename", self.old.id)).query("name", name);
        self.write(target, None, STEP).await.map(drop)
    }

    async fn start(&self, id: &str) -> Result<()> {
        self.write(Target::new(format!("/containers/{id}/start")), None, STEP).await.map(drop)
    }

    /// Its volumes stay, those without a name too: the other container has them.
    async fn remove(&self, id: &str, force: bool) -> Result<()> {
        let mut target = Target::new(format!("/containers/{id}")).patient(STEP);
        if force {
            target = target.query("force", "1");
        }
        match limited(self.docker.write(Method::DELETE, target, None), STEP).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }

    async fn write(&self, target: Target, body: Option<&Value>, limit: Duration) -> Result<Value> {
        limited(self.docker.write(Method::POST, target.patient(limit), body), limit).await
    }

    fn tell(&self, done: usize, what: &str) {
        #[expect(clippy::cast_precision_loss, reason = "there are six steps")]
        let number = |count: usize| count as f64;
        self.call.progress(Progress { done: number(done), total: Some(number(STEPS)), message: what.to_owned() });
    }
}

/// A step that ends in any case: a call that is cut off at its deadline would not come to its way back.
async fn limited<T>(step: impl Future<Output = Result<T>>, limit: Duration) -> Result<T> {
    timeout(limit + TRIES.1, step)
        .await
        .unwrap_or_else(|_| Err(Error::timeout(format!("the daemon did not do its part within {} s", limit.as_secs()))))
}

/// A step on the way back, tried more than once where the daemon was not there for it.
async fn again<F: Future<Output = Result<()>>>(step: impl Fn() -> F) -> Result<()> {
    let mut tried = 1;
    loop {
        match step().await {
            Err(error) if tried < TRIES.0 && !matches!(error.kind(), Kind::Denied | Kind::Invalid) => {
                tried += 1;
                sleep(TRIES.1).await;
            }
            done => return done,
        }
    }
}

/// What a look at the new container shows.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Healthy,
    Runs,
    Starting,
    Failed(String),
}

fn judge(container: &Object) -> Look {
    let number = |pointer: &str| container.fact(pointer).and_then(Value::as_i64).unwrap_or_default();
    let health = text(&container.facts, "/State/Health/Status");
    if container.is("/State/Restarting") || number("/RestartCount") > 0 {
        // While it runs again, the engine has no exit code to tell.
        let code = number("/State/ExitCode");
        let code = if container.is("/State/Running") { String::new() } else { format!(" with exit code {code}") };
        return Look::Failed(format!("ended{code} and is started again and again"));
    }
    if !container.is("/State/Running") {
        return Look::Failed(format!("ended with exit code {}", number("/State/ExitCode")));
    }
    match health {
        "healthy" => Look::Healthy,
        "unhealthy" => Look::Failed("runs and is unhealthy".to_owned()),
        "starting" => Look::Starting,
        _ => Look::Runs,
    }
}

/// How long its health check may take to come to a verdict.
fn time_to_be_healthy(container: &Object) -> Duration {
    let check = container.fact("/Config/Healthcheck").unwrap_or(&Value::Null);
    let of = |field: &str, usual: u64| match check.get(field).and_then(Value::as_u64) {
        None | Some(0) => usual,
        Some(given) => given,
    };
    let once = of("Interval", 30 * SECOND).saturating_add(of("Timeout", 30 * SECOND));
    let all = of("StartPeriod", 0).saturating_add(once.saturating_mul(of("Retries", 3) + 1));
    Duration::from_secs((all / SECOND).clamp(HEALTHY.1, HEALTHY.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::ObjectKind;

    fn container(facts: Value) -> Object {
        Object::listed(ObjectKind::Container, "0123456789ab".into(), "web".into(), facts)
    }

    #[test]
    fn a_container_is_good_when_it_runs_and_nothing_says_otherwise() {
        let look = |state: Value, restarts: u32| judge(&container(json!({"State": state, "RestartCount": restarts})));
        assert_eq!(look(json!({"Running": true}), 0), Look::Runs);
        assert_eq!(look(json!({"Running": true, "Health": {"Status": "none"}}), 0), Look::Runs);
        assert_eq!(look(json!({"Running": true, "Health": {"Status": "healthy"}}), 0), Look::Healthy);
        assert_eq!(look(json!({"Running": true, "Health": {"Status": "starting"}}), 0), Look::Starting);
        for (state, restarts) in [
            (json!({"Running": false, "ExitCode": 1}), 0),
            (json!({"Running": true, "Restarting": true}), 0),
            (json!({"Running": true}), 1),
            (json!({"Running": true, "Health": {"Status": "unhealthy"}}), 0),
        ] {
            assert!(matches!(look(state.clone(), restarts), Look::Failed(_)), "{state}");
        }
    }

    #[test]
    fn a_health_check_has_the_time_that_it_takes() {
        let seconds =
            |check: Value| time_to_be_healthy(&container(json!({"Config": {"Healthcheck": check}}))).as_secs();
        assert_eq!(seconds(Value::Null), 240);
        assert_eq!(seconds(json!({"Interval": 1_000_000_000, "Timeout": 1_000_000_000, "Retries": 1})), 30);
        assert_eq!(
            seconds(json!({"Interval": 60_000_000_000_u64, "Retries": 2, "StartPeriod": 10_000_000_000_u64})),
            280
        );
        assert_eq!(seconds(json!({"Interval": u64::MAX})), 600);
    }

    #[test]
    fn what_is_put_aside_is_found_again() {
        assert_eq!(aside(&container(Value::Null)), "web-before-01234567");
    }
}
