//! An MCP client that does the main job and prints what was said: `integration/demo` runs it.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value with a name answers null where it has none")]

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

type Failure = Box<dyn std::error::Error>;

struct Client {
    server: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    next: u64,
}

impl Client {
    async fn start(program: &str) -> Result<Self, Failure> {
        let mut server =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let input = server.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(server.stdout.take().ok_or("no standard output")?).lines();
        let mut client = Self { server, input, output, next: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "demo", "version": "1"},
        });
        let answer = client.ask("initialize", hello).await?;
        say(&format!("initialize -> {}", answer["serverInfo"]));
        client.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    async fn write(&mut self, message: &Value) -> Result<(), Failure> {
        self.input.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(())
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.next += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params})).await?;
        loop {
            let line = self.output.next_line().await?.ok_or("the server left")?;
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer["id"] == self.next {
                return match answer.get("error") {
                    Some(error) => Err(error.to_string().into()),
                    None => Ok(answer["result"].take()),
                };
            }
        }
    }

    /// Calls a tool and prints both sides; answers whether the tool says that it went well.
    async fn call(&mut self, tool: &str, arguments: Value) -> Result<bool, Failure> {
        say(&format!("\n> {tool} {arguments}"));
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await?;
        say(result["content"][0]["text"].as_str().unwrap_or_default());
        Ok(result["isError"] != true)
    }

    async fn expect(&mut self, well: bool, tool: &str, arguments: Value) -> Result<(), Failure> {
        if self.call(tool, arguments).await? == well {
            return Ok(());
        }
        let expected = if well { "succeed" } else { "be refused" };
        Err(format!("{tool} was expected to {expected}").into())
    }
}

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "the transcript is what this program is for")]
    {
        println!("{text}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("usage: demo QUAYMASTER IMAGE")?;
    let image = arguments.next().ok_or("usage: demo QUAYMASTER IMAGE")?;
    let name = format!("quaymaster-demo-{}", std::process::id());

    let mut client = Client::start(&program).await?;
    let tools = client.ask("tools/list", json!({})).await?;
    let count = tools["tools"].as_array().map_or(0, Vec::len);
    say(&format!("tools/list -> {count} tools, {} bytes", tools.to_string().len()));

    client.expect(true, "list_hosts", json!({"probe": true})).await?;
    client.expect(true, "survey_hosts", json!({})).await?;
    let run = |host: &str| json!({"host": host, "image": image, "name": name, "command": ["sh", "-c", "echo hello from the demo; exec sleep 300"]});
    client.expect(true, "run_container", run("local")).await?;
    let looked = async {
        client.expect(true, "find", json!({"query": name})).await?;
        client.expect(true, "container_logs", json!({"host": "local", "container": name})).await?;
        client.expect(false, "run_container", run("prod")).await
    }
    .await;
    client.expect(true, "remove_container", json!({"host": "local", "containers": [name], "force": true})).await?;
    looked?;

    let Client { mut server, input, .. } = client;
    drop(input);
    let status = server.wait().await?;
    say(&format!("\nthe client left; quaymaster ended with {status}"));
    Ok(())
}
