//! What grows with hosts, containers and callers, and how: `integration/scale` runs it.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value with a name answers null where it has none")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

#[expect(dead_code, reason = "each program uses a part of it")]
mod client;
mod daemons;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use client::{Client, Failure, Outcome};
use daemons::{Daemons, Kind};

/// Containers of a host where nothing else is said.
/// What a fleet is called, how many hosts it has, and how each of them is.
type Fleet = (&'static str, usize, fn(usize) -> Kind);

const CONTAINERS: usize = 20;
/// What rests longer than that in a pool is closed, and somebody looks by then.
const RESTED: Duration = Duration::from_secs(140);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let program = std::env::args().nth(1).ok_or("usage: scale QUAYMASTER")?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    configured(&program).await?;
    surveyed(&program).await?;
    listed(&program).await?;
    called(&program).await
}

async fn start(program: &str, daemons: &Daemons) -> Result<Client, Failure> {
    let home = daemons.home();
    let variables = [
        ("QUAYMASTER_HOSTS", daemons.hosts().into()),
        ("HOME", home.clone().into_os_string()),
        ("XDG_STATE_HOME", home.into_os_string()),
    ];
    Client::start(program, &variables, None).await
}

/// Hosts that nobody has asked for anything yet.
async fn configured(program: &str) -> Result<(), Failure> {
    say(
        "### Configured hosts\n\nNothing is contacted. Start to answered `initialize`, median of 15; memory after `tools/list`.\n",
    );
    say("| hosts | start, ms | memory, MiB | descriptors | threads |\n| ---: | ---: | ---: | ---: | ---: |");
    for hosts in [1, 10, 100, 1000] {
        let daemons = Daemons::start(hosts, 0, |_| Kind::Well)?;
        let mut times = Vec::new();
        for _ in 0..15 {
            let started = Instant::now();
            let client = start(program, &daemons).await?;
            times.push(started.elapsed());
            client.leave().await?;
        }
        let client = start(program, &daemons).await?;
        client.ask("tools/list", json!({})).await?;
        let (memory, descriptors, threads) = (client.memory(), client.descriptors(), client.threads());
        say(&format!(
            "| {hosts} | {} | {} | {descriptors} | {threads} |",
            millis(quantile(&mut times, 0.5)),
            mib(memory)
        ));
        client.leave().await?;
    }
    Ok(())
}

/// Surveys of whole fleets.
async fn surveyed(program: &str) -> Result<(), Failure> {
    say(&format!(
        "\n### Surveys\n\n{CONTAINERS} containers on each host. The first survey connects to every host, the second does not have to learn who answers. Memory is the highest during the first; then, per host, what stays of it once resting connections have been closed.\n"
    ));
    say(
        "| hosts | first, s | second, s | memory, MiB | connections at most | open after it | stays, KiB per host | answer, bytes |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    let fleets: [Fleet; 5] = [
        ("10", 10, |_| Kind::Well),
        ("100", 100, |_| Kind::Well),
        ("1,000", 1000, |_| Kind::Well),
        ("1,000, 100 of them dead", 1000, |number| if number % 10 == 3 { Kind::Dead } else { Kind::Well }),
        ("1,000, 100 of them hung", 1000, |number| if number % 10 == 3 { Kind::Hung } else { Kind::Well }),
    ];
    for (name, hosts, kind) in fleets {
        let daemons = Daemons::start(hosts, CONTAINERS, kind)?;
        let client = start(program, &daemons).await?;
        client.ask("tools/list", json!({})).await?;
        let before = client.memory();
        client.forget_peak();
        let (first, answer) = survey(&client).await?;
        let peak = client.peak();
        let (most, open) = daemons.connections();
        let (second, _) = survey(&client).await?;
        let totals = &answer["structuredContent"]["totals"];
        let (well, all) = (totals["ok"].as_u64(), totals["hosts"].as_u64());
        let wanted = (0..hosts).filter(|number| kind(*number) == Kind::Well).count() as u64;
        if (well, all) != (Some(wanted), Some(hosts as u64)) {
            return Err(format!("the survey of {name} says {totals}").into());
        }
        // Once is enough: it takes as long as everything else together.
        let stays = if name == "1,000" {
            tokio::time::sleep(RESTED).await;
            format!("{:.1}", client.memory().saturating_sub(before) as f64 / hosts as f64)
        } else {
            "-".to_owned()
        };
        let bytes = answer["content"][0]["text"].as_str().map_or(0, str::len);
        say(&format!(
            "| {name} | {:.2} | {:.2} | {} | {most} | {open} | {stays} | {bytes} |",
            first.as_secs_f64(),
            second.as_secs_f64(),
            mib(peak)
        ));
        client.leave().await?;
    }
    Ok(())
}

