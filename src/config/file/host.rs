//! One `[[host]]` of the file: its keys, and what each of them takes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::limits::{Binds, Exec, HostLimits, Names, SharedLimits};
use crate::{
    config::{
        Mode, SshEndpoint, Tunnel,
        anchor::Anchor,
        limits::{Confirm, Profile, Verdict},
        refusal::{no_control_characters, quoted, refusal},
        spec::{EndpointSpec, HostSpec, Notation, check_name},
    },
    error::{Error, Result},
};

/// The longest note, in characters.
const LONGEST_NOTE: usize = 300;

/// One `[[host]]`.
#[derive(Debug)]
pub(in crate::config) struct FileHost {
    /// What a specification can say too.
    pub(in crate::config) spec: HostSpec,
    /// A sentence that agents see.
    pub(in crate::config) note: Option<String>,
    /// Groups.
    pub(in crate::config) tags: Vec<String>,
    /// What callers may do beside its mode.
    pub(in crate::config) limits: HostLimits,
    /// What only a file can say about ssh.
    pub(in crate::config) ssh: SshSettings,
}

/// The settings of an ssh host that are no part of its address.
#[derive(Debug, Default)]
pub(in crate::config) struct SshSettings {
    identity_files: Option<Vec<PathBuf>>,
    identity_agent: Option<String>,
    known_hosts: Option<Vec<PathBuf>>,
    proxy_jump: Option<String>,
    tunnel: Option<Tunnel>,
}

impl SshSettings {
    /// Puts the settings on an endpoint; a socket has decided the tunnel already.
    pub(in crate::config) fn apply(self, endpoint: &mut SshEndpoint) {
        endpoint.identity_files = self.identity_files;
        endpoint.identity_agent = self.identity_agent;
        endpoint.known_hosts = self.known_hosts;
        endpoint.proxy_jump = self.proxy_jump;
        endpoint.tunnel = self.tunnel.unwrap_or(endpoint.tunnel);
    }

    /// Whether the far side's `docker` is asked for, which a socket excludes.
    pub(in crate::config) fn wants_dial_stdio(&self) -> bool {
        self.tunnel == Some(Tunnel::DialStdio)
    }
}

/// One `[[host]]` as it is written; its fields are the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) name: Spanned<String>,
    endpoint: Spanned<String>,
    #[serde(default)]
    mode: Mode,
    note: Option<Spanned<String>>,
    #[serde(default)]
    tags: Vec<Spanned<String>>,
    pub(super) permissions: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) grant: Vec<Spanned<String>>,
    pub(super) tools: Option<Names>,
    pub(super) containers: Option<Names>,
    pub(super) images: Option<Names>,
    pub(super) confirm: Option<Confirm>,
    pub(super) bodies: Option<Profile>,
    #[serde(default)]
    pub(super) rules: BTreeMap<Spanned<String>, Verdict>,
    pub(super) binds: Option<Binds>,
    pub(super) exec: Option<Exec>,
    #[serde(default)]
    pub(super) reveal: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) sources: Vec<Spanned<String>>,
    tls: Option<Spanned<String>>,
    insecure: Option<Spanned<bool>>,
    user: Option<Spanned<String>>,
    port: Option<Spanned<i64>>,
    identity_files: Option<Spanned<Vec<String>>>,
    identity_agent: Option<Spanned<String>>,
    known_hosts: Option<Spanned<Vec<String>>>,
    proxy_jump: Option<Spanned<String>>,
    tunnel: Option<Spanned<Tunnel>>,
    socket: Option<Spanned<String>>,
}

/// A refusal and the byte of the file that it is about.
pub(super) type Misplaced = (usize, Error);

