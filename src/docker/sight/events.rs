//! The events of a daemon, one by one, without those of what does not exist for callers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    census::{self, Census, SERVICE},
    images::{self, Catalogue},
    text,
};
use crate::{
    config::Globs,
    docker::stream::{Bytes, JsonLines},
    error::Result,
    redact::{self, Reveal},
};

/// How many containers that are gone or came later are remembered by their events.
const MOST_LEARNED: usize = 10_000;
/// No id is longer.
const LONGEST_ID: usize = 128;

/// A stream of events.
pub struct Events {
    lines: JsonLines,
    judge: Judge,
    reveal: Reveal,
    unseen: usize,
}

impl Events {
    pub(super) fn new(bytes: Bytes, judge: Judge, reveal: Reveal) -> Self {
        // Nothing may happen for long; the caller looks at the clock.
        Self { lines: JsonLines::new(bytes.patient(Duration::MAX)), judge, reveal, unseen: 0 }
    }

    /// The next event, secrets masked; `None` at the end. What is no JSON is left out.
    ///
    /// # Errors
    /// The connection broke, or an event is longer than any engine writes one.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        while let Some(mut event) = self.lines.next_sound().await? {
            if self.judge.admits(&event) {
                redact::document(&mut event, &self.reveal);
                return Ok(Some(event));
            }
            self.unseen += 1;
        }
        Ok(None)
    }

    /// How many were left out so far: the daemon remembers a fixed number, these among them.
    #[must_use]
    pub fn unseen(&self) -> usize {
        self.unseen
    }
}

/// Judges events, and learns from those of containers whose ids are whose.
#[derive(Default)]
pub(in crate::docker) struct Judge {
    pub(super) containers: Globs,
    pub(super) images: Globs,
    pub(super) census: Arc<Census>,
    pub(super) catalogue: Arc<Catalogue>,
    learned: HashMap<String, bool>,
}

impl Judge {
    pub(super) fn new(containers: &Globs, images: &Globs, census: Arc<Census>, catalogue: Arc<Catalogue>) -> Self {
        let (containers, images) = (containers.clone(), images.clone());
        Self { containers, images, census, catalogue, learned: HashMap::new() }
    }

    /// Whether an event is about what exists for callers.
    pub(in crate::docker) fn admits(&mut self, event: &Value) -> bool {
        let actor = event.get("Actor").unwrap_or(&Value::Null);
        let attributes = actor.get("Attributes").unwrap_or(&Value::Null);
        // Before `Actor` there were `id` and `from`, which are still written beside it.
        let id = Some(text(actor, "ID")).filter(|id| !id.is_empty()).unwrap_or_else(|| text(event, "id"));
        match text(event, "Type") {
            "image" => self.images.is_open() || self.image(id, attributes),
            _ if self.containers.is_open() => true,
            // An event without a type is one of a container, in the words of old.
            "container" | "" => self.container(id, attributes),
            "service" => self.containers.admit(Some(text(attributes, "name")).filter(|name| !name.is_empty())),
            _ => match text(attributes, "container") {
                "" => true,
                container => self.shows(container),
            },
        }
    }

    fn container(&mut self, id: &str, attributes: &Value) -> bool {
        let service = attributes.get(SERVICE).and_then(Value::as_str);
        let admits = |name: &str| census::admits(&self.containers, Some(name), service);
        let is_hidden = self.census.known(id).is_some_and(|known| !known.shown);
        let old = text(attributes, "oldName").trim_start_matches('/');
        let shown = !is_hidden && admits(text(attributes, "name")) && (old.is_empty() || admits(old));
        if self.learned.len() < MOST_LEARNED && id.len() <= LONGEST_ID {
            self.learned.insert(id.to_owned(), shown);
        }
        shown
    }

    /// An id of which neither the engine nor an event has said whose it is, is not told.
    fn shows(&self, container: &str) -> bool {
        match self.census.known(container) {
            Some(known) => known.shown,
            None => self.learned.get(container).copied().unwrap_or_default(),
        }
    }

    fn image(&self, id: &str, attributes: &Value) -> bool {
        let named = text(attributes, "name");
        [id, named].into_iter().filter(|name| !name.is_empty()).all(|name| {
            if name.starts_with("sha256:") {
                // One that is gone is judged like one without a name.
                self.catalogue.shows(name).unwrap_or_else(|| self.images.admit([]))
            } else {
                images::admits(&self.images, name)
            }
        })
    }
}
