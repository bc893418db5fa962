//! The figures that the design promises, measured against the release binary, with the raw engine API and other
//! servers beside it in the same run: `integration/bench` runs it.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value with a name answers null where it has none")]

mod cancel;
mod client;
mod engine;
mod figures;
mod fleet;
mod forwarder;
mod hung;
mod lab;
mod lists;
mod logs;
mod peers;
mod reads;
mod report;
mod simulated;
mod ssh;
mod start;

use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use lab::Lab;
use peers::Peers;
use report::{Column, Report};
use tokio::time::timeout;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(binary), Some(markdown), Some(json)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: bench QUAYMASTER MARKDOWN JSON".into());
    };
    let started = Instant::now();
    // A thousand listeners and their connections.
    let limits = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, limits.1, limits.1)?;
    let lab = Lab::new(binary)?;
    let mut report = Report::default();
    facts(&lab, &mut report).await?;

    // What fails to be measured is said, and the rest is measured all the same.
    let mut broken = Vec::new();
    let mut check = |what: &str, result: Result<(), Failure>| {
        if let Err(error) = result {
            eprintln!("{what} could not be measured: {error}");
            broken.push(format!("{what} could not be measured: {error}."));
        }
    };

    let mut peers = Peers::find(&mut report);
    let mut columns = peers.measure(&lab, &mut report).await;
    check("the start", start::measure(&lab, &peers, &mut report).await);
    let (mut own, mut raw) = (Column::new(), Column::new());
    check("this server as a peer", peers::own(&lab).await.map(|column| own.extend(column)));
    let lists = lists::measure(&lab, &mut report).await;
    check("the lists", lists.map(|(ours, theirs)| (own.extend(ours), raw.extend(theirs))).map(drop));
    check("ssh", ssh::measure(&lab, &mut report).await);
    check("fifty hosts", fleet::fifty(&lab, &mut report).await);
    check("a thousand hosts", fleet::thousand(&lab, &mut report).await);
    check("a socket that hangs", hung::socket(&lab, &mut report).await);
    check("an engine that hangs", hung::engine(&lab, &mut report).await);
    check("cancelling", cancel::measure(&lab, &mut report).await);
    check("what reads send", reads::measure(&lab, &mut report).await);
    // Some wait while the engine writes: neither disturbs the other.
    let (hanging, written) = tokio::join!(peers.hang(&lab, &mut columns), logs::write(&lab));
    check("what hangs", hanging.map(|column| own.extend(column)));
    check("the log", written.map(drop));
    // On a machine that is busy otherwise a gigabyte can take for ever.
    let searched = timeout(Duration::from_secs(300), logs::measure(&lab, &mut report)).await;
    check("the search in the log", searched.unwrap_or_else(|elapsed| Err(elapsed.into())));
    peers.report(own, columns, raw, &mut report);

    for broken in &broken {
        report.note(broken.as_str());
    }
    report.fact("time that it took", format!("{} s", started.elapsed().as_secs()));
    let missed = report.missed();
    if missed.is_empty() {
        report.note("Every bar that could be measured is met.");
    } else {
        let missed = format!("Not met: {}.", missed.join("; "));
        report.note(missed);
    }
    report.write(&markdown, &json)?;
    Ok(if broken.is_empty() && report.missed().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the figures depend on.
async fn facts(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    report.fact("date", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string());
    report.fact("commit", env::var("BENCH_COMMIT").unwrap_or_else(|_| "unknown".to_owned()));
    report.fact("processors", std::thread::available_parallelism()?.to_string());
    for (name, socket) in
        [("engine on the unix socket", &lab.local), ("engine over TLS", &lab.staging), ("engine over ssh", &lab.prod)]
    {
        let version = engine::Connection::open(socket).await?.json("/version").await?;
        report.fact(name, format!("{} (API {})", text(&version["Version"]), text(&version["ApiVersion"])));
    }
    Ok(())
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
