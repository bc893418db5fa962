//! What the file says about limits, for one host and for all: permissions, names, rules, questions.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Document,
    host::{Misplaced, Table, checked},
};
use crate::{
    config::{
        Endpoint, Globs, Limits, Mode, Sources,
        limits::{Bodies, Confirm, Profile, Rule, Verdict},
        permission::{Permission, Permissions},
        refusal::{no_control_characters, quoted, refusal, suggestion},
    },
    error::Result,
};

/// What no mode implies on every host; the rest is never granted, only listed.
const GRANTED: [Permission; 2] = [Permission::Files, Permission::Credentials];
/// What is about no host: whether tools see the operator's own configuration of the docker CLI.
pub(super) const CLI_CONFIG: &str = "cli-config";

/// `{ allow, deny }` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

/// `binds` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binds {
    #[serde(default)]
    allow: Vec<Spanned<String>>,
}

/// `exec` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

/// What becomes of calls that would end the container of Quaymaster itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OwnContainer {
    /// They are refused.
    Refuse,
    /// They are calls like any other.
    Allow,
}

/// What holds for every host, beside what its own table says.
#[derive(Debug, Clone)]
pub(in crate::config) struct SharedLimits {
    granted: Permissions,
    tools: Globs,
    containers: Globs,
    images: Globs,
    own_container: bool,
    reveal: Vec<String>,
    sources: Sources,
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self {
            granted: Permissions::READ,
            tools: Globs::default(),
            containers: Globs::default(),
            images: Globs::default(),
            own_container: false,
            reveal: Vec::new(),
            sources: Sources::default(),
        }
    }
}

/// What the table of one host says; what it does not say is absent.
#[derive(Debug)]
pub(in crate::config) struct HostLimits {
    permissions: Option<Permissions>,
    granted: Permissions,
    tools: Globs,
    containers: Globs,
    images: Globs,
    confirm: Option<Confirm>,
    profile: Option<Profile>,
    rules: BTreeMap<Rule, Verdict>,
    binds_allow: Vec<String>,
    exec_deny: Globs,
    reveal: Vec<String>,
    sources: Sources,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            permissions: None,
            granted: Permissions::READ,
            tools: Globs::default(),
            containers: Globs::default(),
            images: Globs::default(),
            confirm: None,
            profile: None,
            rules: BTreeMap::new(),
            binds_allow: Vec::new(),
            exec_deny: Globs::default(),
            reveal: Vec::new(),
            sources: Sources::default(),
        }
    }
}

impl HostLimits {
    /// Puts them over those of all hosts and over what holds for such a host by itself.
    ///
    /// The mode is the one that holds in the end: what a cap takes away, the list cannot give back.
    pub(in crate::config) fn over(self, shared: &SharedLimits, mode: Mode, endpoint: &Endpoint) -> Limits {
        let usual = Limits::of(mode, endpoint);
        let listed = self.permissions.unwrap_or(usual.permissions).without(Permission::Credentials);
        let implied = if mode == Mode::Ro { listed.without(Permission::Files) } else { listed };
        let mut reveal = shared.reveal.clone();
        reveal.extend(self.reveal.into_iter().filter(|name| !shared.reveal.contains(name)));
        Limits {
            permissions: implied.both(shared.granted).both(self.granted),
            tools: shared.tools.clone().and(&self.tools),
            containers: shared.containers.clone().and(&self.containers),
            images: shared.images.clone().and(&self.images),
            confirm: self.confirm.unwrap_or(usual.confirm),
            bodies: Bodies {
                profile: self.profile.unwrap_or(usual.bodies.profile),
                rules: self.rules,
                binds_allow: self.binds_allow,
            },
            exec_deny: self.exec_deny,
            own_container: shared.own_container,
            reveal,
            sources: shared.sources.clone().or(&self.sources),
        }
    }

    /// Whether its list of permissions names one.
    pub(in crate::config) fn lists(&self, permission: Permission) -> bool {
        self.permissions.is_some_and(|listed| listed.has(permission))
    }
}

