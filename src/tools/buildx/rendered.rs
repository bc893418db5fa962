//! A bake definition and what buildx makes of it: rendered on a private copy, read here, and written again for the run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{builders::Builders, definition::Target};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Kind, Result},
    secret::SCHEME,
    tool::Call,
};

/// The most targets of one definition.
const MOST: usize = 64;
/// The largest rendered definition, in bytes.
const LARGEST: usize = 4 << 20;

/// The targets of a definition that are to be built, and those that these take.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) targets: BTreeMap<String, Target>,
    /// The names that were asked for.
    pub(super) wanted: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    group: BTreeMap<String, Group>,
    #[serde(default)]
    target: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
}

/// Renders a definition with buildx; nothing is sent anywhere.
pub(super) async fn render(
    text: &str,
    wanted: &[String],
    builders: &Builders,
    docker: &Docker,
    call: &Call,
) -> Result<Rendered> {
    wanted.iter().try_for_each(|name| named(name))?;
    let is_json = text.trim_start().starts_with('{');
    if !is_json && text.lines().any(|line| line.trim_end() == "services:") {
        return Err(Error::invalid("the definition is a compose file").hint("compose_build builds its services"));
    }
    let first = printed(text, is_json, wanted, builders, docker, call).await?;
    // Some versions print texts so that they mean themselves when they are read again, and others do not.
    let has_templates = first.contains("${") || first.contains("%{");
    let means_itself = has_templates
        && printed(&first, true, wanted, builders, docker, call).await.is_ok_and(|second| second == first);
    read(&first, means_itself, wanted)
}

async fn printed(
    text: &str,
    is_json: bool,
    wanted: &[String],
    builders: &Builders,
    docker: &Docker,
    call: &Call,
) -> Result<String> {
    let private = call.programs().private()?;
    let name = if is_json { "docker-bake.json" } else { "docker-bake.hcl" };
    let file = private.put(name, text.as_bytes())?.display().to_string();
    let mut arguments = vec!["bake", "--file", &file, "--print"];
    arguments.extend(wanted.iter().map(String::as_str));
    // It looks whether the files of secrets are there; where it runs, the operator's seem to be.
    let work = private.directory("work")?;
    private.directory("work/secret:")?;
    for name in secrets(text) {
        private.put(&format!("work/secret:/{name}"), b"")?;
    }
    let run = builders.cli(docker, call)?.holding(&private).within(work).keeping(LARGEST);
    let ran = run.run(&arguments, &|_, _| {}).await.map_err(|error| unread(&error))?;
    if ran.is_cut {
        return Err(
            Error::invalid("the definition is too long when it is rendered").hint("build fewer targets at once")
        );
    }
    Ok(ran.document().to_owned())
}

/// Why a definition was not rendered, without a word about what there is on this machine.
fn unread(error: &Error) -> Error {
    if error.kind() != Kind::Docker {
        return error.clone();
    }
    let reason = error.message().rsplit("ERROR: ").next().unwrap_or_default();
    let words = reason.to_ascii_lowercase();
    if words.contains("ssh") {
        return Error::denied("\"ssh\" is refused: keys and agents of this machine are not lent to a build")
            .hint("leave it out; nothing was sent");
    }
    if ["failed to stat", "no such file", "permission denied"].iter().any(|word| words.contains(word)) {
        return Error::denied("the definition names a file that is no secret of the operator's: \"secret\" is refused")
            .hint("write src=secret://NAME; nothing was sent");
    }
    Error::invalid(format!("the definition cannot be read: {reason}"))
        .hint("HCL or JSON as docker buildx bake takes it; variables have their defaults")
}

/// The names of secrets in a text, each once.
fn secrets(text: &str) -> BTreeSet<&str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let names = text.split(SCHEME).skip(1).map(|rest| rest.split(|letter| !plain(letter)).next().unwrap_or_default());
    names.filter(|name| !matches!(*name, "" | "." | "..") && name.len() <= 200).take(MOST).collect()
}

