//! What a create, an update, an exec or a start asks for, judged on values by the rules of its host.

mod container;
mod foreign;
mod inspected;
mod mounts;
mod path;
mod plugin;
mod ports;
mod read;
mod request;
mod seen;
mod service;
#[cfg(test)]
mod tests;
mod words;

use serde_json::Value;

use crate::{
    config::limits::{Bodies, Rule, Verdict},
    docker::{Docker, names::quote},
    error::Result,
    tool::{Body, BodyKind, ObjectKind, Plan},
};
pub use foreign::{foreign, unknown};
use read::{number, part, text, texts, words as map};
pub use request::of_request;
use seen::Seen;

/// One rule that something hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What the host says of it.
    pub verdict: Verdict,
    /// What hits it: the value, quoted, and where it stands.
    pub value: String,
}

impl Finding {
    /// Whether it passes, but not in silence.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.verdict == Verdict::Note
    }
}

/// A rule that something hits, whatever the host says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hit {
    rule: Rule,
    value: String,
    /// The canonical path of a bind that the host's settings can allow.
    allowable: Option<String>,
}

impl Hit {
    fn new(rule: Rule, value: String) -> Self {
        Self { rule, value, allowable: None }
    }

    fn at(rule: Rule, what: impl AsRef<str>, place: &str) -> Self {
        Self::new(rule, format!("{} at \"{place}\"", what.as_ref()))
    }

    /// The same of something that is not the body itself.
    fn of(mut self, whose: &str) -> Self {
        self.value = format!("{whose}, which has {}", self.value);
        self
    }
}

/// The command line of an exec, its arguments joined with blanks.
#[must_use]
pub fn command_line(body: &Body) -> Option<String> {
    if body.kind != BodyKind::Exec {
        return None;
    }
    Some(texts(&body.document, "Cmd").collect::<Vec<_>>().join(" "))
}

/// The networks that a new container names: those that it is put on, and its mode.
pub fn networks_of_container(document: &Value) -> impl Iterator<Item = &str> {
    container::endpoints(document).chain([text(part(document, &["HostConfig"]), "NetworkMode")])
}

/// The containers whose namespaces or volumes a new one shares, as they are named.
pub fn shared_by(document: &Value) -> impl Iterator<Item = &str> {
    let host = part(document, &["HostConfig"]);
    let modes = container::MODES.iter().filter_map(|(field, _)| match container::mode(text(host, field)) {
        container::Mode::Of(other) => Some(other),
        _ => None,
    });
    modes.chain(container::volumes_from(host))
}

/// The networks that a service is put on.
pub fn networks_of_service(document: &Value) -> impl Iterator<Item = &str> {
    container::networks_of_service(document)
}

