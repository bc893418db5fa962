//! Compose projects through the gateway; what a person would have made with the CLI, and what removes it again.

mod running;

use crate::{
    engine::{docker, docker_reading},
    rig::{Link, lab},
};

/// A project of the lab's own CLI, past the gateway; it is gone from its engine when the value is.
pub(crate) struct Project {
    link: Link,
    pub(crate) name: String,
    file: String,
}

impl Project {
    /// A project that was not made yet; `IMAGE` in its file is the lab's.
    pub(crate) fn new(link: Link, name: String, file: &str) -> Self {
        Self { link, name, file: file.replace("IMAGE", &lab("LAB_IMAGE")) }
    }

    /// Runs compose with its file.
    #[track_caller]
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        let all = [&["compose", "-p", &self.name, "-f", "-"], arguments].concat();
        docker_reading(self.link, &all, &self.file)
    }

    /// The id of the container of a service with a number.
    #[track_caller]
    pub(crate) fn id(&self, service: &str, number: usize) -> String {
        let number = number.to_string();
        let mut arguments = vec!["ps".to_owned(), "-aq".to_owned(), "--no-trunc".to_owned()];
        for (name, value) in [("project", self.name.as_str()), ("service", service), ("container-number", &number)] {
            arguments.extend(["--filter".to_owned(), format!("label=com.docker.compose.{name}={value}")]);
        }
        docker(self.link, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What a template makes of the container of a service.
    #[track_caller]
    pub(crate) fn inspect(&self, service: &str, template: &str) -> String {
        docker(self.link, &["inspect", "--format", template, &self.id(service, 1)])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project={}", self.name);
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-fv"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let ids = docker(self.link, &[list, &["--filter", &label]].concat());
            for id in ids.lines() {
                docker(self.link, &[remove, &[id]].concat());
            }
        }
    }
}
