//! What holds for every tool of the catalogue: its words, its schemas, its effect, and what it costs a model.

use quaymaster::{
    gateway::catalogue::{Catalogue, Entry, everything},
    tool::{Course, Effect, HostArgument, Json, Permission, Permissions},
};
use serde_json::{Map, Value, json};

use crate::rig::three_hosts;

/// Every tool of the toolsets that exist, with its effect and permissions as the design's tools.md
/// writes them: the worst, in brackets the mildest, then what it needs. A star puts it into `core`.
const VOCABULARY: &[(&str, &[&str])] = &[
    (
        "hosts",
        &[
            "* list_hosts: r",
            "* survey_hosts: r",
            "* find: r",
            "reconnect_host: r",
            "list_jobs: r",
            "* get_job: r",
            "cancel_job: d [r]",
            "check_image_updates: r",
            "explain_policy: r",
            "read_audit_log: r",
            "plan_cleanup: r",
            "apply_plan: d",
            "* find_tools: r",
            "* read_tool: r",
            "* call_tool: d [m]",
        ],
    ),
    (
        "containers",
        &[
            "* list_containers: r",
            "* inspect_container: r",
            "* container_logs: r",
            "* container_stats: r",
            "container_top: r",
            "container_changes: r",
            "* wait_for: r",
            "* start_container: m lifecycle",
            "* stop_container: d [m] lifecycle",
            "* restart_container: m lifecycle",
            "pause_container: m lifecycle",
            "unpause_container: m lifecycle",
            "kill_container: d [m] lifecycle",
            "* run_container: m create",
            "create_container: m create",
            "recreate_container: d create",
            "rename_container: m create",
            "update_container: m create",
            "* remove_container: d create",
            "prune_containers: d [r] create",
            "* exec_in_container: m exec",
            "commit_container: m images",
            "export_container: r files",
            "get_container_archive: r files",
            "put_container_archive: d files",
        ],
    ),
    (
        "images",
        &[
            "* list_images: r",
            "inspect_image: r",
            "image_history: r",
            "search_images: r",
            "* pull_image: m images",
            "push_image: d images",
            "build_image: d [m] images",
            "tag_image: m images",
            "remove_image: d images",
            "prune_images: d [r] images",
            "save_image: r files",
            "load_image: m images",
            "import_image: m images",
        ],
    ),
    (
        "networks",
        &[
            "* list_networks: r",
            "inspect_network: r",
            "create_network: m networks",
            "connect_network: m networks",
            "disconnect_network: m networks",
            "remove_network: d networks",
            "prune_networks: d [r] networks",
        ],
    ),
    (
        "volumes",
        &[
            "* list_volumes: r",
            "inspect_volume: r",
            "create_volume: m volumes",
            "remove_volume: d volumes",
            "prune_volumes: d [r] volumes",
        ],
    ),
    (
        "system",
        &[
            "ping: r",
            "version: r",
            "info: r",
            "* disk_usage: r",
            "* events: r",
            "prune_system: d [r] create images networks system",
            "prune_build_cache: d [r] system",
            "login: r",
            "logout: r",
        ],
    ),
    (
        "swarm",
        &[
            "inspect_swarm: r",
            "get_swarm_join_tokens: r credentials",
            "get_swarm_unlock_key: r credentials",
            "init_swarm: m swarm",
            "join_swarm: m swarm",
            "update_swarm: m swarm",
            "rotate_swarm_join_token: m swarm",
            "unlock_swarm: m swarm",
            "leave_swarm: d swarm",
            "list_nodes: r",
            "inspect_node: r",
            "update_node: m swarm",
            "remove_node: d swarm",
            "list_services: r",
            "inspect_service: r",
            "service_tasks: r",
            "service_logs: r",
            "create_service: m swarm",
            "update_service: m swarm",
            "rollback_service: m swarm",
            "scale_service: d [m] swarm",
            "remove_service: d swarm",
            "list_secrets: r",
            "inspect_secret: r",
            "create_secret: m swarm",
            "remove_secret: d swarm",
            "list_configs: r",
            "inspect_config: r",
            "create_config: m swarm",
            "remove_config: d swarm",
            "stack_ls: r",
            "stack_ps: r",
            "stack_services: r",
            "stack_deploy: d [m] swarm",
            "stack_rm: d swarm",
        ],
    ),
    (
        "plugins",
        &[
            "list_plugins: r",
            "inspect_plugin: r",
            // A dry run lists what it asks for.
            "install_plugin: m [r] system",
            "configure_plugin: m system",
            "enable_plugin: m system",
            "upgrade_plugin: m [r] system",
            "disable_plugin: d system",
            "remove_plugin: d system",
        ],
    ),
    (
        "compose",
        &[
            "* compose_ps: r",
            "* compose_logs: r",
            "compose_ls: r",
            "compose_images: r",
            "compose_top: r",
            "compose_port: r",
            "compose_config: r files",
            "* compose_up: d [r] create lifecycle",
            "compose_build: d [m] images",
            "compose_pull: m images",
            "compose_start: m lifecycle",
            "compose_restart: m lifecycle",
            "compose_pause: m lifecycle",
            "compose_unpause: m lifecycle",
            "compose_stop: m lifecycle",
            "compose_run: m exec create",
            "compose_exec: m exec",
            "compose_cp: d [r] files",
            "* compose_down: d create lifecycle networks",
            "compose_kill: d lifecycle",
            "compose_wait: r",
        ],
    ),
    (
        "registry",
        &[
            "registry_list_tags: r",
            "registry_inspect_manifest: r",
            "registry_get_config: r",
            "hub_list_tags: r",
            "hub_repo_info: r",
            "hub_rate_limit: r",
        ],
    ),
    (
        "buildx",
        &[
            "buildx_build: d images",
            "buildx_bake: d images",
            "buildx_imagetools_inspect: r",
            "buildx_imagetools_create: d images",
            "buildx_ls: d images",
            "buildx_inspect: d images",
            "buildx_du: d images",
            "buildx_history_ls: d images",
            "buildx_history_inspect: d images",
            "buildx_prune: d images",
            "buildx_create: d images",
            "buildx_use: d images",
            "buildx_rm: d images",
        ],
    ),
    (
        "context",
        &[
            "context_ls: r",
            "context_inspect: r",
            "context_create: m system",
            "context_use: m system",
            "context_rm: d system",
        ],
    ),
    (
        "scout",
        &["scout_cves: r", "scout_quickview: r", "scout_recommendations: r", "scout_compare: r", "scout_sbom: r"],
    ),
];

