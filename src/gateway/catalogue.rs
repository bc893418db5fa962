//! Every tool there is, which of them exist for this configuration, and which are listed.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use globset::{Glob, GlobMatcher};
use serde_json::{Value, json};

use super::{Gateway, caller::Caller, forward::Inner, tools::OWN};
use crate::{
    config::{Config, HostConfig},
    docker::{Host, cli::Programs, names::quote},
    error::{Error, Result, nearest},
    tool::{
        Access, Answer, Call, Card, Def, Effect, FleetCall, HostArgument, HostlessCall, Json, OneCall, Parse, Pending,
        Permissions,
    },
    tools::TOOLSETS,
};

/// The name that stands for the tools which are listed when nothing is said.
pub const CORE: &str = "core";
/// The name that stands for every tool.
pub const ALL: &str = "all";
/// A schema enumerates hosts up to this many entries.
const LONGEST_ENUM: usize = 15;

/// A tool of the catalogue.
#[derive(Clone)]
pub struct Entry {
    /// What is seen of it.
    pub card: Arc<Card>,
    /// The toolset it belongs to.
    pub toolset: &'static str,
    /// How it runs.
    pub run: Run,
    /// The most that the call at hand may do: what the tool may, or less on the way that the call came.
    pub ceiling: Effect,
}

/// How a tool runs: on one host, on many, on none, on the gateway itself, or as the tool that it names.
#[derive(Clone, Copy)]
pub enum Run {
    /// On one host.
    One(fn(Json, &Json) -> Result<Box<dyn OneCall>>),
    /// On many.
    Fleet(fn(Json, &Json) -> Result<Box<dyn FleetCall>>),
    /// On none.
    Hostless(fn(Json, &Json) -> Result<Box<dyn HostlessCall>>),
    /// On the gateway.
    Own(fn(Json, &Json) -> Result<Box<dyn OwnCall>>),
    /// As another tool.
    Forward {
        /// Takes the inner call out of the arguments.
        parse: fn(Json, &Json) -> Result<Inner>,
        /// The most that the inner call may do.
        ceiling: Effect,
    },
}

/// A parsed call of a tool about the gateway itself.
pub trait OwnCall: Send + Sync {
    /// The parsed arguments, defaults included.
    fn arguments(&self) -> Json;
    /// How long it may take; `None` is the default of a read.
    fn deadline(&self) -> Option<Duration>;
    /// Runs it for somebody; `hosts` is empty for a tool without `host`.
    fn call<'a>(
        self: Box<Self>,
        gateway: &'a Gateway,
        hosts: Vec<Arc<Host>>,
        caller: &'a Caller,
        call: &'a Call,
    ) -> Pending<'a, Result<Answer>>;
}

/// A tool about the gateway itself, as a plain value.
pub struct OwnDef {
    /// What is seen of it.
    pub card: Card,
    /// How it runs.
    pub run: Run,
}

/// A toolset's name and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The name of `--toolsets`.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
}

/// The tools of a configuration.
pub struct Catalogue {
    entries: Vec<Entry>,
    allowed: Vec<usize>,
    /// What is installed here; `None` takes everything for installed.
    programs: Option<Programs>,
    /// Those of the allowed ones whose programs are here: looked for when somebody asks, and once.
    listed: OnceLock<Vec<usize>>,
}

