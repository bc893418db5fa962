//! All files of a container as a tar on the gateway's machine.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Docker, Target},
    error::Result,
    files::{Archived, checked},
    tool::{Access, Call, LONGEST_JOB, Permission, Plan, Summary, Tool},
    tools::{
        transfer::{IDLE, keep, received},
        view::bytes,
    },
};

/// Writes a container's files into a tar on the gateway's machine.
///
/// Volumes are not part of it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportContainer {
    /// Name or id.
    container: String,
    /// The new file, below `files.roots`.
    to: String,
    /// Replaces a file. Default: false.
    #[serde(default)]
    overwrite: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Exported {
    container: String,
    to: String,
    bytes: u64,
    entries: u64,
}

impl Summary for Exported {
    fn summary(&self) -> String {
        format!("container \"{}\" exported to \"{}\" ({})", self.container, self.to, bytes(self.bytes))
    }
}

impl Tool for ExportContainer {
    const NAME: &'static str = "export_container";
    const ACCESS: Access = Access::READ.always(Permission::Files);
    type Output = Exported;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let container = reading.container("container", &self.container).await?;
        call.files().can_create("to", &self.to, self.overwrite).await?;
        Ok(Plan::declared(Self::ACCESS).on([container]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Exported> {
        let container = plan.object()?;
        let draft = call.files().create("to", &self.to, self.overwrite).await?;
        let asked = Target::new(format!("/containers/{}/export", container.id)).patient(IDLE);
        let (tar, seen) = checked(received(docker.bytes(asked).await?), Archived::Files);
        let bytes = keep(tar, draft, call).await?;
        Ok(Exported { container: container.name.clone(), to: self.to, bytes, entries: seen.entries() })
    }
}