/// Judges a plan: what will be sent, and what is entered. Sends only reads.
///
/// What every rule of the host lets pass in silence is left out.
///
/// # Errors
/// Those of the looks that a rule needs; what cannot be looked at counts as the worst.
pub async fn judge(plan: &Plan, bodies: &Bodies, reading: &Docker) -> Result<Vec<Finding>> {
    let judged = !plan.bodies.is_empty() || plan.enters || plan.opens;
    if !judged || Rule::ALL.iter().all(|rule| bodies.verdict(*rule) == Verdict::Allow) {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for judged in Judged::all(plan) {
        // In a box: this future stands in those of every call.
        let seen = Box::pin(seen::look(&judged, bodies, reading)).await?;
        for finding in findings_of(&judged, bodies, &seen) {
            if finding.verdict != Verdict::Allow && !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    Ok(findings)
}

/// What is judged at a time: a document, and what the plan is about.
#[derive(Debug, Clone, Copy)]
struct Judged<'a> {
    plan: &'a Plan,
    body: Option<&'a Body>,
    /// What the plan is about beside its documents is judged once.
    is_first: bool,
}

impl<'a> Judged<'a> {
    fn all(plan: &'a Plan) -> impl Iterator<Item = Self> {
        let bodies = plan.bodies.iter().map(Some).chain(plan.bodies.is_empty().then_some(None));
        bodies.enumerate().map(move |(position, body)| Self { plan, body, is_first: position == 0 })
    }
}

/// Every rule that a part of a plan hits, the hardest verdict first.
fn findings_of(judged: &Judged<'_>, bodies: &Bodies, seen: &Seen) -> Vec<Finding> {
    let verdict = |hit: &Hit| match &hit.allowable {
        Some(path) if path::is_allowed(path, &bodies.binds_allow) => Verdict::Allow,
        _ => bodies.verdict(hit.rule),
    };
    let mut findings: Vec<Finding> = Vec::new();
    for hit in hits(judged, seen) {
        let finding = Finding { rule: hit.rule, verdict: verdict(&hit), value: hit.value };
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    findings
}

fn hits(judged: &Judged<'_>, seen: &Seen) -> Vec<Hit> {
    let (plan, mut hits) = (judged.plan, Vec::new());
    if let Some(Body { kind, document }) = judged.body {
        hits.extend(match kind {
            BodyKind::Container => of_container(plan, document, seen),
            BodyKind::Service => of_service(plan, document, seen),
            BodyKind::Build => of_build(plan, document, seen),
            BodyKind::Update => of_update(document, seen),
            BodyKind::Exec => of_exec(plan, document),
            BodyKind::Volume => mounts::of_volume(document).into_iter().collect(),
            BodyKind::Commit => words::changes(texts(document, "Changes")),
            BodyKind::Connection => of_connection(plan),
            BodyKind::Network | BodyKind::Labelled => Vec::new(),
            BodyKind::Plugin => plugin::granted(document),
            BodyKind::Settings => {
                let variables = words::variables(texts(document, "Settings"), &plan.objects, "Settings");
                plugin::set(document, &plan.objects).into_iter().chain(variables).collect()
            }
        });
        if !matches!(kind, BodyKind::Update | BodyKind::Exec | BodyKind::Connection | BodyKind::Commit) {
            hits.extend(words::labels(map(document, "Labels"), &plan.marks, "Labels"));
        }
    }
    hits.extend((plan.opens && judged.is_first).then(request::channel));
    if plan.enters && judged.is_first {
        let containers = plan.objects.iter().filter(|object| object.kind == ObjectKind::Container);
        hits.extend(containers.flat_map(|object| inspected::entered(&object.facts, seen)));
    }
    hits
}

fn of_container(plan: &Plan, document: &Value, seen: &Seen) -> Vec<Hit> {
    let host = part(document, &["HostConfig"]);
    let mut hits = container::rights(host, seen, "HostConfig");
    let foreign = |volume: &str| seen.is_foreign(volume, seen::project(document), &plan.objects);
    hits.extend(mounts::of_host(host).flat_map(|mounted| mounts::hits(&mounted, seen, &foreign)));
    hits.extend(taken(plan, host, seen));
    // The machine's network has an id too, and a name among those that a container is put on.
    let networks = container::endpoints(document).chain([text(host, "NetworkMode")]);
    hits.extend(host_networks(plan, networks, "NetworkingConfig"));
    hits.extend(ports::of_host(host));
    hits.extend(container::manners(host, "HostConfig"));
    hits.extend(container::limits(number(host, "Memory"), number(host, "PidsLimit")));
    hits.extend(words::image(text(document, "Image"), &plan.objects));
    hits.extend(words::variables(texts(document, "Env"), &plan.objects, "Env"));
    hits.extend(words::labels(mounts::labels(host), &plan.marks, "HostConfig.Mounts"));
    hits
}

/// The containers of a build's steps have the network and the names that are asked for, and nothing else of the machine.
fn of_build(plan: &Plan, document: &Value, seen: &Seen) -> Vec<Hit> {
    let host = part(document, &["HostConfig"]);
    let mut hits = container::rights(host, seen, "");
    hits.extend(taken(plan, host, seen));
    hits.extend(host_networks(plan, [text(host, "NetworkMode")].into_iter(), "NetworkMode"));
    hits.extend(container::manners(host, ""));
    hits.extend(texts(document, "Images").filter_map(|image| words::image(image, &[])));
    hits.extend(words::variables(texts(document, "Env"), &[], "build arguments"));
    hits
}

/// Another container's namespaces and volumes, and what comes with them; one of the same call was judged itself.
fn taken(plan: &Plan, host: &Value, seen: &Seen) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut take = |rule, what: String, place: &str, other: &str| {
        if plan.made.contains(other) {
            return;
        }
        hits.push(Hit::at(rule, what, place));
        hits.extend(seen.containers.get(other).into_iter().flat_map(|facts| inspected::shared(facts, seen)));
    };
    for (field, _) in container::MODES {
        if let container::Mode::Of(other) = container::mode(text(host, field)) {
            let what = format!("a namespace of container {}", quote(other));
            take(Rule::ContainerNamespace, what, &format!("HostConfig.{field}"), other);
        }
    }
    for other in container::volumes_from(host) {
        let what = format!("the volumes of container {}", quote(other));
        take(Rule::VolumesFrom, what, "HostConfig.VolumesFrom", other);
    }
    hits
}

/// The machine's network under another name than the mode's.
fn host_networks<'a>(plan: &Plan, names: impl Iterator<Item = &'a str>, place: &str) -> Vec<Hit> {
    let is_host = |name: &str| {
        let mut networks = plan.objects.iter().filter(|object| object.kind == ObjectKind::Network);
        container::is_host_network(name)
            || networks.any(|network| network.id == name && container::is_host_network(&network.name))
    };
    let hosts = names.filter(|name| is_host(name));
    hosts.map(|name| Hit::at(Rule::HostNet, format!("network {}", quote(name)), place)).collect()
}

fn of_service(plan: &Plan, document: &Value, seen: &Seen) -> Vec<Hit> {
    let container = service::container_of(document);
    let mut hits = service::hits(document, seen);
    let place = "TaskTemplate.ContainerSpec";
    let foreign = |volume: &str| seen.is_foreign(volume, seen::project(container), &plan.objects);
    hits.extend(mounts::of_service(container).flat_map(|mounted| mounts::hits(&mounted, seen, &foreign)));
    hits.extend(host_networks(plan, container::networks_of_service(document), "TaskTemplate.Networks"));
    hits.extend(words::image(text(container, "Image"), &plan.objects));
    hits.extend(words::variables(texts(container, "Env"), &plan.objects, &format!("{place}.Env")));
    hits.extend(words::labels(map(container, "Labels"), &plan.marks, &format!("{place}.Labels")));
    hits.extend(words::labels(mounts::labels(container), &plan.marks, &format!("{place}.Mounts")));
    hits
}

/// An update leaves as it was what it does not name.
fn of_update(document: &Value, seen: &Seen) -> Vec<Hit> {
    let mut hits = container::rights(document, seen, "");
    hits.extend(container::manners(document, ""));
    // Zero memory changes nothing; zero and less processes take the limit away.
    let processes = number(document, "PidsLimit").filter(|limit| *limit <= 0);
    let memory = number(document, "Memory").filter(|limit| *limit < 0);
    hits.extend(container::limits(memory.or(Some(1)), processes.or(Some(1))));
    hits
}

fn of_exec(plan: &Plan, document: &Value) -> Vec<Hit> {
    let privileged = read::flag(document, "Privileged");
    let mut hits: Vec<Hit> =
        privileged.then(|| Hit::at(Rule::Privileged, "privileged mode", "Privileged")).into_iter().collect();
    hits.extend(words::variables(texts(document, "Env"), &plan.objects, "Env"));
    hits
}

fn of_connection(plan: &Plan) -> Vec<Hit> {
    let networks = plan.objects.iter().filter(|object| object.kind == ObjectKind::Network);
    host_networks(plan, networks.map(|network| network.name.as_str()), "NetworkID")
}