/// Words without a tool yet, in the order of the vocabulary.
const LATER: &[&str] = &[];

/// What some calls need beside what is written above, by their arguments.
const SOMETIMES: &[(&str, Permission)] = &[
    ("run_container", Permission::Images),
    ("create_container", Permission::Images),
    // Further networks are connected one by one where the engine takes one at creation.
    ("run_container", Permission::Networks),
    ("create_container", Permission::Networks),
    ("recreate_container", Permission::Images),
    ("recreate_container", Permission::Networks),
    ("remove_container", Permission::Volumes),
    // An engine removes the anonymous volumes of a container that it removes by itself.
    ("stop_container", Permission::Volumes),
    ("kill_container", Permission::Volumes),
    ("prune_system", Permission::Volumes),
    // Its payload is shown where that is asked for.
    ("inspect_config", Permission::Files),
    // What each removal of the plan needs.
    ("apply_plan", Permission::Create),
    ("apply_plan", Permission::Images),
    ("apply_plan", Permission::Networks),
    ("apply_plan", Permission::Volumes),
    ("buildx_rm", Permission::Volumes),
    // What of a project is not there yet, and what is written in it for its containers.
    ("compose_up", Permission::Images),
    ("compose_up", Permission::Networks),
    ("compose_up", Permission::Volumes),
    ("compose_up", Permission::Files),
    ("compose_run", Permission::Lifecycle),
    ("compose_run", Permission::Images),
    ("compose_run", Permission::Networks),
    ("compose_run", Permission::Volumes),
    ("compose_down", Permission::Volumes),
    ("stack_deploy", Permission::Networks),
    ("stack_rm", Permission::Networks),
    // The host's own copy of an image is exported.
    ("scout_cves", Permission::Files),
    ("scout_quickview", Permission::Files),
    ("scout_recommendations", Permission::Files),
    ("scout_compare", Permission::Files),
    ("scout_sbom", Permission::Files),
];