impl Catalogue {
    /// Takes away what is denied and finds out what is listed.
    ///
    /// # Errors
    /// `config`, with "did you mean".
    pub fn new(config: &Config) -> Result<Self> {
        let everything = everything();
        let denied = denied(&config.deny, &everything)?;
        known(config, &everything)?;
        let wanted = wanted(&config.toolsets)?;
        let on_any = |card: &Card| config.hosts.iter().any(|host| possible(card, host));
        let entries: Vec<Entry> = everything
            .into_iter()
            .filter(|entry| !denied.iter().any(|glob| glob.is_match(entry.card.name) || glob.is_match(entry.toolset)))
            .collect();
        // Where nothing can be changed there is nothing for `call_tool` to do that `read_tool` does not.
        let reads = |entry: &Entry| !matches!(entry.run, Run::Forward { ceiling, .. } if ceiling > Effect::Read);
        let changes = || entries.iter().any(|entry| config.hosts.iter().any(|host| could_change(entry, host)));
        let allowed = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| wanted.iter().any(|name| is_in(entry, name)))
            .filter(|(_, entry)| on_any(&entry.card) && (reads(entry) || changes()))
            .filter(|(_, entry)| config.cli_config || !entry.card.cli_config)
            .map(|(position, _)| position)
            .collect();
        Ok(Self { entries, allowed, programs: None, listed: OnceLock::new() })
    }

    /// The same on a machine with these programs: tools whose program is missing are not listed.
    #[must_use]
    pub fn on(self, programs: Programs) -> Self {
        Self { programs: Some(programs), listed: OnceLock::new(), ..self }
    }

    /// What is missing on this machine for a tool to run: `unsupported`, saying what to install.
    #[must_use]
    pub fn missing(&self, card: &Card) -> Option<Error> {
        self.programs.as_ref()?.need(card.program?.plugin()).err()
    }

    /// A tool by name, listed or not.
    ///
    /// # Errors
    /// `not_found`, with the nearest name.
    pub fn find(&self, name: &str) -> Result<Entry> {
        self.entries.iter().find(|entry| entry.card.name == name).cloned().ok_or_else(|| {
            let hint = match nearest(name, self.entries.iter().map(|entry| entry.card.name)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "tools/list shows what there is".to_owned(),
            };
            Error::not_found(format!("unknown tool {}", quote(name))).hint(hint)
        })
    }

    /// Every tool that is not denied, in the order of the documentation.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether clients see a tool.
    #[must_use]
    pub fn lists(&self, name: &str) -> bool {
        self.listed().any(|entry| entry.card.name == name)
    }

    /// The tools that clients see.
    pub fn listed(&self) -> impl Iterator<Item = &Entry> {
        let listed = self.listed.get_or_init(|| {
            let entries = self.allowed.iter().filter_map(|position| Some((*position, self.entries.get(*position)?)));
            entries.filter(|(_, entry)| self.missing(&entry.card).is_none()).map(|(position, _)| position).collect()
        });
        listed.iter().filter_map(|position| self.entries.get(*position))
    }
}

impl Entry {
    fn new(card: Card, toolset: &'static str, run: Run) -> Self {
        let ceiling = card.access.effect;
        Self { card: Arc::new(card), toolset, run, ceiling }
    }

    /// Whether it runs the calls of other tools.
    #[must_use]
    pub fn is_forwarding(&self) -> bool {
        matches!(self.run, Run::Forward { .. })
    }

    /// The input schema with `host`, for the hosts of a configuration.
    #[must_use]
    pub fn input_schema(&self, config: &Config) -> Json {
        let mut schema = self.card.input().clone();
        let Some(host) = host_schema(self.card.host, config) else { return schema };
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("host".into(), host);
        }
        if self.card.access.effect != Effect::Read && config.hosts.len() > 1 {
            let required = schema.entry("required").or_insert_with(|| json!([]));
            if let Value::Array(required) = required {
                required.push("host".into());
            }
        }
        schema
    }
}

