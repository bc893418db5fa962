//! Judges what programs that others wrote ask of an engine, by the rules that hold for our own requests.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    body::{self, Finding},
    decision::weighed,
    policy::{Decision, Facts},
};
use crate::{
    config::limits::{Confirm, Profile, Verdict},
    docker::{
        Docker,
        access::{Effect, Permissions},
        guard::{Class, Wire},
        judge::{Foreign, Judge, Judging, Mark, Ruling},
        names::quote,
    },
    error::{Error, Kind, Result},
    tool::{Access, BodyKind, ObjectKind, Plan},
};

/// What a docker CLI is let change, beside what the ceiling says: what nobody's plugin has to do is not carried.
const CARRIED: &[&str] = &[
    "POST /containers/create",
    "DELETE /containers/{id}",
    "PUT /containers/{id}/archive",
    "POST /containers/{id}/attach",
    "POST /containers/{id}/start",
    "POST /containers/{id}/stop",
    "POST /containers/{id}/restart",
    "POST /containers/{id}/pause",
    "POST /containers/{id}/unpause",
    "POST /containers/{id}/kill",
    "POST /containers/{id}/rename",
    "POST /containers/{id}/update",
    "POST /containers/{id}/resize",
    "POST /containers/{id}/exec",
    "POST /exec/{id}/start",
    "POST /exec/{id}/resize",
    "POST /commit",
    "POST /images/create",
    "POST /images/load",
    "POST /images/{name}/push",
    "POST /images/{name}/tag",
    "DELETE /images/{name}",
    "POST /build",
    "POST /build/cancel",
    "POST /build/prune",
    "POST /session",
    "POST /grpc",
    "POST /networks/create",
    "DELETE /networks/{id}",
    "POST /networks/{id}/connect",
    "POST /networks/{id}/disconnect",
    "POST /volumes/create",
    "DELETE /volumes/{id}",
    "POST /services/create",
    "DELETE /services/{id}",
    "POST /services/{id}/update",
    "POST /secrets/create",
    "DELETE /secrets/{id}",
    "POST /secrets/{id}/update",
    "POST /configs/create",
    "DELETE /configs/{id}",
    "POST /configs/{id}/update",
];

/// The judge of one call.
pub(super) struct ForeignJudge {
    tool: &'static str,
    own_container: Option<String>,
    /// What a person was asked about before the call, and said yes to.
    approved: Vec<Finding>,
}

/// What a request was taken for.
struct Case {
    plan: Plan,
    /// The full id of the object that its path names.
    subject: Option<String>,
    document: Option<Value>,
}

impl ForeignJudge {
    pub(super) fn new(tool: &'static str, own_container: Option<String>, approved: Vec<Finding>) -> Self {
        Self { tool, own_container, approved }
    }

    async fn ruling(&self, foreign: Foreign<'_>, looking: &Docker) -> Result<Ruling> {
        let Foreign { wire, .. } = foreign;
        let route = format!("{} {}", wire.route.method, wire.route.template);
        if !CARRIED.contains(&route.as_str()) {
            return Err(Error::denied(format!("no program is let send {route}"))
                .hint("nothing was sent; use the tool that does this, if there is one"));
        }
        let Case { plan, subject, document } = case(&foreign, looking).await?;
        let config = looking.config();
        let limits = &config.limits;
        let mut findings = body::judge(&plan, &limits.bodies, looking).await?;
        findings.extend(body::of_request(wire.route.template, foreign.query, &limits.bodies));
        findings.retain(|finding| !(finding.verdict == Verdict::Ask && self.has_approved(finding)));
        let mut notes = Vec::new();
        if let Some(unknown) = document.as_ref().and_then(body::unknown) {
            let what = format!("field {} is none that Quaymaster knows", quote(&unknown));
            if limits.bodies.profile == Profile::Strict {
                return Err(Error::denied(format!("host \"{}\" refuses a body in which {what}", config.name))
                    .hint("leave it out; what is not known cannot be judged"));
            }
            notes.push(what);
        }
        let facts = Facts {
            tool: self.tool,
            ceiling: Effect::Destroy,
            host: &config.name,
            admitted: true,
            mode: config.mode,
            granted: limits.permissions,
            effect: effect(wire),
            // The ceiling has seen to that.
            needed: Permissions::READ,
            foreign_image: None,
            denied_command: None,
            findings: &findings,
            own_container: None,
            loses: plan.loses,
            confirm: Confirm::Never,
        };
        match weighed(&facts, &plan, limits, self.own_container.as_deref()) {
            Decision::Allow => {
                notes.extend(findings.into_iter().filter(Finding::is_noted).map(|finding| finding.value));
                Ok(Ruling { document, subject, notes })
            }
            Decision::Deny { reason, remedy, .. } => Err(Error::denied(reason).hint(remedy)),
            Decision::Ask(reasons) => {
                let asked: Vec<String> =
                    reasons.iter().map(|reason| format!("{} ({})", reason.text, reason.rule)).collect();
                Err(Error::denied(format!(
                    "host \"{}\" lets this pass only after a question, and nobody was asked: {}",
                    config.name,
                    asked.join(", ")
                ))
                .hint("leave it out, or ask the person to allow the rule for the host in the configuration"))
            }
        }
    }

