//! Looks before anything is masked: for a decision and for what is made anew, never for an answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Docker, Filters, Target,
    objects::{Object, ObjectKind},
};
use crate::error::{Error, Result};

impl Docker {
    /// A container or an image with its values as the engine has them: for the body of what is made after it.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn as_it_is(&self, object: &Object) -> Result<Value> {
        let kind = match object.kind {
            ObjectKind::Container => "containers",
            ObjectKind::Image => "images",
            other => return Err(Error::internal(format!("nothing is made after a {}", other.as_str()))),
        };
        self.original(Target::new(format!("/{kind}/{}/json", object.id))).await
    }

    /// The volumes of these names that exist, with their options as the engine has them.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn volumes_as_they_are(&self, names: &BTreeSet<&str>) -> Result<Vec<Value>> {
        // The engine's filter finds every name that has one of these in it.
        let filters = Filters::default().with("name", names);
        let mut listed = self.original(Target::new("/volumes").filters(&filters)).await?;
        let Some(Value::Array(volumes)) = listed.get_mut("Volumes").map(Value::take) else { return Ok(Vec::new()) };
        let is_asked =
            |volume: &Value| volume.get("Name").and_then(Value::as_str).is_some_and(|name| names.contains(name));
        Ok(volumes.into_iter().filter(is_asked).collect())
    }

    /// The containers that use one of these volumes, those included that no caller sees.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn users_as_they_are(&self, volumes: &BTreeSet<&str>) -> Result<Vec<Value>> {
        let filters = Filters::default().with("volume", volumes);
        let mut listed = self.look(Target::new("/containers/json").query("all", "true").filters(&filters)).await?;
        Ok(listed.as_array_mut().map(std::mem::take).unwrap_or_default())
    }
}