/// Its name says what it is, and the server's instructions say once, not for every tool, that reads default to the first
/// host: only another default is stated here.
fn host_schema(argument: HostArgument, config: &Config) -> Option<Value> {
    let names = config.hosts.iter().map(|host| host.name.clone());
    let (values, about): (Vec<String>, &str) = match argument {
        HostArgument::None | HostArgument::Planned => return None,
        HostArgument::One => (names.collect(), ""),
        HostArgument::Fleet { whole } => {
            let mut tags: Vec<String> =
                config.hosts.iter().flat_map(|host| host.tags.iter().map(|tag| format!("tag:{tag}"))).collect();
            tags.sort();
            tags.dedup();
            let default = if whole { "Default: all." } else { "" };
            (names.chain(["all".to_owned()]).chain(tags).collect(), default)
        }
    };
    let is_short = values.len() <= LONGEST_ENUM;
    let about = if is_short { about.to_owned() } else { format!("{about} list_hosts shows the names.") };
    let mut schema = Json::new();
    schema.insert("type".into(), "string".into());
    if is_short {
        schema.insert("enum".into(), values.into());
    }
    if !about.is_empty() {
        schema.insert("description".into(), about.trim().into());
    }
    Some(schema.into())
}

/// Whether a host could ever allow the mildest call of a tool.
fn possible(card: &Card, host: &HostConfig) -> bool {
    card.access.mildest.allowed_by(host.mode)
        && host.limits.permissions.covers(card.access.always)
        && host.limits.tools.admit([card.name])
}

/// Whether a host could ever allow a call of a tool that changes something.
fn could_change(entry: &Entry, host: &HostConfig) -> bool {
    let Access { effect, mildest, always, at_most } = entry.card.access;
    // What needs nothing always needs something for each change: a dry run that is none, the removals of a plan.
    let needs_more = always == Permissions::READ;
    let mut rest = at_most.iter().filter(|permission| !always.has(*permission));
    matches!(entry.run, Run::One(_) | Run::Hostless(_))
        && effect > Effect::Read
        && mildest.max(Effect::Mutate).allowed_by(host.mode)
        && possible(&entry.card, host)
        && (!needs_more || rest.any(|permission| host.limits.permissions.has(permission)))
}

fn is_in(entry: &Entry, toolset: &str) -> bool {
    toolset == ALL || toolset == entry.toolset || (toolset == CORE && entry.card.core)
}

/// Every toolset that can be named, beside `core` and `all`.
pub fn groups() -> impl Iterator<Item = Group> {
    TOOLSETS.iter().map(|toolset| Group { name: toolset.name, about: toolset.about })
}

/// Every tool there is, in the order of the documentation.
#[must_use]
pub fn everything() -> Vec<Entry> {
    // They are the same for every configuration, and writing more than a hundred schemas takes a while.
    static EVERYTHING: LazyLock<Vec<Entry>> = LazyLock::new(described);
    EVERYTHING.clone()
}

fn described() -> Vec<Entry> {
    let of_gateway = OWN.iter().map(|define| {
        let OwnDef { card, run } = define();
        Entry::new(card, "hosts", run)
    });
    let of_daemons = TOOLSETS.iter().flat_map(|toolset| {
        toolset.tools.iter().map(|define| {
            let Def { card, parse } = define();
            let run = match parse {
                Parse::One(parse) => Run::One(parse),
                Parse::Fleet(parse) => Run::Fleet(parse),
                Parse::Hostless(parse) => Run::Hostless(parse),
            };
            Entry::new(card, toolset.name, run)
        })
    });
    of_gateway.chain(of_daemons).collect()
}

fn wanted(toolsets: &[String]) -> Result<Vec<&str>> {
    if toolsets.is_empty() {
        return Ok(vec![CORE]);
    }
    let known = || [CORE, ALL].into_iter().chain(groups().map(|group| group.name));
    toolsets
        .iter()
        .map(|name| {
            known().any(|known| known == name).then_some(name.as_str()).ok_or_else(|| {
                let hint = match nearest(name, known()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("toolsets: {}", known().collect::<Vec<_>>().join(", ")),
                };
                Error::config(format!("unknown toolset {}", quote(name))).hint(hint)
            })
        })
        .collect()
}

