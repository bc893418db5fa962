//! A gigabyte of log: searched by us, and read by nobody but a loop.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Failure,
    engine::{self, Connection},
    figures::{MIB, grouped, seconds},
    lab::Lab,
    report::{Report, Row},
};

const NAME: &str = "bench-log";
/// Lines of about 200 bytes, as a web server writes them; together a gigabyte.
const LINES: usize = 5_300_000;
const AWK: &str = r#"BEGIN {
    for (n = 1; n <= lines; n++)
        printf "10.0.%d.%d - - [20/Nov/2026:19:14:%02d +0000] \"GET /api/v1/orders/%09d?page=%d HTTP/1.1\" %s 48213 \"https://shop.example.com/orders\" \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\"\n", n % 7, n % 255, n % 60, n, n % 40, n % 100000 ? "200" : "503"
}"#;
/// How long the engine may take to write it down.
const WRITING: Duration = Duration::from_secs(240);

/// Writes the log: a real container's, kept by the engine in its usual file.
pub(crate) async fn write(lab: &Lab) -> Result<Duration, Failure> {
    let mut engine = Connection::open(&lab.local).await?;
    let body = json!({
        "Image": lab.image, "Cmd": ["awk", "-v", format!("lines={LINES}"), AWK],
        "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
    });
    let started = Instant::now();
    let (status, answer) = engine.send("POST", &format!("/v1.41/containers/create?name={NAME}"), Some(&body)).await?;
    if status != 201 {
        return Err(format!("no container: {}", String::from_utf8_lossy(answer)).into());
    }
    engine.send("POST", &format!("/v1.41/containers/{NAME}/start"), None).await?;
    loop {
        sleep(Duration::from_millis(500)).await;
        let state = engine.json(&format!("/v1.41/containers/{NAME}/json")).await?["State"].take();
        if state["Running"] == false {
            let took = started.elapsed();
            return if state["ExitCode"] == 0 {
                Ok(took)
            } else {
                Err(format!("the log was not written: {state}").into())
            };
        }
        if started.elapsed() > WRITING {
            return Err("the log was not written in time".into());
        }
    }
}

pub(crate) async fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let target = format!("/v1.41/containers/{NAME}/logs?stdout=1&stderr=1");
    let arguments = json!({"container": NAME, "grep": "\" 503 "});
    let client = lab.quaymaster.hosts(format!("local=unix://{}", lab.local)).start().await?;
    // (lines a second, lines, time); the engine's own twice too, in turn.
    let (mut ours, mut theirs): (Option<Scan>, Option<(f64, Duration)>) = (None, None);
    let (mut bytes, mut calls) = (0, 0);
    for _ in 0..2 {
        let (read, took) = engine::drain(&lab.local, &target).await?;
        bytes = read;
        let rate = rate(LINES, took);
        if theirs.is_none_or(|(best, _)| rate > best) {
            theirs = Some((rate, took));
        }
        let (found, took) = client.call("container_logs", &arguments).await?;
        calls += 1;
        let scan = Scan::of(&found, took)?;
        if ours.as_ref().is_none_or(|best| scan.rate > best.rate) {
            ours = Some(scan);
        }
    }
    let (Some(ours), Some((theirs, their_time))) = (ours, theirs) else { return Err("no run".into()) };
    let peak = client.peak()?;
    client.leave().await?;
    #[expect(clippy::cast_precision_loss, reason = "a gigabyte")]
    let size = bytes as f64 / MIB;
    report.add(
        Row::new(
            &format!("memory of `container_logs` with `grep` over {size:.0} MiB of log"),
            "under 40 MiB",
            format!("{peak:.1} MiB at most, {calls} calls"),
            peak < 40.0 && size >= 1_000.0,
        )
        .figures(json!({"peak_mib": peak, "log_bytes": bytes, "log_lines": LINES})),
    );
    let part = ours.rate / theirs;
    report.add(
        Row::new(
            "speed of `container_logs` with `grep`, better of two runs",
            "at least 0.6 of the speed at which the raw API delivers the log",
            format!(
                "{} of {} lines in {}{}; the raw API: all in {}",
                grouped(ours.lines),
                grouped(LINES),
                seconds(ours.took),
                if ours.stopped { ", where a scan stops and gives a cursor" } else { "" },
                seconds(their_time)
            ),
            part >= 0.6,
        )
        .ratio(part)
        .figures(json!({"lines_per_second": ours.rate, "raw_lines_per_second": theirs, "stopped": ours.stopped})),
    );
    Ok(())
}

/// What a search said about itself.
struct Scan {
    rate: f64,
    lines: usize,
    took: Duration,
    stopped: bool,
}

impl Scan {
    fn of(found: &Value, took: Duration) -> Result<Self, Failure> {
        let text = found["content"][0]["text"].as_str().unwrap_or_default();
        let summary = text.lines().last().unwrap_or_default();
        let before = summary.split(" lines read").next().filter(|before| before.len() < summary.len());
        let number =
            before.and_then(|before| before.rsplit(' ').next()).ok_or("the answer does not say how much it read")?;
        let lines = number.replace(',', "").parse()?;
        let stopped = summary.contains("the scan stopped");
        if !stopped && lines != LINES {
            return Err(format!("only {lines} lines were read: {summary}").into());
        }
        Ok(Self { rate: rate(lines, took), lines, took, stopped })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few million")]
fn rate(lines: usize, took: Duration) -> f64 {
    lines as f64 / took.as_secs_f64()
}
