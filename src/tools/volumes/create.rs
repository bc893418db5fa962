//! Making a volume.

use std::collections::BTreeMap;

use bollard::models::VolumeCreateRequest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PERMISSION;
use crate::{
    docker::{Docker, names},
    error::{Error, Kind, Result},
    tool::{Access, BodyKind, Call, Plan, Summary, Tool},
};

/// Creates a volume; one of that name that exists already stays as it is.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateVolume {
    /// Its name. Default: the engine makes one up.
    #[serde(default)]
    name: Option<String>,
    /// Default: local.
    #[serde(default)]
    driver: Option<String>,
    /// Options of the driver.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Made {
    name: String,
    driver: String,
    /// False where it existed before.
    created: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Summary for Made {
    fn summary(&self) -> String {
        let done = if self.created { "created" } else { "existed already" };
        format!("volume \"{}\" {done}", self.name)
    }
}

impl Tool for CreateVolume {
    const NAME: &'static str = "create_volume";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Made;

    /// The object is the volume of that name, if there is one: the engine answers with it and changes nothing.
    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        if let Some(driver) = &self.driver {
            // A plugin's name is an image reference.
            names::image("driver", driver)?;
        }
        let request = VolumeCreateRequest {
            name: self.name.clone(),
            driver: self.driver.clone(),
            driver_opts: Some(self.options.clone().into_iter().collect()).filter(|_| !self.options.is_empty()),
            labels: Some(call.labels(&self.labels)),
            ..VolumeCreateRequest::default()
        };
        let plan = Plan::declared(Self::ACCESS).marked(call).sending(BodyKind::Volume, &request)?;
        let Some(name) = &self.name else { return Ok(plan) };
        match reading.volume("name", name).await {
            Ok(present) => Ok(plan.on([present])),
            Err(error) if error.kind() == Kind::NotFound => Ok(plan),
            Err(error) => Err(error),
        }
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Made> {
        // What was judged is what is sent.
        let request: VolumeCreateRequest = plan.sent()?;
        let made = docker.typed().await?.create_volume(request).await.map_err(|error| refused(error.into()))?;
        let existed = plan.objects.iter().any(|present| present.id == made.name);
        let ignored = existed && !(self.options.is_empty() && self.labels.is_empty());
        Ok(Made {
            name: made.name,
            driver: made.driver,
            created: !existed,
            note: ignored.then(|| "its options and labels are the old ones".to_owned()),
        })
    }
}

/// The engine says 404 where it lacks the driver.
fn refused(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => {
            Error::unsupported(error.message()).hint("this engine has no such driver; local is always there")
        }
        _ => error,
    }
}