/// Refuses names and globs of the hosts' `tools` that fit no tool: such a deny would deny nothing.
fn known(config: &Config, everything: &[Entry]) -> Result<()> {
    // Those of the whole configuration come back with every host.
    let patterns: BTreeSet<&str> = config.hosts.iter().flat_map(|host| host.limits.tools.patterns()).collect();
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .map_err(|error| Error::config(format!("tools {}: {}", quote(pattern), error.kind())))?
            .compile_matcher();
        if everything.iter().any(|entry| glob.is_match(entry.card.name)) {
            continue;
        }
        let hint = if groups().any(|group| group.name == pattern) {
            "it is a toolset: only the key deny, --deny and QUAYMASTER_DENY take those".to_owned()
        } else {
            nearest(pattern, everything.iter().map(|entry| entry.card.name)).map_or_else(
                || "\"quaymaster tools\" lists them".to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            )
        };
        return Err(Error::config(format!("tools {}: no tool is called so", quote(pattern))).hint(hint));
    }
    Ok(())
}

fn denied(deny: &[String], everything: &[Entry]) -> Result<Vec<GlobMatcher>> {
    deny.iter()
        .map(|pattern| {
            let glob = Glob::new(pattern)
                .map_err(|error| {
                    Error::config(format!("deny {}: {}", quote(pattern), error.kind()))
                        .hint("write a tool, a toolset or a glob such as \"remove_*\"")
                })?
                .compile_matcher();
            if everything.iter().any(|entry| glob.is_match(entry.card.name) || glob.is_match(entry.toolset)) {
                return Ok(glob);
            }
            let known = everything.iter().map(|entry| entry.card.name).chain(groups().map(|group| group.name));
            let hint = nearest(pattern, known).map_or_else(
                || "\"quaymaster tools\" lists them".to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            );
            Err(Error::config(format!("deny {}: no tool or toolset is called so", quote(pattern))).hint(hint))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::{
        config::{Environment, Flags},
        error::Kind,
        tool::Program,
    };

    fn install(file: &Path) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_runs_a_missing_program_is_not_listed_and_says_what_to_install() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment {
            variables: [("PATH".to_owned(), home.path().join("bin").display().to_string())].into(),
            home: Some(home.path().to_owned()),
            ..Environment::default()
        };
        let flags = Flags { toolsets: vec![ALL.into()], ..Flags::default() };
        let config = Config::load(&environment, &flags).unwrap();
        let catalogue = || {
            let mut catalogue = Catalogue::new(&config).unwrap();
            for entry in &mut catalogue.entries {
                Arc::make_mut(&mut entry.card).program = None;
            }
            let programs = [None, Some(Program::Docker), Some(Program::Compose)];
            let programs = programs.into_iter().chain(std::iter::repeat(None));
            for (entry, program) in catalogue.entries.iter_mut().zip(programs) {
                Arc::make_mut(&mut entry.card).program = program;
            }
            catalogue
        };
        let listed = |catalogue: &Catalogue| catalogue.listed().map(|entry| entry.card.name).collect::<Vec<_>>();
        let all = listed(&catalogue());
        let ours = || catalogue().on(Programs::new(&environment));
        let none = ours();
        assert_eq!(listed(&none), [&all[..1], &all[3..]].concat());
        let error = none.missing(&none.find(all[2]).unwrap().card).unwrap();
        assert_eq!((error.kind(), error.hint_text().unwrap().contains("docker-ce-cli")), (Kind::Unsupported, true));

        install(&home.path().join("bin/docker"));
        assert_eq!(listed(&none).len(), all.len() - 2, "what is listed does not change while a client looks at it");
        assert!(none.missing(&none.find(all[1]).unwrap().card).is_none(), "but what was installed runs");
        let some = ours();
        assert_eq!(listed(&some), [&all[..2], &all[3..]].concat());
        let error = some.missing(&some.find(all[2]).unwrap().card).unwrap();
        assert!(error.hint_text().unwrap().contains("docker-compose-plugin"), "{error:?}");

        install(&home.path().join(".docker/cli-plugins/docker-compose"));
        assert_eq!(listed(&ours()), all);
    }
}