impl Document {
    /// Checks what is said for every host.
    pub(super) fn limits(&self) -> Result<SharedLimits, Misplaced> {
        Ok(SharedLimits {
            granted: granted(self.grant.iter().filter(|word| word.get_ref() != CLI_CONFIG), &[CLI_CONFIG])?,
            tools: names(self.tools.as_ref(), plain, Globs::new)?,
            containers: names(self.containers.as_ref(), container, Globs::new)?,
            images: names(self.images.as_ref(), image, Globs::of_images)?,
            own_container: self.own_container == Some(OwnContainer::Allow),
            reveal: revealed(&self.reveal)?,
            sources: sources(&self.sources)?,
        })
    }
}

impl Table {
    /// Checks what is said for one host.
    pub(super) fn limits(&self, shared: &SharedLimits) -> Result<HostLimits, Misplaced> {
        let granted = granted(self.grant.iter(), &[])?;
        let permissions = match &self.permissions {
            Some(words) => Some(listed(words, granted.both(shared.granted))?),
            None => None,
        };
        let mut rules = BTreeMap::new();
        for (word, verdict) in &self.rules {
            rules.insert(checked(word, |word| rule(word))?, *verdict);
        }
        let binds: &[_] = self.binds.as_ref().map_or(&[], |binds| &binds.allow);
        let commands: &[_] = self.exec.as_ref().map_or(&[], |exec| &exec.deny);
        Ok(HostLimits {
            permissions,
            granted,
            tools: names(self.tools.as_ref(), plain, Globs::new)?,
            containers: names(self.containers.as_ref(), container, Globs::new)?,
            images: names(self.images.as_ref(), image, Globs::of_images)?,
            confirm: self.confirm,
            profile: self.bodies,
            rules,
            binds_allow: each(binds, directory)?,
            exec_deny: globs(&[], commands, written, Globs::new)?,
            reveal: revealed(&self.reveal)?,
            sources: sources(&self.sources)?,
        })
    }
}

/// The complete list of what callers may do.
fn listed(words: &[Spanned<String>], granted: Permissions) -> Result<Permissions, Misplaced> {
    let mut listed = Permissions::READ;
    for word in words {
        listed = listed.with(checked(word, |word| {
            let permission = Permission::parse(word).ok_or_else(|| {
                let known = Permission::ALL.map(Permission::as_str);
                let mend = suggestion(word, known, &format!("it is one of {}", known.join(", ")));
                refusal(format!("unknown permission {}", quoted(word)), mend)
            })?;
            if permission == Permission::Credentials && !granted.has(permission) {
                let what = "permission \"credentials\" without a grant";
                return Err(refusal(what, "add grant = [\"credentials\"], or remove it"));
            }
            Ok(permission)
        })?);
    }
    Ok(listed)
}

/// What is granted beside whatever the mode implies and the list names.
///
/// `more` can be granted too, in another place.
fn granted<'a>(words: impl Iterator<Item = &'a Spanned<String>>, more: &[&str]) -> Result<Permissions, Misplaced> {
    let mut granted = Permissions::READ;
    for word in words {
        granted = granted.with(checked(word, |word| match Permission::parse(word) {
            Some(permission) if GRANTED.contains(&permission) => Ok(permission),
            Some(permission) => {
                let mend = "grant takes files and credentials; name the others in permissions of a host";
                Err(refusal(format!("permission \"{permission}\" in grant"), mend))
            }
            None if word == CLI_CONFIG => {
                let what = format!("grant {} of one host", quoted(word));
                Err(refusal(what, "it is about no host: grant it above every [[host]]"))
            }
            None => {
                let known: Vec<&str> =
                    GRANTED.map(Permission::as_str).into_iter().chain(more.iter().copied()).collect();
                let mend = suggestion(word, known.iter().copied(), &format!("it is one of {}", known.join(", ")));
                Err(refusal(format!("unknown grant {}", quoted(word)), mend))
            }
        })?);
    }
    Ok(granted)
}

fn rule(word: &str) -> Result<Rule> {
    Rule::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        let mend = suggestion(word, known.iter().copied(), &format!("it is one of {}", known.join(", ")));
        refusal(format!("unknown rule {}", quoted(word)), mend)
    })
}

/// Names or globs of variables and labels.
fn revealed(words: &[Spanned<String>]) -> Result<Vec<String>, Misplaced> {
    globs(words, &[], variable, Globs::new)?;
    let mut names: Vec<String> = Vec::new();
    for word in words {
        if !names.contains(word.get_ref()) {
            names.push(word.get_ref().clone());
        }
    }
    Ok(names)
}

