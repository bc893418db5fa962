//! Images that do not exist for callers: judged by their references, one without any by what else is allowed.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::text;
use crate::{
    config::Globs,
    docker::{names::spellings, reference::Reference},
};

/// Whether an image may be called so.
pub(super) fn admits(globs: &Globs, reference: &str) -> bool {
    globs.admit(spellings(reference).iter().map(String::as_str))
}

/// Every image of an engine, and whether it exists for callers.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalogue(HashMap<String, bool>);

impl Catalogue {
    pub(super) fn of(list: &Value, globs: &Globs) -> Self {
        let images = list.as_array().into_iter().flatten();
        Self(images.map(|image| (text(image, "Id").to_owned(), sift(globs, &mut image.clone()))).collect())
    }

    /// How many do not exist.
    pub(super) fn hidden(&self) -> u64 {
        self.0.values().filter(|shown| !**shown).count() as u64
    }

    /// Whether an image exists, if there is one of that id.
    pub(super) fn shows(&self, id: &str) -> Option<bool> {
        self.0.get(id).copied()
    }
}

/// The references that a document of an image lists, those left out that only say that there is none.
fn listed<'a>(image: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    let names = image.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    names.filter(|name| !name.starts_with("<none>"))
}

/// Takes the denied references out of an image; `false` when none is left.
///
/// A digest goes with the tags of its repository: whoever may not see `vault:1` may not see `vault@sha256:...`.
pub(super) fn sift(globs: &Globs, image: &mut Value) -> bool {
    let repositories = |shown: bool| -> Vec<String> {
        let tags = listed(image, "RepoTags").filter(|tag| admits(globs, tag) == shown);
        tags.map(repository).collect()
    };
    let (shown, denied) = (repositories(true), repositories(false));
    let digests: Vec<Value> = listed(image, "RepoDigests")
        .filter(|digest| {
            let repository = repository(digest);
            shown.contains(&repository) || (!denied.contains(&repository) && admits(globs, digest))
        })
        .map(Into::into)
        .collect();
    let had_names = !shown.is_empty() || !denied.is_empty() || listed(image, "RepoDigests").next().is_some();
    let left = !shown.is_empty() || !digests.is_empty();
    if !had_names {
        return globs.admit([]);
    }
    drop_tags(globs, image, "RepoTags");
    if let Some(field) = image.get_mut("RepoDigests").filter(|field| field.is_array()) {
        *field = digests.into();
    }
    left
}

/// Takes the denied references out of one list.
pub(super) fn drop_tags(globs: &Globs, document: &mut Value, field: &str) {
    if let Some(Value::Array(tags)) = document.get_mut(field) {
        tags.retain(|tag| tag.as_str().is_none_or(|tag| tag.starts_with("<none>") || admits(globs, tag)));
    }
}

/// Takes the denied references out of the image that was found as `asked`; `false` when it does not exist so.
///
/// By a reference it exists if that reference does, by an id if any of its references does.
pub(super) fn answers(globs: &Globs, asked: &str, image: &mut Value) -> bool {
    let canonical = |name: &str| Reference::of(name).canonical();
    let names = |image: &Value| -> Vec<String> {
        listed(image, "RepoTags").chain(listed(image, "RepoDigests")).map(canonical).collect()
    };
    let (before, exists) = (names(image), sift(globs, image));
    let wanted = canonical(asked);
    if !before.contains(&wanted) {
        return exists;
    }
    // Beside a digest the engine ignores a tag, which is a name all the same.
    let reference = Reference::of(asked);
    let tag = Reference { digest: None, ..reference };
    let is_tag_denied = reference.digest.is_some() && reference.tag.is_some() && !admits(globs, &tag.to_string());
    exists && !is_tag_denied && names(image).contains(&wanted)
}

/// Whether an image has a name that does not exist for callers.
pub(super) fn has_hidden_names(globs: &Globs, image: &Value) -> bool {
    let mut names = listed(image, "RepoTags");
    names.any(|tag| !admits(globs, tag))
}

/// The images that have a hidden name, and those that hidden ones are built upon.
pub(super) fn needed_unseen(globs: &Globs, list: &Value) -> HashSet<String> {
    let rows = || list.as_array().into_iter().flatten();
    let parents: HashMap<&str, &str> = rows().map(|image| (text(image, "Id"), text(image, "ParentId"))).collect();
    let is_hidden = |image: &&Value| has_hidden_names(globs, image) || !sift(globs, &mut (*image).clone());
    let chain = |image| {
        // An engine could tell of a circle.
        let parent = |id: &&str| parents.get(id).copied().filter(|parent| !parent.is_empty());
        std::iter::successors(Some(text(image, "Id")), parent).take(parents.len() + 1)
    };
    rows().filter(is_hidden).flat_map(chain).map(str::to_owned).collect()
}

fn repository(reference: &str) -> String {
    let Reference { repository, .. } = Reference::of(reference);
    Reference { repository, tag: None, digest: None }.canonical()
}
