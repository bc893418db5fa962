//! How far a compose project has come: the states of its containers as one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    docker::{Docker, Filters, Target},
    error::{Error, Result},
    tool::{Object, ObjectKind},
    tools::{
        listing::Labels,
        view::{clipped, filter, text},
    },
};

/// All containers of a project as one; those of `compose run` do not count.
pub(super) async fn look(docker: &Docker, name: &str) -> Result<Object> {
    filter("target", name)?;
    let labels = Labels::default().project(Some(name));
    let target = Target::new("/containers/json")
        .only(&["State", "Status", "Labels"])
        .query("all", "1")
        .filters(&labels.filters(Filters::default()));
    let listed = docker.json(target).await?;
    let is_once = |row: &Value| {
        row.get("Labels").is_some_and(|labels| text(labels, "com.docker.compose.oneoff").eq_ignore_ascii_case("true"))
    };
    let rows = listed.as_array().into_iter().flatten().filter(|row| labels.fit(row) && !is_once(row));
    let state = state(rows).ok_or_else(|| Error::not_found("there is no such project"))?;
    Ok(Object::listed(ObjectKind::Container, name.to_owned(), name.to_owned(), json!({"State": state})))
}

/// As the state of one container is told: `running` when all of them run, `exited` when all have ended.
fn state<'a>(rows: impl Iterator<Item = &'a Value>) -> Option<Value> {
    let (mut counts, mut checks) = (BTreeMap::<String, usize>::new(), Vec::new());
    for row in rows {
        *counts.entry(clipped(text(row, "State"), 50)).or_default() += 1;
        let check = text(row, "Status").rsplit_once('(').map(|(_, rest)| rest.trim_end_matches(')'));
        checks.extend(check.filter(|check| matches!(*check, "healthy" | "unhealthy" | "health: starting")));
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
        all if all.contains(&"health: starting") || status != "running" => "starting",
        _ => "healthy",
    };
    Some(json!({"Status": status, "Health": {"Status": health}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_what_all_its_containers_are() {
        let row = |state: &str, status: &str| json!({"State": state, "Status": status});
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
            assert_eq!((text(&state, "Status"), text(&state["Health"], "Status")), (status, health), "{state}");
        }
        assert_eq!(state(std::iter::empty()), None);
    }
}
