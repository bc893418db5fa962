//! Logs in with public keys, the configured ones first; never with a password, never with a question.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::{
    AgentAuthError, SendError, Signer,
    client::{AuthResult, Handle},
    keys::{
        Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
        signature::Signer as _,
        ssh_encoding::Encode,
        ssh_key::{Signature, private::KeypairData},
    },
};
use tokio::net::UnixStream;

use super::{
    keys::{Identities, Private},
    route::Hop,
    session::Client,
};
use crate::{
    docker::connect::ASK_CHECK,
    error::{Error, Result},
};

/// OpenSSH's server hangs up at six failures.
const ATTEMPTS: usize = 5;

/// One way to prove who we are.
#[derive(Debug)]
struct Candidate {
    /// For people.
    label: String,
    credential: Credential,
}

#[derive(Debug)]
enum Credential {
    File(Arc<PrivateKey>),
    FileCertificate(Arc<PrivateKey>, Certificate),
    Agent(PublicKey),
    /// A certificate, and what the agent knows the signing key by.
    AgentCertificate(Certificate, Box<AgentIdentity>),
}

impl Credential {
    fn is_rsa(&self) -> bool {
        match self {
            Self::File(key) => key.algorithm().is_rsa(),
            Self::Agent(key) => key.algorithm().is_rsa(),
            Self::FileCertificate(_, certificate) | Self::AgentCertificate(certificate, _) => {
                certificate.algorithm().is_rsa()
            }
        }
    }
}

/// Logs in on a connection whose host key was accepted.
pub(super) async fn login(handle: &mut Handle<Client>, hop: &Hop, identities: Identities) -> Result<()> {
    let mut told = identities.problems.clone();
    let (mut agent, held) = match &hop.agent {
        None => {
            told.push("no agent is configured".to_owned());
            (None, Vec::new())
        }
        Some(socket) => match open_agent(socket, handle).await {
            Ok((agent, held)) => (Some(agent), held),
            Err(why) => {
                told.push(format!("agent at {}: {why}", socket.display()));
                (None, Vec::new())
            }
        },
    };

    let (candidates, locked) = candidates(hop, &identities, &held, &mut told);
    let mut hash = None;
    let mut tried = 0;
    for candidate in candidates {
        if tried == ATTEMPTS {
            told.push(format!("{}: not tried, {ATTEMPTS} attempts are the limit; set identity_files", candidate.label));
            continue;
        }
        if candidate.credential.is_rsa() && hash.is_none() {
            hash = Some(rsa_hash(handle).await);
        }
        let hash = hash.flatten();
        if candidate.credential.is_rsa() && hash.is_none() {
            told.push(format!("{}: the server takes RSA keys with SHA-1 only", candidate.label));
            continue;
        }
        tried += 1;
        let outcome = attempt(handle, &hop.user, candidate.credential, hash, agent.as_mut()).await;
        match outcome {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                let methods = remaining_methods.iter().map(<&str>::from).collect::<Vec<_>>().join(", ");
                if partial_success {
                    told.push(format!("{}: accepted, but the server also wants one of: {methods}", candidate.label));
                    break;
                }
                told.push(format!("{}: refused (server takes: {methods})", candidate.label));
                if handle.is_closed() {
                    told.push("the server hung up".to_owned());
                    break;
                }
                if !remaining_methods.contains(&russh::MethodKind::PublicKey) {
                    break;
                }
            }
            Err(why) => told.push(format!("{}: {why}", candidate.label)),
        }
    }
    Err(refusal(hop, locked.as_deref(), tried, &told))
}

fn refusal(hop: &Hop, locked: Option<&Path>, tried: usize, told: &[String]) -> Error {
    let detail = format!("{}: {}", hop.shown(), told.join("; "));
    if let Some(key) = locked
        && (hop.chosen || tried == 0)
    {
        let detail = format!("key {} is encrypted and no agent holds it; run ssh-add; {detail}", key.display());
        return Error::unreachable("the ssh login failed: the key is encrypted and no agent holds it")
            .hint("ask the person to run \"ssh-add\" for the host's key, then \"quaymaster check\"")
            .detail(detail);
    }
    let message = if tried == 0 {
        "the ssh login failed: there is no usable key"
    } else {
        "the ssh login failed: the far side accepts none of the keys"
    };
    Error::unreachable(message).hint(ASK_CHECK).detail(detail)
}

type Agent = AgentClient<UnixStream>;

async fn open_agent(socket: &Path, handle: &Handle<Client>) -> Result<(Agent, Vec<AgentIdentity>), String> {
    let mut agent = Agent::connect_uds(socket).await.map_err(|error| error.to_string())?;
    if let Some(binding) = handle.agent_session_binding() {
        // Keys that are limited to certain hosts need it; agents that do not know it say so, and that is fine.
        agent.bind_session(binding, false).await.ok();
    }
    let held = agent.request_identities().await.map_err(|error| error.to_string())?;
    Ok((agent, held))
}