/// Globs of addresses; what is said for one host adds to what is said for all.
fn sources(globs: &[Spanned<String>]) -> Result<Sources, Misplaced> {
    let texts = each(globs, |text| Sources::new(&[text.to_owned()]).map(drop))?;
    Sources::new(&texts).map_err(|refused| (0, refused))
}

/// A glob that passes what its kind of name has to pass.
type Check = fn(&str) -> Result<()>;
/// How checked globs become a layer.
type Layer = fn(&[String], &[String]) -> Result<Globs>;

fn names(names: Option<&Names>, check: Check, layer: Layer) -> Result<Globs, Misplaced> {
    names.map_or_else(|| Ok(Globs::default()), |names| globs(&names.allow, &names.deny, check, layer))
}

fn globs(allow: &[Spanned<String>], deny: &[Spanned<String>], check: Check, layer: Layer) -> Result<Globs, Misplaced> {
    let good = |pattern: &str| check(pattern).and_then(|()| layer(&[pattern.to_owned()], &[]).map(drop));
    let (allowed, denied) = (each(allow, good)?, each(deny, good)?);
    let place = allow.iter().chain(deny).map(|pattern| pattern.span().start).next().unwrap_or_default();
    layer(&allowed, &denied).map_err(|refused| (place, refused))
}

fn each(texts: &[Spanned<String>], check: impl Fn(&str) -> Result<()>) -> Result<Vec<String>, Misplaced> {
    texts.iter().map(|text| checked(text, |text| check(text).map(|()| text.clone()))).collect()
}

/// What every glob is: one line with something in it.
fn written(pattern: &str) -> Result<()> {
    no_control_characters(pattern)?;
    if pattern.trim().is_empty() {
        return Err(refusal("an empty name", "remove it; \"*\" means every name"));
    }
    Ok(())
}

/// A glob of names that have no blanks; that of a tool is compared with the catalogue later.
fn plain(pattern: &str) -> Result<()> {
    written(pattern)?;
    if pattern.contains(char::is_whitespace) {
        return Err(refusal(
            format!("a blank in {}", quoted(pattern)),
            "write one name or glob in each pair of quotes",
        ));
    }
    Ok(())
}

/// A glob that a container's name can fit; one that never fits would deny nothing.
fn container(pattern: &str) -> Result<()> {
    plain(pattern)?;
    let known = |character: char| character.is_ascii_alphanumeric() || "_.-*?[]{}!^,\\".contains(character);
    if pattern.chars().all(known) {
        return Ok(());
    }
    let mend = "a container's name has letters, digits, \"_\", \".\" and \"-\"; write such as \"web-*\"";
    Err(refusal(format!("{} fits no container", quoted(pattern)), mend))
}

/// A glob that a reference of an image can fit.
fn image(pattern: &str) -> Result<()> {
    plain(pattern)?;
    if pattern.contains("://") || pattern.starts_with('/') {
        let mend = "write it as images are named, such as \"ghcr.io/acme/*\" or \"nginx\"";
        return Err(refusal(format!("{} fits no image", quoted(pattern)), mend));
    }
    Ok(())
}

/// A name or glob of variables and labels.
fn variable(pattern: &str) -> Result<()> {
    written(pattern)?;
    if pattern.contains('=') {
        // What stands behind the sign may be the secret itself.
        return Err(refusal("a name with \"=\" in reveal", "write the name alone, without a value"));
    }
    Ok(())
}

/// A directory of a host's machine, as plain as paths are compared.
fn directory(path: &str) -> Result<()> {
    no_control_characters(path)?;
    let Some(inner) = path.strip_prefix('/') else {
        return Err(refusal(format!("{} is no absolute path", quoted(path)), "begin it with \"/\""));
    };
    if inner.is_empty() {
        let mend = "name directories, or set rules = { bind = \"allow\" } if you mean every one";
        return Err(refusal("\"/\" in binds", mend));
    }
    if inner.contains('*') {
        let mend = "name a directory: it stands for itself and all below it";
        return Err(refusal(format!("{} is a glob", quoted(path)), mend));
    }
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        let mend = "write it without \".\", \"..\", \"//\" and a \"/\" at its end";
        return Err(refusal(format!("{} is no plain path", quoted(path)), mend));
    }
    Ok(())
}
