//! From an endpoint to the machines on the way to it, each with everything that ssh would know about it.

use std::{path::PathBuf, time::Duration};

use super::{
    config_file::{Files, Proxy, Settings},
    tokens::{self, Tokens},
};
use crate::{
    config::{Environment, SshEndpoint},
    docker::connect::ASK_CHECK,
    error::{Error, Result},
};

/// Jump hosts behind jump hosts; more is a circle.
const LONGEST: usize = 8;
/// TCP, key exchange and login of one machine, unless `ConnectTimeout` says otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// After so long a silence the far side is asked whether it lives.
const ALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// So many questions may stay without an answer: a dead peer is noticed after nine seconds.
const ALIVE_COUNT: usize = 2;

/// One machine on the way, the last one being the host itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// Name or address to connect to.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// `HostKeyAlias`, which replaces name and port in `known_hosts`.
    pub(super) alias: Option<String>,
    /// Private keys to try, in order.
    pub(super) identity_files: Vec<PathBuf>,
    /// Whether those were asked for; else they are ssh's defaults, and one that is missing is no error.
    pub(super) chosen: bool,
    /// Whether keys that only the agent knows are left alone.
    pub(super) identities_only: bool,
    pub(super) certificate_files: Vec<PathBuf>,
    /// The agent's socket.
    pub(super) agent: Option<PathBuf>,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) connect_timeout: Duration,
    pub(super) alive_interval: Duration,
    pub(super) alive_count: usize,
}

impl Hop {
    /// For people: `user@host:port`.
    pub(super) fn shown(&self) -> String {
        format!("{}@{}:{}", self.user, self.host, self.port)
    }
}

/// The way to a host.
#[derive(Debug)]
pub(super) struct Route {
    /// At least one; each is reached through the one before it.
    pub(super) hops: Vec<Hop>,
    /// Things worth saying that do not stop anything.
    pub(super) warnings: Vec<String>,
}

/// A machine as it was named: by the endpoint or in a `ProxyJump`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    host: String,
    user: Option<String>,
    port: Option<u16>,
}

impl Route {
    /// Resolves an endpoint; reads files.
    pub(super) fn resolve(endpoint: &SshEndpoint, environment: &Environment, files: &Files) -> Result<Self> {
        let mut resolver = Resolver { endpoint, environment, files, warnings: Vec::new() };
        let target = Named { host: endpoint.host.clone(), user: endpoint.user.clone(), port: endpoint.port };
        let jumps = match endpoint.proxy_jump.as_deref() {
            None => None,
            Some(text) => Some(jumps(text).map_err(|why| unusable(&format!("proxy_jump: {why}")))?),
        };
        let hops = resolver.way(&target, jumps.as_deref(), true, 0).map_err(|why| unusable(&why))?;
        let mut warnings = resolver.warnings;
        warnings.sort();
        warnings.dedup();
        Ok(Self { hops, warnings })
    }
}

fn unusable(why: &str) -> Error {
    Error::config("the host's ssh configuration cannot be used").hint(ASK_CHECK).detail(why)
}

struct Resolver<'a> {
    endpoint: &'a SshEndpoint,
    environment: &'a Environment,
    files: &'a Files,
    warnings: Vec<String>,
}

