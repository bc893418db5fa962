//! The configuration file, `hosts.toml`: everything that can be set, checked down to the line.

mod general;
mod host;
mod limits;
mod registry;

use std::{
    fs::File as Handle,
    io::{ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

pub(super) use general::General;
pub(super) use host::{FileHost, SshSettings};
pub(super) use limits::{HostLimits, SharedLimits};

use super::{
    Environment, Mode,
    anchor::Anchor,
    refusal::{located, quoted, quoted_path, refusal, suggestion},
    resolve::unreadable,
    spec::given_twice,
};
use crate::error::{Error, Result};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The mend where there is no better one.
const EXAMPLE: &str = "see hosts.example.toml for every key";

/// Keys that only stand above every table.
const ABOVE_HOSTS: &[&str] = &[
    "deny",
    "toolsets",
    "labels",
    "own_container",
    "registries",
    "state",
    "approval_passphrase",
    "audit",
    "secrets",
    "files",
];

/// Keys that only stand below a `[[host]]`.
const OF_ONE_HOST: &[&str] =
    &["name", "endpoint", "note", "tags", "permissions", "confirm", "bodies", "rules", "binds", "exec", "tls"];

/// What a file says, checked in itself; nothing is looked up yet.
#[derive(Debug)]
pub(super) struct File {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The cap over every host.
    pub(super) mode: Mode,
    /// What does not exist for anybody.
    pub(super) deny: Vec<String>,
    /// Toolsets to list.
    pub(super) toolsets: Vec<String>,
    /// Whether what is made is labelled.
    pub(super) labels: bool,
    /// The limits of every host.
    pub(super) limits: SharedLimits,
    /// What is about no host.
    pub(super) general: General,
    /// Its hosts, in order.
    pub(super) hosts: Vec<FileHost>,
}

/// The file as it is written; its fields are the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    toolsets: Vec<String>,
    labels: Option<bool>,
    #[serde(default)]
    grant: Vec<Spanned<String>>,
    tools: Option<limits::Names>,
    containers: Option<limits::Names>,
    images: Option<limits::Names>,
    #[serde(default)]
    reveal: Vec<Spanned<String>>,
    own_container: Option<limits::OwnContainer>,
    #[serde(default)]
    registries: Vec<Spanned<registry::Registry>>,
    state: Option<Spanned<String>>,
    approval_passphrase: Option<Spanned<String>>,
    audit: Option<general::Audit>,
    secrets: Option<general::Secrets>,
    files: Option<general::Files>,
    #[serde(default)]
    host: Vec<host::Table>,
}

impl File {
    /// Reads the file that was named, else the default one, which may be absent.
    pub(super) fn find(named: Option<&Path>, environment: &Environment) -> Result<Option<Self>> {
        let anchor = Anchor { base: &environment.working_directory, home: environment.home.as_deref() };
        let variable = environment.get("QUAYMASTER_CONFIG").map(Path::new);
        if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()).or(variable) {
            let path = anchor.path(path)?;
            let mend = "name a file that exists with --config or QUAYMASTER_CONFIG";
            let text = read(&path)?.map_err(|error| unreadable(&path, &error, mend))?;
            return Self::parse(&text, path, anchor.home).map(Some);
        }
        let directory = match environment.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(directory) => Some(directory),
            None => anchor.home.map(|home| home.join(".config")),
        };
        let Some(path) = directory.map(|directory| directory.join("quaymaster/hosts.toml")) else {
            return Ok(None);
        };
        match read(&path)? {
            Ok(text) => Self::parse(&text, path, anchor.home).map(Some),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(unreadable(&path, &error, "name another file with --config")),
        }
    }

    /// Reads a text as the file at `path`.
    pub(super) fn parse(text: &str, path: PathBuf, home: Option<&Path>) -> Result<Self> {
        let source = Source { text, path: &path };
        let document: Document = toml::from_str(text).map_err(|error| source.refuse_toml(&error))?;
        let anchor = Anchor { base: path.parent().unwrap_or(Path::new("/")), home };
        let misplaced = |(place, refused): host::Misplaced| source.refuse_at(place, &refused);
        let limits = document.limits().map_err(misplaced)?;
        let general = document.general(anchor).map_err(misplaced)?;
        let mut hosts: Vec<FileHost> = Vec::with_capacity(document.host.len());
        for table in document.host {
            let start = table.name.span().start;
            let host = table.checked(anchor, &limits).map_err(misplaced)?;
            if hosts.iter().any(|other| other.spec.name == host.spec.name) {
                return Err(source.refuse_at(start, &given_twice(&host.spec.name)));
            }
            hosts.push(host);
        }
        Ok(Self {
            mode: document.mode,
            deny: document.deny,
            toolsets: document.toolsets,
            labels: document.labels.unwrap_or(true),
            limits,
            general,
            hosts,
            path,
        })
    }
}

