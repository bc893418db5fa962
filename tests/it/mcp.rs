//! The protocol over two streams, in both eras, without a daemon.

use std::{collections::BTreeMap, sync::Arc};

use quaymaster::{
    config::{Config, Environment, Flags},
    gateway::Gateway,
    mcp,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

const HOSTS: &str =
    "local=unix:///nowhere/docker.sock, staging=unix:///nowhere/staging.sock(nd), prod=unix:///nowhere/prod.sock(ro)";

/// A client on the other end of the two streams.
pub(crate) struct Client {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    server: tokio::task::JoinHandle<quaymaster::error::Result<()>>,
    next: u64,
    modern: bool,
    /// What it says that it can do.
    capabilities: Value,
}

impl Client {
    fn start(flags: &Flags) -> Self {
        let environment = Environment { variables: BTreeMap::new(), ..Environment::default() };
        let config = Config::load(&environment, flags).unwrap();
        Self::of(Gateway::new(config, environment).unwrap(), json!({}))
    }

    /// A client of a gateway that can do something itself.
    fn of(gateway: Arc<Gateway>, capabilities: Value) -> Self {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (server_input, server_output) = tokio::io::split(far);
        let server = tokio::spawn(mcp::serve(gateway, server_input, server_output, CancellationToken::new()));
        let (output, input) = tokio::io::split(near);
        Self { input, output: BufReader::new(output).lines(), server, next: 0, modern: false, capabilities }
    }

    pub(crate) async fn legacy(flags: &Flags, version: &str) -> Self {
        Self::start(flags).greet(version).await
    }

    /// A client with sessions, after its handshake.
    pub(crate) async fn legacy_of(gateway: Arc<Gateway>, capabilities: Value) -> Self {
        Self::of(gateway, capabilities).greet("2025-11-25").await
    }

    async fn greet(mut self, version: &str) -> Self {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": self.capabilities, "clientInfo": client});
        let answer = self.ask("initialize", params).await;
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await;
        self
    }

    fn modern(flags: &Flags) -> Self {
        Self { modern: true, ..Self::start(flags) }
    }

    /// A client without sessions.
    pub(crate) fn modern_of(gateway: Arc<Gateway>, capabilities: Value) -> Self {
        Self { modern: true, ..Self::of(gateway, capabilities) }
    }

    pub(crate) async fn write(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.input.write_all(b"\n").await.unwrap();
    }

    pub(crate) async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(std::time::Duration::from_secs(10), self.output.next_line()).await;
        serde_json::from_str(&line.expect("an answer in time").unwrap().expect("an answer")).unwrap()
    }

    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params).await;
        loop {
            let answer = self.read().await;
            if answer["id"] == self.next && answer.get("method").is_none() {
                return answer;
            }
        }
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) async fn send(&mut self, method: &str, mut params: Value) {
        self.next += 1;
        if self.modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            });
        }
        let message = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        self.write(&message.to_string()).await;
    }

    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    pub(crate) async fn leave(self) {
        let Self { input, output, server, .. } = self;
        drop((input, output));
        tokio::time::timeout(std::time::Duration::from_secs(5), server).await.expect("it ends").unwrap().unwrap();
    }
}

fn flags() -> Flags {
    Flags { hosts: vec![HOSTS.into()], ..Flags::default() }
}

#[tokio::test]
async fn every_legacy_version_is_spoken() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = Client::legacy(&flags(), version).await;
        let listed = client.ask("tools/list", json!({})).await;
        assert!(listed["result"]["tools"].as_array().unwrap().len() > 2, "{version}: {listed}");
        client.leave().await;
    }
}

#[tokio::test]
async fn the_stateless_era_is_spoken() {
    let mut client = Client::modern(&flags());
    let discovered = client.ask("server/discover", json!({})).await;
    assert!(discovered["result"]["supportedVersions"].to_string().contains("2026-07-28"), "{discovered}");
    let listed = client.ask("tools/list", json!({})).await;
    assert_eq!(listed["result"]["resultType"], "complete", "{listed}");
    let answer = client.call("list_hosts", json!({})).await;
    assert_eq!(answer["result"]["structuredContent"]["hosts"][2]["mode"], "ro", "{answer}");
    client.leave().await;
}

#[tokio::test]
async fn instructions_are_short_and_name_the_hosts() {
    let mut client = Client::start(&flags());
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let answer = client.ask("initialize", params).await;
    let instructions = answer["result"]["instructions"].as_str().unwrap();
    assert!(instructions.len() < 2048, "{} bytes", instructions.len());
    assert!(instructions.contains("local (default for reads), staging (nd), prod (ro)"), "{instructions}");
    client.leave().await;
}

#[tokio::test]
async fn lists_are_the_same_every_time() {
    let mut client = Client::legacy(&flags(), "2025-11-25").await;
    let mut other = Client::legacy(&flags(), "2025-06-18").await;
    for method in ["tools/list", "resources/list", "resources/templates/list", "prompts/list"] {
        let first = client.ask(method, json!({})).await;
        assert_eq!(first["result"], client.ask(method, json!({})).await["result"], "{method}");
        assert_eq!(first["result"], other.ask(method, json!({})).await["result"], "{method}");
    }
    client.leave().await;
    other.leave().await;
}

