//! Prunes: what would go is listed first, then removed one by one by full id; never by the engine's own prune.
//!
//! Only the build cache has no other removal than the engine's prune: that gets the ids that were listed.

pub(crate) mod build_cache;
pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod networks;
pub(crate) mod volumes;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    listing::Labels,
    time::moment,
    view::{bytes, filter, short_id},
};
use crate::{
    error::{Error, Result},
    tool::{Access, Effect, Object, ObjectKind, Permission, Plan, Summary, text::count},
};

/// How long a prune may take as a whole.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);
/// No new removal is begun after this long, so that the answer says what is left before the deadline hits.
const ENOUGH: Duration = Duration::from_secs(240);
/// How many rows an answer shows.
const MOST_ROWS: usize = 100;

/// Which of what could go is wanted.
pub(crate) struct Wanted<'a> {
    until: Option<Timestamp>,
    labels: Labels<'a>,
}

impl<'a> Wanted<'a> {
    /// Reads the arguments `until` and `label`.
    ///
    /// # Errors
    /// `invalid`, naming the argument.
    pub(crate) fn of(until: Option<&str>, label: &'a [String]) -> Result<Self> {
        label.iter().try_for_each(|label| filter("label", label))?;
        let until = until.map(|until| moment("until", until, Timestamp::now())).transpose()?;
        Ok(Self { until, labels: Labels::of(label) })
    }

    /// Whether something that was made then is old enough; what has no time of its making is not.
    fn is_old(&self, made: Option<Timestamp>) -> bool {
        self.until.is_none_or(|until| made.is_some_and(|made| made < until))
    }

    /// The same of a time as an engine writes it.
    fn is_old_by(&self, made: &str) -> bool {
        self.is_old(made.parse().ok())
    }
}

/// The rows of an engine's list.
fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// What a prune would remove, or has removed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Pruned {
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
    /// What went or would go, in a few words.
    #[serde(skip)]
    counted: String,
    /// What was to go and is still there.
    #[serde(skip)]
    stayed: Vec<Object>,
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
pub(crate) struct Facts {
    /// What its removal gives back, in bytes.
    pub(crate) size: Option<u64>,
    /// Why it goes.
    pub(crate) reason: Option<String>,
}

/// The plan of a prune: a dry run is a read and needs nothing.
pub(crate) fn plan(access: Access, permissions: &[Permission], dry_run: bool, candidates: Vec<Object>) -> Plan {
    let plan = Plan::declared(access).on(candidates);
    if dry_run {
        plan.at_most(Effect::Read)
    } else {
        permissions.iter().fold(plan, |plan, permission| plan.needing(*permission))
    }
}

impl Pruned {
    /// Lists the objects of a plan that reads, removes those of one that destroys.
    ///
    /// One failure does not stop the rest: an object may have been taken into use since it was listed,
    /// and then the engine refuses to remove it.
    pub(crate) async fn of<F>(
        plan: Plan,
        noun: &str,
        about: impl Fn(&Object) -> Facts,
        remove: impl Fn(Object) -> F,
    ) -> Self
    where
        F: Future<Output = Result<()>>,
    {
        let begun = Begun { dry_run: plan.effect == Effect::Read, at: Instant::now() };
        begun.sweep(plan.objects, noun, about, remove).await
    }

    /// What went or would go, in a few words.
    pub(crate) fn counted(&self) -> &str {
        &self.counted
    }

    /// Whether there was nothing to go.
    pub(crate) fn is_empty(&self) -> bool {
        self.would_remove.is_empty() && self.removed.is_empty() && self.stayed.is_empty()
    }

    /// What was to go and is still there.
    pub(crate) fn stayed(&self) -> &[Object] {
        &self.stayed
    }

    /// Shows fewer rows, where it is one of several in an answer.
    pub(crate) fn shortened(mut self, most: usize) -> Self {
        let rows = [&mut self.would_remove, &mut self.removed, &mut self.failed];
        let longest = rows.iter().map(|rows| rows.len()).max().unwrap_or_default();
        if longest > most {
            self.total = self.total.or(Some(longest));
        }
        for rows in rows {
            rows.truncate(most);
        }
        self
    }
}

