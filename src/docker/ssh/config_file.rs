//! Reads `ssh_config` files: which settings apply to one host, the first value of each winning.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ssh2_config::{DefaultAlgorithms, HostParams, ParseRule, SshConfig};

use super::{patterns, tokens};
use crate::config::Environment;

/// How deep `Include` may nest, as in OpenSSH.
const DEPTH: usize = 16;

/// The options that mean something here; all others are left to ssh.
const SINGLE: &[&str] = &[
    "certificatefile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "port",
    "revokedhostkeys",
    "serveralivecountmax",
    "user",
];

/// What the files say about one host, before tokens are replaced.
#[derive(Debug)]
pub(super) struct Settings {
    /// The values that the parser understands.
    params: HostParams,
    /// Every certificate named, in order.
    pub(super) certificate_files: Vec<String>,
    /// The user's files of known hosts.
    pub(super) user_known_hosts: Option<Vec<String>>,
    /// The machine's files of known hosts.
    pub(super) global_known_hosts: Option<Vec<String>>,
    /// `ProxyJump` or `ProxyCommand`, whichever came first.
    pub(super) proxy: Option<Proxy>,
    /// Things worth saying that do not stop anything.
    pub(super) warnings: Vec<String>,
}

/// How ssh would reach the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proxy {
    /// Not at all: `none`.
    None,
    /// Over these machines, separated by commas.
    Jump(String),
    /// Through a program, named at this place.
    Command(String),
}

impl Settings {
    pub(super) fn host_name(&self) -> Option<&str> {
        self.params.host_name.as_deref()
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.params.user.as_deref()
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.params.port
    }

    /// Every `IdentityFile`, in order.
    pub(super) fn identity_files(&self) -> &[PathBuf] {
        self.params.identity_file.as_deref().unwrap_or_default()
    }

    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.params.connect_timeout
    }

    pub(super) fn server_alive_interval(&self) -> Option<Duration> {
        self.params.server_alive_interval
    }

    pub(super) fn server_alive_count_max(&self) -> Option<usize> {
        self.word("serveralivecountmax").and_then(|count| count.parse().ok())
    }

    pub(super) fn identities_only(&self) -> bool {
        self.word("identitiesonly").is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "yes" | "true"))
    }

    pub(super) fn identity_agent(&self) -> Option<&str> {
        self.word("identityagent")
    }

    pub(super) fn host_key_alias(&self) -> Option<&str> {
        self.word("hostkeyalias")
    }

    fn word(&self, option: &str) -> Option<&str> {
        self.params.unsupported_fields.get(option)?.first().map(String::as_str)
    }
}

/// The files of a user on a machine.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// `~/.ssh/config`
    pub(super) user: Option<PathBuf>,
    /// `/etc/ssh/ssh_config`
    pub(super) system: Option<PathBuf>,
}

impl Files {
    /// Where OpenSSH looks.
    pub(super) fn of(environment: &Environment) -> Self {
        Self {
            user: environment.home.as_ref().map(|home| home.join(".ssh/config")),
            system: Some("/etc/ssh/ssh_config".into()),
        }
    }

    /// The settings for a host under the name that it was given; an error names file and line.
    pub(super) fn settings(&self, host: &str, environment: &Environment) -> Result<Settings, String> {
        let mut reader = Reader {
            host,
            environment,
            base: PathBuf::new(),
            guarded: false,
            settings: Settings {
                params: HostParams::new(&DefaultAlgorithms::empty()),
                certificate_files: Vec::new(),
                user_known_hosts: None,
                global_known_hosts: None,
                proxy: None,
                warnings: Vec::new(),
            },
        };
        for (file, guarded) in [(&self.user, true), (&self.system, false)] {
            let Some(file) = file else { continue };
            file.parent().unwrap_or(Path::new("/")).clone_into(&mut reader.base);
            reader.guarded = guarded;
            reader.file(file, 0)?;
        }
        Ok(reader.settings)
    }
}

