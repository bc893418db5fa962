//! A command inside a running container, ended in there when its time is up or its caller is gone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bollard::models::ExecConfig;
use futures_util::future::pending;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::{
    body::{
        arguments,
        variables::{resolved, variables},
        words,
    },
    output::{Output, Transcript},
    redaction::told,
};
use crate::{
    docker::{
        Docker, Target,
        names::{self, quote},
        stream::Duplex,
    },
    error::{Error, Kind, Result},
    redact::Masks,
    secret::{SCHEME, random},
    tool::{Access, BodyKind, Call, Object, Plan, Text},
};

/// How long a command may take when nobody says.
const TIMEOUT: u32 = 30;
/// How many characters are answered when nobody says.
const OUTPUT: usize = 20_000;
/// What creating, ending and asking for the exit code may take beside.
pub(crate) const AROUND: Duration = Duration::from_secs(20);
/// How long the daemon may take to start a command.
const STARTING: Duration = Duration::from_secs(60);
/// How long the ending of a command may take.
const ENDING: Duration = Duration::from_secs(5);
/// How long a command may take to follow a polite signal.
const POLITE: Duration = Duration::from_secs(1);
/// How often is looked whether it has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// By this variable its processes are found again.
const MARK: &str = "QUAYMASTER_EXEC";

/// Signals every process whose environment holds the mark `$1`, with what every shell has built in.
const SIGNAL_MARKED: &str = r#"for process in /proc/[0-9]*; do
  marked=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in *"$1"*) marked=yes ;; esac
    line=
  done 2>/dev/null <"$process/environ"
  [ -z "$marked" ] || kill -"$2" "${process#/proc/}" 2>/dev/null
done
exit 0"#;

/// A command as a call asks for it.
pub(crate) struct Asked<'a> {
    /// The argument that it stands in.
    pub(crate) argument: &'a str,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    pub(crate) stdin: Option<&'a str>,
    pub(crate) user: Option<&'a String>,
    pub(crate) working_dir: Option<&'a String>,
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) privileged: bool,
    /// Seconds.
    pub(crate) timeout: Option<u32>,
    /// Characters of the answer.
    pub(crate) max_output: Option<usize>,
}

/// How long a command may take.
pub(crate) fn limit(timeout: Option<u32>) -> Duration {
    Duration::from_secs(timeout.unwrap_or(TIMEOUT).into())
}

impl Asked<'_> {
    /// What the engine will be asked; secrets are named in it and not said.
    ///
    /// # Errors
    /// `invalid`, naming the argument; `not_found` for a secret that is missing.
    pub(crate) fn body(&self, call: &Call) -> Result<ExecConfig> {
        arguments(self.argument, &self.argv)?;
        let mut env = variables(self.env)?;
        env.push(mark()?);
        let body = ExecConfig {
            attach_stdin: self.stdin.map(|_| true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            cmd: Some(self.argv.clone()),
            env: Some(env),
            user: words("user", self.user)?,
            working_dir: words("working_dir", self.working_dir)?,
            privileged: self.privileged.then_some(true),
            ..Default::default()
        };
        // A secret that is missing ends the call before anything is sent.
        resolved(body.env.clone(), call.secrets())?;
        Ok(body)
    }

    /// Runs what was planned and answers what it wrote, and its exit code.
    ///
    /// # Errors
    /// Those of the daemon.
    pub(crate) async fn run(self, docker: &Docker, plan: &Plan, call: &Call) -> Result<Text> {
        let container = plan.object()?;
        let mut body: ExecConfig = plan.sent()?;
        // What was judged and written down names its secrets; only the engine gets them.
        body.env = resolved(body.env, call.secrets())?;
        let limit = limit(self.timeout);
        let source = format!("container {}", container.name);
        let masks = masks(docker, container, &body, self.env);
        let process = Process::create(docker, &container.id, body).await?;
        let mut guard = Guard(Some(process.clone()));
        let mut streams = process.start().await.inspect_err(|error| {
            // What the daemon refused does not run; whatever else went wrong, it may.
            if !matches!(error.kind(), Kind::Timeout | Kind::Unreachable) {
                guard.release();
            }
        })?;
        let mut transcript = Transcript::new(self.max_output.unwrap_or(OUTPUT), &masks);
        let talk = async {
            tokio::select! {
                // The end of the output is the end; what was not read of the input does not matter.
                () = transcript.read(&mut streams.output) => {}
                () = async {
                    if let Some(text) = self.stdin {
                        streams.input.send(text.as_bytes()).await;
                    }
                    pending::<()>().await;
                } => {}
            }
        };
        let in_time = timeout(limit, talk).await.is_ok();
        let summary = if in_time {
            guard.release();
            match process.exit_code().await? {
                Some(code) => format!("exit code {code}"),
                None => format!("its exit code is not known: it may still run as exec {}", process.id),
            }
        } else {
            let fate = tokio::select! {
                fate = process.end() => fate,
                // What it says at its end belongs to the answer.
                never = async { transcript.read(&mut streams.output).await; pending().await } => never,
            };
            if matches!(fate, Fate::Ended) {
                timeout(POLITE, transcript.read(&mut streams.output)).await.ok();
            }
            guard.release();
            format!("it took longer than {} s; {}", limit.as_secs(), fate.describe(&process.id))
        };
        let Output { text, masked } = transcript.finish();
        Ok(Text { source, body: text, summary: summary + &told(masked) })
    }
}

