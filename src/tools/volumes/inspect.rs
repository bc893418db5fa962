//! One volume in detail, with the containers that use it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_anonymous;
use crate::{
    docker::{Docker, Filters, Target},
    error::Result,
    redact,
    tool::{Access, Call, Plan, Summary, Tool, text::count},
    tools::view::{container_name, items, map, short_id, text, time},
};

/// How many users an answer shows.
const MOST_USERS: usize = 100;

/// Shows one volume: driver, options, labels, place, and the containers that use it.
///
/// Secret options are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectVolume {
    /// Its name.
    volume: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    name: String,
    driver: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mountpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    anonymous: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    used_by: Vec<User>,
    /// How many there are, where not all are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_by_total: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct User {
    container: String,
    id: String,
    state: String,
    destination: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        let users = self.used_by_total.unwrap_or(self.used_by.len());
        format!("volume \"{}\" with {}", self.name, count(users, "mount"))
    }
}

impl Tool for InspectVolume {
    const NAME: &'static str = "inspect_volume";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.volume("volume", &self.volume).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let volume = plan.object()?;
        let filters = Filters::default().with("volume", [&volume.id]);
        let containers = docker.json(Target::new("/containers/json").query("all", "1").filters(&filters)).await?;
        Ok(view(&volume.facts, &containers))
    }
}

fn view(facts: &Value, containers: &Value) -> Inspected {
    let name = text(facts, "Name");
    let mut used_by: Vec<User> = containers
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|container| {
            // The engine's filter also finds mounts whose destination is called so.
            let mounts = items(container, "Mounts").filter(|mount| text(mount, "Name") == name);
            mounts.map(|mount| user(container, mount))
        })
        .collect();
    used_by.sort_by(|left, right| left.container.cmp(&right.container));
    let total = used_by.len();
    used_by.truncate(MOST_USERS);
    Inspected {
        name: redact::shown(name),
        driver: redact::shown(text(facts, "Driver")),
        scope: redact::shown(text(facts, "Scope")),
        mountpoint: redact::shown(text(facts, "Mountpoint")),
        created: time(text(facts, "CreatedAt")),
        anonymous: is_anonymous(facts),
        options: map(facts, "Options"),
        labels: map(facts, "Labels"),
        used_by,
        used_by_total: (total > MOST_USERS).then_some(total),
    }
}

fn user(container: &Value, mount: &Value) -> User {
    User {
        container: redact::shown(container_name(container)),
        id: short_id(text(container, "Id")),
        state: text(container, "State").to_owned(),
        destination: redact::shown(text(mount, "Destination")),
        read_only: mount.get("RW").and_then(Value::as_bool) == Some(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_destination_of_that_name_is_no_use() {
        let containers = json!([
            {"Id": "a", "Names": ["/web"], "State": "exited", "Mounts": [
                {"Name": "data", "Destination": "/var", "RW": false}, {"Name": "other", "Destination": "data"}]},
            {"Id": "b", "Names": ["/other"], "Mounts": [{"Type": "bind", "Destination": "data"}]},
        ]);
        let shown = view(&json!({"Name": "data"}), &containers);
        assert_eq!(shown.used_by.len(), 1);
        assert_eq!((shown.used_by[0].container.as_str(), shown.used_by[0].read_only), ("web", true));
    }
}
