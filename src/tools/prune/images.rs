//! Images that nothing uses: those without a name, or all of them, children before their parents.

use std::collections::{HashMap, HashSet};

use bollard::query_parameters::RemoveImageOptionsBuilder;
use jiff::Timestamp;
use serde_json::Value;

use super::{Facts, Wanted, containers::Staying, rows};
use crate::{
    docker::{Docker, Target, names, reference::Reference},
    error::{Error, Kind, Result},
    tool::{Object, ObjectKind},
    tools::view::{few, text, texts},
};

/// How many of its other names a row shows.
const MOST_NAMES: usize = 5;

/// Those that are wanted and that nothing needs which stays; with `all` also those with a name.
pub(crate) async fn candidates(
    reading: &Docker,
    wanted: &Wanted<'_>,
    all: bool,
    staying: &Staying<'_>,
) -> Result<Vec<Object>> {
    // What is shared is counted here only: among all images, every one shares everything with its parents.
    let heads = reading.json(Target::new("/images/json").query("shared-size", "1")).await?;
    let listed = reading.json(Target::new("/images/json").query("all", "1")).await?;
    let unseen = reading.needed_unseen(ObjectKind::Image).await?;
    let mut used = staying.images();
    used.extend(unseen.iter().map(String::as_str));
    let sizes: HashMap<&str, u64> = rows(&heads).filter_map(|row| Some((text(row, "Id"), own_size(row)?))).collect();
    let going = going(&listed, wanted, all, &used);
    going.into_iter().map(|row| object(row, sizes.get(text(row, "Id")).copied())).collect()
}

/// What no other image has of it; where the engine does not say that, all of it.
fn own_size(row: &Value) -> Option<u64> {
    let number = |field: &str| row.get(field).and_then(Value::as_u64);
    Some(number("Size")?.saturating_sub(number("SharedSize").unwrap_or_default()))
}

/// The rows that go, children first.
fn going<'a>(listed: &'a Value, wanted: &Wanted<'_>, all: bool, used: &HashSet<&str>) -> Vec<&'a Value> {
    let parents: HashMap<&str, &str> = rows(listed).map(|row| (text(row, "Id"), text(row, "ParentId"))).collect();
    // An engine could tell of a circle.
    let above = |row: &'a Value| {
        let parent = |id: &&'a str| parents.get(id).copied().filter(|parent| !parent.is_empty());
        std::iter::successors(parent(&text(row, "Id")), parent).take(parents.len())
    };
    let is_parent: HashSet<&str> = parents.values().copied().collect();
    let is_used = |row: &Value| used.contains(text(row, "Id")) || names(row).any(|name| used.contains(name));
    // What has neither a name nor a child is a head too: nothing is left but itself.
    let is_head = |row: &Value| names(row).next().is_some() || !is_parent.contains(text(row, "Id"));
    let made = |row: &Value| Timestamp::from_second(row.get("Created")?.as_i64()?).ok();
    let is_wanted =
        |row: &Value| (all || tags(row).next().is_none()) && wanted.labels.fit(row) && wanted.is_old(made(row));
    let mut kept: HashSet<&str> = HashSet::new();
    for row in rows(listed).filter(|row| is_used(row) || (is_head(row) && !is_wanted(row))) {
        kept.insert(text(row, "Id"));
        kept.extend(above(row));
    }
    let mut going: Vec<(usize, &Value)> =
        rows(listed).filter(|row| !kept.contains(text(row, "Id"))).map(|row| (above(row).count(), row)).collect();
    going.sort_by(|(depth, row), (other_depth, other)| {
        other_depth.cmp(depth).then_with(|| text(row, "Id").cmp(text(other, "Id")))
    });
    going.into_iter().map(|(_, row)| row).collect()
}

/// What stands for no name in a list of them.
fn is_name(name: &&str) -> bool {
    !name.starts_with("<none>")
}

fn tags(row: &Value) -> impl Iterator<Item = &str> {
    texts(row, "RepoTags").filter(is_name)
}

fn names(row: &Value) -> impl Iterator<Item = &str> {
    tags(row).chain(texts(row, "RepoDigests").filter(is_name))
}

fn object(row: &Value, size: Option<u64>) -> Result<Object> {
    let id = text(row, "Id");
    names::image("id", id)?;
    let name = names(row).next().unwrap_or(id).to_owned();
    let mut facts = row.clone();
    if let Value::Object(facts) = &mut facts {
        facts.insert("OwnSize".into(), size.into());
    }
    Ok(Object::listed(ObjectKind::Image, id.to_owned(), name, facts))
}