impl Resolver<'_> {
    /// The machines up to `named`; `given` replaces what the configuration says about jumps.
    fn way(&mut self, named: &Named, given: Option<&[Named]>, last: bool, depth: usize) -> Result<Vec<Hop>, String> {
        if depth > LONGEST {
            return Err(format!("{}: ProxyJump leads over more than {LONGEST} machines", named.host));
        }
        let mut settings = self.files.settings(&named.host, self.environment)?;
        self.warnings.append(&mut settings.warnings);
        let hop = self.hop(named, &settings, last)?;
        let jumps_before = match given {
            Some(given) => given.to_vec(),
            None => self.configured_jumps(named, &hop, &settings)?,
        };
        let mut hops = match jumps_before.split_last() {
            None => Vec::new(),
            Some((nearest, before)) => self.way(nearest, (!before.is_empty()).then_some(before), false, depth + 1)?,
        };
        hops.push(hop);
        Ok(hops)
    }

    fn configured_jumps(&self, named: &Named, hop: &Hop, settings: &Settings) -> Result<Vec<Named>, String> {
        match &settings.proxy {
            None | Some(Proxy::None) => Ok(Vec::new()),
            Some(Proxy::Command(place)) => Err(format!(
                "{place}: ProxyCommand is not supported, no program is run to reach a host; use ProxyJump, or set proxy_jump for the host"
            )),
            Some(Proxy::Jump(text)) => {
                let mut found = jumps(&self.tokens(named, hop).expand(text, tokens::IN_JUMPS)?)?;
                // "Host *" with a ProxyJump covers the jump host as well.
                if found.last().is_some_and(|nearest| nearest.host == named.host) {
                    found.clear();
                }
                Ok(found)
            }
        }
    }

    fn tokens<'t>(&'t self, named: &'t Named, hop: &'t Hop) -> Tokens<'t> {
        Tokens {
            given: &named.host,
            host: &hop.host,
            port: hop.port,
            remote_user: &hop.user,
            key_name: hop.alias.as_deref().unwrap_or(&hop.host),
            environment: self.environment,
        }
    }

    fn hop(&self, named: &Named, settings: &Settings, last: bool) -> Result<Hop, String> {
        let port = named.port.or(settings.port()).unwrap_or(22);
        let user = named
            .user
            .as_deref()
            .or(settings.user())
            .or(self.environment.user.as_deref())
            .ok_or_else(|| format!("{}: no login name is known; set \"user\"", named.host))?
            .to_owned();
        let host = match settings.host_name() {
            None => named.host.clone(),
            Some(text) => Tokens {
                given: &named.host,
                host: &named.host,
                port,
                remote_user: &user,
                key_name: &named.host,
                environment: self.environment,
            }
            .expand(text, "h")?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();

        let (alive_interval, alive_count) =
            keepalive(settings.server_alive_interval(), settings.server_alive_count_max());
        let mut hop = Hop {
            host,
            port,
            user,
            alias: settings.host_key_alias().map(str::to_lowercase),
            identity_files: Vec::new(),
            chosen: true,
            identities_only: settings.identities_only(),
            certificate_files: Vec::new(),
            agent: None,
            known_hosts: Vec::new(),
            connect_timeout: settings.connect_timeout().filter(|time| !time.is_zero()).unwrap_or(CONNECT),
            alive_interval,
            alive_count,
        };
        let tokens = self.tokens(named, &hop);
        let certificate_files =
            settings.certificate_files.iter().map(|file| tokens.path(file)).collect::<Result<_, _>>()?;
        let agent = self.agent(settings, &tokens)?;
        let known_hosts = self.known_hosts(settings, &tokens)?;
        let identity_files = self.identity_files(settings, &tokens, last)?;

        hop.chosen = identity_files.is_some();
        hop.identity_files = match identity_files {
            Some(files) => files,
            None => self.below_home(&[".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"]),
        };
        hop.certificate_files = certificate_files;
        hop.agent = agent;
        hop.known_hosts = known_hosts;
        Ok(hop)
    }

    /// The endpoint's keys replace those of the files; on a jump host they come before them.
    fn identity_files(
        &self,
        settings: &Settings,
        tokens: &Tokens<'_>,
        last: bool,
    ) -> Result<Option<Vec<PathBuf>>, String> {
        let ours = self.endpoint.identity_files.as_deref();
        if ours.is_none() && settings.identity_files().is_empty() {
            return Ok(None);
        }
        let mut files = Vec::new();
        for file in ours.unwrap_or_default() {
            files.push(tokens::absolute(file, self.environment)?);
        }
        if ours.is_none() || !last {
            for file in settings.identity_files().iter().filter(|file| file.as_os_str() != "none") {
                files.push(tokens.path(&file.to_string_lossy())?);
            }
        }
        Ok(Some(files))
    }

    fn agent(&self, settings: &Settings, tokens: &Tokens<'_>) -> Result<Option<PathBuf>, String> {
        let variable = |name: &str| self.environment.get(name).map(PathBuf::from);
        let (text, ours) = match (self.endpoint.identity_agent.as_deref(), settings.identity_agent()) {
            (Some(ours), _) => (ours, true),
            (None, Some(theirs)) => (theirs, false),
            (None, None) => return Ok(variable("SSH_AUTH_SOCK")),
        };
        Ok(match text {
            "none" => None,
            "SSH_AUTH_SOCK" => variable("SSH_AUTH_SOCK"),
            text if ours => Some(tokens::absolute(text.as_ref(), self.environment)?),
            text => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(name) => variable(name),
                None => Some(tokens.path(text)?),
            },
        })
    }

    fn known_hosts(&self, settings: &Settings, tokens: &Tokens<'_>) -> Result<Vec<PathBuf>, String> {
        if let Some(files) = &self.endpoint.known_hosts {
            return files.iter().map(|file| tokens::absolute(file, self.environment)).collect();
        }
        let mut files = match &settings.user_known_hosts {
            Some(files) => named_files(files, tokens)?,
            None => self.below_home(&[".ssh/known_hosts", ".ssh/known_hosts2"]),
        };
        files.extend(match &settings.global_known_hosts {
            Some(files) => named_files(files, tokens)?,
            None => vec!["/etc/ssh/ssh_known_hosts".into(), "/etc/ssh/ssh_known_hosts2".into()],
        });
        Ok(files)
    }

    fn below_home(&self, files: &[&str]) -> Vec<PathBuf> {
        let home = self.environment.home.iter();
        home.flat_map(|home| files.iter().map(|file| home.join(file))).collect()
    }
}

fn named_files(files: &[String], tokens: &Tokens<'_>) -> Result<Vec<PathBuf>, String> {
    files.iter().filter(|file| !file.eq_ignore_ascii_case("none")).map(|file| tokens.path(file)).collect()
}

/// A dead peer is noticed within ten seconds; what is configured counts where it notices sooner.
fn keepalive(interval: Option<Duration>, count: Option<usize>) -> (Duration, usize) {
    let interval = interval.filter(|time| !time.is_zero()).map_or(ALIVE_INTERVAL, |time| time.min(ALIVE_INTERVAL));
    (interval, count.map_or(ALIVE_COUNT, |count| count.clamp(1, ALIVE_COUNT)))
}

/// Reads `[user@]host[:port]` or `ssh://...`, several separated by commas; `none` is none.
fn jumps(text: &str) -> Result<Vec<Named>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    text.split(',').map(|jump| named(jump.trim()).ok_or_else(|| format!("{jump:?} is no jump host"))).collect()
}

fn named(text: &str) -> Option<Named> {
    let text = text.strip_prefix("ssh://").map_or(text, |rest| rest.trim_end_matches('/'));
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, text),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        // More than one colon is an address without brackets.
        None => match place.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (place, None),
        },
    };
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
    };
    let wrong = host.is_empty() || host.starts_with('-') || user.as_ref().is_some_and(String::is_empty);
    (!wrong).then(|| Named { host: host.to_owned(), user, port })
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
