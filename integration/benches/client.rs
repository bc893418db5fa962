//! An MCP client on standard input and output, for our server and for any other.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    Failure,
    figures::{MIB, Times},
};

/// Longer than anything that is measured here may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    variables: Vec<(String, String)>,
}

impl Program {
    /// A program without arguments.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), variables: Vec::new() }
    }

    /// With a variable more.
    pub(crate) fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut program = self.clone();
        program.variables.push((name.to_owned(), value.into()));
        program
    }

    /// Ours in front of these hosts.
    pub(crate) fn hosts(&self, hosts: impl Into<String>) -> Self {
        self.with("QUAYMASTER_HOSTS", hosts)
    }

    /// For commands that are no servers.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
        command
    }

    /// Spawns it and waits for its answer to initialize.
    pub(crate) async fn start(&self) -> Result<Client, Failure> {
        let mut server = self.command().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = server.stdin.take().ok_or("no standard input")?;
        let output = server.stdout.take().ok_or("no standard output")?;
        let waiting = Waiting::default();
        let reading = tokio::spawn(read(output, waiting.clone()));
        let client =
            Client { server, input: tokio::sync::Mutex::new(input), waiting, next: AtomicU64::new(0), reading };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"},
        });
        client.ask("initialize", &hello).await?;
        Ok(client)
    }

    /// How long it takes from the spawn to the answer, so many times.
    pub(crate) async fn spawns(&self, times: usize) -> Result<Times, Failure> {
        let mut spawns = Vec::new();
        for _ in 0..times {
            let started = Instant::now();
            let client = self.start().await?;
            spawns.push(started.elapsed());
            client.leave().await?;
        }
        Ok(Times::of(spawns))
    }
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// An answer as it came: its line is only parsed where somebody looks at it.
#[derive(Debug)]
pub(crate) struct Reply {
    line: String,
    /// When the line was there.
    at: Instant,
    /// Neither a protocol error nor a tool error.
    pub(crate) ok: bool,
}

impl Reply {
    /// The result, or the error.
    pub(crate) fn value(&self) -> Result<Value, Failure> {
        let mut message: Value = serde_json::from_str(&self.line)?;
        Ok(if message.get("result").is_some() { message["result"].take() } else { message["error"].take() })
    }
}

/// The little of an answer that is needed to hand it on.
#[derive(Deserialize)]
struct Head {
    id: Option<Value>,
    method: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
    result: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "isError", default)]
    is_error: bool,
}

async fn read(output: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::with_capacity(256 << 10, output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let at = Instant::now();
        let Ok(head) = serde_json::from_str::<Head>(&line) else { continue };
        let Some(id) = head.id.as_ref().and_then(Value::as_u64).filter(|_| head.method.is_none()) else { continue };
        let ok = head.error.is_none() && head.result.is_some_and(|outcome| !outcome.is_error);
        let asked = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        asked.and_then(|asked| asked.send(Reply { line, at, ok }).ok());
    }
    // Whoever waits still hears that the server left.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A server that runs; it is ended when this is dropped.
pub(crate) struct Client {
    server: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    reading: JoinHandle<()>,
}

/// What came of many calls at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    pub(crate) took: Duration,
}

impl Load {
    /// Calls a second.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    pub(crate) fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }
}

impl Client {
    /// Sends a request without waiting for its answer.
    pub(crate) async fn send(&self, method: &str, params: &Value) -> Result<(u64, oneshot::Receiver<Reply>), Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (asked, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, asked);
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        Ok((id, answer))
    }

    /// Sends a notification.
    pub(crate) async fn notify(&self, method: &str, params: &Value) -> Result<(), Failure> {
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await
    }

    async fn write(&self, message: &Value) -> Result<(), Failure> {
        Ok(self.input.lock().await.write_all(format!("{message}\n").as_bytes()).await?)
    }

    /// Sends a request; its result.
    pub(crate) async fn ask(&self, method: &str, params: &Value) -> Result<Value, Failure> {
        let (_, answer) = self.send(method, params).await?;
        let reply = timeout(PATIENCE, answer).await?.map_err(|_| "the server left")?;
        let value = reply.value()?;
        if method == "initialize" {
            self.notify("notifications/initialized", &json!({})).await?;
        }
        Ok(value)
    }

    /// Calls a tool; its answer, whether it is an error or not, and how long it took.
    pub(crate) async fn tried(&self, tool: &str, arguments: &Value) -> Result<(Reply, Duration), Failure> {
        let started = Instant::now();
        let (_, answer) = self.send("tools/call", &json!({"name": tool, "arguments": arguments})).await?;
        let reply = timeout(PATIENCE, answer).await?.map_err(|_| "the server left")?;
        let spent = reply.at - started;
        Ok((reply, spent))
    }

    /// Calls a tool that has to succeed.
    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> Result<(Value, Duration), Failure> {
        let (reply, spent) = self.tried(tool, arguments).await?;
        let value = reply.value()?;
        if reply.ok { Ok((value, spent)) } else { Err(format!("{tool} failed: {value}").into()) }
    }

    /// Many calls, one after the other.
    pub(crate) async fn timed(&self, tool: &str, arguments: &Value, calls: usize) -> Result<Times, Failure> {
        let mut times = Vec::new();
        for _ in 0..calls {
            let (reply, spent) = self.tried(tool, arguments).await?;
            if !reply.ok {
                return Err(format!("{tool} failed: {}", reply.value()?).into());
            }
            times.push(spent);
        }
        Ok(Times::of(times))
    }

    /// Many calls, so many of them in flight; those who call take the arguments in turn.
    pub(crate) async fn load(
        &self,
        tool: &str,
        arguments: &[Value],
        calls: usize,
        flight: usize,
    ) -> Result<Load, Failure> {
        let (sent, failed) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        let started = Instant::now();
        let caller = |arguments| async move {
            while sent.fetch_add(1, Ordering::Relaxed) < calls {
                if !self.tried(tool, arguments).await?.0.ok {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, Failure>(())
        };
        futures_util::future::try_join_all(arguments.iter().cycle().take(flight).map(caller)).await?;
        Ok(Load { calls, failed: failed.load(Ordering::Relaxed), took: started.elapsed() })
    }

    /// The process.
    pub(crate) fn id(&self) -> Result<u32, Failure> {
        self.server.id().ok_or_else(|| "the server left".into())
    }

    /// Resident memory now, in mebibytes.
    pub(crate) fn memory(&self) -> Result<f64, Failure> {
        self.status("VmRSS:")
    }

    /// The most that was resident at any time, in mebibytes.
    pub(crate) fn peak(&self) -> Result<f64, Failure> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line in the status")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? * 1024.0 / MIB)
    }

    /// Closes its input and waits for its end.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        let Self { mut server, input, reading, .. } = self;
        drop(input);
        if timeout(Duration::from_secs(10), server.wait()).await.is_err() {
            server.kill().await?;
        }
        reading.abort();
        Ok(())
    }
}
