//! What the managers of a swarm keep: changed in a part and sent back whole, and the credentials among it.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::{
    Docker, Target,
    objects::{Object, ObjectKind, digest},
};
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// How long the managers may take to agree on a change.
const AGREEING: Duration = Duration::from_secs(50);

impl Docker {
    /// Changes a part of what a swarm, a node or a service is meant to be: reads it whole, applies a merge patch
    /// (RFC 7396), and sends it back with the version of what was read, so that nobody's change is undone unseen.
    ///
    /// What it is otherwise, masked places included, goes back as it came, and the caller never sees it.
    ///
    /// # Errors
    /// `conflict` where it is another than the plan resolved, or not of the version that the caller insists on;
    /// those of [`Docker::json`].
    pub async fn amend(
        &self,
        object: &Object,
        insisted: Option<u64>,
        change: &Value,
        options: &[(&str, &str)],
    ) -> Result<()> {
        let path = match object.kind {
            ObjectKind::Swarm => "/swarm".to_owned(),
            kind => format!("/{}s/{}", kind.as_str(), object.id),
        };
        let mut facts = self.original(Target::new(path.as_str())).await?;
        let version = facts
            .pointer("/Version/Index")
            .and_then(Value::as_u64)
            .ok_or_else(|| Error::docker("the daemon's answer lacks a version"))?;
        if let Some(insisted) = insisted.filter(|insisted| *insisted != version) {
            return Err(Error::conflict(format!("it has version {version}, not {insisted}"))
                .hint("look at it, then make the call again with its version or without one"));
        }
        if digest(object.kind, &facts) != object.digest {
            return Err(
                Error::conflict("it changed since the call looked at it").hint("look at it, then make the call again")
            );
        }
        let mut spec = facts.get_mut("Spec").map(Value::take).unwrap_or_default();
        merge(&mut spec, change);
        let target = Target::new(format!("{path}/update")).query("version", version.to_string()).patient(AGREEING);
        let target = options.iter().fold(target, |target, (name, value)| target.query(name, value));
        self.write(Method::POST, target, Some(&spec)).await.map(drop)
    }

    /// A credential of a swarm, for the operator's secrets and nothing else; whoever may have it is decided by the
    /// guard and the ceiling.
    ///
    /// # Errors
    /// `docker` where the answer has none at the pointer; those of [`Docker::json`].
    pub async fn credential(&self, target: Target, pointer: &str) -> Result<Secret> {
        let document = self.original(target).await?;
        let found = document.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        found.map(Secret::new).ok_or_else(|| Error::docker("the daemon's answer has no such credential"))
    }
}

/// Applies a merge patch: objects field by field, `null` takes a field away, anything else takes its place.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_patch_does_not_name_stays() {
        let mut spec = json!({"Role": "worker", "Labels": {"a": "1", "b": "2"}, "New": [1, {"x": null}], "N": null});
        merge(&mut spec, &json!({"Role": "manager", "Labels": {"a": null, "c": "3"}, "Deep": {"er": 1}}));
        let expected = json!({"Role": "manager", "Labels": {"b": "2", "c": "3"}, "New": [1, {"x": null}], "N": null,
            "Deep": {"er": 1}});
        assert_eq!(spec, expected);
        let mut nothing = Value::Null;
        merge(&mut nothing, &json!({"Labels": {"a": "1"}}));
        assert_eq!(nothing, json!({"Labels": {"a": "1"}}));
    }
}
