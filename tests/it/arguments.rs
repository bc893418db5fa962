//! Arguments for any tool, made from its input schema: sensible ones, and thrown with dice.

use quaymaster::{gateway::catalogue::Entry, tool::Json};
use serde_json::{Value, json};

use crate::hostile::properties;

/// What there is on the host that a call could name.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) container: String,
    pub(crate) image: String,
    pub(crate) network: String,
    /// A network that nobody is connected to.
    pub(crate) spare: String,
    pub(crate) volume: String,
    /// A node of its swarm, and a secret and a config that it keeps.
    pub(crate) node: String,
    pub(crate) secret: String,
    pub(crate) config: String,
    /// A secret of the operator's.
    pub(crate) stored: String,
    /// In front of every name that a call invents.
    pub(crate) prefix: String,
}

/// Arguments that a sensible caller would give: what is required, and what keeps it short.
pub(crate) fn plausible(entry: &Entry, world: &World) -> Json {
    let required: Vec<&str> = entry
        .card
        .input()
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let is_wanted = |name: &str, schema: &Value| {
        let lists_objects = ["containers", "images", "networks", "volumes", "services", "container"].contains(&name);
        let is_wait = ["timeout", "wait", "follow_for"].contains(&name) && schema["type"] == "integer";
        required.contains(&name) || is_wait || (lists_objects && schema["type"] == "array")
    };
    let mut arguments: Json = properties(entry)
        .filter(|(name, schema)| is_wanted(name, schema))
        .map(|(name, schema)| (name.to_owned(), value(entry, name, schema, world)))
        .collect();
    // One of several ways to say it, none of them required by the schema.
    let one_of_several = match entry.card.name {
        "exec_in_container" => ("command", json!(["true"])),
        "build_image" | "buildx_build" => ("dockerfile_content", json!("FROM lab/base:1\nRUN true\n")),
        "update_container" => ("memory", json!("64m")),
        "update_service" => ("image", json!(world.image)),
        "connect_network" => ("network", json!(world.spare)),
        "remove_network" => ("networks", json!([world.spare])),
        "create_config" => ("content", json!("listen 80\n")),
        "update_node" => ("availability", json!("drain")),
        "update_swarm" => ("task_history", json!(3)),
        "inspect_config" => ("payload", json!(true)),
        "put_container_archive" => ("content", json!("x")),
        "import_image" => ("from", json!("bundle.tar")),
        "buildx_bake" => ("definition", json!("{\"target\": {\"a\": {\"dockerfile-inline\": \"FROM lab/base:1\"}}}")),
        "buildx_rm" => ("keep_state", json!(true)),
        "compose_port" => ("port", json!(80)),
        "compose_config" | "compose_up" | "compose_build" | "compose_pull" | "compose_run" | "stack_deploy" => {
            ("yaml", json!("services: {web: {image: lab/base:1}}"))
        }
        // It is a manager; it runs.
        "leave_swarm" | "remove_container" => ("force", json!(true)),
        _ => return arguments,
    };
    arguments.insert(one_of_several.0.into(), one_of_several.1);
    arguments
}

fn value(entry: &Entry, name: &str, schema: &Value, world: &World) -> Value {
    let first = schema.pointer("/enum/0").cloned();
    match (name, schema["type"].as_str().unwrap_or_default()) {
        ("until", "string") if first.is_some() => "running".into(),
        (_, "string") if first.is_some() => first.unwrap_or_default(),
        ("container" | "target", "string") => world.container.as_str().into(),
        ("containers", "array") => json!([world.container]),
        ("images", "array") => json!([world.image]),
        ("networks", "array") => json!([world.network]),
        ("volumes", "array") => json!([world.volume]),
        ("service", "string") if entry.toolset == "compose" => "web".into(),
        ("services", "array") if entry.toolset == "compose" => json!(["web"]),
        ("service", "string") => "api".into(),
        ("services", "array") => json!(["api"]),
        ("project" | "stack", "string") => "shop".into(),
        ("node", "string") => world.node.as_str().into(),
        ("secret", "string") => world.secret.as_str().into(),
        ("config", "string") => world.config.as_str().into(),
        ("nodes", "array") => json!([world.node]),
        ("secrets", "array") => json!([world.secret]),
        ("configs", "array") => json!([world.config]),
        ("from", "string") if entry.toolset == "swarm" => world.stored.as_str().into(),
        ("to", "string") if entry.toolset == "swarm" => format!("{}kept", world.prefix).into(),
        ("image", "string") if ["commit_container", "import_image"].contains(&entry.card.name) => {
            format!("{}made", world.prefix).into()
        }
        ("image", "string") => world.image.as_str().into(),
        ("plugin" | "remote", "string") => "lab/plugin:1".into(),
        ("env", "object") if entry.card.name == "configure_plugin" => json!({"DEBUG": "1"}),
        ("network", "string") => world.network.as_str().into(),
        ("volume", "string") => world.volume.as_str().into(),
        ("tag", "string") => format!("{}tagged:1", world.prefix).into(),
        ("path", "string") => "/etc/hosts".into(),
        ("to", "string") if entry.card.name == "scout_compare" => world.image.as_str().into(),
        ("from", "string") if entry.card.name == "compose_cp" => "web:/etc/hosts".into(),
        ("from", "string") => "bundle.tar".into(),
        ("to", "string") => "made.tar".into(),
        ("builder", "string") => "default".into(),
        ("context", "string") if entry.toolset == "context" => format!("{}new", world.prefix).into(),
        ("endpoint", "string") => "ssh://ops@prod.example.com".into(),
        ("build", "string") => "rg5syrb3yklgosnpaazevbabk".into(),
        ("tags" | "sources", "array") if entry.toolset == "buildx" => json!([world.image]),
        ("tool", "string") => "list_hosts".into(),
        ("name", "string") if entry.card.name == "read_tool" => "list_containers".into(),
        ("name", "string") if entry.card.name == "call_tool" => "list_volumes".into(),
        ("name", "string") => format!("{}new", world.prefix).into(),
        (_, "string") => "busybox".into(),
        ("command", "array") => json!(["true"]),
        (_, "array") => json!(["x"]),
        (_, "object") => json!({}),
        (_, "boolean") => json!(false),
        (_, "integer") => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        _ => json!(1),
    }
}

