//! What a container is made of, read out of its inspect: the body of its successor, and the changes to it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::tool::Json;

/// What stands in `Config` and is no setting of a container: the image's name, and what is only of an image.
const NOT_KEPT: [&str; 2] = ["Image", "OnBuild"];

/// The body that makes the same container again, its networks left out.
///
/// `image` is the `Config` of the image that it was made of: what came from there is left to the new image.
/// `taken` are the volumes that other containers lend it: they come with `VolumesFrom` again.
pub(super) fn carried(facts: &Value, image: Option<&Value>, taken: &BTreeSet<(String, String)>) -> Json {
    let mut body = object(facts, "/Config");
    let mut host = object(facts, "/HostConfig");
    for field in NOT_KEPT {
        body.remove(field);
    }
    if let Some(image) = image {
        leave_to_image(&mut body, image);
    }
    let id = text(facts, "/Id").get(..12).unwrap_or_default();
    let (mode, uts) = (text(facts, "/HostConfig/NetworkMode"), text(facts, "/HostConfig/UTSMode"));
    let borrows_name = mode.starts_with("container:") || uts == "host";
    if borrows_name || text(facts, "/Config/Hostname") == id {
        // The engine made it up, or fills in whose it is, and takes no other.
        body.remove("Hostname");
    }
    if borrows_name {
        body.remove("Domainname");
    }
    keep_volumes(&mut host, facts.get("Mounts"), taken);
    body.insert("HostConfig".into(), Value::Object(host));
    body
}

/// Drops what the image says of itself.
fn leave_to_image(config: &mut Json, image: &Value) {
    let same = |config: &Json, field: &str| {
        let (own, given) = (config.get(field).unwrap_or(&Value::Null), image.get(field).unwrap_or(&Value::Null));
        own == given || (is_nothing(own) && is_nothing(given))
    };
    for field in ["User", "WorkingDir", "StopSignal", "Shell", "Healthcheck"] {
        if same(config, field) {
            config.remove(field);
        }
    }
    let (own_command, has_command) = (!same(config, "Cmd"), config.get("Cmd").is_some_and(|cmd| !is_nothing(cmd)));
    // An entrypoint without a command means none: the image's would come back with the image's entrypoint.
    if same(config, "Entrypoint") && (!own_command || has_command) {
        config.remove("Entrypoint");
        if !own_command {
            config.remove("Cmd");
        }
    }
    for field in ["Labels", "Volumes", "ExposedPorts"] {
        if let (Some(own), Some(given)) =
            (config.get_mut(field).and_then(Value::as_object_mut), image.get(field).and_then(Value::as_object))
        {
            own.retain(|name, value| given.get(name) != Some(value));
        }
    }
    if let (Some(own), Some(given)) =
        (config.get_mut("Env").and_then(Value::as_array_mut), image.get("Env").and_then(Value::as_array))
    {
        own.retain(|variable| !given.contains(variable));
    }
}

/// Names the volumes that have no name in its settings, so that they go over to the new container.
fn keep_volumes(host: &mut Json, mounts: Option<&Value>, taken: &BTreeSet<(String, String)>) {
    for mount in mounts.and_then(Value::as_array).into_iter().flatten() {
        let (name, place) = (text(mount, "/Name"), plain(text(mount, "/Destination")));
        if text(mount, "/Type") != "volume" || name.is_empty() {
            continue;
        }
        let mut long = host.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten();
        if let Some(long) = long.find(|long| plain(text(long, "/Target")) == place).and_then(Value::as_object_mut) {
            if long.get("Source").is_none_or(is_nothing) {
                long.insert("Source".into(), name.into());
            }
            continue;
        }
        if taken.contains(&(name.to_owned(), place.to_owned())) {
            continue;
        }
        list(host, "Binds", |binds| {
            let is_here = |bind: &Value| bind.as_str().is_some_and(|bind| destination(bind) == place);
            let is_named = |bind: &Value| bind.as_str().is_some_and(|bind| bind.contains(':'));
            if !binds.iter().any(|bind| is_here(bind) && is_named(bind)) {
                binds.retain(|bind| !is_here(bind));
                let mode = if mount.get("RW") == Some(&Value::Bool(false)) { ":ro" } else { "" };
                binds.push(format!("{name}:{place}{mode}").into());
            }
        });
    }
}

/// The volumes that containers have which lend theirs, and where.
pub(super) fn lent<'a>(lenders: impl Iterator<Item = &'a Value>) -> BTreeSet<(String, String)> {
    let mounts = lenders.flat_map(|facts| facts.get("Mounts").and_then(Value::as_array).into_iter().flatten());
    mounts.map(|mount| (text(mount, "/Name").to_owned(), plain(text(mount, "/Destination")).to_owned())).collect()
}

