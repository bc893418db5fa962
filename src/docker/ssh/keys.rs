//! What a person logs in with: key files, their certificates, and which of them others could read.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::keys::{Certificate, Error as KeyError, PrivateKey, PublicKey, decode_secret_key, ssh_key};

use super::route::Hop;

/// One key file, as far as it could be read.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) path: PathBuf,
    /// What an agent would know it by.
    pub(super) public: Option<PublicKey>,
    pub(super) private: Private,
    /// Certificates for exactly this key.
    pub(super) certificates: Vec<Certificate>,
}

/// The private half of a key file.
#[derive(Debug)]
pub(super) enum Private {
    Ready(Arc<PrivateKey>),
    /// Only an agent can sign with it.
    Encrypted,
    /// There is none, or only the public half.
    Absent,
    /// It is there but not used, for the given reason.
    Unusable(String),
}

/// Everything that files offer for a login; a certificate that fits no key file may fit a key of the agent.
#[derive(Debug, Default)]
pub(super) struct Identities {
    pub(super) keys: Vec<Identity>,
    pub(super) loose_certificates: Vec<Certificate>,
    /// Files that could not be used, for people.
    pub(super) problems: Vec<String>,
}

impl Identities {
    /// Reads the files of a hop. Blocks: a file may be on a slow disk.
    pub(super) fn read(hop: &Hop) -> Self {
        let mut identities = Self::default();
        let mut certificates = Vec::new();
        for file in &hop.certificate_files {
            match read_certificate(file) {
                Ok(certificate) => certificates.push(certificate),
                Err(why) => identities.problems.push(format!("{}: {why}", file.display())),
            }
        }
        for path in &hop.identity_files {
            let (public, private) = read_key(path);
            if matches!(private, Private::Absent) && public.is_none() {
                if hop.chosen {
                    identities.problems.push(format!("{}: no such key", path.display()));
                }
                continue;
            }
            let mut own: Vec<Certificate> =
                certificates.iter().filter(|certificate| fits(certificate, public.as_ref())).cloned().collect();
            // A certificate beside the key is found without being named.
            if let Ok(beside) = read_certificate(&beside(path, "-cert.pub"))
                && fits(&beside, public.as_ref())
                && !own.contains(&beside)
            {
                own.push(beside);
            }
            identities.keys.push(Identity { path: path.clone(), public, private, certificates: own });
        }
        identities.loose_certificates = certificates
            .into_iter()
            .filter(|certificate| !identities.keys.iter().any(|identity| identity.certificates.contains(certificate)))
            .collect();
        identities
    }
}

fn fits(certificate: &Certificate, key: Option<&PublicKey>) -> bool {
    key.is_some_and(|key| key.key_data() == certificate.public_key())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn read_certificate(path: &Path) -> Result<Certificate, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let certificate = Certificate::from_openssh(text.trim()).map_err(|_| "it is no certificate".to_owned())?;
    if certificate.cert_type().is_user() { Ok(certificate) } else { Err("it is no user certificate".to_owned()) }
}

fn read_key(path: &Path) -> (Option<PublicKey>, Private) {
    let beside = || {
        let text = fs::read_to_string(beside(path, ".pub")).ok()?;
        PublicKey::from_openssh(text.trim()).ok()
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (beside(), Private::Absent),
        Err(error) => return (beside(), Private::Unusable(error.to_string())),
    };
    // A public key in the place of a private one names a key of the agent.
    if let Ok(public) = PublicKey::from_openssh(text.trim()) {
        return (Some(public), Private::Absent);
    }
    if let Some(mode) = readable_by_others(path) {
        let why = format!("others may read it (mode {mode:04o}); \"chmod 600 {}\" mends that", path.display());
        return (beside(), Private::Unusable(why));
    }
    // OpenSSH's own format keeps the public half in clear.
    let key = PrivateKey::from_openssh(&text).map_err(KeyError::from).or_else(|_| decode_secret_key(&text, None));
    match key {
        Ok(key) if key.is_encrypted() => (Some(key.public_key().clone()), Private::Encrypted),
        Ok(key) => (Some(key.public_key().clone()), Private::Ready(Arc::new(key))),
        Err(KeyError::KeyIsEncrypted | KeyError::SshKey(ssh_key::Error::Encrypted)) => (beside(), Private::Encrypted),
        Err(_) if text.contains("ENCRYPTED") => (beside(), Private::Encrypted),
        Err(error) => (beside(), Private::Unusable(format!("it is no private key that can be used: {error}"))),
    }
}

/// The mode of a file of ours that group or others can read; as in ssh, files of another account are not judged.
fn readable_by_others(path: &Path) -> Option<u32> {
    let file = fs::metadata(path).ok()?;
    let ours = fs::metadata("/proc/self").map_or(true, |process| process.uid() == file.uid());
    let mode = file.permissions().mode() & 0o777;
    (ours && mode & 0o077 != 0).then_some(mode)
}
