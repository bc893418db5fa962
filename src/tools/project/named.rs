//! Which files a compose file names that a docker CLI would read by itself, and what of it is not let through at all.

use serde_json::Value;

use crate::{
    docker::names::quote,
    error::{Error, Result},
};

/// A file that is named, by a path that begins where the paths of its file begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The key that names it, such as `services.web.env_file`.
    pub(super) key: String,
    pub(super) path: String,
    pub(super) role: Role,
}

/// What a file is for whoever names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// A compose file with a base of a service; its paths begin at its own directory.
    Base,
    /// Another project's compose file; its paths begin at this directory, or at its own where none is said.
    Included { directory: Option<String> },
    /// Lines of `NAME=value`.
    Lines { required: bool },
}

/// Keys of a service that make a CLI run another program, or hand something of this machine on.
const REFUSED_OF_SERVICE: &[&str] = &["provider", "models"];

/// What a CLI has in its environment here: nobody's values for a project.
const OWN_VARIABLES: &[&str] =
    &["PATH", "HOME", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_BUILDKIT", "COMPOSE_ANSI", "PWD", "HOSTNAME"];

/// Refuses texts in which a variable stands that would be filled in out of this machine's environment.
///
/// # Errors
/// `denied`, naming the variable.
pub(super) fn no_own_variables(document: &Value) -> Result<()> {
    match document {
        Value::String(text) => no_own_variable(text),
        Value::Array(items) => items.iter().try_for_each(no_own_variables),
        Value::Object(fields) => fields.values().try_for_each(no_own_variables),
        _ => Ok(()),
    }
}

/// The same of one text: `$NAME` and `${NAME...}`, but not what has its dollar sign doubled.
///
/// # Errors
/// As [`no_own_variables`].
pub(super) fn no_own_variable(text: &str) -> Result<()> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('{').unwrap_or(rest);
        let end = name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        if OWN_VARIABLES.contains(&name) {
            return Err(Error::denied(format!("variable {} would be the gateway's own", quote(name)))
                .hint("write the value out, or use a variable of another name"));
        }
    }
    Ok(())
}

