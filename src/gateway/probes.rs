//! Who enforces the limits of hosts, as far as a person had it found out: the results of `check --probe-guard`.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions, remove_file, rename},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    config::{Endpoint, HostConfig},
    docker::probe::Enforcement,
    error::{Error, Result},
    secret::random,
};

/// The file, in the state directory.
const FILE: &str = "probes.json";
/// The longest file that is read: some thousand hosts.
const LARGEST: u64 = 1 << 20;

/// The results that are kept.
pub struct Probes {
    state: Option<PathBuf>,
}

/// What was kept of every host, by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Known(BTreeMap<String, Kept>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The fingerprint of the endpoint that was asked: another one under the same name is not known.
    endpoint: String,
    enforcement: Enforcement,
    /// RFC 3339.
    checked: String,
}

impl Known {
    /// The result for a host as it is configured now, and when it was found out.
    #[must_use]
    pub fn of(&self, host: &HostConfig) -> Option<(Enforcement, Timestamp)> {
        let kept = self.0.get(&host.name).filter(|kept| kept.endpoint == fingerprint(&host.endpoint))?;
        Some((kept.enforcement, kept.checked.parse().ok()?))
    }
}

impl Probes {
    /// The results in a state directory; nothing is read or made yet.
    #[must_use]
    pub fn new(state: Option<PathBuf>) -> Self {
        Self { state }
    }

    /// What is known. A file that cannot be read tells nothing, and is written anew by the next probe.
    #[must_use]
    pub fn known(&self) -> Known {
        let Some(state) = &self.state else { return Known::default() };
        match read(&state.join(FILE)) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Known::default(),
            Err(error) => {
                tracing::warn!("the results of probes cannot be read: {error}");
                Known::default()
            }
        }
    }

    /// Keeps results; those of other hosts stay.
    ///
    /// # Errors
    /// `config` when there is no state directory or it cannot be written.
    pub fn keep(&self, found: &[(&HostConfig, Enforcement)], now: Timestamp) -> Result<()> {
        let Some(state) = &self.state else {
            return Err(Error::config("there is no state directory").hint("set HOME or XDG_STATE_HOME"));
        };
        let write = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(state)?;
            // Two at once would lose what the other one found.
            let lock = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(state.join("probes.lock"))?;
            lock.lock()?;
            let mut known = self.known();
            for (host, enforcement) in found {
                let checked = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let endpoint = fingerprint(&host.endpoint);
                known.0.insert(host.name.clone(), Kept { endpoint, enforcement: *enforcement, checked });
            }
            replace(&state.join(FILE), &serde_json::to_vec_pretty(&known)?)
        };
        write().map_err(|error| {
            Error::config("the results cannot be kept in the state directory")
                .hint("make it writable for your account")
                .detail(format!("{}: {error}", state.display()))
        })
    }
}

fn read(path: &Path) -> io::Result<Known> {
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Writes a file that nobody sees half written and only its owner reads.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let number = random::<8>().map(u64::from_ne_bytes).map_err(io::Error::other)?;
    let new = path.with_extension(format!("{number:016x}"));
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rename(&new, path)
    };
    written().inspect_err(|_| {
        remove_file(&new).ok();
    })
}

/// Tells endpoints apart without naming them; with TLS one is another than without.
fn fingerprint(endpoint: &Endpoint) -> String {
    let kind = if matches!(endpoint, Endpoint::Tls { .. }) { "tls" } else { "" };
    format!("{:x}", Sha256::digest(format!("{kind} {endpoint}")))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::config::{Config, Environment, Flags};

    fn host(spec: &str) -> HostConfig {
        let flags = Flags { hosts: vec![spec.to_owned()], ..Flags::default() };
        Config::load(&Environment::default(), &flags).unwrap().hosts.remove(0)
    }

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_result_belongs_to_a_name_and_an_endpoint() {
        let directory = tempfile::tempdir().unwrap();
        let probes = Probes::new(Some(directory.path().join("a/quaymaster")));
        assert_eq!(probes.known(), Known::default());
        let (local, prod) = (host("local=unix:///run/a.sock"), host("prod=ssh://ops@prod(ro)"));
        probes.keep(&[(&local, Enforcement::Gateway)], now()).unwrap();
        probes.keep(&[(&prod, Enforcement::Endpoint)], now()).unwrap();
        let known = probes.known();
        assert_eq!(known.of(&local), Some((Enforcement::Gateway, now())));
        assert_eq!(known.of(&prod), Some((Enforcement::Endpoint, now())));
        // The mode is no part of it; whatever leads elsewhere is.
        assert!(known.of(&host("prod=ssh://ops@prod")).is_some());
        for other in
            ["prod=ssh://ops@prod:2222", "prod=ssh://root@prod", "prod=ssh://ops@prod/run/x.sock", "b=ssh://ops@prod"]
        {
            assert_eq!(known.of(&host(other)), None, "{other}");
        }
    }

    #[test]
    fn only_the_owner_reads_it_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("quaymaster");
        let probes = Probes::new(Some(state.clone()));
        for _ in 0..3 {
            probes.keep(&[(&host("a=unix:///x"), Enforcement::Gateway)], now()).unwrap();
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
        let mut names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["probes.json", "probes.lock"]);
        assert!(!fs::read_to_string(state.join(FILE)).unwrap().contains("unix:"), "it names the endpoint");
    }

    #[test]
    fn a_spoiled_file_tells_nothing_and_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (file, host) = (directory.path().join(FILE), host("a=unix:///x"));
        let probes = Probes::new(Some(directory.path().to_owned()));
        let print = fingerprint(&host.endpoint);
        for text in [
            String::new(),
            "{".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            r#"{"a": 1}"#.to_owned(),
            format!(r#"{{"a": {{"endpoint": "{print}", "enforcement": "root", "checked": "2026-11-20T10:00:00Z"}}}}"#),
            format!(r#"{{"a": {{"endpoint": "{print}", "enforcement": "endpoint", "checked": "now \u001b[2J"}}}}"#),
            format!("{{\"a\": \"{}\"}}", "x".repeat(2 << 20)),
        ] {
            fs::write(&file, &text).unwrap();
            assert_eq!(probes.known().of(&host), None, "{}", text.chars().take(100).collect::<String>());
            probes.keep(&[(&host, Enforcement::Endpoint)], now()).unwrap();
            assert_eq!(probes.known().of(&host), Some((Enforcement::Endpoint, now())));
        }
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(probes.known(), Known::default());
        assert!(probes.keep(&[(&host, Enforcement::Endpoint)], now()).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "something half written is left");
        assert!(Probes::new(None).keep(&[], now()).is_err());
    }

    #[test]
    fn results_of_many_at_once_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let probes = Probes::new(Some(directory.path().to_owned()));
                scope.spawn(move || {
                    probes.keep(&[(&host(&format!("h{number}=unix:///x")), Enforcement::Gateway)], now()).unwrap();
                });
            }
        });
        let known = Probes::new(Some(directory.path().to_owned())).known();
        assert!((0..8).all(|number| known.of(&host(&format!("h{number}=unix:///x"))).is_some()), "{known:?}");
    }
}
