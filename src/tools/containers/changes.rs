//! What a container changed in its own file system, by directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Result},
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
    },
    tools::view::{clipped, text},
};

/// The daemon walks the whole file system.
const PATIENCE: Duration = Duration::from_secs(25);
/// How many names of a directory are shown.
const NAMES: usize = 5;
/// The most characters of one path.
const LONGEST_PATH: usize = 200;

/// Shows which files a container added, changed or deleted, counted by directory.
///
/// Volumes and mounts are not looked into.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerChanges {
    /// Name or id.
    container: String,
    /// Such as `/etc`.
    #[serde(default)]
    path: Option<String>,
    /// Directories. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Changes {
    container: String,
    added: usize,
    changed: usize,
    deleted: usize,
    directories: Vec<Directory>,
    #[serde(flatten)]
    page: Page,
}

/// What happened in one directory.
#[expect(clippy::struct_field_names, reason = "clients see the names")]
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Directory {
    directory: String,
    #[serde(skip_serializing_if = "is_zero")]
    added: usize,
    #[serde(skip_serializing_if = "is_zero")]
    changed: usize,
    #[serde(skip_serializing_if = "is_zero")]
    deleted: usize,
    /// The first few: `+` added, `~` changed, `-` deleted.
    names: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Summary for Changes {
    fn summary(&self) -> String {
        let Self { container, added, changed, deleted, directories, page } = self;
        if directories.is_empty() {
            return format!("container \"{container}\" changed nothing there");
        }
        let places = if directories.len() == 1 { "directory" } else { "directories" };
        let (number, rest) = (directories.len(), page.rest());
        format!(
            "{added} added, {changed} changed, {deleted} deleted by container \"{container}\", {number} {places}{rest}"
        )
    }
}

impl Tool for ContainerChanges {
    const NAME: &'static str = "container_changes";
    const ACCESS: Access = Access::READ;
    type Output = Changes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        if let Some(path) = self.path.as_deref().filter(|path| !path.starts_with('/')) {
            return Err(Error::invalid(format!("argument \"path\": {} is no absolute path", quote(path)))
                .hint("begin it with \"/\", such as \"/etc\""));
        }
        Ok(Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Changes> {
        let container = plan.object()?;
        let document =
            docker.json(Target::new(format!("/containers/{}/changes", container.id)).patient(PATIENCE)).await?;
        let all = directories(&document, self.path.as_deref().unwrap_or("/"));
        let sum = |number: fn(&Directory) -> usize| all.iter().map(number).sum();
        let (added, changed, deleted) =
            (sum(|directory| directory.added), sum(|directory| directory.changed), sum(|directory| directory.deleted));
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: 50, taken: 0 };
        let key = |directory: &Directory| directory.directory.clone();
        let (directories, page) = paged(all, key, wanted, call.cursors())?;
        Ok(Changes { container: container.name.clone(), added, changed, deleted, directories, page })
    }
}

/// The changes below a path by directory, in order.
///
/// The engine lists a directory as changed when something in it is; that says nothing by itself.
fn directories(document: &Value, below: &str) -> Vec<Directory> {
    let below = below.trim_end_matches('/');
    // Engine 20.10 lists them in another order every time.
    let mut changes: Vec<(&str, u64)> = document
        .as_array()
        .into_iter()
        .flatten()
        .map(|change| (text(change, "Path"), change.get("Kind").and_then(Value::as_u64).unwrap_or_default()))
        .collect();
    changes.sort_unstable();
    let parents: BTreeSet<&str> = changes.iter().map(|(path, _)| split(path).0).collect();
    let mut directories: BTreeMap<String, Directory> = BTreeMap::new();
    for (path, kind) in changes {
        let is_below = path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_below || (kind == 0 && parents.contains(path)) {
            continue;
        }
        let (parent, name) = split(path);
        let shown = clipped(if parent.is_empty() { "/" } else { parent }, LONGEST_PATH);
        let directory =
            directories.entry(shown.clone()).or_insert_with(|| Directory { directory: shown, ..Directory::default() });
        let sign = match kind {
            1 => {
                directory.added += 1;
                '+'
            }
            2 => {
                directory.deleted += 1;
                '-'
            }
            _ => {
                directory.changed += 1;
                '~'
            }
        };
        if directory.names.len() < NAMES {
            directory.names.push(format!("{sign}{}", clipped(name, LONGEST_PATH)));
        }
    }
    directories.into_values().collect()
}

/// The directory and the name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_counted_where_they_happened() {
        let document = json!([
            {"Path": "/bin", "Kind": 0}, {"Path": "/bin/ash", "Kind": 2},
            {"Path": "/etc", "Kind": 0}, {"Path": "/etc/x", "Kind": 1}, {"Path": "/etc/hosts", "Kind": 0},
            {"Path": "/etcetera", "Kind": 1}, {"Path": "/new", "Kind": 7},
        ]);
        let shown = |below: &str| -> Vec<String> {
            let found = directories(&document, below);
            found.iter().map(|found| format!("{} {}", found.directory, found.names.join(" "))).collect()
        };
        assert_eq!(shown("/"), ["/ +etcetera ~new", "/bin -ash", "/etc ~hosts +x"]);
        assert_eq!(shown("/etc"), ["/etc ~hosts +x"]);
        assert_eq!(shown("/etc/"), ["/etc ~hosts +x"]);
        assert_eq!(shown("/etc/x"), ["/etc +x"]);
        assert!(directories(&Value::Null, "/").is_empty());
    }
}
