//! Puts flags, variables and the file together: only the list of hosts has a precedence, the rest adds up.

use std::{mem, path::PathBuf};

use super::{
    Config, Endpoint, Environment, HostConfig, Mode,
    anchor::Anchor,
    file::{File, FileHost, General, HostLimits, SharedLimits, SshSettings},
    limits::{Confirm, Profile},
    permission::Permission,
    refusal::{located, quoted, quoted_path, refusal, suggestion},
    resolve::resolve,
    spec::{EndpointSpec, HostSpec, given_twice, parse_list},
};
use crate::error::Result;

/// What the command line says about the configuration; blank counts as absent.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--host`, each a list of hosts.
    pub hosts: Vec<String>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--mode`.
    pub mode: Option<String>,
    /// `--deny`, each separated by commas.
    pub deny: Vec<String>,
    /// `--toolsets`, each separated by commas.
    pub toolsets: Vec<String>,
}

impl Config {
    /// Reads everything that was configured, resolves it and checks it; no daemon is contacted.
    ///
    /// # Errors
    /// `config` with one line that names the place and the text, and the mend as the hint.
    pub fn load(environment: &Environment, flags: &Flags) -> Result<Self> {
        let mut file = File::find(flags.config.as_deref(), environment)?;
        let cap = cap(environment, flags)?.max(file.as_ref().map(|file| file.mode).unwrap_or_default());
        let deny = words(&flags.deny, environment.get("QUAYMASTER_DENY"), file.as_ref().map(|file| &file.deny));
        let toolsets =
            words(&flags.toolsets, environment.get("QUAYMASTER_TOOLSETS"), file.as_ref().map(|file| &file.toolsets));
        let labels = file.as_ref().is_none_or(|file| file.labels);
        let (limits, general) = match &mut file {
            Some(file) => (mem::take(&mut file.limits), mem::take(&mut file.general)),
            None => (SharedLimits::default(), General::default()),
        };
        let (origin, listed) = hosts(environment, flags, file)?;
        let mut warnings = doubts(&general, environment);
        let mut hosts = Vec::with_capacity(listed.len());
        for host in listed {
            let name = host.spec.name.clone();
            let (host, found) = configured(host, cap, &limits, environment)
                .map_err(|refused| located(format_args!("host \"{name}\""), &refused))?;
            hosts.push(host);
            warnings.extend(found.into_iter().map(|warning| format!("host \"{name}\": {warning}")));
        }
        if hosts.iter().flat_map(|host| &host.limits.reveal).any(|name| name.chars().all(|each| each == '*')) {
            warnings.push("reveal has \"*\": the values of all variables and labels are shown, secrets too".to_owned());
        }
        let General { registries, state, approval_passphrase, audit, secrets, files, cli_config } = general;
        Ok(Self {
            hosts,
            toolsets,
            deny,
            labels,
            registries,
            state: state.or_else(|| usual_state(environment)),
            approval_passphrase,
            audit,
            secrets,
            files,
            cli_config,
            origin,
            warnings,
        })
    }
}

/// The list of hosts and where it came from: flags, else the variable, else the file, else `auto`.
fn hosts(environment: &Environment, flags: &Flags, file: Option<File>) -> Result<(String, Vec<FileHost>)> {
    let several = flags.hosts.len() > 1;
    let numbered = |(number, text): (usize, &'_ String)| {
        (if several { format!("--host number {number}") } else { "--host".into() }, text.clone())
    };
    let given: Vec<(String, String)> =
        (1..).zip(&flags.hosts).filter(|(_, text)| !text.trim().is_empty()).map(numbered).collect();
    if !given.is_empty() {
        return Ok(("--host".into(), merged(given, environment, file)?));
    }
    if let Some(text) = environment.get("QUAYMASTER_HOSTS") {
        let place = "QUAYMASTER_HOSTS".to_owned();
        return Ok((place.clone(), merged(vec![(place, text.to_owned())], environment, file)?));
    }
    match file {
        Some(file) if !file.hosts.is_empty() => Ok((file.path.display().to_string(), file.hosts)),
        _ => {
            let spec = HostSpec { name: "local".into(), endpoint: EndpointSpec::Auto, mode: Mode::Rw };
            Ok(("auto".into(), vec![plain(spec)]))
        }
    }
}

/// The hosts of lists with the places of these, each host with the settings that the file has for its name.
fn merged(lists: Vec<(String, String)>, environment: &Environment, mut file: Option<File>) -> Result<Vec<FileHost>> {
    let anchor = Anchor { base: &environment.working_directory, home: environment.home.as_deref() };
    let mut merged: Vec<FileHost> = Vec::new();
    for (place, text) in lists {
        for mut spec in parse_list(&text).map_err(|refused| located(&place, &refused))? {
            if merged.iter().any(|other| other.spec.name == spec.name) {
                return Err(located(&place, &given_twice(&spec.name)));
            }
            spec.endpoint = spec.endpoint.anchored(anchor).map_err(|refused| located(&place, &refused))?;
            let own = file.as_mut().and_then(|file| {
                let index = file.hosts.iter().position(|own| own.spec.name == spec.name)?;
                Some((quoted_path(&file.path), file.hosts.swap_remove(index)))
            });
            merged.push(match own {
                Some((path, own)) => {
                    joined(spec, own).map_err(|refused| located(format_args!("{place} and {path}"), &refused))?
                }
                None => plain(spec),
            });
        }
    }
    Ok(merged)
}

/// A host without settings of a file.
fn plain(spec: HostSpec) -> FileHost {
    FileHost { spec, note: None, tags: Vec::new(), limits: HostLimits::default(), ssh: SshSettings::default() }
}

/// A host with the file's settings for its name: the stricter mode, and one endpoint or none.
fn joined(spec: HostSpec, own: FileHost) -> Result<FileHost> {
    let endpoint = spec.endpoint.joined(&own.spec.endpoint).filter(|endpoint| {
        let socket = matches!(endpoint, EndpointSpec::Ssh { socket: Some(_), .. });
        !(socket && own.ssh.wants_dial_stdio())
    });
    let Some(endpoint) = endpoint else {
        let (one, other) = (quoted(&spec.endpoint.to_string()), quoted(&own.spec.endpoint.to_string()));
        let what = format!("host \"{}\" has two endpoints, {one} and {other}", spec.name);
        return Err(refusal(what, "make them the same, or give one of the two another name"));
    };
    let mode = spec.mode.max(own.spec.mode);
    Ok(FileHost { spec: HostSpec { name: spec.name, endpoint, mode }, ..own })
}

/// One host, resolved and capped, and what is worth saying about it.
fn configured(
    host: FileHost,
    cap: Mode,
    shared: &SharedLimits,
    environment: &Environment,
) -> Result<(HostConfig, Vec<String>)> {
    let FileHost { spec, note, tags, limits, ssh } = host;
    let mut resolved = resolve(spec.endpoint, environment)?;
    if let Endpoint::Ssh(endpoint) = &mut resolved.endpoint {
        ssh.apply(endpoint);
    }
    let mode = spec.mode.max(cap);
    let mut warnings = resolved.warnings;
    let lists_files = limits.lists(Permission::Files);
    let limits = limits.over(shared, mode, &resolved.endpoint);
    if lists_files && spec.mode == Mode::Ro && !limits.permissions.has(Permission::Files) {
        let warning = "permissions has \"files\", which a read-only host needs a grant for: add grant = [\"files\"], or remove it";
        warnings.push(warning.to_owned());
    }
    let host = HostConfig { name: spec.name, endpoint: resolved.endpoint, mode, note, tags, limits };
    warnings.extend(careless(&host));
    Ok((host, warnings))
}

/// What was loosened where it is not usual.
fn careless(host: &HostConfig) -> Vec<String> {
    let HostConfig { endpoint, mode, limits, .. } = host;
    let mut warnings = Vec::new();
    if !endpoint.is_local() && *mode == Mode::Rw && limits.confirm == Confirm::Never {
        warnings.push("confirm = \"never\": nobody is asked before anything is destroyed there".to_owned());
    }
    if !endpoint.is_local() && *mode != Mode::Ro && limits.bodies.profile == Profile::Open {
        let warning =
            "bodies = \"open\": what is made there may use the machine's files and network without a question";
        warnings.push(warning.to_owned());
    }
    warnings
}

/// What of the general keys will not work as it stands.
fn doubts(general: &General, environment: &Environment) -> Vec<String> {
    let missing = general.secrets.as_ref().filter(|directory| !directory.is_dir());
    let missing = missing.map(|directory| format!("secrets.dir {} is no directory", quoted_path(directory)));
    let authorities = general.registries.iter().filter_map(|registry| {
        let ca = registry.ca.as_ref().filter(|ca| !ca.is_file())?;
        Some(format!("registry {}: ca {} is no file", quoted(&registry.host), quoted_path(ca)))
    });
    let together = ["QUAYMASTER_REGISTRY", "QUAYMASTER_REGISTRY_USERNAME", "QUAYMASTER_REGISTRY_PASSWORD"];
    let set = together.iter().filter(|name| environment.get(name).is_some()).count();
    let alone = (set != 0 && set != together.len())
        .then(|| format!("{} count only where all of them are set", together.join(", ")));
    missing.into_iter().chain(authorities).chain(alone).collect()
}

/// The stricter of `--mode` and `QUAYMASTER_MODE`.
fn cap(environment: &Environment, flags: &Flags) -> Result<Mode> {
    let flag = flags.mode.as_deref().map(str::trim).filter(|mode| !mode.is_empty());
    [("--mode", flag), ("QUAYMASTER_MODE", environment.get("QUAYMASTER_MODE"))]
        .into_iter()
        .filter_map(|(place, text)| Some((place, text?)))
        .try_fold(Mode::Rw, |cap, (place, text)| {
            let mode = Mode::parse(text).ok_or_else(|| {
                let mend = suggestion(text, ["rw", "nd", "ro"], "it is one of rw, nd, ro");
                refusal(format!("{place}: unknown mode {}", quoted(text)), mend)
            })?;
            Ok(cap.max(mode))
        })
}

/// The words of a flag, a variable and the file together, each once and in this order.
fn words(flags: &[String], variable: Option<&str>, file: Option<&Vec<String>>) -> Vec<String> {
    let given = flags.iter().map(String::as_str).chain(variable).flat_map(|list| list.split(','));
    let mut words: Vec<String> = Vec::new();
    for word in given.chain(file.into_iter().flatten().map(String::as_str)).map(str::trim) {
        if !word.is_empty() && !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// `$XDG_STATE_HOME/quaymaster`, else `~/.local/state/quaymaster`.
fn usual_state(environment: &Environment) -> Option<PathBuf> {
    let named = environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || environment.home.as_ref().map(|home| home.join(".local/state"));
    named.or_else(home).map(|directory| directory.join("quaymaster"))
}
