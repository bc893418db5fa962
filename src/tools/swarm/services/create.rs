//! A new service.

use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settings::{Settings, check_name, marked};
use crate::{
    docker::{
        Docker, Target,
        amend::{Amendment, Change},
        names::{self, quote},
    },
    error::{Error, Result},
    redact,
    tool::{Access, BodyKind, Call, Permission, Plan, Summary, Tool},
    tools::{
        body::variables::resolved,
        view::{short_id, text, texts},
    },
};

/// How long the managers may take to agree.
const WRITE: Duration = Duration::from_secs(60);
/// Where the variables stand.
const ENV: [&str; 3] = ["TaskTemplate", "ContainerSpec", "Env"];

/// Creates a service of the swarm.
///
/// The image is sent as written: only a digest makes all nodes run the same.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct CreateService {
    /// Reference.
    image: String,
    /// A new name.
    name: String,
    /// Default: replicated.
    #[serde(default)]
    mode: Mode,
    #[serde(flatten)]
    settings: Settings,
}

/// How its tasks are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Replicated,
    Global,
}

/// A new service.
#[derive(Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct Created {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Summary for Created {
    fn summary(&self) -> String {
        format!("service \"{}\" created; wait_for with kind service tells when it runs", self.name)
    }
}

/// Checks an image's name. One by id is looked up: it has to exist for callers, by its references.
pub(super) async fn known(reading: &Docker, image: &str) -> Result<()> {
    if names::is_image_id(names::image("image", image)?) {
        reading.image("image", image).await?;
    }
    Ok(())
}

impl Tool for CreateService {
    const NAME: &'static str = "create_service";
    const ACCESS: Access = Access::mutate(&[Permission::Swarm]);
    type Output = Created;

    fn deadline(&self) -> Option<Duration> {
        Some(WRITE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        check_name(reading, &self.name)?;
        known(reading, &self.image).await?;
        if self.mode == Mode::Global && self.settings.replicas.is_some() {
            return Err(Error::invalid("argument \"replicas\": a global service has one task on every node")
                .hint("leave \"replicas\" out, or set \"mode\" to replicated"));
        }
        self.settings.check_secrets(reading)?;
        let variables = self.settings.variables()?;
        // A secret that is missing ends the call before anything is sent.
        resolved(Some(variables.clone()), call.secrets())?;
        let named = self.settings.named(reading).await?;
        let mode = match self.mode {
            Mode::Replicated => json!({"Replicated": {"Replicas": 1}}),
            Mode::Global => json!({"Global": {}}),
        };
        let container = json!({"Image": self.image});
        let mut body = json!({"Name": self.name, "TaskTemplate": {"ContainerSpec": container}, "Mode": mode});
        self.settings.amendment(variables, &named)?.apply(&mut body);
        marked(call).apply(&mut body);
        Plan::declared(Self::ACCESS).marked(call).on(named).using(self.image.as_str()).sending(BodyKind::Service, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Created> {
        let mut body: Value = plan.sent()?;
        // What was judged and written down names its secrets; only the engine gets them.
        let variables = resolved(Some(self.settings.variables()?), call.secrets())?.unwrap_or_default();
        if !variables.is_empty() {
            Amendment::default().variables(&ENV, variables).apply(&mut body);
        }
        let target = Target::new("/services/create").patient(WRITE);
        let answer = docker.write(Method::POST, target, Some(&body)).await.map_err(|error| self.refused(error))?;
        let warnings = texts(&answer, "Warnings").chain([text(&answer, "Warning")]).filter(|text| !text.is_empty());
        Ok(Created {
            id: short_id(text(&answer, "ID")),
            warnings: warnings.map(redact::shown).collect(),
            name: self.name,
        })
    }
}

impl CreateService {
    fn refused(&self, error: Error) -> Error {
        if error.message().contains("name conflicts with an existing object") {
            return Error::conflict(format!("there is a service {} already", quote(&self.name)))
                .hint("update_service changes it; or choose another name");
        }
        error
    }
}