impl Table {
    /// Checks one host.
    pub(super) fn checked(self, anchor: Anchor<'_>, shared: &SharedLimits) -> Result<FileHost, Misplaced> {
        checked(&self.name, |name| check_name(name))?;
        let endpoint = self.endpoint(anchor)?;
        let ssh = self.ssh(anchor)?;
        let socket = matches!(endpoint, EndpointSpec::Ssh { socket: Some(_), .. });
        if let (true, true, Some(tunnel)) = (socket, ssh.wants_dial_stdio(), &self.tunnel) {
            let refused = refusal("\"dial-stdio\" with a socket", "a socket needs tunnel = \"streamlocal\"");
            return Err((tunnel.span().start, refused));
        }
        if let Some(note) = &self.note {
            checked(note, |note| check_note(note))?;
        }
        let limits = self.limits(shared)?;
        let mut tags: Vec<String> = Vec::new();
        for tag in self.tags {
            checked(&tag, |tag| check_tag(tag))?;
            if !tags.contains(tag.get_ref()) {
                tags.push(tag.into_inner());
            }
        }
        Ok(FileHost {
            spec: HostSpec { name: self.name.into_inner(), endpoint, mode: self.mode },
            note: self.note.map(Spanned::into_inner).filter(|note| !note.trim().is_empty()),
            tags,
            limits,
            ssh,
        })
    }

    /// The endpoint with the keys that belong to it.
    fn endpoint(&self, anchor: Anchor<'_>) -> Result<EndpointSpec, Misplaced> {
        let mut endpoint = checked(&self.endpoint, |text| {
            if let Some((_, markers)) = text.rsplit_once('(').filter(|_| text.ends_with(')')) {
                let what = format!("markers {} in an endpoint", quoted(&format!("({markers}")));
                return Err(refusal(what, "use the keys mode, tls and insecure"));
            }
            EndpointSpec::parse(text)
        })?;
        if let EndpointSpec::Ssh { user, port, socket, .. } = &mut endpoint {
            once("user", user, self.user.as_ref(), |user| match user.as_str() {
                "" => Err(refusal("the user is empty", "remove the key")),
                user => no_control_characters(user).map(|()| user.to_owned()),
            })?;
            once("port", port, self.port.as_ref(), |port| match u16::try_from(*port) {
                Ok(port @ 1..) => Ok(port),
                _ => Err(refusal(format!("{port} is no port"), "a port is a number from 1 to 65535")),
            })?;
            once("socket", socket, self.socket.as_ref(), |socket| {
                no_control_characters(socket)?;
                match socket.strip_prefix('/') {
                    Some(_) => Ok(socket.clone()),
                    None => Err(refusal(format!("{} is no absolute path", quoted(socket)), "begin it with \"/\"")),
                }
            })?;
        } else if let Some((key, place)) = self.first_ssh_key() {
            let what = format!("key \"{key}\" on {}", quoted(self.endpoint.get_ref()));
            return Err((place, refusal(what, format!("remove it: only ssh:// takes \"{key}\""))));
        }
        let tls = match &self.tls {
            Some(tls) => Some(checked(tls, |tls| match tls.trim() {
                "" => Err(refusal("\"tls\" without a directory", "name the directory of ca.pem")),
                tls => no_control_characters(tls).and_then(|()| anchor.path(Path::new(tls))),
            })?),
            None => None,
        };
        let insecure = self.insecure.as_ref().filter(|insecure| *insecure.get_ref());
        let place = match (&self.tls, insecure) {
            (Some(tls), _) if !endpoint.is_tcp() => tls.span().start,
            (None, Some(insecure)) if !endpoint.is_tcp() => insecure.span().start,
            _ => self.endpoint.span().start,
        };
        endpoint.secured(tls, insecure.is_some(), Notation::File).map_err(|refused| (place, refused))
    }

