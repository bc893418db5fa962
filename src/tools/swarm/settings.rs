//! How a swarm is set up: what is shown of it, and what changes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Changed, PERMISSION, changes};
use crate::{
    docker::Docker,
    error::{Error, Result},
    tool::{Access, Call, Json, Plan, Tool},
    tools::view::{cleaned, flag},
};

/// A second, as an engine counts.
const SECOND: u64 = 1_000_000_000;

/// Changes how a swarm is set up; answers old and new values.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateSwarm {
    /// Locks a manager that is started again.
    #[serde(default)]
    autolock: Option<bool>,
    /// Default: false.
    #[serde(default)]
    rotate_unlock_key: bool,
    /// Ended tasks kept for each slot.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    task_history: Option<u32>,
    /// Seconds between signs of life.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3600))]
    heartbeat: Option<u32>,
    /// Of nodes.
    #[serde(default)]
    #[schemars(range(min = 1, max = 87_600))]
    certificate_hours: Option<u32>,
    /// Log entries between snapshots.
    #[serde(default)]
    #[schemars(range(min = 1))]
    snapshot_interval: Option<u32>,
    /// How many old snapshots are kept.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    old_snapshots: Option<u32>,
    /// Insists on this version. Default: any.
    #[serde(default)]
    version: Option<u64>,
}

/// What of a swarm can be set at any time.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) autolock: Option<bool>,
    pub(super) task_history: Option<u32>,
    pub(super) heartbeat: Option<u32>,
    pub(super) certificate_hours: Option<u32>,
    pub(super) snapshot_interval: Option<u32>,
    pub(super) old_snapshots: Option<u32>,
}

/// What of it is set, as a part of a `SwarmSpec`.
pub(super) fn patch(settings: &Settings) -> Value {
    let mut spec = Json::new();
    let mut set = |part: &str, field: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        if let Value::Object(fields) = spec.entry(part).or_insert_with(|| json!({})) {
            fields.insert(field.to_owned(), value);
        }
    };
    set("EncryptionConfig", "AutoLockManagers", settings.autolock.map(Value::from));
    set("Orchestration", "TaskHistoryRetentionLimit", settings.task_history.map(Value::from));
    set("Dispatcher", "HeartbeatPeriod", settings.heartbeat.map(|seconds| (u64::from(seconds) * SECOND).into()));
    let hours = |hours: u32| (u64::from(hours) * 3600 * SECOND).into();
    set("CAConfig", "NodeCertExpiry", settings.certificate_hours.map(hours));
    set("Raft", "SnapshotInterval", settings.snapshot_interval.map(Value::from));
    set("Raft", "KeepOldSnapshots", settings.old_snapshots.map(Value::from));
    Value::Object(spec)
}

/// How a swarm is set up, by the names of the arguments that set it.
pub(super) fn of(cluster: &Value) -> Json {
    let at = |pointer: &str| cluster.pointer(pointer).map(cleaned).filter(|value| !value.is_null());
    let time = |pointer: &str, unit: u64| Some(json!(cluster.pointer(pointer)?.as_u64()? / (unit * SECOND)));
    let number = |pointer: &str| {
        let listed = cluster.pointer(pointer).and_then(Value::as_array).filter(|list| !list.is_empty())?;
        Some(json!(listed.len()))
    };
    let labels = at("/Spec/Labels").filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty()));
    let all = [
        ("autolock", at("/Spec/EncryptionConfig/AutoLockManagers")),
        ("task_history", at("/Spec/Orchestration/TaskHistoryRetentionLimit")),
        ("heartbeat", time("/Spec/Dispatcher/HeartbeatPeriod", 1)),
        ("certificate_hours", time("/Spec/CAConfig/NodeCertExpiry", 3600)),
        ("snapshot_interval", at("/Spec/Raft/SnapshotInterval")),
        ("old_snapshots", at("/Spec/Raft/KeepOldSnapshots")),
        ("external_authorities", number("/Spec/CAConfig/ExternalCAs")),
        ("log_driver", at("/Spec/TaskDefaults/LogDriver/Name")),
        ("labels", labels),
        ("address_pools", at("/DefaultAddrPool")),
        ("subnet_size", at("/SubnetSize")),
        ("data_path_port", at("/DataPathPort")),
        ("root_rotation", flag(cluster, "RootRotationInProgress").then(|| json!(true))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

impl UpdateSwarm {
    fn patch(&self) -> Result<Value> {
        let patch = patch(&Settings {
            autolock: self.autolock,
            task_history: self.task_history,
            heartbeat: self.heartbeat,
            certificate_hours: self.certificate_hours,
            snapshot_interval: self.snapshot_interval,
            old_snapshots: self.old_snapshots,
        });
        if patch == json!({}) && !self.rotate_unlock_key {
            return Err(Error::invalid("nothing is to be changed").hint("give \"autolock\", \"task_history\", ..."));
        }
        Ok(patch)
    }
}

impl Tool for UpdateSwarm {
    const NAME: &'static str = "update_swarm";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Changed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.patch()?;
        Ok(Plan::declared(Self::ACCESS).on([reading.swarm().await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let before = plan.object()?;
        let rotate = [("rotateManagerUnlockKey", "true")];
        let options = if self.rotate_unlock_key { &rotate[..] } else { &[] };
        docker.amend(before, self.version, &self.patch()?, options).await?;
        let after = docker.swarm().await?;
        let has_new_key = self.rotate_unlock_key || self.autolock == Some(true);
        let note = "get_swarm_unlock_key keeps the key, without which a manager that is started again stays locked";
        Ok(Changed {
            note: has_new_key.then_some(note),
            ..Changed::of(&after, changes(&of(&before.facts), &of(&after.facts)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_is_shown() {
        let spec = patch(&Settings {
            autolock: Some(true),
            task_history: Some(3),
            heartbeat: Some(7),
            certificate_hours: Some(48),
            snapshot_interval: Some(500),
            old_snapshots: Some(1),
        });
        let shown = of(&json!({"Spec": spec}));
        let expected = json!({"autolock": true, "task_history": 3, "heartbeat": 7, "certificate_hours": 48,
            "snapshot_interval": 500, "old_snapshots": 1});
        assert_eq!(Value::Object(shown), expected);
        assert_eq!(patch(&Settings::default()), json!({}));
    }
}