/// What a builder in a container needs beside: it is made, started, spoken to inside, and removed.
const OF_BUILDERS: &[Permission] = &[Permission::Create, Permission::Lifecycle, Permission::Exec, Permission::Files];

/// A row of the vocabulary.
struct Word {
    toolset: &'static str,
    name: &'static str,
    core: bool,
    effect: Effect,
    mildest: Effect,
    needs: Permissions,
}

fn vocabulary() -> Vec<Word> {
    let effect = |letter: &str| match letter {
        "r" => Effect::Read,
        "m" => Effect::Mutate,
        "d" => Effect::Destroy,
        other => panic!("no effect: {other}"),
    };
    let word = |toolset, row: &'static str| {
        let (core, row) = row.strip_prefix("* ").map_or((false, row), |row| (true, row));
        let (name, access) = row.split_once(": ").unwrap();
        let mut words = access.split(' ').peekable();
        let worst = effect(words.next().unwrap());
        let lowered = words.next_if(|word| word.starts_with('['));
        let mildest = lowered.map_or(worst, |word| effect(word.trim_matches(['[', ']'])));
        let needs = words.map(|word| {
            Permission::ALL
                .into_iter()
                .find(|permission| permission.as_str() == word)
                .unwrap_or_else(|| panic!("{row}"))
        });
        let needs = Permissions::of(&needs.collect::<Vec<_>>());
        Word { toolset, name, core, effect: worst, mildest, needs }
    };
    VOCABULARY.iter().flat_map(|(toolset, rows)| rows.iter().map(|row| word(toolset, row))).collect()
}

fn permissions(set: Permissions) -> Vec<&'static str> {
    set.iter().map(Permission::as_str).collect()
}

#[test]
fn every_tool_is_in_the_vocabulary() {
    let vocabulary = vocabulary();
    for entry in everything() {
        let card = &entry.card;
        let name = card.name;
        let Some(word) = vocabulary.iter().find(|word| word.name == name) else {
            panic!("{name} is not in the vocabulary: write it there as tools.md does");
        };
        assert_eq!(entry.toolset, word.toolset, "{name}: toolset");
        assert_eq!(card.core, word.core, "{name}: core");
        assert_eq!((card.access.effect, card.access.mildest), (word.effect, word.mildest), "{name}: effect");
        let rare = SOMETIMES.iter().filter(|(tool, _)| *tool == name);
        let most = rare.fold(word.needs, |needs, (_, permission)| needs.with(*permission));
        let has_builder = entry.toolset == "buildx" && !name.starts_with("buildx_imagetools_");
        let builders = OF_BUILDERS.iter().filter(|_| has_builder);
        let most = builders.fold(most, |needs, permission| needs.with(*permission));
        assert_eq!(permissions(card.access.at_most), permissions(most), "{name}: what it may need");
        // A dry run sends reads only, so a tool that can be a read asks for the rest call by call.
        let can_be_dry = word.mildest == Effect::Read && word.effect != Effect::Read;
        let always = if can_be_dry { Permissions::READ } else { word.needs };
        assert_eq!(permissions(card.access.always), permissions(always), "{name}: what every call needs");
    }
}

#[test]
fn every_word_of_the_vocabulary_is_a_tool() {
    let everything = everything();
    let missing = vocabulary().into_iter().filter(|word| !everything.iter().any(|entry| entry.card.name == word.name));
    assert_eq!(missing.map(|word| word.name).collect::<Vec<_>>(), LATER);
}

