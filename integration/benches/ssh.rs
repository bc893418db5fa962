//! What ssh costs: the first call, the calls after it, the connections.

use std::{collections::HashSet, fs, time::Duration};

use serde_json::json;
use tokio::time::sleep;

use crate::{
    Failure,
    client::Client,
    figures::{Times, millis, milliseconds, ratio},
    lab::Lab,
    lists::{CALLS, FLIGHT},
    report::{Report, Row},
};

pub(crate) async fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    // The same engine twice.
    let hosts = format!("direct=unix://{}, prod=ssh://lab-prod(ro)", lab.prod);
    let client = lab.quaymaster.hosts(hosts).start().await?;
    let (far, near) = (json!({"host": "prod"}), json!({"host": "direct"}));

    let (_, first) = client.call("list_containers", &far).await?;
    report.add(
        Row::new("first call over ssh", "under 1 s on loopback", millis(first), first.as_secs() < 1)
            .figures(json!({"ms": milliseconds(first)})),
    );
    for tool in ["list_containers", "ping"] {
        let (mut ssh, mut unix) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            ssh.push(client.timed(tool, &far, CALLS).await?);
            unix.push(client.timed(tool, &near, CALLS).await?);
        }
        let (ssh, unix) = (Times::best(ssh).median(), Times::best(unix).median());
        let times = ratio(ssh, unix);
        report.add(
            Row::new(
                &format!("`{tool}` over ssh, median, best of three runs"),
                "under 3 times the same call on the unix socket",
                format!("{} to {}", millis(ssh), millis(unix)),
                times < 3.0,
            )
            .ratio(times)
            .figures(json!({"ssh_median_ms": milliseconds(ssh), "unix_median_ms": milliseconds(unix)})),
        );
    }

    let mut most = 0;
    let mut load = Box::pin(client.load("list_containers", std::slice::from_ref(&far), 400, FLIGHT));
    let done = loop {
        tokio::select! {
            done = &mut load => break done?,
            () = sleep(Duration::from_millis(5)) => most = most.max(connections(&client, lab.ssh_port)?),
        }
    };
    drop(load);
    report.add(
        Row::new(
            "TCP connections to sshd, 32 calls in flight",
            "one for each host",
            format!("{most} at most, {:.0} calls a second, {} failed", done.rate(), done.failed),
            most == 1 && done.failed == 0,
        )
        .figures(json!({"connections": most, "per_second": done.rate(), "failed": done.failed})),
    );
    client.leave().await
}

/// How many established TCP connections a server has to a port of this machine.
fn connections(client: &Client, port: u16) -> Result<usize, Failure> {
    let process = client.id()?;
    let own: HashSet<String> = fs::read_dir(format!("/proc/{process}/fd"))?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp"))?;
    let established = |row: &&str| {
        // sl, local address, remote address, state, ..., inode in the tenth column.
        let columns: Vec<&str> = row.split_whitespace().collect();
        let remote = columns.get(2).and_then(|address| address.rsplit(':').next());
        remote.is_some_and(|remote| u16::from_str_radix(remote, 16) == Ok(port))
            && columns.get(3) == Some(&"01")
            && columns.get(9).is_some_and(|inode| own.contains(*inode))
    };
    Ok(table.lines().skip(1).filter(established).count())
}
