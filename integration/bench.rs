//! The figures that the design promises, measured against the release binary: `integration/bench` runs it.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value with a name answers null where it has none")]

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{UnixListener, UnixStream},
    process::{Child, ChildStdin, ChildStdout, Command},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SPAWNS: usize = 20;
const CALLS: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let program = std::env::args().nth(1).ok_or("usage: bench QUAYMASTER")?;
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let socket = variable("LAB_LOCAL_SOCKET")?;
    let tls = format!("tcp://127.0.0.1:{}(tls={})", variable("LAB_STAGING_PORT")?, variable("LAB_TLS_DIR")?);
    let nowhere = "local=unix:///nowhere.sock, staging=unix:///nowhere-either.sock, prod=ssh://nowhere.invalid(ro)";
    let mut report = Report::default();

    let mut spawns = Vec::new();
    for _ in 0..SPAWNS {
        let started = Instant::now();
        let client = Client::start(&program, nowhere).await?;
        spawns.push(started.elapsed());
        client.leave().await?;
    }
    report.row("spawn to initialize, no daemon, median of 20", millis(median(&mut spawns)), "under 20 ms");

    let mut client = Client::start(&program, nowhere).await?;
    let tools = client.ask("tools/list", json!({})).await?;
    report.row("memory after tools/list", format!("{:.1} MiB", client.memory()?), "under 15 MiB");
    report.row("bytes that a model is charged for, three hosts", charged(&tools).to_string(), "under 24,000");
    report.row("tools listed", tools["tools"].as_array().map_or(0, Vec::len).to_string(), "at most 32");
    client.leave().await?;

    let recorder = Recorder::start(&socket)?;
    let passing = format!("local=unix://{}, staging={tls}, prod=ssh://lab-prod(ro)", recorder.path);
    let mut client = Client::start(&program, &passing).await?;
    client.call("list_containers", json!({})).await?;
    let before = recorder.requests.load(Ordering::SeqCst);
    let listed = client.call("list_containers", json!({})).await?;
    let requests = recorder.requests.load(Ordering::SeqCst) - before;
    report.row("engine requests of list_containers", requests.to_string(), "1");
    let text = listed["content"][0]["text"].as_str().map_or(0, str::len);
    report.row("15 containers, text", format!("{text} bytes"), "under 2,500");
    let structured = listed["structuredContent"].to_string().len();
    report.row("15 containers, structured", format!("{structured} bytes"), "under 2,500");
    client.leave().await?;

    let direct = format!("local=unix://{socket}, staging={tls}, prod=ssh://lab-prod(ro)");
    let mut client = Client::start(&program, &direct).await?;
    let mut engine = raw_list(&socket).await?;
    let mut ours = client.timed("list_containers", json!({})).await?;
    let ratio = ours.as_secs_f64() / engine.as_secs_f64();
    report.row("list_containers, unix, median", millis(ours), &format!("raw API, kept alive: {}", millis(engine)));
    for _ in 0..2 {
        engine = engine.min(raw_list(&socket).await?);
        ours = ours.min(client.timed("list_containers", json!({})).await?);
    }
    let best = ours.as_secs_f64() / engine.as_secs_f64();
    report.row("that ratio, first and best of three", format!("{ratio:.2}, {best:.2}"), "under 1.5");

    let started = Instant::now();
    client.call("ping", json!({"host": "prod"})).await?;
    report.row("first call over ssh", millis(started.elapsed()), "under 1 s");
    let ssh = client.timed("ping", json!({"host": "prod"})).await?;
    let unix = client.timed("ping", json!({"host": "local"})).await?;
    report.row(
        "ping over ssh and unix, medians",
        format!("{}, {}: {:.2} times", millis(ssh), millis(unix), ssh.as_secs_f64() / unix.as_secs_f64()),
        "under 3 times",
    );
    report.row("memory after the load", format!("{:.1} MiB", client.memory()?), "under 30 MiB");
    client.leave().await?;

    report.print();
    Ok(())
}

/// Name, description and input schema, as compact JSON.
fn charged(tools: &Value) -> usize {
    let parts = |tool: &Value| json!({"name": tool["name"], "description": tool["description"], "inputSchema": tool["inputSchema"]});
    tools["tools"].as_array().into_iter().flatten().map(|tool| parts(tool).to_string().len()).sum()
}