async fn survey(client: &Client) -> Result<(Duration, Value), Failure> {
    let started = Instant::now();
    let answer = done(client.call("survey_hosts", json!({"host": "all"}), None).await)?;
    Ok((started.elapsed(), answer))
}

/// Hosts with many containers.
async fn listed(program: &str) -> Result<(), Failure> {
    say(
        "\n### Containers on a host\n\n`list_containers` with `all`, median of 20 on one host, and the first survey of 50 such hosts. A container is a kilobyte of the engine's JSON. Memory is the highest meanwhile.\n",
    );
    say(
        "| containers per host | list, ms | memory, MiB | answer, bytes | survey of 50, s | hosts in time | memory, MiB |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for containers in [100, 500, 1000, 2000, 5000] {
        let daemons = Daemons::start(50, containers, |_| Kind::Well)?;
        let client = start(program, &daemons).await?;
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..20 {
            let started = Instant::now();
            let answer = done(client.call("list_containers", json!({"host": "h0", "all": true}), None).await)?;
            times.push(started.elapsed());
            bytes = answer["content"][0]["text"].as_str().map_or(0, str::len);
        }
        let list = client.peak();
        client.leave().await?;
        let client = start(program, &daemons).await?;
        let (took, answer) = survey(&client).await?;
        let in_time = &answer["structuredContent"]["totals"]["ok"];
        say(&format!(
            "| {containers} | {} | {} | {bytes} | {:.2} | {in_time} | {} |",
            millis(quantile(&mut times, 0.5)),
            mib(list),
            took.as_secs_f64(),
            mib(client.peak())
        ));
        client.leave().await?;
    }
    Ok(())
}

/// Many calls at once.
async fn called(program: &str) -> Result<(), Failure> {
    say(&format!(
        "\n### Calls in flight\n\n`list_containers` of a host with {CONTAINERS} containers, so many calls at once for five seconds, all on one host or spread over a hundred. A call that finds the queue full is answered with `busy` and counts as that.\n"
    ));
    say(
        "| in flight | hosts | calls per s | busy | median, ms | 99 %, ms | connections at most | memory, MiB |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for hosts in [1, 100] {
        for callers in [1, 4, 16, 32, 64, 128, 256] {
            let daemons = Daemons::start(hosts, CONTAINERS, |_| Kind::Well)?;
            let client = Arc::new(start(program, &daemons).await?);
            let end = Instant::now() + Duration::from_secs(5);
            let mut running = JoinSet::new();
            for caller in 0..callers {
                let client = client.clone();
                running.spawn(async move { call(&client, caller, hosts, end).await });
            }
            let (mut times, mut busy) = (Vec::new(), 0);
            while let Some(ended) = running.join_next().await {
                let (took, refused) = ended??;
                times.extend(took);
                busy += refused;
            }
            let (most, _) = daemons.connections();
            let memory = client.peak();
            say(&format!(
                "| {callers} | {hosts} | {:.0} | {busy} | {} | {} | {most} | {} |",
                times.len() as f64 / 5.0,
                millis(quantile(&mut times, 0.5)),
                millis(quantile(&mut times, 0.99)),
                mib(memory)
            ));
            Arc::into_inner(client).ok_or("somebody still calls")?.leave().await?;
        }
    }
    Ok(())
}

/// One caller until the end: how long its calls took, and how many found no room.
async fn call(client: &Client, caller: usize, hosts: usize, end: Instant) -> Result<(Vec<Duration>, usize), Failure> {
    let (mut times, mut busy) = (Vec::new(), 0);
    for turn in 0.. {
        let started = Instant::now();
        if started > end {
            break;
        }
        let host = format!("h{}", (caller * 37 + turn) % hosts);
        match client.call("list_containers", json!({"host": host}), None).await {
            Outcome::Failed { kind, .. } if kind == "busy" => {
                busy += 1;
                // As a caller that heeds the hint does.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => {
                done(outcome)?;
                times.push(started.elapsed());
            }
        }
    }
    Ok((times, busy))
}

fn done(outcome: Outcome) -> Result<Value, Failure> {
    match outcome {
        Outcome::Done(answer) => Ok(answer),
        other => Err(format!("{other:?}").into()),
    }
}

fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into a list in memory")]
    let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
    times.get(index).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn mib(kib: usize) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

#[expect(clippy::print_stdout, reason = "the tables are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
