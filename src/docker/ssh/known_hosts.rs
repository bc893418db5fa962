//! Whether a host key is the one that the person has recorded; never asks, never records one itself.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use hmac::{Hmac, Mac};
use russh::keys::{
    Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey,
    ssh_key::known_hosts::{Entry, HostPatterns, Marker},
};
use sha1::Sha1;

use super::patterns;

/// Why a host key is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// No file has a key for the host.
    Unknown(String),
    /// A file has another key for the host.
    Changed(String),
    /// A file says that the key must not be trusted.
    Revoked(String),
}

/// What the files say about one host.
#[derive(Debug)]
pub(super) struct KnownHosts {
    names: Names,
    entries: Vec<Known>,
    files: Vec<PathBuf>,
    /// Lines that could not be read, for people.
    pub(super) warnings: Vec<String>,
}

/// The names under which a host may be listed.
#[derive(Debug)]
struct Names {
    /// `host`, or `[host]:port` for a port other than 22, or the alias.
    full: String,
    /// The name alone; what a certificate must be for.
    bare: String,
    /// Whether an entry for the name alone counts too, as in ssh for other ports.
    bare_counts: bool,
}

#[derive(Debug)]
struct Known {
    marker: Option<Marker>,
    key: PublicKey,
    /// Whether it is listed for the full name, not only for the bare one.
    full: bool,
    /// `file:line`
    place: String,
}

impl KnownHosts {
    /// Reads the entries for a host; files that do not exist are none.
    pub(super) fn read(files: &[PathBuf], host: &str, port: u16, alias: Option<&str>) -> Self {
        let names = match alias {
            Some(alias) => Names { full: alias.to_owned(), bare: alias.to_owned(), bare_counts: false },
            None if port == 22 => Names { full: host.to_owned(), bare: host.to_owned(), bare_counts: false },
            None => Names { full: format!("[{host}]:{port}"), bare: host.to_owned(), bare_counts: true },
        };
        let mut known = Self { names, entries: Vec::new(), files: files.to_vec(), warnings: Vec::new() };
        for file in files {
            match fs::read(file) {
                Ok(bytes) => known.take(file, &String::from_utf8_lossy(&bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => known.warnings.push(format!("{}: {error}", file.display())),
            }
        }
        known
    }

    /// Reads a text as a file of its own; answers how many keys it has for the host.
    #[cfg(fuzzing)]
    pub(super) fn parse(text: &str, host: &str, port: u16) -> usize {
        let mut known = Self::read(&[], host, port, None);
        known.take(Path::new("known_hosts"), text);
        let keys: Vec<PublicKey> = known.entries.iter().map(|entry| entry.key.clone()).collect();
        // Whatever was read has to be compared without a panic.
        keys.iter().for_each(|key| drop(known.check(key, None, 0)));
        known.algorithms().len().min(known.entries.len())
    }

    fn take(&mut self, file: &Path, text: &str) {
        let mut skipped = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            let fields: Vec<&str> = line.split_whitespace().collect();
            // The comment is left out: it may be anything.
            let wanted = match fields.first() {
                None => continue,
                Some(first) if first.starts_with('#') => continue,
                Some(first) if first.starts_with('@') => 4,
                Some(_) => 3,
            };
            let Ok(entry) = Entry::from_str(&fields.iter().take(wanted).copied().collect::<Vec<_>>().join(" ")) else {
                skipped.push((number + 1).to_string());
                continue;
            };
            let full = listed(entry.host_patterns(), &self.names.full);
            if full || (self.names.bare_counts && listed(entry.host_patterns(), &self.names.bare)) {
                let marker = entry.marker().copied();
                self.entries.push(Known { marker, key: entry.into(), full, place });
            }
        }
        if !skipped.is_empty() {
            self.warnings.push(format!("{}: skipped what is no host key, line {}", file.display(), skipped.join(", ")));
        }
    }

    fn marked(&self, marker: Option<Marker>) -> impl Iterator<Item = &Known> {
        self.entries.iter().filter(move |known| known.marker == marker)
    }

    /// The key algorithms to ask for, those of recorded keys first; never RSA with SHA-1.
    ///
    /// Without the order a server that also has a newer key would present that one, and
    /// look as if its key had changed.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let (mut first, rest): (Vec<_>, Vec<_>) = all_algorithms()
            .into_iter()
            .partition(|algorithm| self.marked(None).any(|known| same_family(&known.key.algorithm(), algorithm)));
        first.extend(rest);
        first
    }

