//! Calls that are taken back: how soon the connection to the daemon is closed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    Failure,
    client::Client,
    figures::{millis, milliseconds},
    forwarder::Forwarder,
    lab::Lab,
    report::{Report, Row},
    simulated::Manner,
};

const BAR: &str = "connection to the daemon closed within 100 ms";

pub(crate) async fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let directory = lab.directory.path();
    let engine = Forwarder::start(directory, "cancel", &lab.local)?;
    let stuck = lab.simulate(2, Manner::Stuck)?;
    let simulated = Forwarder::start(directory, "cancel-stuck", &stuck.socket)?;
    // A registry that accepts and never answers.
    let registry = TcpListener::bind("127.0.0.1:0").await?;
    let image = format!("127.0.0.1:{}/bench/never:1", registry.local_addr()?.port());
    let listening = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = registry.accept().await {
            held.push(stream);
        }
    });
    let hosts = format!("local=unix://{}, stuck=unix://{}", engine.socket, simulated.socket);
    let client = lab.quaymaster.with("QUAYMASTER_TOOLSETS", "all").hosts(hosts).start().await?;
    let container = "bench-service-1";
    let on = |host: &str, arguments: Value| {
        let mut arguments = arguments;
        arguments["host"] = json!(host);
        arguments
    };
    let build = json!({"dockerfile_content": format!("FROM {}\nRUN sleep 300\n", lab.image), "no_cache": true});
    let cases = [
        ("a read that hangs", &simulated, "list_containers", "/containers/json", on("stuck", json!({}))),
        (
            "a log that is followed",
            &engine,
            "container_logs",
            "follow=1",
            on("local", json!({"container": container, "follow_for": 40})),
        ),
        (
            "a wait for a line of a log",
            &engine,
            "wait_for",
            "follow=1",
            on("local", json!({"target": container, "until": "log_match", "pattern": "never said", "timeout": 40})),
        ),
        (
            "a pull from a registry that hangs",
            &engine,
            "pull_image",
            "/images/create",
            on("local", json!({"image": image})),
        ),
        ("a build at a step that sleeps", &engine, "build_image", "/build?", on("local", build)),
    ];
    for (what, forwarder, tool, target, arguments) in cases {
        let row = match taken_back(&client, forwarder, tool, target, &arguments).await {
            Ok(Some(took)) => {
                Row::new(&format!("cancelled: {what}"), BAR, millis(took), took <= Duration::from_millis(100))
                    .figures(json!({"ms": milliseconds(took)}))
            }
            Ok(None) => Row::new(&format!("cancelled: {what}"), BAR, "still open after 60 s", false),
            Err(error) => {
                Row::new(&format!("cancelled: {what}"), BAR, format!("could not be measured: {error}"), false)
            }
        };
        report.add(row);
    }
    client.leave().await?;
    listening.abort();
    Ok(())
}

/// Calls, waits until the daemon is at it, takes the call back; how long its connection stayed open.
async fn taken_back(
    client: &Client,
    forwarder: &Forwarder,
    tool: &str,
    target: &str,
    arguments: &Value,
) -> Result<Option<Duration>, Failure> {
    let (id, _answer) = client.send("tools/call", &json!({"name": tool, "arguments": arguments})).await?;
    // What is asked first, to know the object, is answered at once; what is still open then is the call's own.
    sleep(Duration::from_millis(700)).await;
    let connection = forwarder.until_asked(target).await?;
    let started = Instant::now();
    client.notify("notifications/cancelled", &json!({"requestId": id, "reason": "bench"})).await?;
    Ok(forwarder.until_closed(connection).await.map(|closed| closed.saturating_duration_since(started)))
}
