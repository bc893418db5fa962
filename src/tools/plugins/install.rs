//! Installing and upgrading a plugin: what it asks for is read from its registry, judged, and granted word for word.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{PERMISSION, is_enabled};
use crate::{
    docker::{
        Docker, Target,
        names::{self, quote},
    },
    error::{Error, Result},
    tool::{
        Access, BodyKind, Call, Course, Effect, LONGEST_JOB, Object, ObjectKind, Permission, Plan, Summary, Tool,
        text::count,
    },
    tools::{
        authorization::Authorization,
        pull::{IDLE, followed, reference::Reference, unreached},
        view::{clipped, short_id, text, texts},
    },
};

/// How long a daemon may look for what a plugin asks for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most characters of one text of a plugin's.
const LONGEST: usize = 200;

/// Installs a plugin from its registry, granting what it asks for; it runs as root once `enable_plugin` starts it.
///
/// `dry_run` lists what it asks for.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InstallPlugin {
    /// Reference. Default tag: latest.
    plugin: String,
    /// Its name on the host. Default: its reference.
    #[serde(default)]
    alias: Option<String>,
    /// Default: false.
    #[serde(default)]
    dry_run: bool,
}

/// Replaces a disabled plugin by another version, granting what that asks for.
///
/// `dry_run` lists what that asks for.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpgradePlugin {
    /// Name or id.
    plugin: String,
    /// The other version. Default: where it came from.
    #[serde(default)]
    remote: Option<String>,
    /// Default: false.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Installed {
    plugin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What it asks for, or was granted.
    privileges: Vec<Privilege>,
    #[serde(skip)]
    done: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct Privilege {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    values: Vec<String>,
}

impl Summary for Installed {
    fn summary(&self) -> String {
        let (plugin, asked) = (&self.plugin, count(self.privileges.len(), "privilege"));
        match self.done {
            "" => format!(
                "plugin \"{plugin}\" asks for {asked}; nothing was done: repeat with dry_run false to grant them"
            ),
            done => format!("plugin \"{plugin}\" was {done} with {asked}; enable_plugin starts it"),
        }
    }
}

impl Tool for InstallPlugin {
    const NAME: &'static str = "install_plugin";
    const ACCESS: Access = Access::mutate(&[]).down_to(Effect::Read).sometimes(Permission::System);
    const COURSE: Option<Course> = Some(Course::Job);
    const OPEN_WORLD: bool = true;
    type Output = Installed;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let remote = reference("plugin", &self.plugin)?;
        self.alias()?;
        planned(Self::ACCESS, self.dry_run, &remote, &asked(reading, &remote, call).await?)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Installed> {
        let remote = reference("plugin", &self.plugin)?;
        if plan.effect == Effect::Read {
            return Ok(Installed::would(remote, plan.object()?));
        }
        let name = self.alias()?.map_or_else(|| remote.clone(), str::to_owned);
        let target = Target::new("/plugins/pull").query("remote", &remote).query("name", &name);
        fetch(docker, target, &remote, &plan, call).await?;
        let installed = docker.plugin("alias", &name).await?;
        Ok(Installed::of(&installed, &remote, plan.object()?, "installed"))
    }
}

impl InstallPlugin {
    fn alias(&self) -> Result<Option<&str>> {
        self.alias.as_deref().map(|alias| names::image("alias", alias)).transpose()
    }
}