/// Puts changes, written as the body of a new container, over what was carried over.
///
/// Variables and labels are changed by name, mounts by their destination; any other list is replaced.
pub(super) fn change(body: &mut Json, changes: &Value) {
    for (field, value) in fields_of(changes, "") {
        match field.as_str() {
            "HostConfig" | "ExposedPorts" | "Volumes" => {}
            "Env" => list(body, "Env", |own| change_variables(own, value)),
            "Labels" | "Healthcheck" => fields(body, field, |own| own.extend(object(value, ""))),
            _ => drop(body.insert(field.clone(), value.clone())),
        }
    }
    change_mounts(body, changes);
    let mut unpublished: Vec<String> = Vec::new();
    let mut published: Vec<String> = Vec::new();
    fields(body, "HostConfig", |host| {
        for (field, value) in fields_of(changes, "/HostConfig") {
            match field.as_str() {
                "Binds" | "Mounts" => continue,
                "PortBindings" => unpublished = ports(host),
                "Memory" if is_double(host) => drop(host.remove("MemorySwap")),
                // The engine takes one way to say it.
                "NanoCpus" => ["CpuPeriod", "CpuQuota"].into_iter().for_each(|other| drop(host.remove(other))),
                _ => {}
            }
            host.insert(field.clone(), value.clone());
        }
        published = ports(host);
    });
    if !(published.is_empty() && unpublished.is_empty()) {
        fields(body, "ExposedPorts", |exposed| {
            exposed.retain(|port, _| !unpublished.contains(port));
            // Only what is exposed is published, and the new image may expose something else.
            exposed.extend(published.into_iter().map(|port| (port, json!({}))));
        });
    }
}

fn ports(host: &Json) -> Vec<String> {
    host.get("PortBindings").and_then(Value::as_object).into_iter().flatten().map(|(port, _)| port.clone()).collect()
}

/// Whether the swap is what the engine makes of the memory by itself.
fn is_double(host: &Json) -> bool {
    let number = |field: &str| host.get(field).and_then(Value::as_i64).unwrap_or_default();
    number("MemorySwap") == number("Memory").saturating_mul(2)
}

fn change_variables(own: &mut Vec<Value>, given: &Value) {
    let name =
        |variable: &Value| variable.as_str().and_then(|text| text.split('=').next()).unwrap_or_default().to_owned();
    for variable in given.as_array().into_iter().flatten() {
        own.retain(|known| name(known) != name(variable));
        own.push(variable.clone());
    }
}

/// What is given takes the place of whatever was mounted there.
fn change_mounts(body: &mut Json, changes: &Value) {
    let binds: Vec<Value> = items(changes, "/HostConfig/Binds").cloned().collect();
    let long: Vec<Value> = items(changes, "/HostConfig/Mounts").cloned().collect();
    let anonymous = object(changes, "/Volumes");
    let places: BTreeSet<String> = binds
        .iter()
        .filter_map(Value::as_str)
        .map(destination)
        .chain(long.iter().map(|mount| plain(text(mount, "/Target"))))
        .chain(anonymous.keys().map(|place| plain(place)))
        .map(str::to_owned)
        .collect();
    if places.is_empty() {
        return;
    }
    fields(body, "HostConfig", |host| {
        list(host, "Binds", |own| {
            own.retain(|bind| bind.as_str().is_none_or(|bind| !places.contains(destination(bind))));
            own.extend(binds);
        });
        list(host, "Mounts", |own| {
            own.retain(|mount| !places.contains(plain(text(mount, "/Target"))));
            own.extend(long);
        });
        if let Some(memory) = host.get_mut("Tmpfs").and_then(Value::as_object_mut) {
            memory.retain(|place, _| !places.contains(plain(place)));
        }
    });
    fields(body, "Volumes", |volumes| {
        volumes.retain(|place, _| !places.contains(plain(place)));
        volumes.extend(anonymous);
    });
}

/// What of a container's place in a network is a setting, and not what came of it.
///
/// `macs` says that the engine takes an address of the hardware for each network.
pub(super) fn endpoint(id: &str, settings: &Value, macs: bool) -> Json {
    let mut kept = Json::new();
    for field in ["IPAMConfig", "Links", "DriverOpts", "GwPriority"] {
        if let Some(value) = settings.get(field).filter(|value| !is_nothing(value)) {
            kept.insert(field.into(), value.clone());
        }
    }
    // The engine adds the beginning of the id by itself.
    let short = id.get(..12).unwrap_or(id);
    let aliases: Vec<Value> = items(settings, "/Aliases")
        .filter(|alias| alias.as_str().is_some_and(|alias| alias != short))
        .cloned()
        .collect();
    if !aliases.is_empty() {
        kept.insert("Aliases".into(), aliases.into());
    }
    let mac = text(settings, "/MacAddress");
    if macs && !mac.is_empty() && !is_made_up(mac, text(settings, "/IPAddress")) {
        kept.insert("MacAddress".into(), mac.into());
    }
    kept
}

