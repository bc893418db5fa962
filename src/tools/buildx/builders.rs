//! The builders of a host: the engine's own, and those in containers, which buildx keeps in our state directory.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::PathBuf,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::PLUGIN;
use crate::{
    docker::{Docker, cli::Cli, names::quote},
    error::{Error, Kind, Result},
    tool::{BodyKind, Call, Permission, Plan},
};

/// The engine's own builder.
pub(super) const DEFAULT: &str = "default";
/// The image that a builder in a container has by itself.
const IMAGE: &str = "moby/buildkit:buildx-stable-1";
/// The driver of builders in containers.
const CONTAINER: &str = "docker-container";
/// The longest name of a builder.
const LONGEST: usize = 60;

/// Where buildx keeps the builders of a host; nowhere beyond a run for an account without a home.
pub(super) struct Builders {
    directory: Option<PathBuf>,
}

/// A builder.
#[derive(Debug, Clone)]
pub(super) struct Builder {
    pub(super) name: String,
    nodes: Vec<Node>,
}

/// A builder as buildx writes it down.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    #[serde(default)]
    driver: String,
    #[serde(default)]
    nodes: Option<Vec<Node>>,
}

/// One container of a builder.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    name: String,
    #[serde(default)]
    driver_opts: Option<Value>,
}

impl Node {
    /// The name of its container, as buildx gives it.
    fn container(&self) -> String {
        format!("buildx_buildkit_{}", self.name)
    }

    fn image(&self) -> &str {
        self.driver_opts.as_ref().and_then(|options| options.get("image")?.as_str()).unwrap_or(IMAGE)
    }
}

