//! An engine looked at and set up directly, past the gateway, with the docker CLI.

#![expect(clippy::expect_used, reason = "a test fails by it")]

use std::process::Command;

use crate::rig::{Link, lab};

/// The engine behind a link.
pub(crate) struct Engine {
    socket: String,
}

impl Engine {
    /// The engine behind a link, over its own unix socket.
    pub(crate) fn of(link: Link) -> Self {
        Self { socket: format!("unix://{}", link.socket()) }
    }

    /// Runs the docker CLI and answers what it said.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new(lab("LAB_DOCKER")).arg("-H").arg(&self.socket).args(arguments).output();
        let output = output.expect("the docker CLI");
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts a container of the lab's image with options and a shell script; it goes when the value does.
    #[track_caller]
    pub(crate) fn run(&self, name: String, options: &[&str], script: &str) -> Container<'_> {
        let image = lab("LAB_IMAGE");
        let mut arguments = vec!["run", "-d", "--name", &name];
        arguments.extend(options);
        arguments.extend([image.as_str(), "sh", "-c", script]);
        self.docker(&arguments);
        Container { engine: self, name }
    }

    /// Makes a container without starting it.
    #[track_caller]
    pub(crate) fn create(&self, name: String, options: &[&str], script: &str) -> Container<'_> {
        let image = lab("LAB_IMAGE");
        let mut arguments = vec!["create", "--name", &name];
        arguments.extend(options);
        arguments.extend([image.as_str(), "sh", "-c", script]);
        self.docker(&arguments);
        Container { engine: self, name }
    }
}

/// A container of a test.
pub(crate) struct Container<'a> {
    engine: &'a Engine,
    pub(crate) name: String,
}

impl Container<'_> {
    /// Runs a script inside.
    #[track_caller]
    pub(crate) fn exec(&self, script: &str) -> String {
        self.engine.docker(&["exec", &self.name, "sh", "-c", script])
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let mut command = Command::new(lab("LAB_DOCKER"));
        command.args(["-H", &self.engine.socket, "rm", "-f", "-v", &self.name]).output().ok();
    }
}
/// Runs the docker CLI on the engine's own socket; answers its output.
#[track_caller]
pub fn docker(link: Link, arguments: &[&str]) -> String {
    let output = Command::new(lab("LAB_DOCKER"))
        .env("DOCKER_CONFIG", lab("LAB_DIR"))
        .args(["-H", &format!("unix://{}", link.socket())])
        .args(arguments)
        .output()
        .expect("the docker CLI");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a test made, removed when it ends, however it ends.
pub struct Made {
    link: Link,
    removals: Vec<Vec<String>>,
}

impl Made {
    pub fn new(link: Link) -> Self {
        Self { link, removals: Vec::new() }
    }

    /// Runs a container of the lab's image with `docker run -d`; answers its id.
    #[track_caller]
    pub fn run(&mut self, name: &str, options: &[&str], command: &[&str]) -> String {
        self.remove_later(&["rm", "-f", "-v", name]);
        let image = lab("LAB_IMAGE");
        docker(self.link, &[&["run", "-d", "--name", name], options, &[image.as_str()], command].concat())
    }

    /// Remembers how something goes away; the last made goes first.
    pub fn remove_later(&mut self, arguments: &[&str]) {
        self.removals.push(arguments.iter().map(|argument| (*argument).to_owned()).collect());
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for removal in self.removals.iter().rev() {
            Command::new(lab("LAB_DOCKER"))
                .args(["-H", &format!("unix://{}", self.link.socket())])
                .args(removal)
                .output()
                .ok();
        }
    }
}