/// A prune that has begun.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    /// Whether it only lists.
    pub(crate) dry_run: bool,
    /// When it began to remove.
    pub(crate) at: Instant,
}

impl Begun {
    /// Whether there is no time to begin another removal.
    fn is_late(self) -> bool {
        self.at.elapsed() > ENOUGH
    }

    /// Lists objects, or removes them one after the other.
    pub(crate) async fn sweep<F>(
        self,
        objects: Vec<Object>,
        noun: &str,
        about: impl Fn(&Object) -> Facts,
        remove: impl Fn(Object) -> F,
    ) -> Pruned
    where
        F: Future<Output = Result<()>>,
    {
        let mut tally = Tally::default();
        for object in objects {
            let facts = about(&object);
            if self.dry_run {
                tally.would_remove(&object, facts);
            } else if self.is_late() {
                tally.left(object);
            } else {
                match remove(object.clone()).await {
                    Ok(()) => tally.removed(&object, facts),
                    Err(error) => tally.failed(object, facts, &error),
                }
            }
        }
        tally.pruned(self.dry_run, noun)
    }
}

/// What has become of the objects of a prune so far.
#[derive(Default)]
struct Tally {
    would_remove: Vec<Row>,
    removed: Vec<Row>,
    failed: Vec<Row>,
    left: usize,
    sizes: Option<u64>,
    stayed: Vec<Object>,
}

impl Tally {
    fn would_remove(&mut self, object: &Object, facts: Facts) {
        self.sizes = sum(self.sizes, facts.size);
        self.would_remove.push(Row::of(object, facts));
    }

    fn removed(&mut self, object: &Object, facts: Facts) {
        self.sizes = sum(self.sizes, facts.size);
        self.removed.push(Row::of(object, facts));
    }

    fn failed(&mut self, object: Object, facts: Facts, error: &Error) {
        self.failed.push(Row { error: Some(error.to_string()), ..Row::of(&object, facts) });
        self.stayed.push(object);
    }

    fn left(&mut self, object: Object) {
        self.left += 1;
        self.stayed.push(object);
    }

    fn pruned(self, dry_run: bool, noun: &str) -> Pruned {
        let Self { mut would_remove, mut removed, mut failed, left, sizes, stayed } = self;
        let reclaimed = sizes.map(bytes);
        let tried = removed.len() + failed.len() + left;
        let failures = if failed.is_empty() { String::new() } else { format!(", {} failed", failed.len()) };
        let gone = if dry_run { would_remove.len() } else { removed.len() };
        let counted = format!("{}{failures}", count(gone, noun));
        let summary = match (dry_run, would_remove.len()) {
            (true, 1..) => {
                format!("{} would be removed: repeat with dry_run false to do it", count(would_remove.len(), noun))
            }
            (false, _) if tried > 0 => {
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
        Pruned {
            would_remove,
            removed,
            failed,
            total: (total > MOST_ROWS).then_some(total),
            left: (left > 0).then_some(left),
            reclaimed,
            summary,
            counted,
            stayed,
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
        let is_named = object.id != object.name;
        let id = is_named.then(|| short_id(&object.id));
        // An image without a name is called by its id.
        let is_image = object.kind == ObjectKind::Image && !is_named;
        let name = if is_image { short_id(&object.id) } else { object.name.clone() };
        Self { name, id, size: facts.size.map(bytes), reason: facts.reason, error: None }
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
    use super::*;

    fn object(name: &str) -> Object {
        Object::listed(ObjectKind::Network, format!("{name}0123456789abcdef"), name.to_owned(), Value::Null)
    }

    fn access() -> Access {
        Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Networks)
    }

    async fn prune(dry_run: bool) -> (Pruned, Vec<String>) {
        let plan = plan(access(), &[Permission::Networks], dry_run, vec![object("a"), object("busy"), object("c")]);
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
        let dry = plan(access(), &[Permission::Networks], true, Vec::new());
        assert_eq!((dry.effect, dry.permissions.has(Permission::Networks)), (Effect::Read, false));
        let wet = plan(access(), &[Permission::Networks], false, Vec::new());
        assert_eq!((wet.effect, wet.permissions.has(Permission::Networks)), (Effect::Destroy, true));
    }
}