    /// The algorithms to ask host certificates for: none unless an authority is recorded for the host.
    pub(super) fn certificate_algorithms(&self) -> Vec<Algorithm> {
        if self.marked(Some(Marker::CertAuthority)).next().is_some() { all_algorithms() } else { Vec::new() }
    }

    /// Accepts what the server proved to hold, or says why not; `now` in seconds since 1970.
    pub(super) fn check(&self, key: &PublicKey, certificate: Option<&Certificate>, now: u64) -> Result<(), Refused> {
        let authority = certificate.map(Certificate::signature_key);
        let revoked = self.marked(Some(Marker::Revoked)).find(|known| {
            known.key.key_data() == key.key_data() || authority.is_some_and(|data| known.key.key_data() == data)
        });
        if let Some(known) = revoked {
            return Err(Refused::Revoked(format!("{} is revoked at {}", self.presented(key), known.place)));
        }

        // As in ssh, a certificate that does not hold leaves the key in it to be judged like any other.
        let mut why = String::new();
        if let Some(certificate) = certificate {
            match self.check_certificate(certificate, now) {
                Ok(()) => return Ok(()),
                Err(reason) => why = format!("; its certificate does not count: {reason}"),
            }
        }

        let presented = self.presented(key);
        let (full, bare): (Vec<_>, Vec<_>) = self.marked(None).partition(|known| known.full);
        let counting = if full.is_empty() { &bare } else { &full };
        if counting.iter().any(|known| known.key.key_data() == key.key_data()) {
            return Ok(());
        }
        if let Some(known) = full.first() {
            return Err(Refused::Changed(format!(
                "{presented}, but {} has {}{why}; if the change is meant, remove that line and connect once with ssh",
                known.place,
                fingerprint(&known.key)
            )));
        }
        let other = bare.first().map_or_else(String::new, |known| {
            format!("; {} has {} for the name without the port", known.place, fingerprint(&known.key))
        });
        let files = self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        Err(Refused::Unknown(format!(
            "{presented}, which is in none of {files}{other}{why}; connect once with ssh (or add the output of ssh-keyscan) after comparing the fingerprint"
        )))
    }

    fn presented(&self, key: &PublicKey) -> String {
        format!("{} presents {}", self.names.full, fingerprint(key))
    }

    fn check_certificate(&self, certificate: &Certificate, now: u64) -> Result<(), String> {
        let authority = certificate.signature_key();
        if !self.marked(Some(Marker::CertAuthority)).any(|known| known.key.key_data() == authority) {
            return Err(format!("its authority {} is not recorded", authority.fingerprint(HashAlg::Sha256)));
        }
        if !certificate.cert_type().is_host() {
            return Err("it is no host certificate".to_owned());
        }
        if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return Err("it is signed with an outdated algorithm".to_owned());
        }
        certificate.verify_signature().map_err(|_| "its signature is wrong".to_owned())?;
        if !(certificate.valid_after() <= now && now < certificate.valid_before()) {
            return Err("it is expired or not valid yet".to_owned());
        }
        if certificate.critical_options().iter().next().is_some() {
            return Err("it has critical options".to_owned());
        }
        let principals = certificate.valid_principals();
        let bare = &self.names.bare;
        if principals.is_empty() || principals.iter().any(|name| patterns::matches(&name.to_lowercase(), bare)) {
            return Ok(());
        }
        Err(format!("it is for {principals:?}"))
    }
}

fn all_algorithms() -> Vec<Algorithm> {
    let mut algorithms = vec![Algorithm::Ed25519];
    algorithms.extend(
        [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521].map(|curve| Algorithm::Ecdsa { curve }),
    );
    algorithms.extend([HashAlg::Sha512, HashAlg::Sha256].map(|hash| Algorithm::Rsa { hash: Some(hash) }));
    algorithms
}

fn same_family(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

/// Whether a line's names include a lower-cased name.
fn listed(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(list) => {
            let list: Vec<String> = list.iter().map(|pattern| pattern.to_lowercase()).collect();
            patterns::list_matches(list.iter().map(String::as_str), name)
        }
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
    }
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