/// One pass over the files for one host.
struct Reader<'a> {
    host: &'a str,
    environment: &'a Environment,
    /// What relative includes are relative to.
    base: PathBuf,
    /// Whether a file that others can write is refused.
    guarded: bool,
    settings: Settings,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        if self.guarded && fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o022 != 0) {
            return Err(format!("{shown}: others may write it; \"chmod go-w {shown}\" mends that"));
        }
        // Lines before the first `Host` apply to whatever includes this file.
        let mut active = true;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{shown}:{}", number + 1);
            let Some((keyword, arguments)) = split(line).map_err(|why| format!("{place}: {why}"))? else { continue };
            match keyword.as_str() {
                "host" => active = patterns::list_matches(arguments.iter().map(String::as_str), self.host),
                "match" => {
                    active = false;
                    self.settings.warnings.push(format!("{place}: Match blocks are skipped"));
                }
                _ if !active => {}
                "include" => {
                    for pattern in &arguments {
                        self.include(pattern, depth + 1).map_err(|why| format!("{place}: {why}"))?;
                    }
                }
                _ => self.apply(&keyword, &arguments, &place).map_err(|why| format!("{place}: {why}"))?,
            }
        }
        Ok(())
    }

    fn include(&mut self, pattern: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH {
            return Err("includes are nested too deeply".to_owned());
        }
        let pattern = tokens::variables(pattern, self.environment)?;
        let path = match Path::new(&pattern) {
            path if path.starts_with("~") => tokens::absolute(path, self.environment)?,
            path => self.base.join(path),
        };
        for file in expand(&path) {
            self.file(&file, depth)?;
        }
        Ok(())
    }

    /// Takes one option up, unless an earlier line has set it.
    fn apply(&mut self, keyword: &str, arguments: &[String], place: &str) -> Result<(), String> {
        let first = || arguments.first().map(String::as_str).ok_or_else(|| format!("{keyword} has no value"));
        let settings = &mut self.settings;
        match keyword {
            "userknownhostsfile" => _ = settings.user_known_hosts.get_or_insert_with(|| arguments.to_vec()),
            "globalknownhostsfile" => _ = settings.global_known_hosts.get_or_insert_with(|| arguments.to_vec()),
            "proxyjump" => {
                let jump = first()?;
                let none = jump.eq_ignore_ascii_case("none");
                settings.proxy.get_or_insert_with(|| if none { Proxy::None } else { Proxy::Jump(jump.to_owned()) });
            }
            "proxycommand" => {
                let none = first()?.eq_ignore_ascii_case("none");
                settings.proxy.get_or_insert_with(|| if none { Proxy::None } else { Proxy::Command(place.to_owned()) });
            }
            "revokedhostkeys" if first()? != "none" => {
                return Err("RevokedHostKeys is not supported; use \"@revoked\" lines in known_hosts".to_owned());
            }
            "certificatefile" => settings.certificate_files.push(first()?.to_owned()),
            "connecttimeout" | "serveraliveinterval" => {
                let value = first()?;
                if !value.eq_ignore_ascii_case("none") {
                    let seconds = seconds(value).ok_or_else(|| format!("{value:?} is no time"))?;
                    self.parse(keyword, &seconds.to_string())?;
                }
            }
            _ if SINGLE.contains(&keyword) => self.parse(keyword, first()?)?,
            _ => {}
        }
        Ok(())
    }

    /// Has the parser read one value: a line of its own, so that the first of several wins and an error has a place.
    fn parse(&mut self, keyword: &str, value: &str) -> Result<(), String> {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("{keyword} \"{quoted}\"");
        // A home is always given, or the parser would look into the process's environment.
        let home = self.environment.home.clone().unwrap_or_else(|| "/".into());
        let config = SshConfig::default()
            .default_algorithms(DefaultAlgorithms::empty())
            .home_dir(home)
            .parse(&mut line.as_bytes(), ParseRule::ALLOW_UNSUPPORTED_FIELDS)
            .map_err(|error| format!("{keyword}: {error}"))?;
        self.settings.params.overwrite_if_none(&config.query("*"));
        Ok(())
    }
}

/// Splits a line as OpenSSH does: a lower-cased keyword and its arguments; nothing for a blank or a comment.
fn split(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let line = line.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|letter: char| letter.is_whitespace() || letter == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);

    let mut arguments = Vec::new();
    let mut letters = rest.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if matches!(letters.peek(), None | Some('#')) {
            break;
        }
        let mut argument = String::new();
        let mut quote: Option<char> = None;
        while let Some(letter) = letters.next() {
            match (letter, quote) {
                ('\\', _)
                    if letters
                        .peek()
                        .is_some_and(|next| matches!(next, '"' | '\'' | '\\') || (quote.is_none() && *next == ' ')) =>
                {
                    argument.extend(letters.next());
                }
                ('"' | '\'', None) => quote = Some(letter),
                (_, Some(open)) if letter == open => quote = None,
                (_, None) if letter.is_whitespace() => break,
                _ => argument.push(letter),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_owned());
        }
        arguments.push(argument);
    }
    Ok(Some((keyword.to_ascii_lowercase(), arguments)))
}

/// A time as in `sshd_config`: `90`, `1m30s`, `2h`.
fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut digits = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit = match letter.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    if digits.is_empty() {
        return (!text.is_empty()).then_some(total);
    }
    total.checked_add(digits.parse().ok()?)
}

/// The files that a path with patterns stands for, sorted; a path without any is itself.
fn expand(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let name = part.as_os_str().to_string_lossy();
        if !name.contains(['*', '?']) {
            for place in &mut found {
                place.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for place in &found {
            let Ok(entries) = fs::read_dir(place) else { continue };
            next.extend(entries.flatten().map(|entry| entry.file_name()).filter_map(|entry| {
                let text = entry.to_str()?;
                let hidden = text.starts_with('.') && !name.starts_with('.');
                (!hidden && patterns::matches(&name, text)).then(|| place.join(text))
            }));
        }
        next.sort();
        found = next;
    }
    found
}
