//! What a client pays before the first call: start, memory, the list of tools, the binary itself.

use serde_json::{Value, json};

use crate::{
    Failure,
    figures::{MIB, grouped, millis, milliseconds},
    lab::Lab,
    peers::Peers,
    report::{Report, Row},
};

/// Hosts where nobody answers: starting must not depend on a daemon.
pub(crate) const NOWHERE: &str =
    "local=unix:///nowhere.sock, staging=unix:///nowhere-either.sock, prod=ssh://nowhere.invalid(ro)";

pub(crate) async fn measure(lab: &Lab, peers: &Peers, report: &mut Report) -> Result<(), Failure> {
    let program = lab.quaymaster.hosts(NOWHERE);
    let (ours, theirs) = (program.spawns(20).await?, peers.slowest_start());
    let (median, worst) = (ours.median(), ours.worst());
    report.add(
        Row::new(
            "spawn to initialize, median of 20, no daemon there",
            "under 20 ms",
            format!("{} (worst {})", millis(median), millis(worst)),
            median.as_millis() < 20,
        )
        .figures(json!({"median_ms": milliseconds(median), "worst_ms": milliseconds(worst)})),
    );
    let row = "spawn to initialize, docker-mcp-server to ours";
    let bar = "at least 50 times faster, where it can be installed";
    report.add(match theirs {
        Some(theirs) => {
            let times = theirs.as_secs_f64() / median.as_secs_f64();
            Row::new(row, bar, format!("{} to {}", millis(theirs), millis(median)), times >= 50.0).ratio(times)
        }
        None => Row::new(row, bar, "it could not be installed here", None),
    });

    let client = program.start().await?;
    let core = client.ask("tools/list", &json!({})).await?;
    let memory = client.memory()?;
    client.leave().await?;
    report.add(
        Row::new("memory after `tools/list`", "under 15 MiB", format!("{memory:.1} MiB"), memory < 15.0)
            .figures(json!({"mib": memory})),
    );
    let client = program.with("QUAYMASTER_TOOLSETS", "all").start().await?;
    let all = client.ask("tools/list", &json!({})).await?;
    client.leave().await?;
    for (name, tools, most) in [("core", &core, 24_000), ("all", &all, 100_000)] {
        let bytes = charged(tools);
        report.add(
            Row::new(
                &format!("names, descriptions, input schemas of `tools/list`, three hosts, `{name}`"),
                &format!("under {} bytes", grouped(most)),
                format!("{} bytes, {} tools", grouped(bytes), number(tools)),
                bytes < most,
            )
            .figures(json!({"bytes": bytes, "tools": number(tools)})),
        );
    }
    if let Some(bytes) = peers.charged() {
        report.note(format!(
            "docker-mcp-server's names, descriptions and input schemas with three hosts: {} bytes.",
            grouped(bytes)
        ));
    }

    let size = std::fs::metadata(&lab.binary)?.len();
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let mebibytes = size as f64 / MIB;
    report.add(
        Row::new("release binary", "under 20 MB", format!("{mebibytes:.1} MiB"), size < 20_000_000)
            .figures(json!({"bytes": size})),
    );
    let forbids = std::fs::read_to_string("Cargo.toml")?.contains("unsafe_code = \"forbid\"");
    report.add(Row::new(
        "`unsafe` of ours",
        "none",
        if forbids { "forbidden in Cargo.toml" } else { "allowed" },
        forbids,
    ));
    Ok(())
}

/// Name, description and input schema as compact JSON: what a client puts before its model.
pub(crate) fn charged(tools: &Value) -> usize {
    let parts = |tool: &Value| json!({"name": tool["name"], "description": tool["description"], "inputSchema": tool["inputSchema"]});
    tools["tools"].as_array().into_iter().flatten().map(|tool| parts(tool).to_string().len()).sum()
}

/// How many tools there are.
pub(crate) fn number(tools: &Value) -> usize {
    tools["tools"].as_array().map_or(0, Vec::len)
}
