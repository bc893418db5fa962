//! A host that hangs: how its calls end, and what the calls to another host feel of it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::json;
use tokio::{process::Command, time::sleep};

use crate::{
    Failure,
    client::Client,
    figures::{Times, millis, milliseconds, ratio, seconds},
    lab::Lab,
    report::{Report, Row},
    simulated::Manner,
};

/// Calls in flight to the host that hangs.
const STUCK: usize = 8;
/// Calls to the other one in each run.
const CALLS: usize = 400;
/// Beyond its deadline a call may take this long to be told.
const SLACK: Duration = Duration::from_millis(500);

/// A socket that accepts and never answers.
pub(crate) async fn socket(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let hung = lab.simulate(1, Manner::Silent)?;
    let client =
        lab.quaymaster.hosts(format!("local=unix://{}, hung=unix://{}", lab.local, hung.socket)).start().await?;
    let beside = beside(&client, &["hung"], async || Ok(())).await?;
    client.leave().await?;
    beside.report(report, "a socket that accepts and never answers", "5 s to connect", Duration::from_secs(5));
    Ok(())
}

/// An engine that is stopped while its connections are open.
pub(crate) async fn engine(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let hosts = format!("local=unix://{}, stopped={}", lab.local, lab.tls);
    let client = lab.quaymaster.hosts(hosts).start().await?;
    client.call("list_containers", &json!({"host": "stopped"})).await?;
    let process = Stopped(lab.staging_process.clone());
    let result = beside(&client, &["stopped"], async || process.signal("-STOP").await).await;
    process.signal("-CONT").await?;
    result?.report(
        report,
        "an engine that is stopped (SIGSTOP), over TLS",
        "10 s for the head of an answer",
        Duration::from_secs(10),
    );
    client.leave().await
}

/// An engine's process that goes on whatever happens here.
struct Stopped(String);

impl Stopped {
    async fn signal(&self, signal: &str) -> Result<(), Failure> {
        let status = Command::new("kill").args([signal, &self.0]).status().await?;
        if status.success() { Ok(()) } else { Err(format!("kill {signal} failed").into()) }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        std::process::Command::new("kill").args(["-CONT", &self.0]).status().ok();
    }
}

/// What was seen while a host hung.
struct Beside {
    /// The longest that a call to it took, how many there were, and how many of them did not fail.
    worst: Duration,
    ended: usize,
    answered: usize,
    /// The medians of the healthy host, the best of three runs each.
    alone: Duration,
    beside: Duration,
}

/// Measures the healthy host alone, lets the other one hang, and measures again with calls stuck at it.
async fn beside(
    client: &Client,
    stuck: &[&str],
    hang: impl AsyncFnOnce() -> Result<(), Failure>,
) -> Result<Beside, Failure> {
    let healthy = json!({"host": "local"});
    client.call("list_containers", &healthy).await?;
    let mut alone = Vec::new();
    for _ in 0..3 {
        alone.push(client.timed("list_containers", &healthy, CALLS).await?);
    }
    hang().await?;
    let over = AtomicBool::new(false);
    let calling = async |host: &str| {
        let (mut times, mut answered) = (Vec::new(), 0);
        loop {
            let (reply, took) = client.tried("list_containers", &json!({"host": host})).await?;
            times.push(took);
            answered += usize::from(reply.ok);
            if over.load(Ordering::Relaxed) {
                return Ok::<_, Failure>((times, answered));
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let calls = futures_util::future::try_join_all((0..STUCK).map(|at| calling(stuck[at % stuck.len()])));
    let measuring = async {
        let mut beside = Vec::new();
        for _ in 0..3 {
            sleep(Duration::from_millis(100)).await;
            beside.push(client.timed("list_containers", &healthy, CALLS).await?);
        }
        over.store(true, Ordering::Relaxed);
        Ok(Times::best(beside).median())
    };
    let (stuck, beside) = futures_util::future::try_join(calls, measuring).await?;
    let answered = stuck.iter().map(|(_, answered)| answered).sum();
    let times: Vec<Duration> = stuck.into_iter().flat_map(|(times, _)| times).collect();
    Ok(Beside {
        ended: times.len(),
        worst: Times::of(times).worst(),
        answered,
        alone: Times::best(alone).median(),
        beside,
    })
}

impl Beside {
    fn report(&self, report: &mut Report, what: &str, deadline: &str, most: Duration) {
        let Self { worst, ended, answered, alone, beside } = self;
        let times = ratio(*beside, *alone);
        report.add(
            Row::new(
                &format!("calls to {what}"),
                &format!("fail by their deadline ({deadline})"),
                format!("{ended} calls, the slowest {}, {answered} answered", seconds(*worst)),
                *worst <= most + SLACK && *answered == 0,
            )
            .figures(json!({"worst_ms": milliseconds(*worst), "calls": ended})),
        );
        report.add(
            Row::new(
                &format!("calls to another host beside {what}, best of three runs"),
                "median within 1.2 times",
                format!("{} to {} alone", millis(*beside), millis(*alone)),
                times <= 1.2,
            )
            .ratio(times)
            .figures(json!({"median_ms": milliseconds(*beside), "alone_ms": milliseconds(*alone)})),
        );
    }
}
