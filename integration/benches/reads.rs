//! Every tool that reads, through a forwarder that notes what reaches the engine: GET, HEAD and a container's wait only.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    Failure,
    forwarder::Forwarder,
    lab::Lab,
    report::{Report, Row},
};

pub(crate) async fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let forwarder = Forwarder::start(lab.directory.path(), "reads", &lab.local)?;
    // Nothing else holds it back: the host may be changed, so that only the call being a read is what counts.
    let root = lab.directory.path().join("reads");
    std::fs::create_dir(&root)?;
    let config = lab.directory.path().join("reads.toml");
    std::fs::write(&config, format!("grant = [\"cli-config\"]\n[files]\nroots = [\"{}\"]\n", root.display()))?;
    let program = lab
        .quaymaster
        .with("QUAYMASTER_TOOLSETS", "all")
        .with("QUAYMASTER_CONFIG", config.display().to_string())
        .hosts(format!("local=unix://{}", forwarder.socket));
    let client = program.start().await?;
    let tools = client.ask("tools/list", &json!({})).await?;
    let (mut called, mut failed, mut is_asked) = (0, Vec::new(), true);
    for tool in tools["tools"].as_array().into_iter().flatten() {
        if tool["annotations"]["readOnlyHint"] != true {
            continue;
        }
        let name = tool["name"].as_str().unwrap_or_default();
        called += 1;
        let (reply, _) = client.tried(name, &arguments(lab, &root, name, &tool["inputSchema"])).await?;
        if !reply.ok {
            let value = reply.value()?;
            let kind = value["structuredContent"]["error"]["kind"].as_str().unwrap_or("unknown");
            // A registry that is out of reach, a swarm or a plugin that the engine has not: no fault of the call. One
            // that was refused before anything was sent would make the record say nothing.
            let is_no_job = name == "get_job";
            is_asked &= is_no_job || !["invalid", "denied", "approval_needed", "internal", "config"].contains(&kind);
            failed.push(format!("{name} ({kind})"));
        }
    }
    client.leave().await?;
    let (mut methods, mut others, mut bodies) = (BTreeMap::<String, usize>::new(), Vec::new(), 0);
    for seen in forwarder.seen() {
        bodies += seen.bodies;
        for request in seen.requests {
            let (method, target) = request.split_once(' ').unwrap_or_default();
            *methods.entry(method.to_owned()).or_default() += 1;
            let path = target.split('?').next().unwrap_or_default();
            let waits = method == "POST" && path.contains("/containers/") && path.ends_with("/wait");
            if !(method == "GET" || method == "HEAD" || waits) {
                others.push(request);
            }
        }
    }
    let counted: Vec<String> = methods.iter().map(|(method, number)| format!("{number} {method}")).collect();
    let asked =
        if failed.is_empty() { String::new() } else { format!("; answered with an error: {}", failed.join(", ")) };
    report.add(
        Row::new(
            &format!("what {called} reading tools send, recorded"),
            "GET, HEAD and a container's wait only, no body",
            format!("{}, {} others, {bodies} bytes of bodies{asked}", counted.join(", "), others.len()),
            others.is_empty() && bodies == 0 && is_asked && called > 0,
        )
        .figures(json!({"tools": called, "methods": methods, "others": others})),
    );
    Ok(())
}

/// What is required, by the names that the tools share.
fn arguments(lab: &Lab, root: &Path, tool: &str, schema: &Value) -> Value {
    let mut arguments = Map::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let property = &schema["properties"][name];
        let first = property["enum"][0].clone();
        let value = match name {
            "until" => json!("running"),
            "container" | "target" => json!("bench-service-1"),
            "containers" => json!(["bench-service-1"]),
            "image" => json!(lab.image),
            "network" => json!("bridge"),
            "volume" => json!("bench-data"),
            "images" => json!([lab.image]),
            "services" => json!(["web"]),
            "path" => json!("/etc/hostname"),
            "to" => json!(root.join(format!("{tool}.tar"))),
            "tool" => json!("list_hosts"),
            "name" if tool == "read_tool" => json!("list_containers"),
            "query" | "name" | "text" => json!("bench"),
            _ if !first.is_null() => first,
            _ if property["type"] == "array" => json!([]),
            _ if property["type"] == "object" => json!({}),
            _ if property["type"] == "integer" => json!(1),
            _ => json!("bench"),
        };
        arguments.insert(name.to_owned(), value);
    }
    // Of what none is required, but some is needed.
    match tool {
        "wait_for" => drop(arguments.insert("timeout".to_owned(), json!(1))),
        "compose_config" => {
            let project = format!("services: {{web: {{image: '{}'}}}}", lab.image);
            arguments.insert("yaml".to_owned(), json!(project));
            arguments.insert("project".to_owned(), json!("bench"));
        }
        _ => {}
    }
    Value::Object(arguments)
}
