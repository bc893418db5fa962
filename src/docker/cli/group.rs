//! The processes of one run: who belongs to them, and that none is left when the run is over.

use std::{path::Path, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid, getuid},
};
use tokio::{net::unix::UCred, process::Child, time::sleep};

/// How long a program may take to end by itself once it was told to; the gateway waits five seconds at its own end.
const GRACE: Duration = Duration::from_secs(2);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How many parents of a process are looked at.
const PARENTS: usize = 16;

/// The process group of a run, led by the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(Pid);

impl Group {
    /// The group that a child leads which was started as the leader of one.
    pub(super) fn of(child: &Child) -> Option<Self> {
        child.id().and_then(|id| i32::try_from(id).ok()).map(|id| Self(Pid::from_raw(id)))
    }

    /// Whether whoever connected is of this account and, as far as the system tells, of this group, or was started
    /// by one who is.
    pub(super) fn has(self, peer: &UCred) -> bool {
        let Some(mut process) = peer.pid().map(Pid::from_raw) else { return false };
        if peer.uid() != getuid().as_raw() {
            return false;
        }
        for _ in 0..PARENTS {
            match getpgid(Some(process)) {
                Ok(group) if group == self.0 => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
            match parent(process) {
                Some(next) => process = next,
                None => return false,
            }
        }
        false
    }

    fn signal(self, signal: Signal) {
        // Who has gone needs no signal.
        killpg(self.0, signal).ok();
    }

    fn is_empty(self) -> bool {
        killpg(self.0, None) == Err(Errno::ESRCH)
    }

    /// Ends everything at once, where nobody can wait for it.
    pub(super) fn kill(self) {
        self.signal(Signal::SIGKILL);
    }

    /// Asks all to end, and ends those that do not; when it returns, none is left.
    pub(super) async fn end(self, mut child: Child, socket: &Path) {
        self.signal(Signal::SIGTERM);
        let ending = async {
            child.wait().await.ok();
            while !self.is_empty() {
                sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(GRACE, ending).await.is_err() {
            self.signal(Signal::SIGKILL);
            child.wait().await.ok();
        }
        self.sweep(socket).await;
    }

    /// Ends what a program that has ended left behind.
    pub(super) async fn sweep(self, socket: &Path) {
        self.signal(Signal::SIGKILL);
        let address = address(socket);
        let left = tokio::task::spawn_blocking(move || strays(&address)).await.unwrap_or_default();
        for process in left {
            kill(process, Signal::SIGKILL).ok();
        }
    }
}

/// What `DOCKER_HOST` of a run says; no other run says the same.
pub(super) fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

#[cfg(target_os = "linux")]
fn parent(process: Pid) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // A program may be called anything: what follows its name begins behind the last parenthesis.
    let (_, fields) = status.rsplit_once(')')?;
    let parent = fields.split_whitespace().nth(1)?.parse().ok()?;
    (parent > 1).then(|| Pid::from_raw(parent))
}

#[cfg(not(target_os = "linux"))]
fn parent(_: Pid) -> Option<Pid> {
    None
}

/// Processes that left the group, by what they inherited.
#[cfg(target_os = "linux")]
fn strays(address: &str) -> Vec<Pid> {
    let wanted = format!("DOCKER_HOST={address}");
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let strays = ids.filter(|id| {
        *id != own
            && std::fs::read(format!("/proc/{id}/environ"))
                .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    });
    strays.filter_map(|id| i32::try_from(id).ok()).map(Pid::from_raw).collect()
}

#[cfg(not(target_os = "linux"))]
fn strays(_: &str) -> Vec<Pid> {
    Vec::new()
}

#[cfg(test)]
impl Group {
    /// The group that the tests run in.
    pub(super) fn own() -> Self {
        Self(nix::unistd::getpgrp())
    }
}