/// Whether a property names an object that has to exist, or one that is to be made, and so reaches a path or is
/// refused by its grammar. A filter of a list is text to compare with.
pub(crate) fn names_an_object(tool: &str, property: &str) -> bool {
    const FILTERS: [&str; 3] = ["events", "find", "search_images"];
    // The name of a network is a text that stands in a body; the engine itself allows nearly anything.
    const TEXTS: [(&str, &str); 1] = [("create_network", "name")];
    let is_name = [
        "container",
        "containers",
        "image",
        "images",
        "network",
        "networks",
        "volume",
        "volumes",
        "service",
        "services",
        "node",
        "nodes",
        "secret",
        "secrets",
        "config",
        "configs",
        "name",
        "tag",
        "plugin",
        "remote",
        "alias",
    ];
    is_name.contains(&property)
        && !tool.starts_with("list_")
        && !FILTERS.contains(&tool)
        && !TEXTS.contains(&(tool, property))
}

/// Whether a text with a slash may be a fine name there: references of images and names of networks have them.
pub(crate) fn may_have_slashes(property: &str) -> bool {
    ["image", "images", "tag", "network", "networks", "plugin", "remote", "alias"].contains(&property)
}

/// A small generator of numbers (xorshift), the same on every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.throw(from.len())].clone()
    }
}

/// Arguments of the right types, thrown with dice: some left out, some strange, some at their limits.
pub(crate) fn thrown(entry: &Entry, world: &World, dice: &mut Dice) -> Json {
    let mut arguments = plausible(entry, world);
    for (name, schema) in properties(entry) {
        if dice.throw(3) == 0 {
            let thrown = throw(name, schema, world, dice);
            arguments.insert(name.to_owned(), thrown);
        }
    }
    arguments
}

fn throw(name: &str, schema: &Value, world: &World, dice: &mut Dice) -> Value {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return dice.pick(values);
    }
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => (dice.throw(2) == 0).into(),
        // Nobody waits here.
        "integer" if ["timeout", "wait", "follow_for", "grace"].contains(&name) => 1.into(),
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            let most = schema["maximum"].as_i64().unwrap_or(i64::from(u32::MAX));
            dice.pick(&[least, most, least.saturating_add(1), least - 1, i64::MAX, 0]).into()
        }
        "number" => dice.pick(&[json!(0), json!(0.5), json!(-1), json!(1e300)]),
        "array" => {
            let count = dice.throw(4);
            (0..count).map(|_| throw(name, &schema["items"], world, dice)).collect::<Vec<_>>().into()
        }
        "object" => {
            let key: String = dice.pick(&["A", "quaymaster.managed", "", "x=y", "ä"]).to_owned();
            json!({ key: dice.pick(&["", "1", "é\u{202e}"]) })
        }
        _ => {
            let own = [
                &world.container,
                &world.image,
                &world.network,
                &world.volume,
                &world.node,
                &world.secret,
                &world.config,
                &world.stored,
            ];
            let words = [
                "",
                "x",
                "web",
                "temp",
                "HUP",
                "KILL",
                "15",
                "SIGUSR1",
                "512m",
                "2g",
                "1.5",
                "8080:80",
                "127.0.0.1:53:53/udp",
                "data:/x:ro",
                "type=tmpfs,dst=/t",
                "a=b",
                "10m",
                "2026-01-01T00:00:00Z",
                "-1",
                "always",
                "on-failure:3",
                "running",
                "(",
                "^a.*$",
                "sha256:",
                "none",
                "host",
                "container:web",
                "10.0.0.0/24",
                "\u{1b}[31m",
                "ä",
                "/",
                "/etc/passwd",
                "NET_ADMIN",
                "all",
                "latest",
                "lab/base:1",
                "http://127.0.0.1/x",
                "now",
            ];
            match dice.throw(4) {
                0 => own[dice.throw(own.len())].as_str().into(),
                1 => format!("{}{}", world.prefix, dice.throw(5)).into(),
                _ => dice.pick(&words).into(),
            }
        }
    }
}