    /// Whether the same was approved, wherever it stood then: a program may write it in another place.
    fn has_approved(&self, finding: &Finding) -> bool {
        let what = |finding: &Finding| {
            finding.value.rsplit_once(" at \"").map_or(finding.value.as_str(), |(what, _)| what).to_owned()
        };
        self.approved.iter().any(|approved| approved.rule == finding.rule && what(approved) == what(finding))
    }
}

impl Judge for ForeignJudge {
    fn judge<'a>(&'a self, foreign: Foreign<'a>, looking: &'a Docker) -> Judging<'a> {
        Box::pin(self.ruling(foreign, looking))
    }
}

fn effect(wire: &Wire) -> Effect {
    match wire.class {
        Class::Read | Class::Files | Class::Credentials => Effect::Read,
        Class::Mutate => Effect::Mutate,
        Class::Destroy | Class::Never => Effect::Destroy,
    }
}

/// Finds out what a request is about, as a tool's plan would say it.
async fn case(foreign: &Foreign<'_>, looking: &Docker) -> Result<Case> {
    let Foreign { wire, .. } = *foreign;
    let (method, template) = (wire.route.method, wire.route.template);
    let asked = wire.subject.as_deref().unwrap_or_default();
    let document = if foreign.body.trim_ascii().is_empty() { None } else { Some(body::foreign(foreign.body)?) };
    // What it needs is the ceiling's to say; here it tells what the container of Quaymaster itself is spared from.
    let access = match effect(wire) {
        Effect::Destroy => Access::destroy(&[]),
        Effect::Mutate => Access::mutate(&[]),
        Effect::Read => Access::READ,
    };
    let mut plan = Plan::declared(access).needing(wire.route.permission);
    plan.marks = document.as_ref().map(|document| marks(document, foreign.marks)).unwrap_or_default();
    let mut subject = None;
    if template.starts_with("/containers/{id}") && !looking.has_made(asked) {
        let container = looking.container("container", asked).await?;
        plan.enters = match template {
            "/containers/{id}/start"
            | "/containers/{id}/attach"
            | "/containers/{id}/exec"
            | "/containers/{id}/archive" => true,
            // What does not run is started by it.
            "/containers/{id}/restart" => !container.is("/State/Running"),
            _ => false,
        };
        subject = Some(container.id.clone());
        plan = plan.on([container]);
    }
    let sent = document.as_ref().unwrap_or(&Value::Null);
    plan = match (method, template) {
        ("POST", "/containers/create") => {
            plan.made = body::shared_by(sent).filter(|id| looking.has_made(id)).map(str::to_owned).collect();
            of_container(plan, sent, looking).await?.sending(BodyKind::Container, sent)?
        }
        ("POST", "/containers/{id}/update") => plan.sending(BodyKind::Update, sent)?,
        ("POST", "/containers/{id}/exec") => plan.sending(BodyKind::Exec, sent)?,
        ("POST", "/volumes/create") => plan.sending(BodyKind::Volume, sent)?,
        ("POST", "/networks/create") => plan.sending(BodyKind::Network, sent)?,
        ("POST", "/networks/{id}/connect") => {
            let network = looking.network("network", asked).await?;
            subject = Some(network.id.clone());
            plan.on([network]).sending(BodyKind::Connection, sent)?
        }
        ("POST", "/services/create") => of_service(plan, sent, looking).await?,
        ("POST", "/services/{id}/update") => {
            if foreign.first("rollback").is_some() {
                return Err(Error::denied("what a service was before is not judged, so it is not gone back to")
                    .hint("use the tool that rolls services back"));
            }
            of_service(plan, sent, looking).await?
        }
        ("POST", "/commit") => {
            if sent.as_object().is_some_and(|fields| !fields.is_empty()) {
                return Err(Error::invalid("a commit that brings a configuration of its own is not carried")
                    .hint("say it with \"changes\""));
            }
            let changes: Vec<&str> = foreign.all("changes").collect();
            named(plan, foreign.first("repo"), foreign.first("tag"))
                .sending(BodyKind::Commit, &json!({"Changes": changes}))?
        }
        ("POST", "/images/create") => {
            let changes: Vec<&str> = foreign.all("changes").collect();
            let name = foreign.first("fromImage").or_else(|| foreign.first("repo"));
            named(plan, name, foreign.first("tag")).sending(BodyKind::Commit, &json!({"Changes": changes}))?
        }
        ("POST", "/images/{name}/tag") => named(plan, foreign.first("repo"), foreign.first("tag")),
        ("POST", "/images/{name}/push") => named(plan, Some(asked), foreign.first("tag")),
        ("POST", "/build") => foreign.all("t").fold(plan, |plan, tag| named(plan, Some(tag), None)),
        ("POST", "/images/load") if !looking.config().limits.images.is_open() => {
            return Err(Error::denied(
                "an archive of images is not carried where \"images\" in the configuration allows some names only",
            )
            .hint("pull or build the image by its name"));
        }
        _ => plan,
    };
    Ok(Case { plan, subject, document })
}