/// Reads what was printed.
fn read(printed: &str, is_escaped: bool, wanted: &[String]) -> Result<Rendered> {
    let unknown = |error: &serde_json::Error| {
        let what = error.to_string();
        let what = what.split(", expected").next().unwrap_or_default().replace('`', "\"");
        Error::invalid(format!("the definition has what is not carried: {what}"))
            .hint("leave it out; buildx_build and buildx_bake take what a build itself needs")
    };
    let document: Document = serde_json::from_str(printed).map_err(|error| unknown(&error))?;
    if document.target.is_empty() || document.target.len() > MOST {
        return Err(Error::invalid(format!("the definition has {} targets", document.target.len()))
            .hint("name some with \"targets\"; at most 64 are built at once"));
    }
    let mut targets = BTreeMap::new();
    for (name, mut target) in document.target {
        named(&name)?;
        if is_escaped {
            texts(&mut target, &|text| text.replace("$${", "${").replace("%%{", "%{"));
        }
        let target: Target = serde_json::from_value(target).map_err(|error| unknown(&error)).map_err(|error| {
            Error::invalid(format!("target {}: {}", quote(&name), error.message())).hint("leave it out")
        })?;
        targets.insert(name, target);
    }
    let default = document.group.get("default").map(|group| group.targets.clone());
    let members = |name: &String| match document.group.get(name) {
        Some(group) => group.targets.clone(),
        None => vec![name.clone()],
    };
    let names = match wanted {
        [] => default.unwrap_or_else(|| targets.keys().cloned().collect()),
        wanted => wanted.iter().flat_map(members).collect(),
    };
    // A group may have groups in it.
    let names = names.iter().flat_map(members).filter(|name| targets.contains_key(name)).collect::<Vec<_>>();
    let wanted = if names.is_empty() { targets.keys().cloned().collect() } else { names };
    Ok(Rendered { targets, wanted })
}

/// The definition that is run: every text means itself.
pub(super) fn written(targets: &BTreeMap<String, Value>) -> String {
    let mut document = json!({ "target": targets });
    texts(&mut document, &|text| text.replace("${", "$${").replace("%{", "%%{"));
    document.to_string()
}

/// Changes every text of a document, names included.
fn texts(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, change)),
        Value::Object(fields) => {
            *fields = std::mem::take(fields).into_iter().map(|(name, value)| (change(&name), value)).collect();
            fields.values_mut().for_each(|value| texts(value, change));
        }
        _ => {}
    }
}

/// The name of a target, as bake has them; it becomes part of a file's name.
fn named(name: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if !name.is_empty() && name.len() <= 100 && !name.starts_with('-') && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::invalid(format!("{} is no name of a target", quote(name)))
        .hint("letters, digits, \"_\" and \"-\"; definitions that lie elsewhere are not fetched"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_definition_is_read() {
        let printed = r#"{"group": {"default": {"targets": ["all"]}, "all": {"targets": ["a", "b"]}},
            "target": {"a": {"context": ".", "args": {"X": "${FOO}"}}, "b": {"contexts": {"a": "target:c"}}, "c": {}}}"#;
        let rendered = read(printed, false, &[]).unwrap();
        assert_eq!(rendered.wanted, ["a", "b"]);
        assert_eq!(rendered.targets["a"].args["X"].as_deref(), Some("${FOO}"));
        assert_eq!(read(printed, false, &["b".to_owned()]).unwrap().wanted, ["b"]);
        let escaped = printed.replace("${FOO}", "$${FOO}");
        assert_eq!(read(&escaped, true, &[]).unwrap().targets["a"].args["X"].as_deref(), Some("${FOO}"));
        let error = read(r#"{"target": {"a": {"entitlements": ["x"]}}}"#, false, &[]).unwrap_err();
        assert!(error.message().contains("target \"a\"") && error.message().contains("entitlements"), "{error}");
        assert!(read(r#"{"target": {}}"#, false, &[]).is_err());
    }

    #[test]
    fn what_is_not_read_tells_nothing_of_this_machine() {
        let of = |reason: &str| {
            unread(&Error::docker(format!("docker buildx ended with status 1: #1 DONE 0.0s; ERROR: {reason}")))
        };
        for reason in [
            "failed to stat /etc/nothing: stat /etc/nothing: no such file or directory",
            "failed to parse /root/.ssh/id: ssh: no key found",
        ] {
            let error = of(reason);
            assert_eq!(error.kind(), Kind::Denied);
            assert!(!error.message().contains('/'), "{error}");
        }
        assert_eq!(of("docker-bake.hcl:3: x").message(), "the definition cannot be read: docker-bake.hcl:3: x");
        let text = "[\"id=a,src=secret://npm\", \"src=secret://b.c,\", secret://../x, secret://npm]";
        assert_eq!(secrets(text).into_iter().collect::<Vec<_>>(), ["b.c", "npm"]);
    }

    #[test]
    fn what_is_written_means_itself() {
        let target = json!({"args": {"A${x}": "${y} %{if} $z"}});
        let written = written(&[("a".to_owned(), target)].into());
        assert_eq!(written, r#"{"target":{"a":{"args":{"A$${x}":"$${y} %%{if} $z"}}}}"#);
    }

    #[test]
    fn names_of_targets_are_plain() {
        for name in ["https://example.com/x", "../x", "-f", "", "a.b", "a b"] {
            assert!(named(name).is_err(), "{name}");
        }
        named("app_1-x").unwrap();
    }
}
