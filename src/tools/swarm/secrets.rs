//! The secrets of a swarm: list, inspect, create, remove.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    PERMISSION,
    kept::{self, Draft, Inspected, Made, Row},
};
use crate::{
    docker::Docker,
    error::Result,
    tool::{
        Access, Call, FleetTool, HostAnswer, HostStatus, ObjectKind, Plan, Summary, Tool, cursor::Cursor, page::Page,
        text::count,
    },
    tools::{
        listing::{self, Labels},
        outcome::{self, Outcomes},
        view::filter,
    },
};

/// Lists secrets of a swarm, without what they hold.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSecrets {
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
    secrets: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{}{}", count(self.secrets.len(), "secret"), self.page.rest())
    }
}

impl FleetTool for ListSecrets {
    const NAME: &'static str = "list_secrets";
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label).managed(self.managed_only);
        kept::rows(docker, "/secrets", self.name.as_deref(), &labels).await
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (secrets, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { secrets, hosts, page })
    }
}

/// Shows one secret of a swarm. What it holds is never shown, by the engine neither.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectSecret {
    /// Name or id.
    secret: String,
}

impl Tool for InspectSecret {
    const NAME: &'static str = "inspect_secret";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.secret("secret", &self.secret).await?]))
    }

    async fn call(self, _: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        Ok(Inspected::of(plan.object()?))
    }
}

/// Creates a secret of a swarm out of one of the operator's.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateSecret {
    /// Its name.
    name: String,
    /// Name of the operator's secret.
    from: String,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Filled in by services. Default: false.
    #[serde(default)]
    template: bool,
}

impl CreateSecret {
    fn draft(&self) -> Draft<'_> {
        Draft { kind: ObjectKind::Secret, name: &self.name, labels: &self.labels, template: self.template }
    }
}

impl Tool for CreateSecret {
    const NAME: &'static str = "create_secret";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Made;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        call.secrets().named(&self.from)?;
        self.draft().planned(Plan::declared(Self::ACCESS), reading, call).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Made> {
        let secret = call.secrets().named(&self.from)?;
        self.draft().made(docker, &plan, secret.expose()).await
    }
}

/// Removes secrets for good. One that a service uses is refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveSecret {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    secrets: Vec<String>,
}

impl Tool for RemoveSecret {
    const NAME: &'static str = "remove_secret";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("secrets", &self.secrets)?;
        Plan::declared(Self::ACCESS).resolve(&self.secrets, |name| reading.secret("secrets", name)).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |secret| {
            typed.delete_secret(&secret.id).await?;
            Ok(None)
        })
        .await
    }
}
