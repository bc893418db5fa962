//! The list of containers beside the raw API: one after the other, 32 at once, while containers come and go.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    Failure,
    client::{Client, Load},
    engine::{self, Churn},
    figures::{Times, grouped, millis, milliseconds, ratio},
    lab::Lab,
    report::{BUSY, Column, LIST, LIST_BYTES, Report, Row},
};

/// Calls in a row.
pub(crate) const CALLS: usize = 200;
/// Calls at once.
pub(crate) const FLIGHT: usize = 32;
/// What part of the raw API's calls at once is promised.
const LEAST: f64 = 0.7;
/// Calls of a load.
const LOAD: usize = 1_600;
/// The same while containers come and go: each takes about a second, and every run has to meet some of them.
const LONG_LOAD: usize = 6_400;

/// Answers what the raw API showed, for the table of peers.
pub(crate) async fn measure(lab: &Lab, report: &mut Report) -> Result<(Column, Column), Failure> {
    let client = lab.quaymaster.hosts(lab.three_hosts()).start().await?;
    let (mut raw, mut own) = (Column::new(), Column::new());

    let (listed, _) = client.call("list_containers", &json!({})).await?;
    let text = listed["content"][0]["text"].as_str().map_or(0, str::len);
    let structured = listed["structuredContent"].to_string().len();
    let rows = listed["structuredContent"]["containers"].as_array().map_or(0, Vec::len);
    if rows != 15 {
        return Err(format!("there are {rows} containers, not 15").into());
    }
    let bytes = engine::list_bytes(&lab.local).await?;
    for (channel, size) in [("text", text), ("structured", structured)] {
        report.add(
            Row::new(
                &format!("a list of 15 containers, {channel}"),
                "under 2,500 bytes",
                format!("{} bytes (the raw API: {})", grouped(size), grouped(bytes)),
                size < 2_500,
            )
            .figures(json!({"bytes": size, "raw_bytes": bytes})),
        );
    }
    raw.insert(LIST_BYTES, grouped(bytes));
    own.insert(LIST_BYTES, format!("{} text, {} structured", grouped(text), grouped(structured)));

    let (mut ours, mut theirs): (Vec<Times>, Vec<Times>) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        theirs.push(engine::lists(&lab.local, CALLS).await?);
        ours.push(client.timed("list_containers", &json!({}), CALLS).await?);
    }
    let (ours, theirs) = (Times::best(ours), Times::best(theirs));
    own.insert(LIST, format!("{} / {}", millis(ours.median()), millis(ours.p99())));
    raw.insert(LIST, format!("{} / {}", millis(theirs.median()), millis(theirs.p99())));
    let (ours, theirs) = (ours.median(), theirs.median());
    let times = ratio(ours, theirs);
    report.add(
        Row::new(
            "`list_containers`, median, best of three runs",
            "under 1.5 times the raw API on a kept-alive connection",
            format!("{} to {}", millis(ours), millis(theirs)),
            times < 1.5,
        )
        .ratio(times)
        .figures(json!({"median_ms": milliseconds(ours), "raw_median_ms": milliseconds(theirs)})),
    );

    let one = Lists { arguments: vec![json!({})], targets: vec![engine::LIST.to_owned()] };
    let (ours, theirs) = busy(lab, &client, &one, LOAD).await?;
    own.insert(BUSY, format!("{:.0}; {}", ours.rate(), ours.failed));
    raw.insert(BUSY, format!("{:.0}; {}", theirs.rate(), theirs.failed));
    report.add(at_once("`list_containers` at 32 in flight, best of three runs", Some(LEAST), ours, theirs));

    let (ours, theirs) = busy(lab, &client, &Lists::apart()?, LOAD).await?;
    report.add(at_once(
        "the same where every caller asks for another list, so that nothing can be shared",
        None,
        ours,
        theirs,
    ));

    let churn = Churn::start(&lab.local, &lab.image);
    let result = busy(lab, &client, &one, LONG_LOAD).await;
    let gone = churn.stop().await?;
    let (ours, theirs) = result?;
    report.add(at_once(&format!("32 in flight, while {gone} containers come and go"), Some(LEAST), ours, theirs));

    let memory = client.memory()?;
    report.add(
        Row::new("memory after the load", "under 30 MiB", format!("{memory:.1} MiB"), memory < 30.0)
            .figures(json!({"mib": memory, "peak_mib": client.peak()?})),
    );
    client.leave().await?;
    Ok((own, raw))
}

/// The lists of a load, as a client and as the raw API ask for them.
struct Lists {
    arguments: Vec<Value>,
    targets: Vec<String>,
}

impl Lists {
    /// One for every caller, all of them of the same containers: each by another part of what all names begin with.
    fn apart() -> Result<Self, Failure> {
        let name = "bench-service-";
        let parts =
            (0..name.len()).flat_map(|start| (start + 2..=name.len()).filter_map(move |end| name.get(start..end)));
        let parts: BTreeSet<&str> = parts.collect();
        let parts: Vec<&str> = parts.into_iter().take(FLIGHT).collect();
        if parts.len() < FLIGHT {
            return Err("too few parts of the name".into());
        }
        let arguments = parts.iter().map(|part| json!({"name": part})).collect();
        Ok(Self { arguments, targets: parts.into_iter().map(engine::named).collect() })
    }
}

/// The best of three of each, in turn; what failed in any of them counts.
async fn busy(lab: &Lab, client: &Client, lists: &Lists, calls: usize) -> Result<(Load, Load), Failure> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        theirs.push(engine::load(&lab.local, &lists.targets, calls, FLIGHT).await?);
        ours.push(client.load("list_containers", &lists.arguments, calls, FLIGHT).await?);
    }
    let failed = ours.iter().map(|load| load.failed).sum();
    let best = |loads: Vec<Load>| loads.into_iter().max_by(|one, other| one.rate().total_cmp(&other.rate()));
    let (ours, theirs) = best(ours).zip(best(theirs)).ok_or("no run")?;
    Ok((Load { failed, ..ours }, theirs))
}

fn at_once(what: &str, least: Option<f64>, ours: Load, theirs: Load) -> Row {
    let part = ours.rate() / theirs.rate();
    let bar = match least {
        Some(least) => format!("at least {least} of the raw API with 32 connections, 0 failed"),
        None => "-".to_owned(),
    };
    Row::new(
        what,
        &bar,
        format!("{:.0} to {:.0} a second, {} failed", ours.rate(), theirs.rate(), ours.failed),
        least.map(|least| part >= least && ours.failed == 0),
    )
    .ratio(part)
    .figures(json!({"per_second": ours.rate(), "raw_per_second": theirs.rate(), "failed": ours.failed}))
}
