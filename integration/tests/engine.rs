//! The engine behind a link, past the gateway: the docker CLI looks at it, makes what no tool makes, cleans up.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::rig::{Link, lab};

/// Runs the CLI against the engine behind a link and answers what it printed.
#[track_caller]
pub fn docker(link: Link, arguments: &[&str]) -> String {
    let output = command(link, arguments).output().expect("the docker CLI");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The same with a text on its standard input.
#[track_caller]
pub fn docker_reading(link: Link, arguments: &[&str], input: &str) -> String {
    let mut child = command(link, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the docker CLI");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("its input");
    let output = child.wait_with_output().expect("the docker CLI");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes an image out of so many random bytes, so that no other image shares its layer; answers its id.
#[track_caller]
pub fn image(link: Link, reference: &str, size: usize, changes: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let archive: PathBuf = directory.path().join("layer.tar");
    let script = format!("head -c {size} /dev/urandom > \"$0/data\" && tar -C \"$0\" -cf \"$0/layer.tar\" data");
    let made = Command::new("sh").args(["-c", &script]).arg(directory.path()).status().expect("sh");
    assert!(made.success());
    let mut arguments = vec!["import"];
    arguments.extend(changes.iter().flat_map(|change| ["--change", change]));
    arguments.extend(["-", reference]);
    let mut import = command(link, &arguments);
    let output = import.stdin(File::open(archive).expect("the archive")).output().expect("the docker CLI");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn command(link: Link, arguments: &[&str]) -> Command {
    let mut command = Command::new(lab("LAB_DOCKER"));
    command
        .args(arguments)
        .env("DOCKER_HOST", format!("unix://{}", link.socket()))
        .env("HOME", lab("LAB_HOME"))
        // The classic builder: no plugin is needed.
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::null());
    command
}

/// The engine behind a link, for tests that make and look at one container after the other.
pub struct Engine {
    link: Link,
}

impl Engine {
    /// The engine behind a link, over its own unix socket.
    pub fn of(link: Link) -> Self {
        Self { link }
    }

    /// Runs the docker CLI and answers what it said.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        docker(self.link, arguments)
    }

    /// Starts a container of the lab's image with options and a shell script; it goes when the value does.
    #[track_caller]
    pub fn run(&self, name: String, options: &[&str], script: &str) -> Container {
        self.container(&["run", "-d"], name, options, script)
    }

    /// Makes a container without starting it.
    #[track_caller]
    pub fn create(&self, name: String, options: &[&str], script: &str) -> Container {
        self.container(&["create"], name, options, script)
    }

    #[track_caller]
    fn container(&self, how: &[&str], name: String, options: &[&str], script: &str) -> Container {
        let mut scrap = Scrap::on(self.link);
        scrap.container(name.clone());
        let image = lab("LAB_IMAGE");
        self.docker(&[how, &["--name", &name], options, &[&image, "sh", "-c", script]].concat());
        Container { link: self.link, name, _scrap: scrap }
    }
}

/// A container of a test.
pub struct Container {
    link: Link,
    pub name: String,
    _scrap: Scrap,
}

impl Container {
    /// Runs a script inside.
    #[track_caller]
    pub fn exec(&self, script: &str) -> String {
        docker(self.link, &["exec", &self.name, "sh", "-c", script])
    }
}

/// Removes what a test made when it ends, however it ends.
pub struct Scrap {
    link: Link,
    things: Vec<(&'static str, String)>,
}

impl Scrap {
    /// Nothing yet.
    pub fn on(link: Link) -> Self {
        Self { link, things: Vec::new() }
    }

    /// Runs a container of the lab's image with `docker run -d`; answers its id.
    #[track_caller]
    pub fn run(&mut self, name: &str, options: &[&str], command: &[&str]) -> String {
        self.container(name);
        let image = lab("LAB_IMAGE");
        docker(self.link, &[&["run", "-d", "--name", name], options, &[image.as_str()], command].concat())
    }

    /// A container, removed before everything else.
    pub fn container(&mut self, name: impl Into<String>) {
        self.things.push(("container", name.into()));
    }

    /// An image by reference or id.
    pub fn image(&mut self, reference: impl Into<String>) {
        self.things.push(("image", reference.into()));
    }

    /// A network.
    pub fn network(&mut self, name: impl Into<String>) {
        self.things.push(("network", name.into()));
    }

    /// A volume.
    pub fn volume(&mut self, name: impl Into<String>) {
        self.things.push(("volume", name.into()));
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        self.things.sort_by_key(|(kind, _)| *kind != "container");
        for (kind, name) in &self.things {
            let arguments = match *kind {
                "container" => vec!["rm", "--force", "--volumes", name],
                "image" => vec!["rmi", "--force", name],
                kind => vec![kind, "rm", name],
            };
            // Most of it is gone already.
            command(self.link, &arguments).output().ok();
        }
    }
}
