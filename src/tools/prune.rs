//! Prunes: what would go is listed first, then removed one by one by full id; never by the engine's own prune.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::view::{bytes, short_id};
use crate::{
    error::Result,
    tool::{Access, Effect, Object, Permission, Plan, Summary, text::count},
};

/// No new removal is begun after this long, so that the answer says what is left before the deadline hits.
const ENOUGH: Duration = Duration::from_secs(45);
/// How many rows an answer shows.
const MOST_ROWS: usize = 100;

/// What a prune would remove, or has removed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Pruned {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    would_remove: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Row>,
    /// How many there were, where not all are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    /// How many were not tried for lack of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reclaimed: Option<String>,
    #[serde(skip)]
    summary: String,
}

/// One object of a prune.
#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    /// Left out where it is the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    /// Why it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is known about an object beside its name.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What its removal gives back, in bytes.
    pub(super) size: Option<u64>,
    /// Why it goes.
    pub(super) reason: Option<String>,
}

/// The plan of a prune: a dry run is a read and needs nothing.
pub(super) fn plan(access: Access, permission: Permission, dry_run: bool, candidates: Vec<Object>) -> Plan {
    let plan = Plan::declared(access).on(candidates);
    if dry_run { plan.at_most(Effect::Read) } else { plan.needing(permission) }
}

impl Pruned {
    /// Lists the objects of a plan that reads, removes those of one that destroys.
    ///
    /// One failure does not stop the rest: an object may have been taken into use since it was listed,
    /// and then the engine refuses to remove it.
    pub(super) async fn of<F>(
        plan: Plan,
        noun: &str,
        about: impl Fn(&Object) -> Facts,
        remove: impl Fn(Object) -> F,
    ) -> Self
    where
        F: Future<Output = Result<()>>,
    {
        let (mut would_remove, mut removed, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sizes, mut left) = (None, 0);
        let dry_run = plan.effect == Effect::Read;
        let started = Instant::now();
        for object in plan.objects {
            let facts = about(&object);
            let size = facts.size;
            let mut row = Row::of(&object, facts);
            if dry_run {
                sizes = sum(sizes, size);
                would_remove.push(row);
            } else if started.elapsed() > ENOUGH {
                left += 1;
            } else if let Err(error) = remove(object).await {
                row.error = Some(error.to_string());
                failed.push(row);
            } else {
                sizes = sum(sizes, size);
                removed.push(row);
            }
        }
        let reclaimed = sizes.map(bytes);
        let tried = removed.len() + failed.len() + left;
        let summary = match (dry_run, would_remove.len()) {
            (true, 1..) => {
                format!("{} would be removed: repeat with dry_run false to do it", count(would_remove.len(), noun))
            }
            (false, _) if tried > 0 => {
                let failures = if failed.is_empty() { String::new() } else { format!(", {} failed", failed.len()) };
                let rest =
                    if left > 0 { format!(", {left} left for want of time: repeat the call") } else { String::new() };
                format!("{} removed{failures}{rest}", count(removed.len(), noun))
            }
            _ => format!("no {noun} to remove"),
        };
        let total = would_remove.len().max(removed.len()).max(failed.len());
        for rows in [&mut would_remove, &mut removed, &mut failed] {
            rows.truncate(MOST_ROWS);
        }
        Self {
            would_remove,
            removed,
            failed,
            total: (total > MOST_ROWS).then_some(total),
            left: (left > 0).then_some(left),
            reclaimed,
            summary,
        }
    }
}

impl Summary for Pruned {
    fn summary(&self) -> String {
        self.summary.clone()
    }
}

impl Row {
    fn of(object: &Object, facts: Facts) -> Self {
        let id = (object.id != object.name).then(|| short_id(&object.id));
        Self { name: object.name.clone(), id, size: facts.size.map(bytes), reason: facts.reason, error: None }
    }
}

fn sum(total: Option<u64>, size: Option<u64>) -> Option<u64> {
    match (total, size) {
        (None, size) => size,
        (Some(total), size) => Some(total.saturating_add(size.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{error::Error, tool::ObjectKind};

    fn object(name: &str) -> Object {
        Object::listed(ObjectKind::Network, format!("{name}0123456789abcdef"), name.to_owned(), Value::Null)
    }

    fn access() -> Access {
        Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Networks)
    }

    async fn prune(dry_run: bool) -> (Pruned, Vec<String>) {
        let plan = plan(access(), Permission::Networks, dry_run, vec![object("a"), object("busy"), object("c")]);
        let sent = std::sync::Mutex::new(Vec::new());
        let about = |_: &Object| Facts { size: Some(1024), reason: None };
        let pruned = Pruned::of(plan, "network", about, async |object| {
            sent.lock().unwrap().push(object.id);
            if object.name == "busy" { Err(Error::conflict("in use")) } else { Ok(()) }
        })
        .await;
        (pruned, sent.into_inner().unwrap())
    }

    #[tokio::test]
    async fn a_dry_run_removes_nothing() {
        let (pruned, sent) = prune(true).await;
        assert_eq!((pruned.would_remove.len(), pruned.reclaimed.as_deref(), sent.len()), (3, Some("3.0 KiB"), 0));
        assert_eq!(pruned.summary, "3 networks would be removed: repeat with dry_run false to do it");
    }

    #[tokio::test]
    async fn one_failure_does_not_stop_the_rest() {
        let (pruned, sent) = prune(false).await;
        assert_eq!(sent, ["a0123456789abcdef", "busy0123456789abcdef", "c0123456789abcdef"]);
        assert_eq!((pruned.removed.len(), pruned.failed.len()), (2, 1));
        assert_eq!(pruned.summary, "2 networks removed, 1 failed");
        assert_eq!(pruned.reclaimed.as_deref(), Some("2.0 KiB"));
    }

    #[test]
    fn a_dry_run_needs_no_permission() {
        let dry = plan(access(), Permission::Networks, true, Vec::new());
        assert_eq!((dry.effect, dry.permissions.has(Permission::Networks)), (Effect::Read, false));
        let wet = plan(access(), Permission::Networks, false, Vec::new());
        assert_eq!((wet.effect, wet.permissions.has(Permission::Networks)), (Effect::Destroy, true));
    }
}