/// An image that is fetched, made or given away.
fn named(plan: Plan, repository: Option<&str>, tag: Option<&str>) -> Plan {
    match (repository, tag) {
        (None, _) => plan,
        (Some(repository), None) => plan.using(repository),
        (Some(repository), Some(digest)) if digest.contains(':') => plan.using(format!("{repository}@{digest}")),
        (Some(repository), Some(tag)) => plan.using(format!("{repository}:{tag}")),
    }
}

/// The image and the networks that a new container names, as far as they are there.
async fn of_container(plan: Plan, document: &Value, looking: &Docker) -> Result<Plan> {
    let mut plan = of_image(plan, document.get("Image"), looking).await?;
    let networks = body::networks_of_container(document);
    for network in networks {
        plan = with_network(plan, network, looking).await?;
    }
    Ok(plan)
}

async fn of_service(plan: Plan, document: &Value, looking: &Docker) -> Result<Plan> {
    let image = document.pointer("/TaskTemplate/ContainerSpec/Image");
    let mut plan = of_image(plan, image, looking).await?;
    for network in body::networks_of_service(document) {
        plan = with_network(plan, network, looking).await?;
    }
    plan.sending(BodyKind::Service, document)
}

async fn of_image(plan: Plan, image: Option<&Value>, looking: &Docker) -> Result<Plan> {
    let Some(name) = image.and_then(Value::as_str).filter(|name| !name.is_empty()) else { return Ok(plan) };
    let plan = plan.using(name);
    match looking.image("image", name).await {
        Ok(image) => Ok(plan.on([image])),
        // The engine will say so.
        Err(error) if error.kind() == Kind::NotFound => Ok(plan),
        Err(error) => Err(error),
    }
}

/// A network by whatever name: the machine's own has an id too.
async fn with_network(plan: Plan, name: &str, looking: &Docker) -> Result<Plan> {
    let is_known =
        |name: &str| plan.objects.iter().any(|object| object.kind == ObjectKind::Network && object.asked == name);
    if name.is_empty() || matches!(name, "default" | "bridge" | "none") || name.contains(':') || is_known(name) {
        return Ok(plan);
    }
    match looking.network("network", name).await {
        Ok(network) => Ok(plan.on([network])),
        Err(error) if error.kind() == Kind::NotFound => Ok(plan),
        Err(error) => Err(error),
    }
}

/// The labels of a document that the program itself writes.
fn marks(document: &Value, marks: &[Mark]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = vec![document];
    while let Some(value) = rest.pop() {
        if let Some(Value::Object(labels)) = value.get("Labels") {
            let own = labels.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
            let own = own.filter(|(name, value)| Mark::cover(marks, name, value));
            found.extend(own.map(|(name, value)| (name.clone(), value.to_owned())));
        }
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(fields) => {
                rest.extend(fields.iter().filter(|(name, _)| *name != "Labels").map(|(_, value)| value));
            }
            _ => {}
        }
    }
    found
}
