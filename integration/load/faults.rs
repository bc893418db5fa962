//! What happens to the hosts while calls go on: engines stopped, killed and restarted, the sshd killed; and when.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{process::Command, time::sleep};

use super::{chance::Chance, client::Failure};

/// How long after a fault its host may still fail: the breaker has to try it once more.
pub(crate) const GRACE: Duration = Duration::from_secs(75);

/// One fault, from its beginning to the moment when what it hit was there again.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) host: &'static str,
    pub(crate) what: String,
    pub(crate) from: Instant,
    pub(crate) to: Option<Instant>,
}

/// All of them so far.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn all(&self) -> Vec<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a fault of this host can have touched what went on between these moments.
    pub(crate) fn touch(&self, host: &str, from: Instant, to: Instant) -> bool {
        self.all().iter().any(|fault| fault.host == host && fault.from <= to && fault.until() >= from)
    }

    /// Whether any host suffers now.
    pub(crate) fn go_on(&self, from: Instant, to: Instant) -> bool {
        self.all().iter().any(|fault| fault.from <= to && fault.to.is_none_or(|end| end >= from))
    }

    fn begin(&self, host: &'static str, what: String) {
        let fault = Fault { host, what, from: Instant::now(), to: None };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    fn end(&self) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = faults.last_mut() {
            last.to = Some(Instant::now());
        }
    }
}

impl Fault {
    fn until(&self) -> Instant {
        self.to.map_or_else(|| Instant::now() + GRACE, |end| end + GRACE)
    }
}

/// The daemons of the soak's own lab.
pub(crate) struct Lab {
    pub(crate) directory: PathBuf,
    pub(crate) script: String,
}

impl Lab {
    async fn signal(&self, name: &str, signal: &str) -> Result<(), Failure> {
        let id = std::fs::read_to_string(self.directory.join("pids").join(name))?;
        run(Command::new("kill").args([signal, id.trim()])).await
    }

    async fn restart(&self, name: &str, seconds: u64) -> Result<(), Failure> {
        run(Command::new(&self.script).arg("restart").arg(&self.directory).args([name, &seconds.to_string()])).await
    }

    /// Does harm, one fault at a time, until the end.
    pub(crate) async fn suffer(&self, faults: &Faults, mut chance: Chance, end: Instant) -> Result<(), Failure> {
        loop {
            let pause = Duration::from_secs(8 + chance.below(18));
            // Nothing begins that could not be over at the end.
            if Instant::now() + pause + Duration::from_secs(25) > end {
                return Ok(());
            }
            sleep(pause).await;
            let host = *chance.of(&["local", "staging", "prod"]);
            let engine = format!("dockerd-{host}");
            let seconds = 2 + chance.below(11);
            match chance.below(if host == "prod" { 6 } else { 4 }) {
                0 | 1 => {
                    faults.begin(host, format!("engine stopped for {seconds} s"));
                    self.signal(&engine, "-STOP").await?;
                    sleep(Duration::from_secs(seconds)).await;
                    self.signal(&engine, "-CONT").await?;
                }
                2 | 3 => {
                    let down = seconds / 3;
                    faults.begin(host, format!("engine killed, restarted after {down} s"));
                    self.restart(&engine, down).await?;
                }
                _ => {
                    let down = seconds / 3;
                    faults.begin(host, format!("sshd killed, restarted after {down} s"));
                    self.restart("sshd-prod", down).await?;
                }
            }
            faults.end();
        }
    }
}

pub(crate) async fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(180), output).await??;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