/// What an image gives back, and why it goes.
pub(crate) fn about(image: &Object) -> Facts {
    let size = image.fact("/OwnSize").and_then(Value::as_u64);
    let others: Vec<String> = tags(&image.facts).skip(1).map(str::to_owned).collect();
    let reason = match (tags(&image.facts).next(), size) {
        (Some(_), _) if others.is_empty() => "unused".to_owned(),
        (Some(_), _) => format!("unused; also {}", few(others, MOST_NAMES).join(", ")),
        (None, Some(_)) => "untagged".to_owned(),
        (None, None) => "only built upon by others that go".to_owned(),
    };
    Facts { size, reason: Some(reason) }
}

/// Removes one with the names that it had when it was listed.
///
/// By its id an image goes with one name at most: one that it got since makes the engine refuse. The others are
/// taken off one by one, as long as they still lead to it. Its parents stay: they were listed themselves, or not.
pub(crate) async fn remove(docker: &Docker, typed: &bollard::Docker, image: Object) -> Result<()> {
    let options = || Some(RemoveImageOptionsBuilder::new().noprune(true).build());
    for name in others(&image.facts) {
        match docker.image("image", name).await {
            Ok(found) if found.id == image.id => {
                gone(typed.remove_image(name, options(), None).await)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    gone(typed.remove_image(&image.id, options(), None).await)
}

/// Somebody else was faster: it is gone all the same.
fn gone<T>(removed: Result<T, bollard::errors::Error>) -> Result<()> {
    match removed.map_err(Error::from) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed.map(drop),
    }
}

/// The names that have to be taken off before the id is enough: all but the last one and the digests beside it.
fn others(row: &Value) -> Vec<&str> {
    let last = tags(row).last().or_else(|| names(row).last());
    let repository = last.map(|last| Reference::of(last).repository);
    let stays =
        |name: &&str| Some(*name) == last || (name.contains('@') && repository == Some(Reference::of(name).repository));
    names(row).filter(|name| !stays(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `c` is built on `b` is built on `a`; `a` has a name, `b` has none; `x` is alone.
    fn images() -> Value {
        json!([
            {"Id": "a", "ParentId": "", "RepoTags": ["a:1"], "Created": 100},
            {"Id": "b", "ParentId": "a", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Created": 200},
            {"Id": "c", "ParentId": "b", "RepoTags": ["c:1"], "Created": 300, "Labels": {"k": "v"}},
            {"Id": "x", "ParentId": "", "RepoTags": null, "RepoDigests": null, "Created": 100},
        ])
    }

    fn ids(list: &Value, wanted: &Wanted<'_>, all: bool, used: &[&str]) -> String {
        let used = used.iter().copied().collect();
        going(list, wanted, all, &used).into_iter().map(|row| text(row, "Id")).collect()
    }

    #[test]
    fn children_go_before_their_parents() {
        let any = Wanted::of(None, &[]).unwrap();
        assert_eq!(ids(&images(), &any, true, &[]), "cbax");
        assert_eq!(ids(&images(), &any, false, &[]), "x");
    }

    #[test]
    fn what_something_needs_that_stays_stays() {
        let any = Wanted::of(None, &[]).unwrap();
        assert_eq!(ids(&images(), &any, true, &["c"]), "x");
        assert_eq!(ids(&images(), &any, true, &["c:1"]), "x");
        // A container of an image in the middle.
        assert_eq!(ids(&images(), &any, true, &["b"]), "cx");
        assert_eq!(ids(&images(), &any, true, &["a", "x"]), "cb");
        let old = Wanted::of(Some("150"), &[]).unwrap();
        assert_eq!(ids(&images(), &old, true, &[]), "x");
        let labels = ["k=v".to_owned()];
        assert_eq!(ids(&images(), &Wanted::of(None, &labels).unwrap(), true, &[]), "cb");
    }

    #[test]
    fn an_engine_that_tells_of_circles_ends_nothing() {
        let circle = json!([{"Id": "a", "ParentId": "b"}, {"Id": "b", "ParentId": "a"}, {"Id": "c", "ParentId": "c"}]);
        assert_eq!(ids(&circle, &Wanted::of(None, &[]).unwrap(), true, &["a"]), "c");
    }

    #[test]
    fn the_last_name_goes_with_the_id() {
        let digest = |name: &str| format!("{name}@sha256:{}", "0".repeat(64));
        let row = json!({"RepoTags": ["a:1", "a:2", "b:1"], "RepoDigests": [digest("a"), digest("b")]});
        assert_eq!(others(&row), ["a:1", "a:2", &digest("a")]);
        assert_eq!(others(&json!({"RepoTags": ["a:1"], "RepoDigests": [digest("a")]})), <[&str; 0]>::default());
        assert_eq!(others(&json!({"RepoTags": [], "RepoDigests": [digest("a"), digest("b")]})), [&digest("a")]);
        assert_eq!(others(&json!({"RepoTags": ["<none>:<none>"]})), <[&str; 0]>::default());
    }
}
