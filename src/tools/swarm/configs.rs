//! The configuration files of a swarm: list, inspect, create, remove.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    PERMISSION,
    kept::{self, Draft, Inspected, Made, Row},
};
use crate::{
    docker::Docker,
    error::{Error, Result},
    tool::{
        Access, Call, FleetTool, HostAnswer, HostStatus, ObjectKind, Permission, Plan, Summary, Tool, cursor::Cursor,
        page::Page, text::count,
    },
    tools::{
        listing::{self, Labels},
        outcome::{self, Outcomes},
        view::filter,
    },
};

/// The most characters of a payload in an answer.
const LONGEST_PAYLOAD: usize = 8_000;

/// Lists configs of a swarm, without what they hold.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListConfigs {
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Made through Quaymaster. Default: false.
    #[serde(default)]
    managed_only: bool,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    configs: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{}{}", count(self.configs.len(), "config"), self.page.rest())
    }
}

impl FleetTool for ListConfigs {
    const NAME: &'static str = "list_configs";
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label).managed(self.managed_only);
        kept::rows(docker, "/configs", self.name.as_deref(), &labels).await
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (configs, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { configs, hosts, page })
    }
}

/// Shows one config of a swarm.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectConfig {
    /// Name or id.
    config: String,
    /// With its content, redacted; needs `files`. Default: false.
    #[serde(default)]
    payload: bool,
}

impl Tool for InspectConfig {
    const NAME: &'static str = "inspect_config";
    const ACCESS: Access = Access::READ.sometimes(Permission::Files);
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let plan = Plan::declared(Self::ACCESS).on([reading.swarm_config("config", &self.config).await?]);
        Ok(if self.payload { plan.needing(Permission::Files) } else { plan })
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let config = plan.object()?;
        if !self.payload {
            return Ok(Inspected::of(config));
        }
        let whole = docker.swarm_config("config", &config.id).await?;
        Ok(Inspected::of(&whole).holding(&kept::payload(&whole.facts)?, LONGEST_PAYLOAD))
    }
}

/// Creates a config of a swarm: a file that services get. Secrets belong into `create_secret`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateConfig {
    /// Its name.
    name: String,
    /// What it holds, as text.
    #[serde(default)]
    content: Option<String>,
    /// Or a name of the operator's secrets.
    #[serde(default)]
    from: Option<String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Filled in by services. Default: false.
    #[serde(default)]
    template: bool,
}

impl CreateConfig {
    fn draft(&self) -> Draft<'_> {
        Draft { kind: ObjectKind::Config, name: &self.name, labels: &self.labels, template: self.template }
    }

    fn payload(&self, call: &Call) -> Result<String> {
        match (&self.content, &self.from) {
            (Some(content), None) => Ok(content.clone()),
            (None, Some(name)) => Ok(call.secrets().named(name)?.expose().to_owned()),
            _ => {
                Err(Error::invalid("a config holds either \"content\" or what \"from\" names")
                    .hint("give one of the two"))
            }
        }
    }
}

impl Tool for CreateConfig {
    const NAME: &'static str = "create_config";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Made;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.payload(call)?;
        self.draft().planned(Plan::declared(Self::ACCESS), reading, call).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Made> {
        self.draft().made(docker, &plan, &self.payload(call)?).await
    }
}

/// Removes configs for good. One that a service uses is refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveConfig {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    configs: Vec<String>,
}

impl Tool for RemoveConfig {
    const NAME: &'static str = "remove_config";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("configs", &self.configs)?;
        Plan::declared(Self::ACCESS).resolve(&self.configs, |name| reading.swarm_config("configs", name)).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |config| {
            typed.delete_config(&config.id).await?;
            Ok(None)
        })
        .await
    }
}
