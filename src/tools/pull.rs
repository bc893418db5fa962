//! Pulls of images, for every tool that makes one.

pub(crate) use crate::docker::reference;

use std::{collections::HashMap, time::Duration};

use serde_json::Value;

use super::{
    authorization::Authorization,
    view::{bytes, clipped, text},
};
use crate::{
    docker::{Docker, Target, names::quote, reason, stream::JsonLines},
    error::{Error, Kind, Result},
    redact,
    tool::{Call, Progress},
};
use reference::Reference;

/// How long a daemon may say nothing of a pull: it waits for a registry, or unpacks a large layer.
pub(crate) const IDLE: Duration = Duration::from_secs(600);
/// How many layers are followed; no image has as many.
const MOST_LAYERS: usize = 2_000;
/// No id of a layer, no digest and no word that is understood is longer.
const LONGEST_WORD: usize = 200;

/// Pulls what a reference names, all tags where it has neither tag nor digest, and reports the progress.
///
/// # Errors
/// The daemon's reason, without the addresses of registries; an error in the middle of the stream is one.
pub(crate) async fn pull(
    docker: &Docker,
    reference: Reference<'_>,
    platform: Option<&str>,
    call: &Call,
) -> Result<Layers> {
    let mut target = Target::new("/images/create").query("fromImage", reference.repository);
    if let Some(tag) = reference.digest.or(reference.tag) {
        target = target.query("tag", tag);
    }
    if let Some(platform) = platform {
        target = target.query("platform", platform);
    }
    let (target, authorization) = Authorization::beside(target, reference.registry(), docker, call).await?;
    let failed = |error: Error| authorization.explains(unreached(error, reference.registry()), reference.registry());
    let steps = docker.progress(target, IDLE).await.map_err(failed)?;
    followed(steps, call).await.map_err(failed)
}

/// Reads what a daemon tells of a pull to its end, and reports it.
///
/// # Errors
/// Those of the stream, and one that a step of it tells.
pub(crate) async fn followed(mut steps: JsonLines, call: &Call) -> Result<Layers> {
    let mut layers = Layers::default();
    while let Some(step) = steps.next().await? {
        if let Some(error) = reason(&step) {
            return Err(error);
        }
        layers.take(&step);
        call.progress(layers.progress());
    }
    Ok(layers)
}

/// A daemon's failure to reach a registry, without the addresses that its words carry.
///
/// It quotes its HTTP client: `Get "https://...": dial tcp: lookup ... on 10.0.0.2:53: no such host`.
pub(crate) fn unreached(error: Error, registry: &str) -> Error {
    let quotes_http = ["Get \"", "Head \"", "Post \""];
    if error.kind() != Kind::Docker || !quotes_http.iter().any(|quote| error.message().contains(quote)) {
        return error;
    }
    let cause = error.message().rsplit(": ").next().unwrap_or_default();
    Error::docker(format!("the daemon cannot reach registry {}: {cause}", quote(registry)))
        .hint("the host needs a way to the registry; ask the person to look at its network, proxy and trust")
        .detail(error.message())
}

/// How far the layers of a pull have come, and what the daemon said at its end.
#[derive(Default)]
pub(crate) struct Layers {
    /// From 0 (known) to 1 (unpacked): downloading is the first half, unpacking the second.
    done: HashMap<String, f64>,
    message: String,
    pub(crate) digest: Option<String>,
    /// Whether the host had it already.
    pub(crate) up_to_date: bool,
}