/// Whether the engine made the address of the hardware out of the one of the network.
fn is_made_up(mac: &str, address: &str) -> bool {
    let Some(tail) = mac.to_ascii_lowercase().strip_prefix("02:42:").map(str::to_owned) else { return false };
    let Ok(address) = address.parse::<std::net::Ipv4Addr>() else { return true };
    let octets: Vec<String> = address.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    tail == octets.join(":")
}

/// Edits the object under a name, a new one where there is none.
pub(super) fn fields(body: &mut Json, field: &str, edit: impl FnOnce(&mut Json)) {
    let mut own = match body.get_mut(field).map(Value::take) {
        Some(Value::Object(own)) => own,
        _ => Json::new(),
    };
    edit(&mut own);
    body.insert(field.to_owned(), Value::Object(own));
}

fn list(body: &mut Json, field: &str, edit: impl FnOnce(&mut Vec<Value>)) {
    let mut own = match body.get_mut(field).map(Value::take) {
        Some(Value::Array(own)) => own,
        _ => Vec::new(),
    };
    edit(&mut own);
    body.insert(field.to_owned(), Value::Array(own));
}

fn object(document: &Value, pointer: &str) -> Json {
    document.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn fields_of<'a>(document: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    document.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

pub(super) fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(document: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    document.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The destination of `source:/destination[:options]`, or of `/destination` alone.
fn destination(bind: &str) -> &str {
    plain(bind.split(':').nth(1).unwrap_or(bind))
}

fn plain(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => path,
        path => path,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn facts() -> Value {
        json!({
            "Id": ID,
            "Config": {"Hostname": "0123456789ab", "Image": "web:1", "OnBuild": ["RUN x"], "User": "1000", "WorkingDir": "/app",
                "Env": ["PATH=/bin", "A=own"], "Cmd": ["serve"], "Entrypoint": ["/entry"], "Tty": true,
                "Labels": {"of": "image", "my": "own"}, "Volumes": {"/cache": {}, "/own": {}},
                "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "Field of the future": 7},
            "HostConfig": {"Binds": ["data:/data", "/srv:/srv:ro", "/bare"], "NetworkMode": "front", "Memory": 100, "MemorySwap": 200,
                "CpuQuota": 5, "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "MaskedPaths": ["/proc/kcore"],
                "Mounts": [{"Type": "volume", "Target": "/long"}, {"Type": "bind", "Source": "/x", "Target": "/x"}]},
            "Mounts": [
                {"Type": "volume", "Name": "data", "Destination": "/data", "RW": true},
                {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": false},
                {"Type": "volume", "Name": "a1", "Destination": "/cache", "RW": true},
                {"Type": "volume", "Name": "a2", "Destination": "/own/", "RW": false},
                {"Type": "volume", "Name": "a3", "Destination": "/long", "RW": true},
                {"Type": "volume", "Name": "a4", "Destination": "/bare", "RW": true},
                {"Type": "volume", "Name": "lent", "Destination": "/lent", "RW": true},
            ],
        })
    }

    fn kept() -> Json {
        let image = json!({"User": "", "WorkingDir": "/app", "Env": ["PATH=/bin"], "Cmd": ["serve"], "Entrypoint": ["/entry"],
            "Labels": {"of": "image"}, "Volumes": {"/cache": {}}, "ExposedPorts": {"81/tcp": {}}});
        let lent = lent([json!({"Mounts": [{"Name": "lent", "Destination": "/lent"}]})].iter());
        carried(&facts(), Some(&image), &lent)
    }

    #[test]
    fn what_came_from_the_image_is_left_to_the_new_one() {
        let body = Value::Object(kept());
        for gone in ["Hostname", "Image", "OnBuild", "WorkingDir", "Cmd", "Entrypoint"] {
            assert!(body.get(gone).is_none(), "{gone}");
        }
        assert_eq!(body["Env"], json!(["A=own"]));
        assert_eq!(body["Labels"], json!({"my": "own"}));
        assert_eq!(body["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!(
            (&body["User"], &body["Tty"], &body["Field of the future"]),
            (&json!("1000"), &json!(true), &json!(7))
        );
        assert_eq!(body["HostConfig"]["MaskedPaths"], json!(["/proc/kcore"]));
        // Of an image that is gone nothing is known.
        assert_eq!(carried(&facts(), None, &BTreeSet::new())["Cmd"], json!(["serve"]));
    }

    #[test]
    fn an_own_entrypoint_keeps_its_command_and_none() {
        let image = json!({"Cmd": ["serve"], "Entrypoint": ["/entry"]});
        let commands = |cmd: Value, entrypoint: Value| {
            let facts = json!({"Id": ID, "Config": {"Cmd": cmd, "Entrypoint": entrypoint}});
            let body = carried(&facts, Some(&image), &BTreeSet::new());
            (body.get("Cmd").cloned(), body.get("Entrypoint").cloned())
        };
        assert_eq!(commands(json!(["serve"]), json!(["/entry"])), (None, None));
        assert_eq!(commands(json!(["other"]), json!(["/entry"])), (Some(json!(["other"])), None));
        assert_eq!(commands(json!(["serve"]), json!(["sh"])), (Some(json!(["serve"])), Some(json!(["sh"]))));
        assert_eq!(commands(Value::Null, json!(["/entry"])), (Some(Value::Null), Some(json!(["/entry"]))));
    }

    #[test]
    fn volumes_without_a_name_go_over() {
        let body = Value::Object(kept());
        let expected = json!(["data:/data", "/srv:/srv:ro", "a1:/cache", "a2:/own:ro", "a4:/bare"]);
        assert_eq!(body["HostConfig"]["Binds"], expected);
        assert_eq!(body["HostConfig"]["Mounts"][0]["Source"], "a3");
        assert_eq!(body["HostConfig"]["Mounts"][1]["Source"], "/x");
    }

    #[test]
    fn changes_take_the_place_of_what_was() {
        let mut body = kept();
        change(
            &mut body,
            &json!({
                "Env": ["A=new", "B=x"], "Labels": {"my": "new", "b": "x"}, "Cmd": ["other"], "ExposedPorts": {"90/tcp": {}},
                "Healthcheck": {"Interval": 5},
                "Volumes": {"/own": {}},
                "HostConfig": {"Binds": ["other:/cache"], "Mounts": [{"Type": "tmpfs", "Target": "/srv"}], "Memory": 300,
                    "NanoCpus": 9, "PortBindings": {"90/tcp": [{"HostPort": "9090"}]}},
            }),
        );
        let body = Value::Object(body);
        assert_eq!(body["Env"], json!(["A=new", "B=x"]));
        assert_eq!(body["Labels"], json!({"my": "new", "b": "x"}));
        assert_eq!(body["Cmd"], json!(["other"]));
        assert_eq!(body["ExposedPorts"], json!({"90/tcp": {}}));
        assert_eq!(body["Healthcheck"], json!({"Interval": 5}));
        assert_eq!(body["HostConfig"]["Binds"], json!(["data:/data", "a4:/bare", "other:/cache"]));
        assert_eq!(body["HostConfig"]["Mounts"].as_array().unwrap().len(), 3);
        assert_eq!(body["Volumes"], json!({"/own": {}}));
        assert_eq!(body["HostConfig"]["PortBindings"], json!({"90/tcp": [{"HostPort": "9090"}]}));
        assert_eq!(body["HostConfig"]["Memory"], 300);
        assert!(body["HostConfig"].get("MemorySwap").is_none() && body["HostConfig"].get("CpuQuota").is_none());
    }

    #[test]
    fn nothing_changes_without_changes() {
        let (before, mut after) = (kept(), kept());
        change(&mut after, &json!({}));
        assert_eq!(before, after);
    }

    #[test]
    fn a_place_in_a_network_keeps_what_was_asked_for() {
        let settings = |mac: &str| {
            json!({"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Links": null, "Aliases": ["web", &ID[..12]], "MacAddress": mac,
                "NetworkID": "x", "EndpointID": "y", "Gateway": "10.0.0.1", "IPAddress": "10.0.0.9", "DriverOpts": null})
        };
        let expected = json!({"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["web"]});
        assert_eq!(Value::Object(endpoint(ID, &settings("02:42:0a:00:00:09"), true)), expected);
        assert_eq!(Value::Object(endpoint(ID, &settings("02:11:22:33:44:55"), false)), expected);
        let own = endpoint(ID, &settings("02:11:22:33:44:55"), true);
        assert_eq!(own["MacAddress"], "02:11:22:33:44:55");
    }

    #[test]
    fn whose_name_is_borrowed_has_none() {
        for host in [json!({"NetworkMode": "container:x"}), json!({"UTSMode": "host"})] {
            let facts = json!({"Id": ID, "Config": {"Hostname": "other", "Domainname": "d"}, "HostConfig": host});
            let body = carried(&facts, None, &BTreeSet::new());
            assert!(body.get("Hostname").is_none() && body.get("Domainname").is_none());
        }
    }
}
