//! The build cache, which only the engine's own prune can remove: it is told the ids that were listed, and no others.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bollard::query_parameters::{PruneBuildOptions, PruneBuildOptionsBuilder};
use jiff::Timestamp;
use serde_json::Value;

use super::{Begun, Facts, Pruned, Tally, Wanted};
use crate::{
    docker::{Docker, Target},
    error::{Error, Result},
    redact,
    tool::{Object, ObjectKind},
    tools::{
        usage::usage,
        view::{clipped, flag, items, text},
    },
};

/// The daemon walks every layer and volume for it, where it knows no part of the document.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many ids one request names.
const AT_ONCE: usize = 100;
/// The most characters of what an entry is for.
const LONGEST: usize = 80;
/// What an entry is called, as the builder does.
const NOUN: &str = "cache record";

/// Those that are wanted and not in use; with `all` also what images share, and what the builder itself made.
pub(crate) async fn candidates(reading: &Docker, wanted: &Wanted<'_>, all: bool) -> Result<Vec<Object>> {
    let api = reading.engine().await?.api;
    let mut target = Target::new("/system/df").patient(PATIENCE);
    if api.minor >= 42 {
        target = target.query("type", "build-cache");
    }
    if api.minor >= 52 {
        target = target.query("verbose", "1");
    }
    let document = usage(reading, target).await?;
    let told = document.get("BuildCacheUsage").filter(|told| told.is_object());
    let entries = told.map_or_else(|| items(&document, "BuildCache"), |told| items(told, "Items"));
    Ok(entries.filter(|entry| goes(entry, wanted, all)).filter_map(object).collect())
}

/// As the engine's own prune chooses.
fn goes(entry: &Value, wanted: &Wanted<'_>, all: bool) -> bool {
    let used = Some(text(entry, "LastUsedAt")).filter(|used| !used.is_empty());
    let is_own = matches!(text(entry, "Type"), "internal" | "frontend");
    let is_spare = !flag(entry, "InUse") && (all || (!flag(entry, "Shared") && !is_own));
    is_spare && wanted.is_old_by(used.unwrap_or(text(entry, "CreatedAt"))) && wanted.labels.fit(entry)
}

/// An entry; one whose id would mean something in a pattern is left alone.
fn object(entry: &Value) -> Option<Object> {
    let id = text(entry, "ID");
    let is_plain = !id.is_empty() && id.chars().all(|digit| digit.is_ascii_alphanumeric());
    let about = clipped(redact::plain(text(entry, "Description")).trim(), LONGEST);
    let name = if about.is_empty() { id.to_owned() } else { about };
    is_plain.then(|| Object::listed(ObjectKind::BuildCache, id.to_owned(), name, entry.clone()))
}

fn about(entry: &Object) -> Facts {
    // What an image shares frees nothing.
    let size = entry.fact("/Size").and_then(Value::as_u64).filter(|_| !entry.is("/Shared"));
    let shared = if entry.is("/Shared") { ", shared with an image" } else { "" };
    Facts { size, reason: Some(format!("{}{shared}", text(&entry.facts, "Type"))) }
}

/// Lists entries, or has the engine remove them.
pub(crate) async fn sweep(
    begun: Begun,
    docker: &Docker,
    entries: Vec<Object>,
    wanted: &Wanted<'_>,
    all: bool,
) -> Pruned {
    let mut tally = Tally::default();
    if begun.dry_run {
        for entry in &entries {
            tally.would_remove(entry, about(entry));
        }
        return tally.pruned(true, NOUN);
    }
    let (gone, failure) = remove(begun, docker, &entries, &Filter::new(wanted, all)).await;
    for entry in entries {
        let facts = about(&entry);
        match &failure {
            _ if gone.contains(&entry.id) => tally.removed(&entry, facts),
            Some(error) => tally.failed(entry, facts, error),
            None if begun.is_late() => tally.left(entry),
            None => tally.failed(entry, facts, &Error::conflict("the engine kept it: it is in use")),
        }
    }
    tally.pruned(false, NOUN)
}

