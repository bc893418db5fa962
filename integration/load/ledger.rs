//! What containers were made through Quaymaster, held against what the engines themselves count.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{client::Failure, tally::Tally};

/// The label whose value says by which call a container was made.
pub(crate) const LABEL: &str = "quaymaster-soak";
/// After this long a call that was given up no longer makes anything.
const SETTLED: Duration = Duration::from_secs(90);

/// What a call to run a container came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It said that it made one.
    Made,
    /// It failed or was taken back: there may be one, but not two.
    Unknown,
    /// It was removed, and the answer said so.
    Removed,
}

struct Entry {
    host: &'static str,
    state: State,
    at: Instant,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<u64, Entry>>);

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next call.
    pub(crate) fn begin(&self, host: &'static str) -> u64 {
        let mut entries = self.entries();
        let number = entries.len() as u64 + 1;
        entries.insert(number, Entry { host, state: State::Unknown, at: Instant::now() + SETTLED });
        number
    }

    pub(crate) fn set(&self, number: u64, state: State) {
        if let Some(entry) = self.entries().get_mut(&number) {
            entry.state = state;
            entry.at = Instant::now();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    /// Counts a host's containers at its engine; with `last` also those whose calls may still be under way.
    ///
    /// What no call looks after any more is removed, so that the hosts do not fill up.
    pub(crate) async fn check(&self, engine: &Engine, tally: &Tally, last: bool) -> Result<(), Failure> {
        let filters = json!({"label": [LABEL]}).to_string().replace('"', "%22");
        let listed = engine.ask("GET", &format!("/containers/json?all=1&filters={filters}")).await?;
        let mut found: HashMap<u64, Vec<String>> = HashMap::new();
        for container in listed.as_array().into_iter().flatten() {
            let number = container.pointer(&format!("/Labels/{LABEL}")).and_then(Value::as_str);
            let id = container.get("Id").and_then(Value::as_str);
            if let (Some(Ok(number)), Some(id)) = (number.map(str::parse), id) {
                found.entry(number).or_default().push(id.to_owned());
            }
        }
        let mut left = Vec::new();
        for (number, entry) in self.entries().iter().filter(|(_, entry)| entry.host == engine.host) {
            let ids = found.remove(number).unwrap_or_default();
            let age = entry.at.elapsed();
            let fits = match entry.state {
                State::Unknown => ids.len() <= 1,
                // The list was read a moment ago: what ended since then is looked at the next time.
                _ if age < Duration::from_secs(5) => ids.len() <= 1,
                State::Made => ids.len() == 1,
                State::Removed => ids.is_empty(),
            };
            if !fits {
                tally.broken(format!(
                    "call {number} on {}: {:?}, but {} containers",
                    entry.host,
                    entry.state,
                    ids.len()
                ));
            }
            if entry.state == State::Unknown && (last || age > SETTLED) {
                left.extend(ids);
            }
        }
        for (number, ids) in found {
            tally.broken(format!("{} containers of a call {number} that was never made on {}", ids.len(), engine.host));
        }
        for id in left {
            engine.ask("DELETE", &format!("/containers/{id}?force=1")).await?;
        }
        Ok(())
    }
}

/// An engine, spoken to directly.
pub(crate) struct Engine {
    pub(crate) host: &'static str,
    pub(crate) socket: PathBuf,
}

impl Engine {
    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, target: &str) -> Result<Value, Failure> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            // The old version of the protocol knows neither chunks nor kept connections.
            stream.write_all(format!("{method} {target} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes()).await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            Ok::<_, Failure>(bytes)
        };
        let bytes = tokio::time::timeout(Duration::from_secs(30), exchange).await??;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("no answer of HTTP")?;
        let (head, body) = bytes.split_at(end + 4);
        if !head.get(9..12).is_some_and(|status| status.starts_with(b"2") || status == b"404" || status == b"409") {
            return Err(format!("{method} {target}: {}", String::from_utf8_lossy(&bytes)).into());
        }
        Ok(serde_json::from_slice(body).unwrap_or_default())
    }
}
