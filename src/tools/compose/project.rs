//! A project as its containers tell of it: which there are, of which services, and what a call acts on.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    docker::{Container, Docker, names::quote},
    error::{Error, Kind, Result},
    tool::Object,
    tools::{
        project::containers::{self, DEPENDS_ON, NUMBER, SERVICE, health, is_one_off},
        view::{clipped, few, filter, text},
    },
};

/// The longest name of somebody else's that is shown, in characters.
pub(super) const LONGEST: usize = 255;
/// How many services a hint names.
const NAMED: usize = 20;

/// One container of a project, as the engine's list shows it.
pub(super) struct Member {
    /// What it belongs to; as it may be shown.
    pub(super) service: String,
    /// Its number in its service.
    pub(super) number: u64,
    /// Whether `compose run` made it.
    pub(super) one_off: bool,
    /// As the engine lists it.
    pub(super) container: Container,
}

/// Which containers of a project are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OneOff {
    /// Those of services only, as almost every command of compose does.
    Without,
    /// Those of `compose run` too.
    With,
}

impl Member {
    fn of(container: Container) -> Option<Self> {
        let label = |name: &str| container.label(name).unwrap_or_default();
        let (service, number) = (clipped(label(SERVICE), LONGEST), label(NUMBER).parse().unwrap_or_default());
        let one_off = is_one_off(&container);
        (!service.is_empty()).then_some(Self { service, number, one_off, container })
    }

    /// The full id.
    pub(super) fn id(&self) -> &str {
        &self.container.id
    }

    /// The container's name.
    pub(super) fn name(&self) -> String {
        clipped(&self.container.name, LONGEST)
    }

    /// `running`, `exited` and so on.
    pub(super) fn state(&self) -> &str {
        &self.container.state
    }

    /// Whether it runs, paused or not.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state(), "running" | "paused" | "restarting")
    }

    /// What its health check says, where it has one.
    pub(super) fn health(&self) -> Option<&'static str> {
        health(&self.container.status)
    }

    /// The services that it waits for when compose starts it: `db:service_healthy:false,...`.
    fn dependencies(&self) -> impl Iterator<Item = &str> {
        let entries = self.container.label(DEPENDS_ON).unwrap_or_default().split(',');
        entries.filter_map(|entry| entry.split(':').next()).filter(|name| !name.is_empty())
    }
}

/// The containers of a project, sorted by service and number; of some of its services where any is named.
///
/// # Errors
/// `not_found` where there is no such project, or no such service in it.
pub(super) async fn members(
    docker: &Docker,
    project: &str,
    services: &[String],
    one_off: OneOff,
) -> Result<Vec<Member>> {
    filter("project", project)?;
    services.iter().try_for_each(|service| filter("services", service))?;
    let mut all: Vec<Member> = containers::of(docker, project).await?.into_iter().filter_map(Member::of).collect();
    if all.is_empty() {
        return Err(
            Error::not_found(format!("there is no project {}", quote(project))).hint("compose_ls shows what there is")
        );
    }
    all.sort_by(|left, right| (&left.service, left.number, left.id()).cmp(&(&right.service, right.number, right.id())));
    let known: BTreeSet<&str> = all.iter().map(|member| member.service.as_str()).collect();
    if let Some(unknown) = services.iter().find(|service| !known.contains(service.as_str())) {
        return Err(no_service(project, unknown, &known));
    }
    drop(known);
    all.retain(|member| {
        (one_off == OneOff::With || !member.one_off) && (services.is_empty() || services.contains(&member.service))
    });
    Ok(all)
}

fn no_service(project: &str, service: &str, known: &BTreeSet<&str>) -> Error {
    let known = few(known.iter().map(|name| (*name).to_owned()).collect(), NAMED);
    Error::not_found(format!("project {} has no service {}", quote(project), quote(service)))
        .hint(format!("services: {}", known.join(", ")))
}

