//! A client of the protocol over standard streams that has many calls in flight, and looks at the process behind it.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a call ended, as its caller sees it.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The tool's answer.
    Done(Value),
    /// The tool's error.
    Failed { kind: String, host: Option<String>, message: String },
    /// An error of the protocol.
    Refused { code: i64 },
    /// The caller took it back.
    TakenBack,
    /// No answer came in time, or the process has gone.
    Unanswered,
}

/// A running process and everything that was asked of it.
pub(crate) struct Client {
    server: Child,
    id: u32,
    input: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    board: Arc<Board>,
}

/// Who waits for which answer.
#[derive(Default)]
struct Board {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    taken_back: Mutex<HashSet<u64>>,
    nameless: AtomicUsize,
    strangers: AtomicUsize,
}

impl Client {
    /// Starts the program with these variables, its log in a file, and shakes hands.
    pub(crate) async fn start<K, V>(program: &str, variables: &[(K, V)], log: Option<&Path>) -> Result<Self, Failure>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let log = match log {
            Some(path) => Stdio::from(std::fs::File::create(path)?),
            None => Stdio::null(),
        };
        let mut server = Command::new(program)
            .envs(variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let input = tokio::sync::Mutex::new(server.stdin.take().ok_or("no standard input")?);
        let output = server.stdout.take().ok_or("no standard output")?;
        let id = server.id().ok_or("the process left at once")?;
        let board = Arc::<Board>::default();
        tokio::spawn(read(output, board.clone()));
        let client = Self { server, id, input, next: AtomicU64::new(1), board };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "load", "version": "1"},
        });
        client.ask("initialize", hello).await?;
        client.line(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await?;
        Ok(client)
    }

    /// A request that has to succeed.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let (_, answer) = self.send(method, params).await?;
        let mut answer = tokio::time::timeout(Duration::from_secs(60), answer).await??;
        answer.get_mut("result").map(Value::take).ok_or_else(|| answer.to_string().into())
    }

    /// A call of a tool, taken back after a while if the caller wants that.
    pub(crate) async fn call(&self, tool: &str, arguments: Value, take_back: Option<Duration>) -> Outcome {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}), take_back).await
    }

    /// Any request; no answer within three minutes is none.
    pub(crate) async fn request(&self, method: &str, params: Value, take_back: Option<Duration>) -> Outcome {
        let Ok((id, mut answer)) = self.send(method, params).await else { return Outcome::Unanswered };
        let patience = take_back.unwrap_or(Duration::from_secs(180));
        match tokio::time::timeout(patience, &mut answer).await {
            Ok(Ok(answer)) => outcome(answer),
            Err(_) if take_back.is_some() => {
                lock(&self.board.taken_back).insert(id);
                let notice = json!({
                    "jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": {"requestId": id, "reason": "load"},
                });
                match self.line(&notice.to_string()).await {
                    Ok(()) => Outcome::TakenBack,
                    Err(_) => Outcome::Unanswered,
                }
            }
            Ok(Err(_)) | Err(_) => Outcome::Unanswered,
        }
    }

    async fn send(&self, method: &str, params: Value) -> Result<(u64, oneshot::Receiver<Value>), Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&self.board.waiting).insert(id, sender);
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await?;
        Ok((id, answer))
    }

    /// Writes a line as it is.
    pub(crate) async fn line(&self, line: &str) -> Result<(), Failure> {
        let mut input = self.input.lock().await;
        input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(input.flush().await?)
    }

    /// Answers without an id: what lines get that cannot be read.
    pub(crate) fn nameless(&self) -> usize {
        self.board.nameless.load(Ordering::Relaxed)
    }

    /// Answers that nobody had asked for, or that came twice.
    pub(crate) fn strangers(&self) -> usize {
        self.board.strangers.load(Ordering::Relaxed)
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The highest resident memory since the last [`Client::forget_peak`], in KiB.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id), "5").ok();
    }

    pub(crate) fn threads(&self) -> usize {
        self.status("Threads:")
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id)).map_or(0, Iterator::count)
    }

    /// Whether the process is still there.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }

    fn status(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        value.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
    }

    /// Leaves, and waits for the process to end by itself; answers how long that took.
    pub(crate) async fn leave(self) -> Result<Duration, Failure> {
        let Self { mut server, input, .. } = self;
        let started = std::time::Instant::now();
        drop(input);
        tokio::time::timeout(Duration::from_secs(15), server.wait()).await??;
        Ok(started.elapsed())
    }
}

async fn read(output: ChildStdout, board: Arc<Board>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            board.strangers.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        if message.get("method").is_some() {
            continue;
        }
        let Some(id) = message.get("id").and_then(Value::as_u64) else {
            board.nameless.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let waiting = lock(&board.waiting).remove(&id);
        match waiting {
            Some(sender) => {
                // Answered while it was taken back.
                sender.send(message).ok();
            }
            None if lock(&board.taken_back).remove(&id) => {}
            None => {
                board.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    lock(&board.waiting).clear();
}

fn outcome(mut answer: Value) -> Outcome {
    if let Some(error) = answer.get("error") {
        return Outcome::Refused { code: error.get("code").and_then(Value::as_i64).unwrap_or(0) };
    }
    let Some(result) = answer.get_mut("result").map(Value::take) else { return Outcome::Refused { code: 0 } };
    if result.get("isError") != Some(&Value::Bool(true)) {
        return Outcome::Done(result);
    }
    let field = |name: &str| {
        let field = result.pointer(&format!("/structuredContent/error/{name}")).and_then(Value::as_str);
        field.map(str::to_owned)
    };
    Outcome::Failed {
        kind: field("kind").unwrap_or_else(|| "none".to_owned()),
        host: field("host"),
        message: field("message").unwrap_or_default(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
