//! Many hosts: a survey of fifty with two that are gone, and a thousand configured ones.

use std::time::Instant;

use serde_json::json;

use crate::{
    Failure,
    figures::{grouped, millis, milliseconds, seconds},
    lab::Lab,
    report::{Report, Row},
    simulated::{Daemon, Manner},
};

/// The engines of the lab, simulated ones, one where nothing listens, and one that accepts and never answers.
pub(crate) async fn fifty(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let simulated: Vec<Daemon> = (0..45).map(|number| lab.simulate(number, Manner::Sane)).collect::<Result<_, _>>()?;
    let hung = lab.simulate(0, Manner::Silent)?;
    let dead = lab.directory.path().join("dead.sock");
    // The socket stays behind, as after an engine that was killed.
    drop(std::os::unix::net::UnixListener::bind(&dead)?);
    let mut hosts = vec![lab.three_hosts()];
    hosts.extend(simulated.iter().enumerate().map(|(at, daemon)| format!("host-{at}=unix://{}", daemon.socket)));
    hosts.push(format!("dead-one=unix://{}", dead.display()));
    hosts.push(format!("hung-one=unix://{}", hung.socket));
    let program = lab.quaymaster.hosts(hosts.join(", "));

    let client = program.start().await?;
    let (survey, took) = client.call("survey_hosts", &json!({})).await?;
    client.leave().await?;
    let total = &survey["structuredContent"]["totals"]["hosts"];
    if *total != 50 {
        return Err(format!("the survey saw {total} hosts").into());
    }
    report.add(
        Row::new("survey of 50 hosts, one dead, one hung", "under 6 s", seconds(took), took.as_secs() < 6)
            .figures(json!({"ms": milliseconds(took)})),
    );
    let text = survey["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    let structured = survey["structuredContent"].to_string();
    let is_named = |text: &str| text.contains("dead-one") && text.contains("hung-one");
    for (channel, said) in [("text", &text), ("structured", &structured)] {
        report.add(
            Row::new(
                &format!("that survey, {channel}"),
                "under 4,800 bytes, both named",
                format!(
                    "{} bytes, {}",
                    grouped(said.len()),
                    if is_named(said) { "both named" } else { "not both named" }
                ),
                said.len() < 4_800 && is_named(said),
            )
            .figures(json!({"bytes": said.len()})),
        );
    }

    let started = Instant::now();
    let checked = program.command().arg("check").output().await?;
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&checked.stdout);
    let named = if is_named(&said) { "both named" } else { "not both named" };
    report.add(
        Row::new(
            "`quaymaster check` of them",
            "under 6 s",
            format!("{}, {named}, {}", seconds(took), checked.status),
            took.as_secs() < 6 && is_named(&said) && checked.status.code() == Some(1),
        )
        .figures(json!({"ms": milliseconds(took)})),
    );
    Ok(())
}

/// A thousand simulated daemons on local sockets.
pub(crate) async fn thousand(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let simulated: Vec<Daemon> =
        (1_000..2_000).map(|number| lab.simulate(number, Manner::Sane)).collect::<Result<_, _>>()?;
    let hosts: Vec<String> =
        simulated.iter().enumerate().map(|(at, daemon)| format!("h{at}=unix://{}", daemon.socket)).collect();
    let program = lab.quaymaster.hosts(hosts.join(","));
    let start = program.spawns(20).await?.median();
    report.add(
        Row::new(
            "1,000 hosts configured: spawn to initialize, median of 20",
            "under 50 ms",
            millis(start),
            start.as_millis() < 50,
        )
        .figures(json!({"median_ms": milliseconds(start)})),
    );
    let client = program.start().await?;
    let before = client.memory()?;
    let (survey, took) = client.call("survey_hosts", &json!({})).await?;
    let totals = &survey["structuredContent"]["totals"];
    let (ok, total) = (totals["ok"].as_u64(), totals["hosts"].as_u64());
    let (peak, after) = (client.peak()?, client.memory()?);
    client.leave().await?;
    report.add(
        Row::new(
            "survey of 1,000 local sockets",
            "under 10 s and 128 MiB",
            format!("{}, {peak:.1} MiB at most, {} of {} ok", seconds(took), ok.unwrap_or(0), total.unwrap_or(0)),
            took.as_secs() < 10 && peak < 128.0 && ok == Some(1_000),
        )
        .figures(json!({"ms": milliseconds(took), "peak_mib": peak, "before_mib": before, "after_mib": after})),
    );
    Ok(())
}