/// The attempts in order, and the first encrypted key that nobody can use.
///
/// Chosen keys come first, by agent or file; then what else the agent holds, unless
/// `IdentitiesOnly` is set; then the default keys.
fn candidates(
    hop: &Hop,
    identities: &Identities,
    held: &[AgentIdentity],
    told: &mut Vec<String>,
) -> (Vec<Candidate>, Option<PathBuf>) {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut locked = None;
    let mut used: Vec<&AgentIdentity> = Vec::new();
    for identity in &identities.keys {
        let path = identity.path.display();
        let of_agent: Vec<&AgentIdentity> = held
            .iter()
            .filter(|held| {
                identity.public.as_ref().is_some_and(|public| held.public_key().key_data() == public.key_data())
            })
            .collect();
        let signer = of_agent.iter().find(|held| matches!(held, AgentIdentity::PublicKey { .. })).or(of_agent.first());
        let place = if hop.chosen || signer.is_some() { &mut first } else { &mut last };
        for certificate in &identity.certificates {
            let credential = match (signer, &identity.private) {
                (Some(signer), _) => Credential::AgentCertificate(certificate.clone(), Box::new((*signer).clone())),
                (None, Private::Ready(key)) => Credential::FileCertificate(key.clone(), certificate.clone()),
                (None, _) => continue,
            };
            place.push(Candidate { label: format!("certificate of {path}"), credential });
        }
        for held in &of_agent {
            place.push(from_agent(held));
        }
        used.extend(&of_agent);
        if of_agent.is_empty() {
            match &identity.private {
                Private::Ready(key) => {
                    place.push(Candidate { label: format!("key {path}"), credential: Credential::File(key.clone()) });
                }
                Private::Encrypted => {
                    told.push(format!("{path}: encrypted, and no agent holds it"));
                    locked.get_or_insert_with(|| identity.path.clone());
                }
                Private::Absent => told.push(format!("{path}: only the public half is there, and no agent holds it")),
                Private::Unusable(why) => told.push(format!("{path}: {why}")),
            }
        }
    }
    for certificate in &identities.loose_certificates {
        let signer = held.iter().find(|held| held.public_key().key_data() == certificate.public_key());
        match signer {
            Some(signer) => first.push(Candidate {
                label: format!("certificate {:?}", certificate.key_id()),
                credential: Credential::AgentCertificate(certificate.clone(), Box::new(signer.clone())),
            }),
            None => told.push(format!("certificate {:?}: its key is nowhere", certificate.key_id())),
        }
    }
    if !hop.identities_only {
        first.extend(held.iter().filter(|held| !used.iter().any(|seen| std::ptr::eq(*seen, *held))).map(from_agent));
    }
    first.append(&mut last);
    (first, locked)
}

fn from_agent(held: &AgentIdentity) -> Candidate {
    let comment = held.comment();
    match held {
        AgentIdentity::PublicKey { key, .. } => Candidate {
            label: format!("agent's {} {comment:?}", key.algorithm()),
            credential: Credential::Agent(key.clone()),
        },
        AgentIdentity::Certificate { certificate, .. } => Candidate {
            label: format!("agent's certificate {comment:?}"),
            credential: Credential::AgentCertificate(certificate.clone(), Box::new(held.clone())),
        },
    }
}

/// The hash to sign with an RSA key; nothing if the server takes SHA-1 only.
async fn rsa_hash(handle: &Handle<Client>) -> Option<HashAlg> {
    match handle.best_supported_rsa_hash().await {
        Ok(Some(best)) => best,
        // The server does not say: every server of the last ten years takes this one.
        Ok(None) | Err(_) => Some(HashAlg::Sha512),
    }
}

async fn attempt(
    handle: &mut Handle<Client>,
    user: &str,
    credential: Credential,
    hash: Option<HashAlg>,
    agent: Option<&mut Agent>,
) -> Result<AuthResult, String> {
    const NO_AGENT: &str = "the agent has gone";
    match credential {
        Credential::File(key) => handle
            .authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash))
            .await
            .map_err(|error| error.to_string()),
        Credential::FileCertificate(key, certificate) => {
            let hash = certificate.algorithm().is_rsa().then_some(hash).flatten();
            handle
                .authenticate_certificate_with(user, certificate, hash, &mut FileSigner(key))
                .await
                .map_err(|error| error.to_string())
        }
        Credential::Agent(key) => {
            let hash = key.algorithm().is_rsa().then_some(hash).flatten();
            let mut signer = AgentSigner { agent: agent.ok_or(NO_AGENT)?, identity: key.clone().into() };
            let outcome = handle.authenticate_publickey_with(user, key, hash, &mut signer).await;
            outcome.map_err(|error| error.to_string())
        }
        Credential::AgentCertificate(certificate, identity) => {
            let hash = certificate.algorithm().is_rsa().then_some(hash).flatten();
            let mut signer = AgentSigner { agent: agent.ok_or(NO_AGENT)?, identity: *identity };
            let outcome = handle.authenticate_certificate_with(user, certificate, hash, &mut signer).await;
            outcome.map_err(|error| error.to_string())
        }
    }
}

/// Signs for a certificate with whatever the agent knows the key by, which may be the plain key.
struct AgentSigner<'a> {
    agent: &'a mut Agent,
    identity: AgentIdentity,
}

impl Signer for AgentSigner<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        Ok(self.agent.sign_request(&self.identity, hash, data).await?)
    }
}

/// Signs for a certificate with a key file; russh's own way offers RSA certificates with SHA-1 only.
struct FileSigner(Arc<PrivateKey>);

#[derive(Debug)]
struct SignFailed(String);

impl std::fmt::Display for SignFailed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<SendError> for SignFailed {
    fn from(_: SendError) -> Self {
        Self("the connection was closed".to_owned())
    }
}

impl Signer for FileSigner {
    type Error = SignFailed;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, SignFailed> {
        let failed = |error: &dyn std::fmt::Display| SignFailed(format!("signing failed: {error}"));
        let signature: Signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&data).map_err(|error| failed(&error))?,
            _ => self.0.try_sign(&data).map_err(|error| failed(&error))?,
        };
        signature.encode_prefixed(&mut data).map_err(|error| failed(&error))?;
        Ok(data)
    }
}
