//! How far a compose project has come: the states of its containers as one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    docker::{Container, Docker},
    error::{Error, Result},
    tool::{Object, ObjectKind},
    tools::{
        project::containers::{self, health},
        view::{clipped, filter},
    },
};

/// All containers of a project as one; those of `compose run` do not count.
pub(super) async fn look(docker: &Docker, name: &str) -> Result<Object> {
    filter("target", name)?;
    let all = containers::of(docker, name).await?;
    let of_services = all.iter().filter(|container| !containers::is_one_off(container));
    let state = state(of_services).ok_or_else(|| Error::not_found("there is no such project"))?;
    Ok(Object::listed(ObjectKind::Container, name.to_owned(), name.to_owned(), json!({"State": state})))
}

/// As the state of one container is told: `running` when all of them run, `exited` when all have ended.
fn state<'a>(containers: impl Iterator<Item = &'a Container>) -> Option<Value> {
    let (mut counts, mut checks) = (BTreeMap::<String, usize>::new(), Vec::new());
    for container in containers {
        *counts.entry(clipped(&container.state, 50)).or_default() += 1;
        checks.extend(health(&container.status));
    }
    let status = match counts.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => return None,
        [one] => (*one).to_owned(),
        ["dead", "exited"] => "exited".to_owned(),
        _ => counts.iter().map(|(state, number)| format!("{state}({number})")).collect::<Vec<_>>().join(", "),
    };
    let health = match checks.as_slice() {
        [] => "none",
        all if all.contains(&"unhealthy") => "unhealthy",
        all if all.contains(&"starting") || status != "running" => "starting",
        _ => "healthy",
    };
    Some(json!({"Status": status, "Health": {"Status": health}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_what_all_its_containers_are() {
        let row = |state: &str, status: &str| Container::of(json!({"State": state, "Status": status}));
        let (plain, healthy) = (row("running", "Up 2 minutes"), row("running", "Up 2 minutes (healthy)"));
        let (starting, bad) = (row("running", "Up 1 second (health: starting)"), row("running", "Up (unhealthy)"));
        let (ended, dead) = (row("exited", "Exited (0) 2 minutes ago"), row("dead", "Dead"));
        for (rows, status, health) in [
            (vec![&plain, &plain], "running", "none"),
            (vec![&plain, &healthy], "running", "healthy"),
            (vec![&starting, &healthy], "running", "starting"),
            (vec![&starting, &bad], "running", "unhealthy"),
            (vec![&healthy, &ended], "exited(1), running(1)", "starting"),
            (vec![&ended, &ended], "exited", "none"),
            (vec![&ended, &dead], "exited", "none"),
        ] {
            let state = state(rows.into_iter()).unwrap();
            assert_eq!(state, json!({"Status": status, "Health": {"Status": health}}));
        }
        assert_eq!(state(std::iter::empty()), None);
    }
}