impl Tool for UpgradePlugin {
    const NAME: &'static str = "upgrade_plugin";
    const ACCESS: Access = Access::mutate(&[]).down_to(Effect::Read).sometimes(Permission::System);
    const COURSE: Option<Course> = Some(Course::Job);
    const OPEN_WORLD: bool = true;
    type Output = Installed;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let installed = reading.plugin("plugin", &self.plugin).await?;
        if is_enabled(&installed.facts) && !self.dry_run {
            return Err(Error::conflict(format!("plugin {} is enabled", quote(&installed.name)))
                .hint("disable_plugin first; what uses it stops working until it is enabled again"));
        }
        let remote = self.remote(&installed)?;
        let plan = planned(Self::ACCESS, self.dry_run, &remote, &asked(reading, &remote, call).await?)?;
        Ok(plan.on([installed]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Installed> {
        let offered = plan.object()?;
        let remote = offered.id.clone();
        let installed =
            plan.objects.get(1).ok_or_else(|| Error::internal("the plan of an upgrade lacks its plugin"))?;
        if plan.effect == Effect::Read {
            return Ok(Installed { reference: Some(remote), ..Installed::would(installed.name.clone(), offered) });
        }
        // The one request for which an engine takes no id.
        let name = names::image("plugin", &installed.name)?;
        let target = Target::new(format!("/plugins/{name}/upgrade")).query("remote", &remote);
        fetch(docker, target, &remote, &plan, call).await?;
        let upgraded = docker.plugin("plugin", &installed.name).await?;
        Ok(Installed::of(&upgraded, &remote, offered, "upgraded"))
    }
}

impl UpgradePlugin {
    fn remote(&self, installed: &Object) -> Result<String> {
        match &self.remote {
            Some(remote) => reference("remote", remote),
            // What was made on the host came from nowhere.
            None => reference("remote", text(&installed.facts, "PluginReference"))
                .map_err(|error| error.hint("the engine does not say where the plugin came from: give \"remote\"")),
        }
    }
}

/// A reference with what it leaves out, after a check of its grammar.
fn reference(argument: &str, given: &str) -> Result<String> {
    let reference = Reference::of(names::image(argument, given)?);
    if matches!(reference.repository, "sha256" | "sha512") {
        return Err(Error::invalid(format!("argument \"{argument}\" is an id")).hint("name it by its reference"));
    }
    Ok(reference.of_one().to_string())
}

/// What a plugin asks for, as its registry has it.
async fn asked(reading: &Docker, remote: &str, call: &Call) -> Result<Value> {
    let registry = Reference::of(remote).registry();
    let target = Target::new("/plugins/privileges").query("remote", remote).patient(PATIENCE);
    let (target, authorization) = Authorization::beside(target, registry, reading, call).await?;
    let failed = |error: Error| authorization.explains(unreached(error, registry), registry);
    let privileges = reading.json(target).await.map_err(failed)?;
    // An engine answers null where there is nothing.
    Ok(if privileges.is_array() { privileges } else { json!([]) })
}

/// The plan: the offer comes first among its objects, so that a yes is for exactly these privileges.
fn planned(access: Access, dry_run: bool, remote: &str, privileges: &Value) -> Result<Plan> {
    let plan = Plan::declared(access).on([Object::offered(remote, privileges)]).using(remote);
    if dry_run {
        return Ok(plan.at_most(Effect::Read));
    }
    let plan = PERMISSION.iter().fold(plan, |plan, permission| plan.needing(*permission));
    plan.sending(BodyKind::Plugin, &json!({"Remote": remote, "Privileges": privileges}))
}

/// Has the daemon fetch a plugin; it refuses when that asks for something else than what was judged.
async fn fetch(docker: &Docker, target: Target, remote: &str, plan: &Plan, call: &Call) -> Result<()> {
    let registry = Reference::of(remote).registry();
    let (target, authorization) = Authorization::beside(target, registry, docker, call).await?;
    let failed = |error: Error| match error.message() {
        // Engines call it a bad argument.
        message if message.contains("already exists") => {
            Error::conflict(message).hint("upgrade_plugin brings another version of it")
        }
        _ => authorization.explains(unreached(error, registry), registry),
    };
    let body: Value = plan.sent()?;
    let privileges = body.get("Privileges").cloned().unwrap_or_default();
    let steps = docker.progress_of(target, &privileges, IDLE).await.map_err(failed)?;
    followed(steps, call).await.map_err(failed)?;
    Ok(())
}

impl Installed {
    fn would(plugin: String, offered: &Object) -> Self {
        Self { plugin, id: None, reference: None, privileges: privileges(offered), done: "" }
    }

    fn of(plugin: &Object, remote: &str, offered: &Object, done: &'static str) -> Self {
        debug_assert_eq!(plugin.kind, ObjectKind::Plugin);
        Self {
            plugin: plugin.name.clone(),
            id: Some(short_id(&plugin.id)),
            reference: Some(remote.to_owned()),
            privileges: privileges(offered),
            done,
        }
    }
}

fn privileges(offered: &Object) -> Vec<Privilege> {
    let asked = offered.facts.as_array().into_iter().flatten();
    asked
        .map(|privilege| Privilege {
            name: clipped(text(privilege, "Name"), LONGEST),
            description: clipped(text(privilege, "Description"), LONGEST),
            values: texts(privilege, "Value").map(|value| clipped(value, LONGEST)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_privilege_is_another_offer() {
        let offer = |privileges: Value| planned(InstallPlugin::ACCESS, false, "a/b:1", &privileges).unwrap();
        let (one, other) = (offer(json!([{"Name": "network", "Value": ["host"]}])), offer(json!([])));
        assert!(one.is_of(&one) && !one.is_of(&other));
        assert_eq!(one.sent::<Value>().unwrap()["Privileges"][0]["Value"], json!(["host"]));
        let dry = planned(InstallPlugin::ACCESS, true, "a/b:1", &json!([])).unwrap();
        assert!(dry.effect == Effect::Read && dry.bodies.is_empty() && !dry.permissions.has(Permission::System));
    }

    #[test]
    fn references_are_completed_and_ids_refused() {
        assert_eq!(reference("plugin", "vieux/sshfs").unwrap(), "vieux/sshfs:latest");
        assert_eq!(reference("plugin", "127.0.0.1:5000/a/b:2").unwrap(), "127.0.0.1:5000/a/b:2");
        for id in ["sha256:0123456789ab", "", "a//b", "http://x/y"] {
            assert!(reference("plugin", id).is_err(), "{id}");
        }
    }
}
