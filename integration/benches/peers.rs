//! Other servers of the same kind, driven by the same client beside ours.

use std::{
    env,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    Failure,
    client::Program,
    figures::{Times, grouped, millis, seconds},
    lab::Lab,
    lists::{CALLS, FLIGHT},
    report::{BLOCKED, BUSY, Column, DELAYED, LIST, LIST_BYTES, LISTED, LISTED_THREE, MEMORY, Report, SPAWN, TOOLS},
    simulated::Manner,
    start::{NOWHERE, charged, number},
};

/// Calls of a load; the slowest of them manages a few in a second.
const LOAD: usize = 320;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// One of them.
struct Peer {
    name: &'static str,
    program: Program,
    list: &'static str,
    /// The variable that takes several hosts.
    hosts: Option<&'static str>,
    spawns: Option<Times>,
    charged: Option<usize>,
}

/// Those that could be installed.
pub(crate) struct Peers(Vec<Peer>);

impl Peers {
    /// Looks for what `integration/peers` installed, and says what it could not.
    pub(crate) fn find(report: &mut Report) -> Self {
        let known = [
            ("docker-mcp-server 2.2.9", "PEER_DOCKER_MCP_SERVER", "list_containers", Some("DOCKER_MCP_SERVER_HOSTS")),
            ("mcp-docker-server 0.0.7", "PEER_MCP_DOCKER_SERVER", "list_containers", None),
        ];
        let mut peers = Vec::new();
        for (name, variable, list, hosts) in known {
            if let Ok(path) = env::var(variable) {
                let program = Program::new(path);
                peers.push(Peer { name, program, list, hosts, spawns: None, charged: None });
            } else {
                let why = env::var(format!("{variable}_MISSING"));
                let why = why.unwrap_or_else(|_| "installing it failed, or took more than twelve minutes".into());
                report.note(format!("{name} could not be installed here: {why}."));
            }
        }
        Self(peers)
    }

    /// How long docker-mcp-server takes to start.
    pub(crate) fn slowest_start(&self) -> Option<Duration> {
        self.0.iter().find(|peer| peer.hosts.is_some())?.spawns.as_ref().map(Times::median)
    }

    /// What docker-mcp-server puts before a model, with three hosts.
    pub(crate) fn charged(&self) -> Option<usize> {
        self.0.iter().find_map(|peer| peer.charged)
    }

    /// Measures each on its own, a healthy engine behind it.
    pub(crate) async fn measure(&mut self, lab: &Lab, report: &mut Report) -> Vec<Column> {
        let mut columns = Vec::new();
        for peer in &mut self.0 {
            let mut column = Column::new();
            if let Err(error) = peer.healthy(lab, &mut column).await {
                report.note(format!("{} could not be measured to the end: {error}.", peer.name));
            }
            columns.push(column);
        }
        columns
    }

    /// What is only waited for: all at once.
    pub(crate) async fn hang(&self, lab: &Lab, columns: &mut [Column]) -> Result<Column, Failure> {
        let hung = lab.simulate(3, Manner::Silent)?;
        let endpoint = format!("unix://{}", hung.socket);
        let own = async {
            let mut column = Column::new();
            let two = lab.quaymaster.hosts(format!("local=unix://{}, hung={endpoint}", lab.local));
            column.insert(BLOCKED, blocked(&two, "list_containers").await);
            column.insert(DELAYED, delayed(&lab.quaymaster.hosts(format!("hung={endpoint}"))).await);
            column
        };
        let theirs = self.0.iter().map(async |peer| {
            let blocking = async {
                let Some(hosts) = peer.hosts else { return "one host only".to_owned() };
                let hosts = peer.program.with(hosts, format!("local=unix://{}, hung={endpoint}", lab.local));
                blocked(&hosts, peer.list).await
            };
            let program = peer.program.with("DOCKER_HOST", endpoint.as_str());
            tokio::join!(blocking, delayed(&program))
        });
        let (own, theirs) = tokio::join!(own, futures_util::future::join_all(theirs));
        for (column, (blocked, delayed)) in columns.iter_mut().zip(theirs) {
            column.insert(BLOCKED, blocked);
            column.insert(DELAYED, delayed);
        }
        Ok(own)
    }

    /// Puts the columns into the report, ours first and the engine's last.
    pub(crate) fn report(&self, own: Column, theirs: Vec<Column>, raw: Column, report: &mut Report) {
        report.column("Quaymaster", own);
        for (peer, column) in self.0.iter().zip(theirs) {
            report.column(peer.name, column);
        }
        report.column("raw engine API", raw);
    }
}