impl Builders {
    /// Those of a host; the directory is made where it is missing.
    pub(super) fn of(docker: &Docker, call: &Call) -> Result<Self> {
        let Ok(state) = call.state() else { return Ok(Self { directory: None }) };
        let directory = state.join(PLUGIN).join(docker.host());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))).map_err(|error| {
            Error::config("the builders of the host cannot be kept")
                .hint("ask the person to look at the state directory of Quaymaster")
                .detail(error.to_string())
        })?;
        Ok(Self { directory: Some(directory) })
    }

    /// Refuses where a builder would not outlive the call.
    pub(super) fn kept(&self, call: &Call) -> Result<()> {
        if self.directory.is_some() { Ok(()) } else { call.state().map(drop) }
    }

    /// A run of buildx that knows these builders and no others.
    pub(super) fn cli(&self, docker: &Docker, call: &Call) -> Result<Cli> {
        let cli = docker
            .cli(call.programs(), Some(PLUGIN))?
            // The configuration of a repository can name programs, and git would run them here.
            .variable("BUILDX_GIT_INFO", "false")
            .variable("BUILDX_GIT_LABELS", "false")
            // Every path was looked at before.
            .variable("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
            .variable("BUILDX_METADATA_PROVENANCE", "disabled");
        Ok(match &self.directory {
            Some(directory) => cli.variable("BUILDX_CONFIG", directory.display().to_string()),
            None => cli,
        })
    }

    /// The builder that was asked for, else the one that `buildx_use` chose, else the engine's own.
    pub(super) fn named(&self, given: Option<&str>) -> Result<Builder> {
        let chosen = || self.chosen().filter(|name| self.read(name).is_some());
        let name = given.map(str::to_owned).or_else(chosen).unwrap_or_else(|| DEFAULT.to_owned());
        if name == DEFAULT {
            return Ok(Builder { name, nodes: Vec::new() });
        }
        named("builder", &name)?;
        let Some(instance) = self.read(&name) else {
            return Err(Error::not_found(format!("the host has no builder {}", quote(&name)))
                .hint("buildx_ls shows those that there are, buildx_create makes one"));
        };
        if instance.driver != CONTAINER {
            return Err(Error::unsupported(format!(
                "builder {} is of another kind: {}",
                quote(&name),
                instance.driver
            ))
            .hint("use a builder that buildx_create has made"));
        }
        Ok(Builder { name, nodes: instance.nodes.unwrap_or_default() })
    }

    /// Every builder, the engine's own first.
    pub(super) fn all(&self) -> Vec<Builder> {
        let entries = self.directory.as_ref().and_then(|directory| fs::read_dir(directory.join("instances")).ok());
        let mut names: Vec<String> =
            entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let kept = names.iter().filter_map(|name| self.named(Some(name)).ok());
        [Builder { name: DEFAULT.to_owned(), nodes: Vec::new() }].into_iter().chain(kept).collect()
    }

    /// The builder that was chosen, if it still is there.
    pub(super) fn chosen(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Current {
            #[serde(default)]
            name: String,
        }
        let text = fs::read(self.directory.as_ref()?.join("current")).ok()?;
        let current: Current = serde_json::from_slice(&text).ok()?;
        (!current.name.is_empty()).then_some(current.name)
    }

    /// Makes builders that were just made belong to the host: buildx has written down the socket of one run.
    pub(super) fn settle(&self, name: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join("instances").join(name);
        let settled = || -> std::io::Result<()> {
            let mut instance: Value = serde_json::from_slice(&fs::read(&path)?)?;
            for node in instance.get_mut("Nodes").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(endpoint) = node.get_mut("Endpoint") {
                    *endpoint = json!(DEFAULT);
                }
            }
            let beside = path.with_extension("new");
            fs::write(&beside, instance.to_string())?;
            fs::rename(beside, &path)
        };
        settled().map_err(|error| {
            Error::docker("buildx has kept the builder in a way that is not known").detail(error.to_string())
        })
    }

    fn read(&self, name: &str) -> Option<Instance> {
        let path = self.directory.as_ref()?.join("instances").join(name);
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

impl Builder {
    /// One that is about to be made.
    pub(super) fn new(name: &str, image: Option<&str>) -> Self {
        let options = image.map(|image| json!({ "image": image }));
        Self { name: name.to_owned(), nodes: vec![Node { name: format!("{name}0"), driver_opts: options }] }
    }

    /// Whether it is the engine's own.
    pub(super) fn is_default(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What using it needs: the channel, and of one in a container the container, which is made where it is missing.
    pub(super) async fn planned(&self, plan: Plan, reading: &Docker) -> Result<Plan> {
        let mut plan = plan.opening();
        for node in &self.nodes {
            plan = [Permission::Create, Permission::Lifecycle, Permission::Exec, Permission::Files]
                .into_iter()
                .fold(plan, Plan::needing);
            match reading.container("builder", &node.container()).await {
                Ok(container) => plan = plan.on([container]).entering(),
                Err(error) if error.kind() == Kind::NotFound => {
                    plan = plan.using(node.image()).sending(BodyKind::Container, &body(node))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(plan)
    }
}

impl Builder {
    /// What removing it needs: its containers, as far as they are there, are stopped and removed.
    pub(super) async fn removed(&self, plan: Plan, reading: &Docker) -> Result<Plan> {
        let mut plan = plan.opening().needing(Permission::Create).needing(Permission::Lifecycle);
        for node in &self.nodes {
            match reading.container("builder", &node.container()).await {
                Ok(container) => plan = plan.on([container]),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(plan)
    }
}

/// What buildx asks of the engine for the container of a builder.
fn body(node: &Node) -> Value {
    let state = format!("{}_state", node.container());
    json!({
        "Image": node.image(),
        "HostConfig": {
            "Privileged": true,
            "CgroupParent": "/docker/buildx",
            "RestartPolicy": {"Name": "unless-stopped"},
            "Mounts": [{"Type": "volume", "Source": state, "Target": "/var/lib/buildkit"}],
        },
    })
}

/// A name that a builder can have.
pub(super) fn named<'a>(argument: &str, name: &'a str) -> Result<&'a str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let fits = name.len() <= LONGEST && name.starts_with(|first: char| first.is_ascii_alphabetic());
    if fits && name.chars().all(plain) {
        return Ok(name);
    }
    Err(Error::invalid(format!("argument \"{argument}\": {} is no name of a builder", quote(name)))
        .hint("at most 60 letters, digits, \".\", \"_\" and \"-\", a letter first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builders(directory: &std::path::Path) -> Builders {
        fs::create_dir_all(directory.join("instances")).unwrap();
        Builders { directory: Some(directory.to_owned()) }
    }

    #[test]
    fn the_chosen_builder_is_taken_while_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let builders = builders(directory.path());
        assert_eq!(builders.named(None).unwrap().name, DEFAULT);
        fs::write(directory.path().join("current"), r#"{"Key":"unix:///x","Name":"bob","Global":true}"#).unwrap();
        assert_eq!(builders.named(None).unwrap().name, DEFAULT);
        let bob = r#"{"Name":"bob","Driver":"docker-container","Nodes":[{"Name":"bob0","Endpoint":"unix:///tmp/x.sock",
            "DriverOpts":{"image":"lab/buildkit:1"}}],"Dynamic":false}"#;
        fs::write(directory.path().join("instances/bob"), bob).unwrap();
        let chosen = builders.named(None).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.nodes[0].image()), ("bob", "lab/buildkit:1"));
        assert_eq!(builders.named(Some(DEFAULT)).unwrap().name, DEFAULT);
        builders.settle("bob").unwrap();
        let kept = fs::read_to_string(directory.path().join("instances/bob")).unwrap();
        assert!(kept.contains(r#""Endpoint":"default""#) && !kept.contains("x.sock"), "{kept}");
        let all: Vec<String> = builders.all().into_iter().map(|builder| builder.name).collect();
        assert_eq!(all, [DEFAULT, "bob"]);
    }

    #[test]
    fn strange_names_and_drivers_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let builders = builders(directory.path());
        for name in ["../x", "-x", "", "a/b", "9a", "x y"] {
            assert_eq!(builders.named(Some(name)).unwrap_err().kind(), Kind::Invalid, "{name}");
        }
        assert_eq!(builders.named(Some("nobody")).unwrap_err().kind(), Kind::NotFound);
        fs::write(directory.path().join("instances/far"), r#"{"Name":"far","Driver":"remote","Nodes":[]}"#).unwrap();
        assert_eq!(builders.named(Some("far")).unwrap_err().kind(), Kind::Unsupported);
    }
}