    /// The settings of ssh.
    fn ssh(&self, anchor: Anchor<'_>) -> Result<SshSettings, Misplaced> {
        let path = |text: &str| match text.trim() {
            "" => Err(refusal("an empty path", "remove it")),
            _ => no_control_characters(text).and_then(|()| anchor.path(Path::new(text))),
        };
        let paths = |texts: &Vec<String>| texts.iter().map(|text| path(text)).collect::<Result<Vec<_>>>();
        Ok(SshSettings {
            identity_files: self.identity_files.as_ref().map(|files| checked(files, paths)).transpose()?,
            identity_agent: self
                .identity_agent
                .as_ref()
                .map(|agent| {
                    checked(agent, |agent| {
                        // What ssh_config takes besides a path.
                        if agent == "none" || agent == "SSH_AUTH_SOCK" || agent.starts_with('$') {
                            return Ok(agent.clone());
                        }
                        Ok(path(agent)?.display().to_string())
                    })
                })
                .transpose()?,
            known_hosts: self.known_hosts.as_ref().map(|files| checked(files, paths)).transpose()?,
            proxy_jump: self.proxy_jump.as_ref().map(|jump| checked(jump, |jump| check_jump(jump))).transpose()?,
            tunnel: self.tunnel.as_ref().map(|tunnel| *tunnel.get_ref()),
        })
    }

    /// The first key that only ssh takes, and its place.
    fn first_ssh_key(&self) -> Option<(&'static str, usize)> {
        fn place<T>(key: &'static str, value: Option<&Spanned<T>>) -> Option<(&'static str, usize)> {
            value.map(|value| (key, value.span().start))
        }
        [
            place("user", self.user.as_ref()),
            place("port", self.port.as_ref()),
            place("identity_files", self.identity_files.as_ref()),
            place("identity_agent", self.identity_agent.as_ref()),
            place("known_hosts", self.known_hosts.as_ref()),
            place("proxy_jump", self.proxy_jump.as_ref()),
            place("tunnel", self.tunnel.as_ref()),
            place("socket", self.socket.as_ref()),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(_, place)| *place)
    }
}

/// The checked value, or its place with the refusal.
pub(super) fn checked<T, U>(value: &Spanned<T>, check: impl FnOnce(&T) -> Result<U>) -> Result<U, Misplaced> {
    check(value.get_ref()).map_err(|refused| (value.span().start, refused))
}

/// Sets a part of the endpoint from its key, which may not be given in both places.
fn once<T, U>(
    key: &str,
    part: &mut Option<U>,
    value: Option<&Spanned<T>>,
    check: impl FnOnce(&T) -> Result<U>,
) -> Result<(), Misplaced> {
    let Some(value) = value else { return Ok(()) };
    if part.is_some() {
        return Err((
            value.span().start,
            refusal(format!("key \"{key}\" is part of the endpoint too"), "keep one of them"),
        ));
    }
    *part = Some(checked(value, check)?);
    Ok(())
}

/// Refuses what agents should not have to read.
fn check_note(note: &str) -> Result<()> {
    no_control_characters(note)?;
    let length = note.chars().count();
    if length > LONGEST_NOTE {
        return Err(refusal(format!("a note of {length} characters"), format!("use at most {LONGEST_NOTE}")));
    }
    Ok(())
}

/// Refuses what cannot stand behind `tag:`.
fn check_tag(tag: &str) -> Result<()> {
    let word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    if tag.starts_with(word) && tag.chars().all(|character| word(character) || "_.-".contains(character)) {
        return Ok(());
    }
    let mend = "use a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit";
    Err(refusal(format!("{} is no tag", quoted(tag)), mend))
}

/// Refuses what is no list of jump hosts.
fn check_jump(jump: &str) -> Result<String> {
    let valid = |hop: &str| {
        let hop = hop.trim();
        let hop = EndpointSpec::parse(&format!("ssh://{}", hop.strip_prefix("ssh://").unwrap_or(hop)));
        matches!(hop, Ok(EndpointSpec::Ssh { socket: None, .. }))
    };
    if jump == "none" || jump.split(',').all(valid) {
        return Ok(jump.to_owned());
    }
    Err(refusal(format!("{} is no list of jump hosts", quoted(jump)), "write [USER@]HOST[:PORT], separated by commas"))
}