/// Every file that a compose file makes a CLI read, before anything in it is put together.
///
/// # Errors
/// `denied` for what is not let through, naming the key; `invalid` for what has another shape than compose takes.
pub(super) fn named(document: &Value) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    if document.get("models").is_some() {
        return Err(refused("models", "makes the docker CLI run another program"));
    }
    for (position, include) in one_or_more(document.get("include")).enumerate() {
        included(&format!("include.{position}"), include, &mut found)?;
    }
    let services = document.get("services").and_then(Value::as_object);
    for (name, service) in services.into_iter().flatten() {
        let key = |field: &str| format!("services.{name}.{field}");
        for field in REFUSED_OF_SERVICE {
            if service.get(*field).is_some() {
                return Err(refused(&key(field), "makes the docker CLI run another program"));
            }
        }
        if service.pointer("/build/ssh").is_some() {
            return Err(refused(&key("build.ssh"), "hands keys of the gateway's machine to a build"));
        }
        if let Some(file) = service.pointer("/extends/file") {
            let key = key("extends.file");
            let path = path(&key, file)?;
            found.push(Named { key, path, role: Role::Base });
        }
        for field in ["env_file", "label_file"] {
            for file in one_or_more(service.get(field)) {
                lines(&key(field), file, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn included(key: &str, include: &Value, found: &mut Vec<Named>) -> Result<()> {
    let (files, directory, variables) = match include {
        Value::Object(fields) => (
            one_or_more(fields.get("path")).collect(),
            fields.get("project_directory").map(|directory| path(key, directory)).transpose()?,
            one_or_more(fields.get("env_file")).collect(),
        ),
        file => (vec![file], None, Vec::new()),
    };
    let files: Vec<String> = files.into_iter().map(|file| path(key, file)).collect::<Result<_>>()?;
    // Several are one project, whose paths begin at the directory of the first.
    let first = files.first().and_then(|first| Some(first.rsplit_once('/')?.0.to_owned()));
    let several = files.len() > 1;
    for file in files {
        let directory = directory.clone().or_else(|| if several { first.clone().or(Some(".".into())) } else { None });
        found.push(Named { key: key.to_owned(), path: file, role: Role::Included { directory } });
    }
    for file in variables {
        lines(&format!("{key}.env_file"), file, found)?;
    }
    Ok(())
}

fn lines(key: &str, file: &Value, found: &mut Vec<Named>) -> Result<()> {
    let (file, required) = match file {
        Value::Object(fields) => {
            (fields.get("path").unwrap_or(&Value::Null), fields.get("required") != Some(&Value::Bool(false)))
        }
        file => (file, true),
    };
    found.push(Named { key: key.to_owned(), path: path(key, file)?, role: Role::Lines { required } });
    Ok(())
}

/// A value that may stand alone where a list may stand.
fn one_or_more(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (list, one) = match value {
        Some(Value::Array(items)) => (items.as_slice(), None),
        Some(Value::Null) | None => (&[][..], None),
        one => (&[][..], one),
    };
    list.iter().chain(one)
}

/// A path that leads from the file's own place to another file of this machine, and that says which.
fn path(key: &str, value: &Value) -> Result<String> {
    let Some(path) = value.as_str().filter(|path| !path.is_empty()) else {
        return Err(Error::invalid(format!("{} is no path", quote(key))).hint("a path is a text"));
    };
    let that = |what: &str| format!("{} at {} {what}", quote(path), quote(key));
    if path.contains('$') {
        return Err(Error::denied(that("has a variable in it, so which file it is cannot be checked"))
            .hint("write the path out"));
    }
    // Addresses, places in git, archives in registries: compose takes them all for paths.
    if path.contains(':') || path.contains('@') || path.starts_with("github.com/") {
        return Err(Error::denied(that("is an address, and what lies there cannot be checked"))
            .hint("name a file below \"files.roots\", with \"./\" in front"));
    }
    if path.starts_with(['/', '~']) {
        return Err(Error::denied(that("is no relative path, and files are read from a copy of what was checked"))
            .hint("write it relative to the compose file; it has to lie below \"files.roots\""));
    }
    Ok(path.to_owned())
}

fn refused(key: &str, what: &str) -> Error {
    Error::denied(format!("{} {what}, which no compose file is let do here", quote(key))).hint("leave it out")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(document: &Value) -> Vec<(String, String, Role)> {
        named(document).unwrap().into_iter().map(|named| (named.key, named.path, named.role)).collect()
    }

    #[test]
    fn every_file_is_found() {
        let document = json!({
            "include": ["a.yaml", {"path": ["b/x.yaml", "y.yaml"], "env_file": "b.env"},
                        {"path": "c/z.yaml", "project_directory": "d"}],
            "services": {
                "web": {"env_file": ["w.env", {"path": "o.env", "required": false}], "label_file": "w.labels"},
                "db": {"extends": {"file": "base.yaml", "service": "db"}, "env_file": "d.env"},
                "own": {"extends": "web", "build": {"context": "."}},
            },
        });
        let included = |directory: Option<&str>| Role::Included { directory: directory.map(str::to_owned) };
        let lines = |required| Role::Lines { required };
        let wanted = [
            ("include.0", "a.yaml", included(None)),
            ("include.1", "b/x.yaml", included(Some("b"))),
            ("include.1", "y.yaml", included(Some("b"))),
            ("include.1.env_file", "b.env", lines(true)),
            ("include.2", "c/z.yaml", included(Some("d"))),
            ("services.db.extends.file", "base.yaml", Role::Base),
            ("services.db.env_file", "d.env", lines(true)),
            ("services.web.env_file", "w.env", lines(true)),
            ("services.web.env_file", "o.env", lines(false)),
            ("services.web.label_file", "w.labels", lines(true)),
        ];
        let wanted = wanted.map(|(key, path, role)| (key.to_owned(), path.to_owned(), role));
        let mut found = paths(&document);
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let mut wanted = wanted.to_vec();
        wanted.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found, wanted);
    }

    #[test]
    fn variables_of_this_machine_are_no_values() {
        for text in ["$HOME", "a${PATH}b", "${DOCKER_HOST:-x}", "$$$HOME", "${X:-$HOME}", "${X:-${HOME}}"] {
            assert!(no_own_variables(&json!({"a": [text]})).is_err(), "{text}");
        }
        for text in ["$$HOME", "$HOMER", "${HOME_DIR}", "HOME", "$", "${", "$${PATH}"] {
            assert!(no_own_variables(&json!({"a": [text]})).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for path in [
            "/etc/shadow",
            "~/.ssh/id",
            "$HOME/x",
            "${X:-/etc/passwd}",
            "https://example.com/x.yaml",
            "git@example.com:x/y.git",
            "oci://example.com/x",
            "github.com/x/y",
            "",
        ] {
            for document in [
                json!({"services": {"web": {"env_file": path}}}),
                json!({"services": {"web": {"env_file": [{"path": path, "required": false}]}}}),
                json!({"services": {"web": {"label_file": [path]}}}),
                json!({"services": {"web": {"extends": {"file": path, "service": "x"}}}}),
                json!({"include": path}),
                json!({"include": [path]}),
                json!({"include": [{"path": path}]}),
                json!({"include": [{"path": "x.yaml", "project_directory": path}]}),
                json!({"include": [{"path": "x.yaml", "env_file": [path]}]}),
            ] {
                assert!(named(&document).is_err(), "{document}");
            }
        }
        for document in [
            json!({"services": {"web": {"provider": {"type": "x"}}}}),
            json!({"services": {"web": {"build": {"ssh": ["default"]}}}}),
            json!({"models": {"x": {}}}),
            json!({"services": {"web": {"models": ["x"]}}}),
            json!({"services": {"web": {"env_file": 7}}}),
        ] {
            assert!(named(&document).is_err(), "{document}");
        }
    }
}
