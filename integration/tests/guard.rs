//! The guard, seen from the engine's side: every tool, called sensibly and with malice, behind a recorder.

use std::sync::Arc;

use quaymaster::{
    gateway::{
        Failure, Gateway, Request,
        catalogue::{Entry, everything},
    },
    tool::{Answer, Effect, Json},
};
use serde_json::{Value, json};

use crate::{
    bare::Stage,
    hostile::{hostile, hostile_texts},
    recorder::{Recorded, Recorder},
    rig::{Link, Rig, environment, gateway_in, lab, open},
};

/// Engine 20.10 and engine 26.1, both through their sockets.
const ENGINES: [Link; 2] = [Link::Unix, Link::Tls];

/// Sensible calls of a tool; the first is the one that malice is added to.
#[expect(clippy::too_many_lines, reason = "a table, tool by tool")]
fn rows(tool: &str, stage: &Stage) -> Option<Vec<Value>> {
    let name = |what: &str| stage.name(what);
    let (web, temp, old, label) = (name("web"), name("temp"), name("old"), stage.label());
    let image = format!("{}:1", name("image"));
    let new =
        json!({"image": image, "name": name("new"), "command": ["true"], "labels": {"quaymaster.test": stage.prefix}});
    let with = |more: Value| {
        let mut body = new.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let pruned = || vec![json!({"label": [label]}), json!({"label": [label], "dry_run": false})];
    Some(match tool {
        "list_hosts" => vec![json!({}), json!({"probe": true})],
        "survey_hosts" => vec![json!({}), json!({"detail": "all"})],
        "find" => vec![json!({"query": web}), json!({"query": "data", "kind": "any"})],
        "reconnect_host" | "ping" | "version" | "info" | "hub_rate_limit" => vec![json!({})],
        "explain_policy" => vec![
            json!({"tool": "remove_container", "arguments": {"host": "lab", "containers": [web], "force": true}}),
            json!({"tool": "run_container", "arguments": new}),
        ],
        "list_jobs" => vec![json!({}), json!({"state": "running"})],
        "get_job" | "cancel_job" => vec![json!({"job": "job-000000000000"})],
        "plan_cleanup" => vec![json!({}), json!({"include_volumes": true, "keep": ["a*"], "older_than": "1d"})],
        // Plans are made and applied on engines of their own.
        "apply_plan" => vec![json!({"plan": "plan-0123456789abcdef"})],
        "find_tools" => vec![json!({"query": "prune networks"}), json!({})],
        "read_tool" => vec![json!({"name": "list_volumes", "arguments": {"host": "lab"}})],
        "call_tool" => vec![json!({"name": "stop_container", "arguments": {"host": "lab", "containers": [web]}})],
        "read_audit_log" => vec![json!({}), json!({"since": "1h", "outcome": "failed", "limit": 5})],
        "list_containers" => vec![json!({"all": true, "label": [label]}), json!({"size": true, "name": web})],
        "inspect_container" => {
            vec![json!({"container": web, "section": "all"}), json!({"container": old, "raw": true})]
        }
        "container_logs" => vec![
            json!({"container": old, "tail": 5}),
            json!({"container": old, "grep": "done", "timestamps": true}),
            json!({"container": web, "follow_for": 1}),
        ],
        "container_stats" => vec![json!({"containers": [web]}), json!({})],
        "container_top" | "container_changes" => vec![json!({"container": web})],
        "wait_for" => vec![
            json!({"kind": "container", "target": web, "until": "running", "timeout": 1}),
            json!({"kind": "container", "target": web, "until": "exited", "timeout": 1}),
            json!({"kind": "container", "target": old, "until": "log_match", "pattern": "done", "timeout": 1}),
        ],
        "start_container" => vec![json!({"containers": [old]})],
        "stop_container" => vec![json!({"containers": [web], "grace": 0}), json!({"containers": [temp], "grace": 0})],
        "restart_container" => vec![json!({"containers": [web], "grace": 0})],
        "pause_container" | "unpause_container" => vec![json!({"containers": [web]})],
        "kill_container" => vec![
            json!({"containers": [web]}),
            json!({"containers": [web], "signal": "HUP"}),
            json!({"containers": [web], "signal": "TERM"}),
        ],
        "run_container" => vec![
            new.clone(),
            with(json!({"name": name("waits"), "wait": 10})),
            with(json!({"name": name("leaves"), "auto_remove": true})),
        ],
        "create_container" => vec![new.clone(), with(json!({"name": name("pulls"), "pull": "always"}))],
        "recreate_container" => vec![
            json!({"container": web, "labels": {"a": "b"}}),
            json!({"container": old, "command": ["true"], "pull": "never"}),
        ],
        "rename_container" => vec![json!({"container": old, "name": name("renamed")})],
        "update_container" => vec![json!({"container": web, "cpus": 0.5})],
        "remove_container" => {
            vec![json!({"containers": [old]}), json!({"containers": [web], "force": true, "volumes": true})]
        }
        "prune_containers" | "prune_networks" | "prune_volumes" | "prune_images" => pruned(),
        "prune_system" => vec![
            json!({"label": [label]}),
            json!({"label": [label], "all": true, "volumes": true}),
            json!({"label": [label], "dry_run": false}),
        ],
        // What is older than a century: nothing.
        "prune_build_cache" => vec![json!({}), json!({"dry_run": false, "until": "1000000h"})],
        "exec_in_container" => vec![
            json!({"container": web, "command": ["id"]}),
            json!({"container": web, "shell": "cat; echo $A", "stdin": "x", "env": {"A": "b"}}),
        ],
        "commit_container" => vec![json!({"container": web, "image": format!("{}:1", name("committed"))})],
        "list_images" => vec![json!({"reference": image}), json!({"unused": true, "limit": 5})],
        "inspect_image" => vec![json!({"image": image, "section": "all"}), json!({"image": image, "raw": true})],
        "image_history" => vec![json!({"image": image})],
        // No engine of the lab gets out; what counts is what it is asked.
        "search_images" => vec![json!({"term": "busybox"})],
        "pull_image" => vec![json!({"image": format!("{}/{}:1", lab("LAB_REGISTRY"), name("nothing"))})],
        "push_image" => vec![json!({"image": format!("127.0.0.1:1/{}:1", name("nothing"))}), json!({"image": image})],
        "build_image" => vec![
            json!({"dockerfile_content": format!("FROM {image}\nLABEL a=b\n"), "tags": [format!("{}:3", name("built"))]}),
            json!({"context": "https://127.0.0.1:1/context.tar"}),
        ],
        "tag_image" => vec![json!({"image": image, "tag": format!("{}:2", name("tagged"))})],
        "remove_image" => vec![json!({"images": [image]}), json!({"images": [image], "force": true, "no_prune": true})],
        "list_networks" => vec![json!({"name": stage.prefix})],
        "inspect_network" => vec![json!({"network": name("net"), "verbose": true})],
        "create_network" => vec![json!({"name": name("made")})],
        "connect_network" => vec![json!({"network": name("spare"), "container": web})],
        "disconnect_network" => vec![json!({"network": name("net"), "container": web})],
        "remove_network" => vec![json!({"networks": [name("spare")]})],
        "list_volumes" => vec![json!({"name": stage.prefix}), json!({"dangling": true})],
        "inspect_volume" => vec![json!({"volume": name("data")})],
        "create_volume" => vec![json!({"name": name("made"), "labels": {"a": "b"}})],
        "remove_volume" => {
            vec![json!({"volumes": [name("spare")]}), json!({"volumes": [name("spare")], "force": true})]
        }
        "disk_usage" => vec![json!({}), json!({"verbose": true})],
        "events" => vec![json!({"since": "10m", "limit": 20}), json!({"follow_for": 1})],
        "check_image_updates" => vec![json!({}), json!({"image": image})],
        "login" | "logout" => vec![json!({"registry": lab("LAB_REGISTRY")})],
        "registry_list_tags"
        | "registry_inspect_manifest"
        | "registry_get_config"
        | "hub_list_tags"
        | "hub_repo_info" => vec![json!({"image": "busybox"})],
        _ => {
            return rows_of_files(tool, &name)
                .or_else(|| rows_of_swarm(tool, &name))
                .or_else(|| rows_of_services(tool, &name))
                .or_else(|| rows_of_builds(tool, &name))
                .or_else(|| rows_of_plugins(tool, &name("plugin")))
                .or_else(|| rows_of_projects(tool, &name));
        }
    })
}

/// The same of the tools that read and write files of this machine; they go where tests leave theirs.
fn rows_of_files(tool: &str, name: &dyn Fn(&str) -> String) -> Option<Vec<Value>> {
    let (web, image) = (name("web"), format!("{}:1", name("image")));
    let to = format!("{}.tar", name("kept"));
    Some(match tool {
        "export_container" => vec![json!({"container": web, "to": to, "overwrite": true})],
        "get_container_archive" => vec![json!({"container": web, "path": "/etc/passwd"})],
        "put_container_archive" => vec![json!({"container": web, "path": "/tmp/put", "content": "x"})],
        "save_image" => vec![json!({"images": [image], "to": to, "overwrite": true})],
        "load_image" => vec![json!({"from": format!("{}.tar", name("nothing"))})],
        "import_image" => {
            vec![json!({"image": format!("{}:1", name("imported")), "from": format!("{}.tar", name("nothing"))})]
        }
        _ => return None,
    })
}

/// The same of the tools that run the docker CLI's buildx.
fn rows_of_builds(tool: &str, name: &dyn Fn(&str) -> String) -> Option<Vec<Value>> {
    let (tag, text) = (format!("{}:1", name("built")), format!("FROM {}:1\nLABEL a=b\n", name("image")));
    Some(match tool {
        "buildx_build" => vec![json!({"dockerfile_content": text, "tags": [tag]})],
        "buildx_bake" => {
            let target = json!({"dockerfile-inline": text, "tags": [tag]});
            vec![json!({"definition": json!({"target": {"a": target}}).to_string(), "targets": ["a"]})]
        }
        "buildx_imagetools_inspect" => vec![json!({"image": format!("{}/{}:1", lab("LAB_REGISTRY"), name("nothing"))})],
        "buildx_imagetools_create" => vec![json!({"tags": [tag], "sources": [format!("{}:1", name("nothing"))]})],
        "buildx_ls" | "buildx_inspect" | "buildx_du" | "buildx_history_ls" => vec![json!({})],
        "buildx_history_inspect" => vec![json!({"build": "rg5syrb3yklgosnpaazevbabk"})],
        // What is older than a century: nothing.
        "buildx_prune" => vec![json!({}), json!({"dry_run": false, "filter": ["until=1000000h"]})],
        "buildx_create" => vec![json!({"name": "other", "image": format!("{}:1", name("image"))})],
        "buildx_use" => vec![json!({"builder": "default"})],
        "buildx_rm" => vec![json!({"builder": "other"})],
        "scout_cves" | "scout_quickview" | "scout_recommendations" | "scout_sbom" => {
            vec![json!({"image": "busybox"}), json!({"image": format!("{}:1", name("image")), "local": true})]
        }
        "scout_compare" => vec![json!({"image": "busybox:2", "to": "busybox:1"})],
        _ => return None,
    })
}

/// The same of the tools for compose projects.
fn rows_of_projects(tool: &str, name: &dyn Fn(&str) -> String) -> Option<Vec<Value>> {
    let project = name("shop");
    let yaml = format!("services: {{web: {{image: '{}:1', command: [sleep, '60'], init: true}}}}", name("image"));
    Some(match tool {
        "compose_ls" => vec![json!({})],
        "compose_ps" => {
            vec![json!({"project": project, "all": true}), json!({"project": project, "services": ["web"]})]
        }
        "compose_config" | "compose_up" | "compose_build" => vec![json!({"project": project, "yaml": yaml})],
        "compose_pull" => {
            let yaml = format!("services: {{web: {{image: '{}/{}:1'}}}}", lab("LAB_REGISTRY"), name("nothing"));
            vec![json!({"project": project, "yaml": yaml})]
        }
        "compose_run" => {
            vec![json!({"project": project, "yaml": yaml, "service": "web", "command": ["true"], "timeout": 5})]
        }
        "compose_down" => vec![json!({"project": project}), json!({"project": project, "volumes": true})],
        "stack_deploy" => vec![json!({"stack": project, "yaml": yaml})],
        "stack_rm" => vec![json!({"stack": project})],
        "compose_images" | "compose_top" | "compose_start" | "compose_pause" | "compose_unpause" => {
            vec![json!({"project": project, "services": ["web"]})]
        }
        "compose_logs" => vec![json!({"project": project, "services": ["web"], "grep": "x", "since": "1h"})],
        "compose_port" => vec![json!({"project": project, "service": "web", "port": 80, "index": 1})],
        "compose_wait" => vec![json!({"project": project, "services": ["web"], "timeout": 1})],
        "compose_restart" | "compose_stop" => vec![json!({"project": project, "services": ["web"], "grace": 0})],
        "compose_kill" => vec![json!({"project": project, "services": ["web"], "signal": "TERM"})],
        "compose_exec" => {
            vec![json!({"project": project, "service": "web", "command": ["true"], "env": {"A": "b"}})]
        }
        "compose_cp" => {
            let from = "web:/etc/passwd";
            vec![json!({"project": project, "from": from, "to": name("copied"), "overwrite": true})]
        }
        _ => return None,
    })
}

/// The same of the tools for services and stacks.
fn rows_of_services(tool: &str, name: &dyn Fn(&str) -> String) -> Option<Vec<Value>> {
    let service = name("service");
    Some(match tool {
        "list_services" | "stack_ls" => vec![json!({})],
        "inspect_service" | "service_tasks" | "service_logs" | "rollback_service" => {
            vec![json!({"service": service})]
        }
        "create_service" => vec![json!({"image": format!("{}:1", name("image")), "name": service})],
        "update_service" => vec![json!({"service": service, "env": {"A": "b"}})],
        "scale_service" => vec![json!({"service": service, "replicas": 2}), json!({"service": service, "replicas": 0})],
        "remove_service" => vec![json!({"services": [service]})],
        "stack_ps" | "stack_services" => vec![json!({"stack": name("stack")})],
        _ => return None,
    })
}

/// The same of the tools for the cluster; the lab's engines are in none.
fn rows_of_swarm(tool: &str, name: &dyn Fn(&str) -> String) -> Option<Vec<Value>> {
    Some(match tool {
        "inspect_swarm" | "list_nodes" | "list_secrets" | "list_configs" | "leave_swarm" => vec![json!({})],
        "get_swarm_join_tokens" | "get_swarm_unlock_key" => vec![json!({"to": name("kept")})],
        // A swarm must not come of it: the lab's engines are everybody's.
        "init_swarm" => vec![json!({"force_new_cluster": true})],
        "join_swarm" => vec![json!({"from": name("token"), "remote_addrs": ["127.0.0.1:1"]})],
        "unlock_swarm" => vec![json!({"from": name("key")})],
        "update_swarm" => vec![json!({"task_history": 3})],
        "rotate_swarm_join_token" => vec![json!({"role": "worker"})],
        "inspect_node" => vec![json!({"node": "self"})],
        "update_node" => vec![json!({"node": "self", "availability": "drain", "labels": {"a": "b"}})],
        "remove_node" => vec![json!({"nodes": ["self"], "force": true})],
        "inspect_secret" => vec![json!({"secret": name("kept")})],
        "create_secret" => vec![json!({"name": name("made"), "from": name("token")})],
        "remove_secret" => vec![json!({"secrets": [name("kept")]})],
        "inspect_config" => vec![json!({"config": name("kept")})],
        "create_config" => vec![json!({"name": name("made"), "content": "listen 80"})],
        "remove_config" => vec![json!({"configs": [name("kept")]})],
        _ => return None,
    })
}

/// The same of the tools for plugins. Nobody has one to give away, and that of the stage has no program.
fn rows_of_plugins(tool: &str, plugin: &str) -> Option<Vec<Value>> {
    Some(match tool {
        "list_plugins" => vec![json!({}), json!({"enabled": true, "capability": "volumedriver"})],
        "inspect_plugin" => vec![json!({"plugin": plugin, "section": "all"})],
        "install_plugin" => {
            let offered = format!("quaymaster-lab/{plugin}:1");
            vec![json!({"plugin": offered, "dry_run": true}), json!({"plugin": offered})]
        }
        "configure_plugin" => vec![json!({"plugin": plugin, "env": {"DEBUG": "1"}})],
        "upgrade_plugin" | "enable_plugin" => vec![json!({"plugin": plugin})],
        "disable_plugin" | "remove_plugin" => vec![json!({"plugin": plugin, "force": true})],
        _ => return None,
    })
}

/// Whether a sensible call of it may fail here: no engine of the lab is in a swarm, none gets out to Docker Hub, and
/// a read-only host shows no files.
fn may_fail(entry: &Entry) -> bool {
    let is_of_swarm = entry.toolset == "swarm" && entry.card.name != "inspect_swarm";
    let is_of_files = ["export_container", "get_container_archive", "save_image", "load_image", "import_image"];
    // Not everywhere are contents of files granted.
    is_of_swarm
        || entry.card.name == "compose_config"
        || is_of_files.contains(&entry.card.name)
        // What the lab's registry does not have.
        || entry.card.name == "buildx_imagetools_inspect"
        // The lab has no such plugin, and no account.
        || entry.toolset == "scout"
        || ["search_images", "login", "logout"].contains(&entry.card.name)
}

/// A gateway behind a recorder in front of an engine with a stage on it.
struct Watched {
    stage: Stage,
    recorder: Recorder,
    gateway: Arc<Gateway>,
}

impl Watched {
    fn new(link: Link, markers: &str) -> Self {
        let prefix = Rig::new(link).name("guard");
        let recorder = Recorder::before(&link.socket());
        let gateway = gateway_in(environment(), &[recorder.spec(markers)], |config| {
            open(config);
            config.files.roots = Some(vec![env!("CARGO_TARGET_TMPDIR").into()]);
        });
        Self { stage: Stage::set(&link.socket(), prefix), recorder, gateway }
    }

    /// Makes a call; answers its outcome and what the engine was sent.
    async fn call(&self, tool: &str, arguments: &Json) -> (Result<Answer, String>, Vec<Recorded>) {
        let call = self.gateway.call(Request::new(self.gateway.caller("test"), tool, arguments.clone()));
        let limit = std::time::Duration::from_secs(60);
        let ended = tokio::time::timeout(limit, call).await.unwrap_or_else(|_| panic!("{tool} {arguments:?} hangs"));
        let outcome = ended.map_err(|failure| match failure {
            Failure::Tool(error) | Failure::UnknownTool(error) => format!("{}: {error}", error.kind()),
            Failure::Asked { form, .. } => panic!("it asked: {form:?}"),
        });
        (outcome, self.recorder.take())
    }

    /// Every sensible call, or every malicious one.
    fn calls(&self, entry: &Entry, malicious: bool) -> Vec<Json> {
        let rows = rows(entry.card.name, &self.stage)
            .unwrap_or_else(|| panic!("{} has no row in integration/tests/guard.rs", entry.card.name));
        let rows: Vec<Json> = rows.into_iter().map(|row| row.as_object().cloned().unwrap_or_default()).collect();
        if !malicious {
            return rows;
        }
        let texts = hostile_texts(&self.stage.prefix);
        hostile(entry, &rows[0], &texts).into_iter().map(|(_, _, arguments)| arguments).collect()
    }
}

/// The tools that speak to a daemon.
fn tools() -> impl Iterator<Item = Entry> {
    everything().into_iter().filter(|entry| entry.card.names_host())
}

fn shown(tool: &str, arguments: &Json) -> String {
    let arguments: String = format!("{arguments:?}").chars().take(300).collect();
    format!("{tool} {arguments}")
}

#[test]
fn every_tool_of_the_catalogue_has_its_row() {
    let stage = std::mem::ManuallyDrop::new(Stage::unset("/nowhere", "nobody".to_owned()));
    let missing: Vec<&str> = tools().map(|entry| entry.card.name).filter(|tool| rows(tool, &stage).is_none()).collect();
    assert!(missing.is_empty(), "write rows for {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorder_sees_everything() {
    for link in ENGINES {
        let watched = Watched::new(link, "");
        let containers = json!({"containers": [watched.stage.name("web")], "grace": 0});
        let (outcome, sent) = watched.call("stop_container", containers.as_object().unwrap()).await;
        outcome.unwrap();
        assert!(sent.iter().any(|request| request.method == "POST" && request.target.contains("/stop")), "{sent:?}");
        assert!(sent.iter().any(|request| !request.looks()) && !sent.iter().any(Recorded::destroys), "{sent:?}");
    }
}

/// A host that is `(ro)`: looks only, whatever is called, and nothing of the engine's changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_host_is_only_looked_at() {
    let engines = ENGINES.map(|link| tokio::spawn(only_looks(Watched::new(link, "(ro)"), tools().collect())));
    for engine in engines {
        engine.await.unwrap();
    }
}

/// A declared read: looks only, on any host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_looks_wherever_it_is_called() {
    let reads = || tools().filter(|entry| entry.card.access.effect == Effect::Read).collect();
    let hosts = ENGINES.iter().flat_map(|link| ["", "(nd)"].map(|markers| Watched::new(*link, markers)));
    let hosts: Vec<_> = hosts.map(|watched| tokio::spawn(only_looks(watched, reads()))).collect();
    for host in hosts {
        host.await.unwrap();
    }
}