impl Peer {
    async fn healthy(&mut self, lab: &Lab, column: &mut Column) -> Result<(), Failure> {
        let program = self.program.with("DOCKER_HOST", format!("unix://{}", lab.local));
        let spawns = program.spawns(7).await?;
        column.insert(SPAWN, millis(spawns.median()));
        self.spawns = Some(spawns);

        let client = program.start().await?;
        let tools = client.ask("tools/list", &json!({})).await?;
        column.insert(MEMORY, format!("{:.1} MiB", client.memory()?));
        column.insert(TOOLS, number(&tools).to_string());
        column.insert(LISTED, grouped(tools.to_string().len()));
        self.list = list_tool(&tools).ok_or("it has no list of containers")?;

        let (listed, _) = client.call(self.list, &json!({})).await?;
        column.insert(LIST_BYTES, grouped(listed.to_string().len()));
        let times = client.timed(self.list, &json!({}), CALLS).await?;
        column.insert(LIST, format!("{} / {}", millis(times.median()), millis(times.p99())));
        let load = client.load(self.list, &[json!({})], LOAD, FLIGHT).await?;
        column.insert(BUSY, format!("{:.0}; {} of {}", load.rate(), load.failed, load.calls));
        client.leave().await?;

        if let Some(hosts) = self.hosts {
            let three = format!("local=unix://{0}, staging=unix://{0}, prod=unix://{0}(ro)", lab.local);
            let client = self.program.with(hosts, three).start().await?;
            let tools = client.ask("tools/list", &json!({})).await?;
            client.leave().await?;
            column.insert(LISTED_THREE, grouped(tools.to_string().len()));
            self.charged = Some(charged(&tools));
        }
        Ok(())
    }
}

/// What they call it.
fn list_tool(tools: &Value) -> Option<&'static str> {
    let names: Vec<&str> = tools["tools"].as_array()?.iter().filter_map(|tool| tool["name"].as_str()).collect();
    ["list_containers", "container_list"].into_iter().find(|name| names.contains(name))
}

/// Ours as a column: what the table of peers has of a server without load.
pub(crate) async fn own(lab: &Lab) -> Result<Column, Failure> {
    let mut column = Column::new();
    let one = lab.quaymaster.hosts("local=unix:///nowhere.sock");
    column.insert(SPAWN, millis(one.spawns(20).await?.median()));
    for (program, row) in [(one, LISTED), (lab.quaymaster.hosts(NOWHERE), LISTED_THREE)] {
        let client = program.start().await?;
        let core = client.ask("tools/list", &json!({})).await?;
        if row == LISTED {
            column.insert(MEMORY, format!("{:.1} MiB", client.memory()?));
        }
        client.leave().await?;
        let client = program.with("QUAYMASTER_TOOLSETS", "all").start().await?;
        let all = client.ask("tools/list", &json!({})).await?;
        client.leave().await?;
        let sizes = format!("{} (all: {})", grouped(core.to_string().len()), grouped(all.to_string().len()));
        column.insert(row, sizes);
        column.insert(TOOLS, format!("{} (all: {})", number(&core), number(&all)));
    }
    Ok(column)
}

/// A call to the host that hangs, and right after it one to the healthy one: how long that takes.
async fn blocked(program: &Program, list: &str) -> String {
    let measured = async {
        let client = program.start().await?;
        // The healthy one is known before.
        client.call(list, &json!({"host": "local"})).await?;
        let (_, _stuck) = client.send("tools/call", &json!({"name": list, "arguments": {"host": "hung"}})).await?;
        sleep(Duration::from_millis(100)).await;
        let (reply, took) = client.tried(list, &json!({"host": "local"})).await?;
        Ok::<_, Failure>(if reply.ok { seconds(took) } else { format!("fails after {}", seconds(took)) })
    };
    said(timeout(PATIENCE, measured).await)
}

/// From the spawn to the answer to initialize, the only host hanging.
async fn delayed(program: &Program) -> String {
    let started = Instant::now();
    let measured = async {
        match program.start().await {
            Ok(_client) => Ok::<_, Failure>(seconds(started.elapsed())),
            Err(error) => Ok(format!("fails after {} ({error})", seconds(started.elapsed()))),
        }
    };
    said(timeout(PATIENCE, measured).await)
}

fn said(measured: Result<Result<String, Failure>, tokio::time::error::Elapsed>) -> String {
    match measured {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => format!("failed: {error}"),
        Err(_) => format!("more than {} s", PATIENCE.as_secs()),
    }
}