/// Has the engine remove them; answers the ids that are gone, and what ended it before its time.
async fn remove(
    begun: Begun,
    docker: &Docker,
    entries: &[Object],
    filter: &Filter,
) -> (HashSet<String>, Option<Error>) {
    let mut gone = HashSet::new();
    let typed = match docker.typed().await {
        Ok(typed) => typed,
        Err(error) => return (gone, Some(error)),
    };
    loop {
        let before = gone.len();
        let left: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).filter(|id| !gone.contains(*id)).collect();
        for some in left.chunks(AT_ONCE) {
            if begun.is_late() {
                return (gone, None);
            }
            match typed.prune_build(Some(filter.of(some))).await {
                Ok(answer) => gone.extend(answer.caches_deleted.unwrap_or_default()),
                Err(error) => return (gone, Some(error.into())),
            }
        }
        // A parent can go once its children have, which another request may have named.
        if gone.len() == before || gone.len() >= entries.len() {
            return (gone, None);
        }
    }
}

/// What an engine may remove.
struct Filter {
    all: bool,
    /// Not what was used so many seconds ago or later.
    seconds: Option<i64>,
}

impl Filter {
    fn new(wanted: &Wanted<'_>, all: bool) -> Self {
        let seconds = wanted.until.map(|until| (Timestamp::now().as_second() - until.as_second()).max(0));
        Self { all, seconds }
    }

    /// Only these: the engine takes the filter for a pattern, on every release from 20.10.
    fn of(&self, ids: &[&str]) -> PruneBuildOptions {
        let mut filters = HashMap::from([("id", vec![format!("^({})$", ids.join("|"))])]);
        filters.extend(self.seconds.map(|seconds| ("until", vec![format!("{seconds}s")])));
        PruneBuildOptionsBuilder::new().all(self.all).filters(&filters).build()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_engine_would_spare_is_not_listed() {
        let any = Wanted::of(None, &[]).unwrap();
        let entry = |change: Value| {
            let mut entry = json!({"ID": "a1", "Type": "regular", "InUse": false, "Shared": false,
                "CreatedAt": "2026-01-01T00:00:00Z", "LastUsedAt": "2026-02-01T00:00:00Z"});
            entry.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            entry
        };
        for (change, without, with) in [
            (json!({}), true, true),
            (json!({"InUse": true}), false, false),
            (json!({"Shared": true}), false, true),
            (json!({"Type": "internal"}), false, true),
            (json!({"Type": "frontend"}), false, true),
            (json!({"Type": "source.local"}), true, true),
        ] {
            let entry = entry(change);
            assert_eq!((goes(&entry, &any, false), goes(&entry, &any, true)), (without, with), "{entry}");
        }
        let until = Wanted::of(Some("2026-01-15T00:00:00Z"), &[]).unwrap();
        assert!(!goes(&entry(json!({})), &until, true), "it was used later");
        assert!(goes(&entry(json!({"LastUsedAt": null})), &until, true));
        // Entries have no labels.
        assert!(!goes(&entry(json!({})), &Wanted::of(None, &["k".to_owned()]).unwrap(), true));
    }

    #[test]
    fn only_what_was_listed_is_named() {
        let wanted = Wanted::of(Some("1970-01-01T00:00:00Z"), &[]).unwrap();
        let options = Filter::new(&wanted, false).of(&["a1", "b2"]);
        let filters = options.filters.unwrap();
        assert_eq!((filters["id"].as_slice(), options.all), (&["^(a1|b2)$".to_owned()][..], Some(false)));
        assert!(filters["until"][0].trim_end_matches('s').parse::<i64>().unwrap() > 1_700_000_000);
        for id in ["a|b", "a.*", ""] {
            assert!(object(&json!({"ID": id})).is_none(), "{id}");
        }
    }
}
