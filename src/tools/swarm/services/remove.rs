//! Removing services.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Docker, Target},
    error::Result,
    tool::{Access, Call, Permission, Plan, Tool},
    tools::outcome::{self, Outcomes},
};

/// Removes services with all their tasks, at once.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::swarm) struct RemoveService {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    services: Vec<String>,
}

impl Tool for RemoveService {
    const NAME: &'static str = "remove_service";
    const ACCESS: Access = Access::destroy(&[Permission::Swarm]);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("services", &self.services)?;
        let find = |name| async move { reading.service("services", name).await };
        Plan::declared(Self::ACCESS).resolve(&self.services, find).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        Outcomes::of(plan, "removed", async |service| {
            let target = Target::new(format!("/services/{}", service.id));
            docker.write(Method::DELETE, target, None).await?;
            Ok(None)
        })
        .await
    }
}