#[test]
fn names_are_unique_and_plain() {
    let mut seen = Vec::new();
    for entry in everything() {
        let name = entry.card.name;
        let plain = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        assert!(plain && name.len() <= 32 && name.starts_with(|first: char| first.is_ascii_lowercase()), "{name}");
        assert!(!seen.contains(&name), "{name} is there twice");
        seen.push(name);
    }
}

#[test]
fn every_tool_says_what_it_is() {
    for entry in everything() {
        let card = &entry.card;
        let (name, about) = (card.name, card.about());
        assert!(about.starts_with(|first: char| first.is_uppercase()), "{name}: {about}");
        assert!(about.ends_with('.'), "{name}: {about}");
        assert!(
            card.title.len() <= 160 && !card.title.is_empty(),
            "{name}: the first sentence is no title: {}",
            card.title
        );
        assert!(!about.contains("[`") && !about.contains("TODO"), "{name}: {about}");
    }
}

/// What a schema may be made of; everything else is not understood by every client.
const KEYWORDS: &[&str] = &[
    "type",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
];

/// Walks a schema and every schema inside; `visit` gets where it is.
fn walk(place: &str, schema: &Value, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    // A schema that is `true` is valid, and refused by the clients that expect an object.
    let Value::Object(fields) = schema else { panic!("{place} is no object: {schema}") };
    visit(place, fields);
    for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{place}.{name}"), property, visit);
    }
    for key in ["items", "additionalProperties"] {
        match fields.get(key) {
            None | Some(Value::Bool(_)) if key == "additionalProperties" => {}
            None => {}
            Some(inner) => walk(&format!("{place}.{key}"), inner, visit),
        }
    }
}

fn schemas_are_portable(place: &str, schema: &Json) {
    assert_eq!(schema.get("type"), Some(&json!("object")), "{place}");
    walk(place, &Value::Object(schema.clone()), &mut |place, fields| {
        for key in fields.keys() {
            assert!(KEYWORDS.contains(&key.as_str()), "{place} has \"{key}\": {fields:?}");
        }
        if let Some(kind) = fields.get("type") {
            assert!(kind.is_string(), "{place} has several types: {kind}");
        }
        if let Some(values) = fields.get("enum").and_then(Value::as_array) {
            assert!(values.iter().all(Value::is_string) && !values.is_empty(), "{place}: {values:?}");
            assert_eq!(fields.get("type"), Some(&json!("string")), "{place}");
        }
        if fields.get("type") == Some(&json!("array")) {
            assert!(fields.contains_key("items"), "{place} does not say what is in it");
        }
    });
}

#[test]
fn input_schemas_are_flat_and_portable() {
    let config = three_hosts();
    for entry in everything() {
        let name = entry.card.name;
        let schema = entry.input_schema(&config);
        schemas_are_portable(name, &schema);
        let properties = schema.get("properties").and_then(Value::as_object).unwrap();
        for (property, schema) in properties {
            let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            // Where it has to be named, its name and the names that there are say all.
            let has_to_be_named = property == "host" && about.is_empty();
            assert!(
                has_to_be_named || (about.ends_with(['.', '`', '"', ')']) && about.len() > 3),
                "{name}.{property} is not described: {about:?}"
            );
            assert!(schema.get("type").is_some(), "{name}.{property} has no type");
            assert!(schema.get("properties").is_none(), "{name}.{property} is an object of its own");
        }
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            assert!(properties.contains_key(required.as_str().unwrap()), "{name} requires {required}");
        }
    }
}

#[test]
fn output_schemas_are_portable() {
    for entry in everything() {
        if let Some(schema) = &entry.card.output() {
            schemas_are_portable(&format!("{} (output)", entry.card.name), schema);
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let others: Vec<_> = required.filter(|field| *field != "host").collect();
            assert!(others.is_empty(), "{}: {others:?} would have to be in every answer", entry.card.name);
        }
    }
}

