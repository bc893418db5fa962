//! What opens a swarm: join tokens and the key of its managers. They go from the engine to the operator's secrets and
//! back, and into no answer.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AGREEING, PERMISSION, Placed, Role, Standing};
use crate::{
    docker::{Docker, Target},
    error::{Error, Result},
    tool::{Access, Call, Object, Permission, Plan, Summary, Tool, text::count},
};

/// Keeps both join tokens of a swarm among the operator's secrets, as `<to>.worker` and `<to>.manager`.
///
/// The tokens are never shown; `join_swarm` takes one by its name.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetSwarmJoinTokens {
    /// Begins the names that they get, such as `prod`.
    to: String,
}

/// Keeps the key that unlocks a swarm's managers among the operator's secrets. It is never shown.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetSwarmUnlockKey {
    /// The name that it gets; `unlock_swarm` takes it by that.
    to: String,
}

/// Makes the join token of a role invalid and another one valid. Nodes that have joined stay.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateSwarmJoinToken {
    /// Whose token.
    role: Role,
    /// Insists on this version. Default: any.
    #[serde(default)]
    version: Option<u64>,
}

/// Unlocks a manager that was started again in a swarm with autolock.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnlockSwarm {
    /// Name of the operator's secret.
    from: String,
}

/// Where credentials are now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Kept {
    /// Their names among the operator's secrets.
    secrets: Vec<String>,
}

impl Summary for Kept {
    fn summary(&self) -> String {
        let names = self.secrets.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" and ");
        format!("{} kept as {names}", count(self.secrets.len(), "credential"))
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Rotated {
    role: &'static str,
    note: &'static str,
}

impl Summary for Rotated {
    fn summary(&self) -> String {
        format!("the old {} token is invalid", self.role)
    }
}

/// A tool that hands credentials to the operator's secrets: a read of the engine.
const CREDENTIALS: Access = Access::read(&[Permission::Credentials]);

impl GetSwarmJoinTokens {
    fn name(&self, role: Role) -> String {
        format!("{}.{}", self.to, role.word())
    }
}

impl Tool for GetSwarmJoinTokens {
    const NAME: &'static str = "get_swarm_join_tokens";
    const ACCESS: Access = CREDENTIALS;
    type Output = Kept;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        for role in [Role::Worker, Role::Manager] {
            call.secrets().place(&self.name(role))?;
        }
        Ok(Plan::declared(Self::ACCESS).on([reading.swarm().await?]))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Kept> {
        let mut secrets = Vec::new();
        for (role, pointer) in [(Role::Worker, "/JoinTokens/Worker"), (Role::Manager, "/JoinTokens/Manager")] {
            let token = docker.credential(Target::new("/swarm"), pointer).await?;
            let name = self.name(role);
            call.secrets().keep(&name, &token, |kept| is_of_same_swarm(kept, token.expose()))?;
            secrets.push(name);
        }
        Ok(Kept { secrets })
    }
}

impl Tool for GetSwarmUnlockKey {
    const NAME: &'static str = "get_swarm_unlock_key";
    const ACCESS: Access = CREDENTIALS;
    type Output = Kept;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        call.secrets().place(&self.to)?;
        let swarm = reading.swarm().await?;
        if !is_autolocked(&swarm) {
            return Err(Error::conflict("the swarm has no key: its managers do not lock themselves")
                .hint("update_swarm with autolock makes one"));
        }
        Ok(Plan::declared(Self::ACCESS).on([swarm]))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Kept> {
        let key = docker.credential(Target::new("/swarm/unlockkey"), "/UnlockKey").await?;
        // A key does not say whose it is: the only one of another swarm may be kept there.
        call.secrets().keep(&self.to, &key, |_| false)?;
        Ok(Kept { secrets: vec![self.to] })
    }
}

impl Tool for RotateSwarmJoinToken {
    const NAME: &'static str = "rotate_swarm_join_token";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Rotated;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.swarm().await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Rotated> {
        let option = match self.role {
            Role::Worker => "rotateWorkerToken",
            Role::Manager => "rotateManagerToken",
        };
        docker.amend(plan.object()?, self.version, &json!({}), &[(option, "true")]).await?;
        Ok(Rotated { role: self.role.word(), note: "get_swarm_join_tokens keeps the new one" })
    }
}

impl Tool for UnlockSwarm {
    const NAME: &'static str = "unlock_swarm";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Placed;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        call.secrets().named(&self.from)?;
        let standing = Standing::of(reading).await?;
        if standing.state() != "locked" {
            return Err(Error::conflict(format!(
                "the host is not locked; its state in a swarm is {}",
                standing.state()
            ))
            .hint("inspect_swarm shows what it is"));
        }
        Ok(Plan::declared(Self::ACCESS).on([standing.node()]))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Placed> {
        let key = call.secrets().named(&self.from)?;
        let target = Target::new("/swarm/unlock").patient(AGREEING);
        docker.write(Method::POST, target, Some(&json!({"UnlockKey": key.expose()}))).await?;
        Placed::now(docker, "unlocked").await
    }
}

fn is_autolocked(swarm: &Object) -> bool {
    swarm.is("/Spec/EncryptionConfig/AutoLockManagers")
}

/// Whether a text is a join token of the swarm that another one is of: all but the last part names the swarm.
fn is_of_same_swarm(kept: &str, token: &str) -> bool {
    let swarm = |token: &str| Some(token.trim().strip_prefix("SWMTKN-")?.rsplit_once('-')?.0.to_owned());
    swarm(kept).is_some_and(|kept| Some(kept) == swarm(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_token_of_the_same_swarm_is_outdated() {
        let token = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-7p73s1dx5in4tatdymyhg9hu2";
        let older = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx";
        assert!(is_of_same_swarm(older, token) && is_of_same_swarm(&format!("{older}\n"), token));
        let other = older.replace("3pu6", "4pu6");
        for kept in [
            other.as_str(),
            "",
            "hunter2",
            "SWMTKN-",
            "SWMTKN-1-",
            "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8",
        ] {
            assert!(!is_of_same_swarm(kept, token), "{kept}");
        }
    }
}
