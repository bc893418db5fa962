//! Changes of a service that stays: its specification, the one before, how many tasks it has.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    create::known,
    settings::{Settings, differences},
    view::replicas,
};
use crate::{
    docker::{
        Docker,
        amend::{Amendment, Change},
        names::quote,
    },
    error::{Error, Result},
    redact,
    tool::{Access, BodyKind, Call, Effect, Object, Permission, Plan, Summary, Tool, text::count},
    tools::{
        body::{values, variables::resolved},
        view::{cleaned, clipped, short_id, texts},
    },
};

/// How long the managers may take to agree.
const WRITE: Duration = Duration::from_secs(60);
const PERMISSION: &[Permission] = &[Permission::Swarm];
/// The most characters of a value in an answer.
const LONGEST: usize = 200;
const IMAGE: [&str; 3] = ["TaskTemplate", "ContainerSpec", "Image"];
const FORCED: [&str; 2] = ["TaskTemplate", "ForceUpdate"];

/// Changes a service; what is not given stays.
///
/// Variables and labels are set one by one, lists replaced.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct UpdateService {
    /// Name or id.
    service: String,
    /// Insists on it.
    #[serde(default)]
    version: Option<u64>,
    /// Sent as written.
    #[serde(default)]
    image: Option<String>,
    /// env:NAME, label:KEY.
    #[serde(default)]
    remove: Vec<String>,
    /// Replaces all tasks. Default: false.
    #[serde(default)]
    force: bool,
    #[serde(flatten)]
    settings: Settings,
}

/// Brings back what a service was before its last update.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::swarm) struct RollbackService {
    /// Name or id.
    service: String,
    /// Insists on this version. Default: the present one.
    #[serde(default)]
    version: Option<u64>,
}

/// Sets how many tasks a replicated service has; 0 ends all of them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::swarm) struct ScaleService {
    /// Name or id.
    service: String,
    /// How many.
    #[schemars(range(min = 0, max = 10_000))]
    replicas: u64,
    /// Insists on this version. Default: the present one.
    #[serde(default)]
    version: Option<u64>,
}

/// What changed.
#[derive(Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct Changed {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    changes: Vec<Difference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip)]
    verb: &'static str,
}

/// One setting.
#[derive(Serialize, JsonSchema)]
struct Difference {
    setting: &'static str,
    old: String,
    new: String,
}

impl Summary for Changed {
    fn summary(&self) -> String {
        let told = "wait_for with kind service tells when it has converged";
        format!("service \"{}\" {}: {} changed; {told}", self.name, self.verb, count(self.changes.len(), "setting"))
    }
}

impl Tool for UpdateService {
    const NAME: &'static str = "update_service";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Changed;