impl Layers {
    fn take(&mut self, step: &Value) {
        let status = clipped(&redact::plain(text(step, "status")), LONGEST_WORD);
        if let Some(digest) = status.strip_prefix("Digest: ") {
            self.digest = Some(digest.to_owned());
        }
        self.up_to_date |= status.starts_with("Status: Image is up to date");
        let number = |pointer: &str| step.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let (current, total) = (number("/progressDetail/current"), number("/progressDetail/total"));
        #[expect(clippy::cast_precision_loss, reason = "a share of the way, not an account")]
        let share = if total > 0 { (current as f64 / total as f64).min(1.0) } else { 0.0 };
        let done = match status.as_str() {
            "Downloading" => share / 2.0,
            "Verifying Checksum" | "Download complete" => 0.5,
            "Extracting" => 0.5 + share / 2.0,
            "Pull complete" | "Already exists" => 1.0,
            "Pulling fs layer" | "Waiting" => 0.0,
            // A word that is not known is no progress of a layer.
            _ => {
                self.message = status;
                return;
            }
        };
        let layer = text(step, "id");
        let is_known = self.done.contains_key(layer);
        if layer.is_empty() || layer.len() > LONGEST_WORD || (!is_known && self.done.len() >= MOST_LAYERS) {
            return;
        }
        self.message = if total > 0 {
            format!("{} {layer}: {} of {}", status.to_lowercase(), bytes(current), bytes(total))
        } else {
            format!("{} {layer}", status.to_lowercase())
        };
        // A layer that is fetched again never goes back.
        let known = self.done.entry(layer.to_owned()).or_default();
        *known = known.max(done);
    }

    fn progress(&self) -> Progress {
        #[expect(clippy::cast_precision_loss, reason = "an image has at most a few hundred layers")]
        let total = (!self.done.is_empty()).then_some(self.done.len() as f64);
        Progress { done: self.done.values().sum(), total, message: self.message.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_registry_out_of_reach_shows_no_address() {
        // Classic engines, and those with containerd's image store.
        for before in ["", "failed to resolve reference \"docker.io/library/x:1\": failed to do request: "] {
            let words = "Get \"https://index.docker.io/v1/search?q=x&n=25\": dial tcp: lookup index.docker.io on \
                         10.255.255.53:53: no such host";
            let words = format!("{before}{words}");
            let error = unreached(Error::docker(&words), "docker.io");
            assert_eq!(error.message(), "the daemon cannot reach registry \"docker.io\": no such host");
            assert_eq!(error.detail_text(), Some(words.as_str()));
        }
        let other = "manifest for x:1 not found: manifest unknown";
        assert_eq!(unreached(Error::not_found(other), "docker.io").message(), other);
    }

    #[test]
    fn progress_never_goes_back() {
        let step = |status: &str, id: &str, current: i64, total: i64| json!({"id": id, "status": status, "progressDetail": {"current": current, "total": total}});
        let mut layers = Layers::default();
        let mut done = Vec::new();
        for step in [
            step("Pulling from lab/base", "1", 0, 0),
            step("Pulling fs layer", "a", 0, 0),
            step("Already exists", "b", 0, 0),
            step("Downloading", "a", 5, 10),
            step("Downloading", "a", 1, 10),
            step("Extracting", "a", 5, 10),
            step("Pull complete", "a", 0, 0),
            step("Some word of the future", "a", -1, -1),
        ] {
            layers.take(&step);
            done.push(layers.progress().done);
        }
        assert_eq!(done, [0.0, 0.0, 1.0, 1.25, 1.25, 1.75, 2.0, 2.0]);
        assert_eq!(layers.progress().total, Some(2.0));
    }

    #[test]
    fn a_daemon_that_makes_up_layers_is_not_followed_for_ever() {
        let mut layers = Layers::default();
        for number in 0..3 * MOST_LAYERS {
            layers.take(&json!({"id": format!("{number}"), "status": "Waiting"}));
        }
        layers.take(&json!({"id": "x".repeat(10_000), "status": "Waiting"}));
        layers.take(&json!({"id": 5, "status": {"a": "y"}, "progressDetail": [1]}));
        layers.take(&json!({"status": "z".repeat(10_000)}));
        assert_eq!(layers.done.len(), MOST_LAYERS);
        assert!(layers.progress().message.chars().count() <= LONGEST_WORD + 1);
    }
}
