//! The containers that compose made, as the engine lists them, and the labels that it gives them.

use crate::{
    docker::{Container, Docker, Filters, Target},
    error::Result,
    tools::listing::Labels,
};

/// The label by which the containers and volumes of a project know each other.
pub(crate) const PROJECT: &str = "com.docker.compose.project";
/// The label that says which of its services a container is.
pub(crate) const SERVICE: &str = "com.docker.compose.service";
/// The label with its number in its service.
pub(crate) const NUMBER: &str = "com.docker.compose.container-number";
/// The label of what it needs: `db:service_healthy:false,...`.
pub(crate) const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The label with the files that define its project, with commas between them.
pub(crate) const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// The label that says whether `compose run` made it.
pub(crate) const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Those of them that are read.
pub(crate) const LABELS: &[&str] = &[PROJECT, SERVICE, NUMBER, DEPENDS_ON, CONFIG_FILES, ONE_OFF];

/// The containers of every project; the engine hears no name, for guesses would be answered.
pub(crate) async fn of_all(docker: &Docker) -> Result<Vec<Container>> {
    let filters = Filters::default().with("label", [PROJECT]);
    docker.list_containers(Target::new("/containers/json").query("all", "1").filters(&filters), LABELS).await
}

/// The containers of a project, whatever they are for it.
pub(crate) async fn of(docker: &Docker, project: &str) -> Result<Vec<Container>> {
    let labels = Labels::default().project(Some(project));
    Ok(of_all(docker).await?.into_iter().filter(|container| labels.fit_container(container)).collect())
}

/// Whether `compose run` made it.
pub(crate) fn is_one_off(container: &Container) -> bool {
    container.label(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What the status of a container says of its health: `Up 2 minutes (healthy)`.
pub(crate) fn health(status: &str) -> Option<&'static str> {
    let inside = status.rsplit_once('(')?.1.trim_end_matches(')');
    match inside {
        "healthy" => Some("healthy"),
        "unhealthy" => Some("unhealthy"),
        "health: starting" => Some("starting"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_stands_in_the_status() {
        for (status, expected) in [
            ("Up 2 minutes (healthy)", Some("healthy")),
            ("Up 3 hours (unhealthy)", Some("unhealthy")),
            ("Up 1 second (health: starting)", Some("starting")),
            ("Up 2 minutes (Paused)", None),
            ("Exited (0) 3 hours ago", None),
            ("Up 2 minutes", None),
            ("", None),
        ] {
            assert_eq!(health(status), expected, "{status}");
        }
    }
}