    fn deadline(&self) -> Option<Duration> {
        Some(WRITE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        if let Some(image) = &self.image {
            known(reading, image).await?;
        }
        if self.settings.replicas == Some(0) {
            return Err(
                Error::invalid("argument \"replicas\" is 0, which ends every task").hint("scale_service does that")
            );
        }
        self.settings.check_secrets(reading)?;
        let variables = self.settings.variables()?;
        resolved(Some(variables.clone()), call.secrets())?;
        let service = look(reading, &self.service, self.version).await?;
        if self.settings.replicas.is_some() {
            replicated(&service)?;
        }
        let named = self.settings.named(reading).await?;
        let amendment = self.amendment(&service, variables, &named)?;
        if amendment.is_empty() {
            return Err(Error::invalid("nothing is to be changed")
                .hint("give \"image\", \"env\", \"replicas\", ...; \"force\" replaces all tasks as they are"));
        }
        let mut body = specification(&service);
        amendment.apply(&mut body);
        let mut plan = Plan::declared(Self::ACCESS).marked(call);
        // Its own marks were not typed by the caller of this call.
        plan.marks.extend(own_marks(&service));
        if let Some(image) = &self.image {
            plan = plan.using(image.as_str());
        }
        plan.on([service]).on(named).sending(BodyKind::Service, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Changed> {
        let service = plan.object()?;
        let variables = resolved(Some(self.settings.variables()?), call.secrets())?.unwrap_or_default();
        let amendment = self.amendment(service, variables, &plan.objects)?;
        changed(docker, service, &amendment, self.version, &[], "updated").await
    }
}

impl UpdateService {
    fn amendment(&self, service: &Object, variables: Vec<String>, named: &[Object]) -> Result<Amendment> {
        let mut amendment = self.settings.amendment(variables, named)?;
        if let Some(image) = &self.image {
            amendment = amendment.set(&IMAGE, image.as_str());
        }
        for gone in &self.remove {
            amendment = match gone.split_once(':') {
                Some(("env", name)) => amendment.remove(&["TaskTemplate", "ContainerSpec", "Env"], &[name.to_owned()]),
                Some(("label", name)) => amendment.remove(&["Labels"], &[name.to_owned()]),
                _ => return Err(values::wrong("remove", gone, "not allowed", "env:NAME, or label:KEY")),
            };
        }
        if self.force {
            let forced = service.fact("/Spec/TaskTemplate/ForceUpdate").and_then(Value::as_u64).unwrap_or_default();
            amendment = amendment.set(&FORCED, forced.wrapping_add(1));
        }
        Ok(amendment)
    }
}

impl Tool for RollbackService {
    const NAME: &'static str = "rollback_service";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Changed;

    fn deadline(&self) -> Option<Duration> {
        Some(WRITE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let service = look(reading, &self.service, self.version).await?;
        let before = service.fact("/PreviousSpec").filter(|spec| spec.is_object()).cloned().ok_or_else(|| {
            Error::conflict(format!("service {} was never updated", quote(&service.name)))
                .hint("there is nothing to go back to; update_service changes it")
        })?;
        let number = |spec: Option<&Value>| {
            spec.and_then(|spec| spec.pointer("/Mode/Replicated/Replicas")).and_then(Value::as_u64)
        };
        if number(Some(&before)) == Some(0) && number(service.fact("/Spec")) != Some(0) {
            return Err(Error::conflict(format!("service {} had 0 replicas before", quote(&service.name)))
                .hint("going back would end every task; scale_service does that"));
        }
        let mut plan = Plan::declared(Self::ACCESS).marked(call);
        plan.marks.extend(own_marks(&service));
        plan.on([service]).sending(BodyKind::Service, &before)
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let back = [("rollback", "previous")];
        changed(docker, plan.object()?, &Amendment::default(), self.version, &back, "rolled back").await
    }
}

impl Tool for ScaleService {
    const NAME: &'static str = "scale_service";
    const ACCESS: Access = Access::destroy(PERMISSION).down_to(Effect::Mutate);
    type Output = Changed;

    fn deadline(&self) -> Option<Duration> {
        Some(WRITE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let service = look(reading, &self.service, self.version).await?;
        let now = replicated(&service)?;
        let mut plan = Plan::declared(Self::ACCESS).marked(call);
        if self.replicas > 0 {
            plan = plan.at_most(Effect::Mutate);
        }
        // More of something is judged as the something is.
        if self.replicas > now {
            plan.marks.extend(own_marks(&service));
            plan = plan.sending(BodyKind::Service, &specification(&service))?;
        }
        Ok(plan.on([service]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let amendment = Amendment::default().set(&["Mode", "Replicated", "Replicas"], self.replicas);
        changed(docker, plan.object()?, &amendment, self.version, &[], "scaled").await
    }
}

/// The service, in the version that is insisted on.
async fn look(reading: &Docker, name: &str, version: Option<u64>) -> Result<Object> {
    let service = reading.service("service", name).await?;
    let current = service.fact("/Version/Index").and_then(Value::as_u64);
    match (version, current) {
        (Some(asked), Some(current)) if asked != current => {
            Err(Error::conflict(format!("service {} is at version {current}, not {asked}", quote(&service.name)))
                .hint("it was changed meanwhile: look at it with inspect_service and decide anew"))
        }
        _ => Ok(service),
    }
}

/// How many tasks a replicated service is to have.
fn replicated(service: &Object) -> Result<u64> {
    replicas(&service.facts).ok_or_else(|| {
        Error::conflict(format!("service {} is not replicated: it has no number of tasks", quote(&service.name)))
            .hint("a global one has a task on every node that fits its constraints")
    })
}

fn specification(service: &Object) -> Value {
    service.fact("/Spec").cloned().unwrap_or_else(|| json!({}))
}

/// The labels of a service that say who made it, or to which stack it belongs.
fn own_marks(service: &Object) -> impl Iterator<Item = (String, String)> {
    let labels = ["/Spec/Labels", "/Spec/TaskTemplate/ContainerSpec/Labels"].into_iter();
    let labels = labels.filter_map(|pointer| service.fact(pointer)?.as_object()).flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
}

/// Makes a change and looks at what came of it.
async fn changed(
    docker: &Docker,
    service: &Object,
    amendment: &Amendment,
    version: Option<u64>,
    parameters: &[(&str, &str)],
    verb: &'static str,
) -> Result<Changed> {
    let answer = docker.amend(service, version, amendment, parameters).await?;
    let after = docker.service("service", &service.id).await?;
    let shown = |value: &Value| match cleaned(value) {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => clipped(&text, LONGEST),
        other => clipped(&other.to_string(), LONGEST),
    };
    let changes = differences(&specification(service), &specification(&after))
        .iter()
        .map(|(setting, old, new)| Difference { setting, old: shown(old), new: shown(new) })
        .collect();
    Ok(Changed {
        version: after.fact("/Version/Index").and_then(Value::as_u64),
        name: after.name,
        id: short_id(&after.id),
        changes,
        warnings: texts(&answer, "Warnings").map(redact::shown).collect(),
        verb,
    })
}