#[tokio::test]
async fn unknown_tools_are_errors_of_the_protocol_and_all_else_is_the_tools() {
    let mut client = Client::legacy(&flags(), "2025-11-25").await;
    let unknown = client.call("list_container", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    assert_eq!(unknown["error"]["data"]["hint"], "did you mean \"list_containers\"?", "{unknown}");

    let wrong = client.call("list_containers", json!({"al": true})).await;
    assert_eq!(wrong["result"]["isError"], true, "{wrong}");
    assert_eq!(wrong["result"]["structuredContent"]["error"]["kind"], "invalid");
    assert_eq!(wrong["result"]["structuredContent"]["error"]["hint"], "did you mean \"all\"?");

    let nobody = client.call("list_containers", json!({"host": "pord"})).await;
    assert_eq!(nobody["result"]["structuredContent"]["error"]["hint"], "did you mean \"prod\"?", "{nobody}");
    client.leave().await;
}

#[tokio::test]
async fn a_write_must_name_its_host_and_a_read_only_host_refuses_it_unasked() {
    let mut client = Client::legacy(&flags(), "2025-11-25").await;
    let nameless = client.call("start_container", json!({"containers": ["a"]})).await;
    let error = &nameless["result"]["structuredContent"]["error"];
    assert_eq!(error["message"], "argument \"host\" is missing: start_container changes things", "{nameless}");
    assert_eq!(error["hint"], "name the host to act on; hosts: local, staging, prod");

    let refused = client.call("start_container", json!({"containers": ["a"], "host": "prod"})).await;
    let error = &refused["result"]["structuredContent"]["error"];
    assert_eq!(error["kind"], "denied", "{refused}");
    assert_eq!(error["host"], "prod");
    assert_eq!(error["message"], "host \"prod\" is read-only; start_container changes things");
    client.leave().await;
}

#[tokio::test]
async fn a_missing_daemon_is_told_without_its_address() {
    let mut client = Client::legacy(&flags(), "2025-11-25").await;
    let answer = client.call("list_containers", json!({})).await;
    let error = &answer["result"]["structuredContent"]["error"];
    assert_eq!(error["kind"], "unreachable", "{answer}");
    assert_eq!(error["host"], "local");
    assert!(!answer.to_string().contains("nowhere"), "{answer}");
    client.leave().await;
}

#[tokio::test]
async fn resources_and_prompts_are_served() {
    let mut client = Client::legacy(&flags(), "2025-11-25").await;
    let hosts = client.ask("resources/read", json!({"uri": "quaymaster://hosts"})).await;
    let text = hosts["result"]["contents"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["hosts"][0]["host"], "local");

    let listed = client.ask("resources/list", json!({})).await["result"]["resources"].to_string();
    assert!(listed.contains("quaymaster://hosts") && listed.contains("quaymaster://audit"), "{listed}");
    let audit = client.ask("resources/read", json!({"uri": "quaymaster://audit"})).await;
    let text = audit["result"]["contents"][0]["text"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["calls"].is_array(), "{audit}");

    let gone = client.ask("resources/read", json!({"uri": "docker://prod/containers"})).await;
    assert_eq!(gone["error"]["data"]["kind"], "unreachable", "{gone}");
    let unknown = client.ask("resources/read", json!({"uri": "docker://prod/volumes"})).await;
    assert_eq!(unknown["error"]["code"], -32002, "{unknown}");

    let prompt = client.ask("prompts/get", json!({"name": "survey_hosts", "arguments": {"focus": "the shop"}})).await;
    let text = prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("- prod (read-only)") && text.contains("the shop"), "{text}");
    client.leave().await;
}

#[tokio::test]
async fn what_is_denied_is_nowhere() {
    let deny = Flags { deny: vec!["survey_hosts,container_*".into()], ..flags() };
    let mut client = Client::legacy(&deny, "2025-11-25").await;
    let prompts = client.ask("prompts/list", json!({})).await["result"]["prompts"].to_string();
    assert!(!prompts.contains("survey_hosts"), "{prompts}");
    let templates = client.ask("resources/templates/list", json!({})).await.to_string();
    assert!(!templates.contains("docker-logs") && templates.contains("docker://"), "{templates}");
    assert_eq!(client.call("container_logs", json!({"container": "a"})).await["error"]["code"], -32602);
    client.leave().await;
}

#[tokio::test]
async fn broken_lines_are_answered_and_the_next_is_served() {
    let mut client = Client::legacy(&flags(), "2025-11-25").await;
    client.write("{not json").await;
    assert_eq!(client.read().await["error"]["code"], -32700);
    client.write("[]").await;
    assert_eq!(client.read().await["error"]["code"], -32600);
    let long = "x".repeat(mcp::LONGEST_LINE + 1);
    client.write(&long).await;
    assert_eq!(client.read().await["error"]["code"], -32600);
    assert!(client.ask("tools/list", json!({})).await["result"].is_object());
    client.leave().await;
}