#[test]
fn writes_must_name_their_host() {
    let config = three_hosts();
    for entry in everything() {
        let (name, access) = (entry.card.name, entry.card.access);
        let schema = entry.input_schema(&config);
        let requires = schema.get("required").and_then(Value::as_array).is_some_and(|all| all.contains(&json!("host")));
        // Jobs and plans carry their host, and so does a call inside another; some are about this machine.
        let has_host = !["cancel_job", "call_tool", "apply_plan"].contains(&name) && entry.toolset != "context";
        assert_eq!(requires, access.effect != Effect::Read && has_host, "{name}");
        if access.effect != Effect::Read {
            assert_eq!(entry.card.host == HostArgument::One, has_host, "{name}");
        }
        if let Some(hosts) = schema.get("properties").and_then(|properties| properties.pointer("/host/enum")) {
            let hosts: Vec<&str> = hosts.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let is_fleet = matches!(entry.card.host, HostArgument::Fleet { .. });
            let expected = ["local", "staging", "prod", "all"];
            assert_eq!(hosts, expected[..if is_fleet { 4 } else { 3 }], "{name}");
        }
    }
}

#[test]
fn whoever_can_destroy_declares_it() {
    let ends = ["remove_", "prune_", "kill_", "push_", "recreate_"];
    for entry in everything() {
        let (name, access) = (entry.card.name, entry.card.access);
        if ends.iter().any(|prefix| name.starts_with(prefix)) {
            assert_eq!(access.effect, Effect::Destroy, "{name}");
        }
        assert!(access.mildest <= access.effect && access.at_most.covers(access.always), "{name}: {access:?}");
        if access.effect == Effect::Read {
            let course = entry.card.course;
            assert!(matches!(course, Course::Stoppable | Course::Job), "{name} is a read that cannot be taken back");
        }
    }
}

// What it costs. A token is about four bytes.

/// What a model is charged for.
fn charged(entry: &Entry) -> usize {
    let schema = entry.input_schema(&three_hosts());
    entry.card.name.len() + entry.card.about().len() + Value::Object(schema).to_string().len()
}

/// A tool as `tools/list` shows it.
fn shown(entry: &Entry) -> usize {
    let card = &entry.card;
    let mut tool = json!({
        "name": card.name, "title": card.title, "description": card.about(),
        "inputSchema": entry.input_schema(&three_hosts()),
        "annotations": {
            "readOnlyHint": card.access.effect == Effect::Read, "openWorldHint": card.open_world,
            "destructiveHint": card.access.effect == Effect::Destroy, "idempotentHint": card.access.effect == Effect::Read,
        },
    });
    if let Some(output) = &card.output() {
        tool["outputSchema"] = Value::Object(output.clone());
    }
    tool.to_string().len() + 1
}

fn of_core() -> Vec<Entry> {
    let mut config = three_hosts();
    config.toolsets.clear();
    Catalogue::new(&config).unwrap().listed().cloned().collect()
}

#[test]
fn no_tool_costs_more_than_2500_bytes() {
    for entry in everything() {
        let size = charged(&entry);
        assert!(size <= 2_500, "{} costs {size} bytes", entry.card.name);
    }
}

#[test]
fn the_tools_of_core_cost_less_than_24000_bytes() {
    let core = of_core();
    assert!(core.len() <= 32, "{} tools", core.len());
    let size: usize = core.iter().map(charged).sum();
    assert!(size < 24_000, "{size} bytes; {:#?}", sizes(&core, charged));
    let size: usize = core.iter().map(shown).sum();
    assert!(size < 48_000, "{size} bytes with what they answer; {:#?}", sizes(&core, shown));
}

#[test]
fn all_tools_cost_less_than_100000_bytes() {
    let all = everything();
    let size: usize = all.iter().map(charged).sum();
    assert!(size < 100_000, "{size} bytes");
    let size: usize = all.iter().map(shown).sum();
    assert!(size < 200_000, "{size} bytes with what they answer");
}

/// The dearest tools, for whoever has to save.
fn sizes(entries: &[Entry], size: fn(&Entry) -> usize) -> Vec<(usize, &'static str)> {
    let mut sizes: Vec<_> = entries.iter().map(|entry| (size(entry), entry.card.name)).collect();
    sizes.sort_unstable_by(|left, right| right.cmp(left));
    sizes.truncate(10);
    sizes
}