/// The container of a service with a number; without one the first that runs, else the first.
///
/// # Errors
/// As [`members`]; `not_found` where the service has none of that number.
pub(super) async fn one(docker: &Docker, project: &str, service: &str, index: Option<u64>) -> Result<Member> {
    let members = members(docker, project, &[service.to_owned()], OneOff::Without).await?;
    let numbers = few(members.iter().map(|member| member.number.to_string()).collect(), NAMED).join(", ");
    let position = match index {
        Some(index) => members.iter().position(|member| member.number == index),
        None => members.iter().position(Member::is_alive).or(Some(0)),
    };
    position.and_then(|position| members.into_iter().nth(position)).ok_or_else(|| {
        let which = index.map(|index| format!(" number {index}")).unwrap_or_default();
        Error::not_found(format!("service {} has no container{which}", quote(service))).hint(if numbers.is_empty() {
            "compose_ps shows what there is".to_owned()
        } else {
            format!("numbers: {numbers}")
        })
    })
}

/// The services named, and all that they wait for, which compose starts first.
pub(super) fn with_dependencies(members: &[Member], services: &[String]) -> BTreeSet<String> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in members {
        needs.entry(&member.service).or_default().extend(member.dependencies());
    }
    let mut found = BTreeSet::new();
    let mut rest: Vec<&str> = services.iter().map(String::as_str).collect();
    while let Some(service) = rest.pop() {
        if found.insert(service.to_owned()) {
            rest.extend(needs.get(service).into_iter().flatten().copied());
        }
    }
    found
}

/// What a container belongs to, as its document tells.
pub(super) fn service_of(container: &Object) -> String {
    clipped(own(container, SERVICE), LONGEST)
}

/// What it is called in front of its lines: `web-1`.
pub(super) fn short(container: &Object) -> String {
    format!("{}-{}", service_of(container), clipped(own(container, NUMBER), LONGEST))
}

fn own<'a>(container: &'a Object, label: &str) -> &'a str {
    container.fact("/Config/Labels").map(|labels| text(labels, label)).unwrap_or_default()
}

/// The containers as objects, each with its whole document; what has gone meanwhile is left out.
///
/// # Errors
/// Those of the daemon.
pub(super) async fn objects(docker: &Docker, members: &[Member]) -> Result<Vec<Object>> {
    let mut found = Vec::new();
    for member in members {
        match docker.container("project", member.id()).await {
            Ok(object) => found.push(object),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::project::containers::{ONE_OFF, PROJECT};

    fn member(service: &str, number: u64, depends_on: &str) -> Member {
        let labels = json!({SERVICE: service, NUMBER: number.to_string(), ONE_OFF: "False", DEPENDS_ON: depends_on});
        let row = json!({"Id": format!("{service}{number}"), "State": "running", "Labels": labels});
        Member::of(Container::of(row)).unwrap()
    }

    #[test]
    fn a_row_says_what_it_is_in_its_project() {
        let web = member("web", 2, "");
        assert_eq!((web.number, web.one_off, web.is_alive()), (2, false, true));
        let once = Container::of(json!({"Labels": {SERVICE: "web", ONE_OFF: "True", NUMBER: "x"}}));
        let once = Member::of(once).unwrap();
        assert_eq!((once.one_off, once.number, once.is_alive()), (true, 0, false));
        for row in [json!({}), json!({"Labels": null}), json!({"Labels": {PROJECT: "shop"}})] {
            assert!(Member::of(Container::of(row)).is_none());
        }
    }

    #[test]
    fn what_a_service_waits_for_is_started_too() {
        let members = [
            member("web", 1, "api:service_started:false"),
            member("api", 1, "db:service_healthy:true,cache:service_started:false"),
            // In a circle, which compose would not make.
            member("db", 1, "api:service_started:false"),
            member("cache", 1, ""),
            member("other", 1, ""),
        ];
        let with = |service: &str| with_dependencies(&members, &[service.to_owned()]);
        assert_eq!(with("web").into_iter().collect::<Vec<_>>(), ["api", "cache", "db", "web"]);
        assert_eq!(with("cache").into_iter().collect::<Vec<_>>(), ["cache"]);
    }
}