/// The median of the same list on one kept-alive connection, body read to its end.
async fn raw_list(socket: &str) -> Result<Duration, Failure> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut times = Vec::new();
    let mut bytes = Vec::with_capacity(65536);
    for _ in 0..CALLS {
        let started = Instant::now();
        stream.write_all(b"GET /v1.41/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n").await?;
        bytes.clear();
        // Chunked or with a length: both end in a way that can be seen without parsing every chunk.
        loop {
            let read = stream.read_buf(&mut bytes).await?;
            if read == 0 || bytes.ends_with(b"0\r\n\r\n") || has_all(&bytes) {
                break;
            }
        }
        times.push(started.elapsed());
    }
    Ok(median(&mut times))
}

fn has_all(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= end + 4 + length)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[derive(Default)]
struct Report(Vec<[String; 3]>);

impl Report {
    fn row(&mut self, what: &str, figure: String, bar: &str) {
        self.0.push([what.to_owned(), figure, bar.to_owned()]);
    }

    #[expect(clippy::print_stdout, reason = "the report is what this program is for")]
    fn print(&self) {
        println!("| what | measured | bar |\n| --- | --- | --- |");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// Counts the requests that pass to an engine's socket.
struct Recorder {
    path: String,
    requests: Arc<AtomicUsize>,
}

impl Recorder {
    fn start(engine: &str) -> Result<Self, Failure> {
        let path = format!("{engine}.bench");
        std::fs::remove_file(&path).ok();
        let listener = UnixListener::bind(&path)?;
        let requests = Arc::new(AtomicUsize::new(0));
        let (counter, engine) = (requests.clone(), engine.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counter, engine) = (counter.clone(), engine.clone());
                tokio::spawn(async move {
                    let Ok(daemon) = UnixStream::connect(&engine).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_daemon, mut to_daemon) = daemon.into_split();
                    let back =
                        tokio::spawn(async move { tokio::io::copy(&mut from_daemon, &mut to_client).await.ok() });
                    let mut part = vec![0; 65536];
                    while let Ok(read @ 1..) = from_client.read(&mut part).await {
                        let part = part.get(..read).unwrap_or_default();
                        // Reads have no body, so every blank line ends a request.
                        counter.fetch_add(
                            part.windows(4).filter(|window| *window == b"\r\n\r\n").count(),
                            Ordering::SeqCst,
                        );
                        if to_daemon.write_all(part).await.is_err() {
                            break;
                        }
                    }
                    back.abort();
                });
            }
        });
        Ok(Self { path, requests })
    }
}

struct Client {
    server: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    next: u64,
}

impl Client {
    async fn start(program: &str, hosts: &str) -> Result<Self, Failure> {
        let mut server = Command::new(program)
            .env("QUAYMASTER_HOSTS", hosts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let input = server.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(server.stdout.take().ok_or("no standard output")?).lines();
        let mut client = Self { server, input, output, next: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"},
        });
        client.ask("initialize", hello).await?;
        Ok(client)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.next += 1;
        let message = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        self.input.write_all(format!("{message}\n").as_bytes()).await?;
        loop {
            let line = self.output.next_line().await?.ok_or("the server left")?;
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer["id"] == self.next {
                return Ok(answer["result"].take());
            }
        }
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, Failure> {
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await?;
        if result["isError"] == true { Err(result.to_string().into()) } else { Ok(result) }
    }

    /// The median of many calls, one after the other.
    async fn timed(&mut self, tool: &str, arguments: Value) -> Result<Duration, Failure> {
        let mut times = Vec::new();
        for _ in 0..CALLS {
            let started = Instant::now();
            self.call(tool, arguments.clone()).await?;
            times.push(started.elapsed());
        }
        Ok(median(&mut times))
    }

    /// Resident memory, in mebibytes.
    fn memory(&self) -> Result<f64, Failure> {
        let id = self.server.id().ok_or("the server left")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }

    async fn leave(self) -> Result<(), Failure> {
        let Self { mut server, input, .. } = self;
        drop(input);
        tokio::time::timeout(Duration::from_secs(10), server.wait()).await??;
        Ok(())
    }
}