/// The plan of a command in a container, which has to run.
///
/// # Errors
/// `conflict` where it does not.
pub(crate) fn planned(access: Access, container: Object, body: &ExecConfig) -> Result<Plan> {
    let name = quote(&container.name);
    if !container.is("/State/Running") {
        return Err(Error::conflict(format!("container {name} is not running")).hint("start_container starts it"));
    }
    if container.is("/State/Paused") {
        return Err(Error::conflict(format!("container {name} is paused")).hint("unpause_container lets it go on"));
    }
    Plan::declared(access).on([container]).entering().sending(BodyKind::Exec, body)
}

/// A command in a container.
#[derive(Clone)]
struct Process {
    docker: Docker,
    container: String,
    body: ExecConfig,
    id: String,
}

/// Ends a command whose call was taken back: nobody would hear of it any more.
struct Guard(Option<Process>);

impl Guard {
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (Some(process), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { process.end().await });
        }
    }
}

/// What became of a command whose time was up.
enum Fate {
    Ended,
    Alive,
    NoShell,
}

impl Fate {
    fn describe(&self, id: &str) -> String {
        match self {
            Self::Ended => "it was ended inside the container".to_owned(),
            Self::Alive => format!("it did not follow a signal and still runs as exec {id}"),
            Self::NoShell => format!("the container has no shell to end it with: it still runs as exec {id}"),
        }
    }
}

impl Process {
    async fn create(docker: &Docker, container: &str, body: ExecConfig) -> Result<Self> {
        let created = docker.typed().await?.create_exec(container, body.clone()).await?;
        let id = names::object("exec", &created.id)?.to_owned();
        Ok(Self { docker: docker.clone(), container: container.to_owned(), body, id })
    }

    async fn start(&self) -> Result<Duplex> {
        let target = Target::new(format!("/exec/{}/start", self.id)).patient(STARTING);
        self.docker.duplex(target, Some(&json!({"Detach": false, "Tty": false})), true).await
    }

    /// The exit code, which the daemon notes a moment after the end of the output.
    async fn exit_code(&self) -> Result<Option<i64>> {
        for _ in 0..20 {
            let state = self.state().await?;
            if !is_running(&state) {
                return Ok(state.get("ExitCode").and_then(Value::as_i64));
            }
            sleep(BETWEEN_LOOKS).await;
        }
        Ok(None)
    }

    async fn state(&self) -> Result<Value> {
        self.docker.json(Target::new(format!("/exec/{}/json", self.id))).await
    }

    /// Ends it with a polite signal, then with one that cannot be ignored.
    async fn end(&self) -> Fate {
        let end = async {
            for signal in ["TERM", "KILL"] {
                if !self.signal(signal).await {
                    return Fate::NoShell;
                }
                if timeout(POLITE, self.ended()).await.is_ok() {
                    return Fate::Ended;
                }
            }
            Fate::Alive
        };
        timeout(ENDING, end).await.unwrap_or(Fate::Alive)
    }

    async fn ended(&self) {
        while !matches!(self.state().await, Ok(state) if !is_running(&state)) {
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Runs a script beside it, as the same user with the same rights: others may not look at its environment.
    async fn signal(&self, signal: &str) -> bool {
        let Some(mark) = self.body.env.iter().flatten().find(|variable| variable.starts_with(MARK)) else {
            return false;
        };
        let argv = ["/bin/sh", "-c", SIGNAL_MARKED, "sh", mark, signal].map(str::to_owned).to_vec();
        let body = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv),
            user: self.body.user.clone(),
            privileged: self.body.privileged,
            ..Default::default()
        };
        let run = async {
            let helper = Self::create(&self.docker, &self.container, body).await?;
            let mut streams = helper.start().await?;
            while matches!(streams.output.next(|_, _| {}).await, Ok(true)) {}
            helper.exit_code().await
        };
        matches!(run.await, Ok(Some(0)))
    }
}

/// What must not be seen in its output: the container's values, and those that the command was given beside.
fn masks(docker: &Docker, container: &Object, body: &ExecConfig, given: &BTreeMap<String, String>) -> Arc<Masks> {
    // A named secret is one, however harmless the name of its variable sounds.
    let is_secret = |name: &str| given.get(name).is_some_and(|value| value.starts_with(SCHEME));
    let variables = body.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let hidden = variables.filter(|(name, _)| *name != MARK && (is_secret(name) || !docker.reveal().shows(name)));
    Arc::new(container.masks.with(hidden.map(|(_, value)| value)))
}

fn is_running(state: &Value) -> bool {
    state.get("Running").and_then(Value::as_bool) == Some(true)
}

/// A variable that no other process has.
fn mark() -> Result<String> {
    Ok(format!("{MARK}={:032x}", u128::from_be_bytes(random()?)))
}