async fn only_looks(watched: Watched, tools: Vec<Entry>) {
    let mut wrong = Vec::new();
    let before = watched.stage.engine.picture(&watched.stage.prefix);
    for entry in tools {
        let (tool, access) = (entry.card.name, entry.card.access);
        for malicious in [false, true] {
            for arguments in watched.calls(&entry, malicious) {
                let (outcome, sent) = watched.call(tool, &arguments).await;
                let call = shown(tool, &arguments);
                wrong.extend(
                    sent.iter().filter(|request| !request.looks()).map(|request| format!("{call} sent {request:?}")),
                );
                let kind = outcome.as_ref().err().and_then(|error| error.split(':').next());
                match (&outcome, kind) {
                    (_, Some("internal")) => wrong.push(format!("{call}: {outcome:?}")),
                    _ if malicious => {}
                    // A tool that cannot be a read is refused before anything is asked.
                    (_, Some("denied")) if access.mildest > Effect::Read && sent.is_empty() => {}
                    _ if access.mildest > Effect::Read => wrong.push(format!("{call}: {outcome:?} after {sent:?}")),
                    (Err(_), _) if access.effect == Effect::Read && !may_fail(&entry) => {
                        wrong.push(format!("{call}: a sensible read failed: {outcome:?}"));
                    }
                    _ => {}
                }
            }
        }
        let after = watched.stage.engine.picture(&watched.stage.prefix);
        if after != before {
            wrong.push(format!("{tool} changed something: {before} became {after}"));
            break;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A host that is `(nd)`: no request that destroys, and whatever was there is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_destroyed_where_nothing_may_be() {
    let engines = ENGINES.map(|link| tokio::spawn(nothing_is_destroyed(link)));
    for engine in engines {
        engine.await.unwrap();
    }
}

async fn nothing_is_destroyed(link: Link) {
    let mut watched = Watched::new(link, "(nd)");
    let mut wrong = Vec::new();
    for entry in tools() {
        let (tool, access) = (entry.card.name, entry.card.access);
        // Malice first: it mostly leaves the stage as it was.
        for malicious in [true, false] {
            watched.stage.restore();
            let before = ids(&watched.stage);
            for arguments in watched.calls(&entry, malicious) {
                if ["unpause_container", "compose_unpause"].contains(&tool) && !malicious {
                    let web = watched.stage.name(if tool == "compose_unpause" { "shop" } else { "web" });
                    watched.stage.engine.make(&format!("/containers/{web}/pause"), &Value::Null);
                }
                let (outcome, sent) = watched.call(tool, &arguments).await;
                let call = shown(tool, &arguments);
                let destroying = sent.iter().filter(|request| request.destroys());
                wrong.extend(destroying.map(|request| format!("{call} sent {request:?}")));
                let kind = outcome.as_ref().err().and_then(|error| error.split(':').next());
                let fits = match (kind, access.effect, access.mildest) {
                    (Some("internal"), ..) => false,
                    _ if malicious => true,
                    (kind, _, Effect::Destroy) => kind == Some("denied"),
                    // Nobody has this image or plugin to give away, or to start.
                    (kind, Effect::Mutate, _)
                        if ["pull_image", "compose_pull", "install_plugin", "upgrade_plugin", "enable_plugin"]
                            .contains(&tool)
                            || arguments.contains_key("pull") =>
                    {
                        kind != Some("denied") && kind != Some("invalid")
                    }
                    (Some("conflict" | "not_found"), Effect::Mutate, _) if may_fail(&entry) => true,
                    (kind, Effect::Mutate, _) => kind.is_none(),
                    _ => true,
                };
                if !fits {
                    wrong.push(format!("{call}: {outcome:?}"));
                }
            }
            let after = ids(&watched.stage);
            let lost: Vec<&String> = before.iter().filter(|id| !after.contains(id)).collect();
            if !lost.is_empty() {
                wrong.push(format!("{tool} lost {lost:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{link:?}: {wrong:#?}");
}

/// The ids of everything on the stage; of an image its tag, of a volume its name.
fn ids(stage: &Stage) -> Vec<String> {
    let (engine, prefix) = (&stage.engine, stage.prefix.as_str());
    let ids = |rows: Vec<(String, String)>| rows.into_iter().map(|(_, id)| id);
    let tags = engine.images(prefix).into_iter().map(|(tag, _)| tag);
    ids(engine.containers(prefix))
        .chain(ids(engine.networks(prefix)))
        .chain(ids(engine.plugins(prefix)))
        .chain(engine.volumes(prefix))
        .chain(tags)
        .collect()
}
