//! Many calls at once over SSH: one TCP connection, however few sessions the far side grants.

use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quaymaster::gateway::{Gateway, Request};
use serde_json::json;

use crate::rig::{gateway, lab};

/// How many established TCP connections this process has to a port of this machine.
fn connections(port: u16) -> usize {
    let own: HashSet<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter(|row| {
        // sl, local address, remote address, state, ..., inode in the tenth column.
        let columns: Vec<&str> = row.split_whitespace().collect();
        let remote = columns.get(2).and_then(|address| address.rsplit(':').next());
        remote.is_some_and(|remote| u16::from_str_radix(remote, 16) == Ok(port))
            && columns.get(3) == Some(&"01")
            && columns.get(9).is_some_and(|inode| own.contains(*inode))
    })
    .count()
}

async fn list(gateway: Arc<Gateway>) -> Result<usize, String> {
    let arguments = json!({"all": true}).as_object().cloned().unwrap();
    let answer = gateway
        .call(Request::new(gateway.caller("test"), "list_containers", arguments))
        .await
        .map_err(|error| format!("{error:?}"))?;
    answer.structured.and_then(|fields| Some(fields.get("containers")?.as_array()?.len())).ok_or("no rows".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_lists_at_once_share_one_connection_with_two_sessions() {
    let port: u16 = lab("LAB_SSH_MAX2_PORT").parse().unwrap();
    let gateway = gateway(&[format!("prod=ssh://{}@127.0.0.1:{port}", lab("LAB_SSH_USER"))]);
    assert_eq!(connections(port), 0, "nobody is contacted before a call");
    let (done, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (over, seen) = (done.clone(), most.clone());
    let watching = tokio::spawn(async move {
        while !over.load(Ordering::SeqCst) {
            seen.fetch_max(connections(port), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    // Twice: on a fresh connection, and on one that has found out how few sessions it gets.
    for round in 0..2 {
        let calls: Vec<_> = (0..30).map(|_| tokio::spawn(list(gateway.clone()))).collect();
        for call in calls {
            call.await.unwrap().unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
    }
    done.store(true, Ordering::SeqCst);
    watching.await.unwrap();
    assert_eq!((most.load(Ordering::SeqCst), connections(port)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_host_leads_there_over_connections_to_it_alone() {
    let (direct, jump): (u16, u16) = (lab("LAB_SSH_PORT").parse().unwrap(), lab("LAB_JUMP_PORT").parse().unwrap());
    let gateway = gateway(&["prod=ssh://lab-prod-jump".to_owned()]);
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(list(gateway.clone()))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((connections(direct), connections(jump)), (0, 1));
}