/// Reads a file that only its owner can write; the inner error is that of the file system.
fn read(path: &Path) -> Result<std::io::Result<String>> {
    let read = || {
        let handle = Handle::open(path)?;
        let mode = handle.metadata()?.mode();
        let mut bytes = Vec::new();
        handle.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok((mode, bytes))
    };
    let (mode, bytes) = match read() {
        Ok(read) => read,
        Err(error) => return Ok(Err(error)),
    };
    let file = quoted_path(path);
    if mode & 0o022 != 0 {
        let what = format!("{file} can be written by others than its owner (mode {:o})", mode & 0o777);
        return Err(refusal(what, format!("chmod go-w {file}")));
    }
    if bytes.len() as u64 > LARGEST {
        return Err(refusal(format!("{file} is larger than 1 MiB"), EXAMPLE));
    }
    String::from_utf8(bytes).map(Ok).map_err(|_| refusal(format!("{file} is not UTF-8"), EXAMPLE))
}

/// A file while it is read.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    /// A refusal with the file and the line of a byte.
    fn refuse_at(self, byte: usize, refused: &Error) -> Error {
        let line = 1 + self.text.bytes().take(byte).filter(|byte| *byte == b'\n').count();
        located(format_args!("{}, line {line}", quoted_path(self.path)), refused)
    }

    /// The line of a byte.
    fn line(&self, byte: usize) -> &str {
        let start = self.text.as_bytes().get(..byte).unwrap_or_default().iter().rposition(|byte| *byte == b'\n');
        let rest = self.text.get(start.map_or(0, |start| start + 1)..).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// The refusal of what is no TOML or not ours, on one line and with "did you mean".
    fn refuse_toml(self, error: &toml::de::Error) -> Error {
        let unknown =
            [("unknown field `", "key"), ("unknown variant `", "value")].into_iter().find_map(|(prefix, noun)| {
                let (given, expected) = error.message().strip_prefix(prefix)?.rsplit_once("`, expected ")?;
                let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
                // The tables that a key can slip into, by a key of theirs.
                let is_below = ["endpoint", "keep", "dir"].iter().any(|key| known.contains(key));
                let mend = if noun == "key" && known.ends_with(&["host"]) && OF_ONE_HOST.contains(&given) {
                    "it belongs below the [[host]] that it is for".to_owned()
                } else if noun == "key" && is_below && ABOVE_HOSTS.contains(&given) {
                    "it belongs above every [table]".to_owned()
                } else {
                    suggestion(given, known.iter().copied(), &format!("it is one of {}", known.join(", ")))
                };
                Some(refusal(format!("unknown {noun} {}", quoted(given)), mend))
            });
        let refused = unknown.unwrap_or_else(|| {
            if error.span().is_some_and(|span| self.line(span.start).trim_start().starts_with("approval_passphrase")) {
                // It may be the passphrase itself, which no refusal repeats.
                let mend = "write it between quotes, as \"quaymaster approve --passphrase\" prints it";
                return refusal("approval_passphrase is not one text on one line", mend);
            }
            let message = error.message().replace(char::is_control, " ");
            let message = message.replace("expected i64", "expected a number").replace("a sequence", "an array");
            let text = error.span().and_then(|span| self.text.get(span)?.lines().next());
            refusal(
                match text {
                    Some(text) if !message.contains(['`', '"']) => format!("{message}: {}", quoted(text)),
                    _ => message,
                },
                EXAMPLE,
            )
        });
        match error.span() {
            Some(span) => self.refuse_at(span.start, &refused),
            None => located(quoted_path(self.path), &refused),
        }
    }
}

#[cfg(test)]
mod tests;
