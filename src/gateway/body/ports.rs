//! Ports of the machine that a container takes.

use std::{collections::BTreeSet, net::IpAddr, ops::RangeInclusive};

use serde_json::Value;

use super::{
    Hit,
    read::{entries, flag, items, number, text},
};
use crate::{config::limits::Rule, docker::names::quote};

/// Below this, only root may listen.
const FREE: u16 = 1024;
/// How many ports a sentence names.
const SHOWN: usize = 5;

/// The ports of a container's `HostConfig`.
pub(super) fn of_host(host: &Value) -> Vec<Hit> {
    let place = "HostConfig.PortBindings";
    let (mut everywhere, mut low) = (BTreeSet::new(), BTreeSet::new());
    for (port, bindings) in entries(host, "PortBindings") {
        let bindings = bindings.as_array().map(Vec::as_slice).unwrap_or_default();
        if bindings.is_empty() {
            // Newer engines make a port of their choice of it.
            everywhere.insert(port.to_owned());
        }
        for binding in bindings {
            let written = text(binding, "HostPort");
            let shown = if written.is_empty() { port } else { written };
            if is_everywhere(text(binding, "HostIp")) {
                everywhere.insert(shown.to_owned());
            }
            if range(written).is_none_or(|range| *range.start() < FREE && *range.end() > 0) {
                low.insert(shown.to_owned());
            }
        }
    }
    let mut hits = Vec::new();
    if !everywhere.is_empty() {
        hits.push(Hit::at(Rule::Port, format!("{} on all interfaces", shown(&everywhere)), place));
    }
    // One sentence for one port is enough.
    let low: BTreeSet<String> = low.difference(&everywhere).cloned().collect();
    if !low.is_empty() {
        hits.push(Hit::at(Rule::Port, format!("{} below {FREE}", shown(&low)), place));
    }
    if flag(host, "PublishAllPorts") {
        let what = "every exposed port on all interfaces".to_owned();
        hits.push(Hit::at(Rule::Port, what, "HostConfig.PublishAllPorts"));
    }
    hits
}

/// The ports of a service: each is open on every node, on all interfaces.
pub(super) fn of_service(endpoint: &Value) -> Option<Hit> {
    let ports = items(endpoint, "Ports").iter().map(|port| {
        let published = number(port, "PublishedPort").filter(|port| *port > 0);
        published.or_else(|| number(port, "TargetPort")).unwrap_or_default().to_string()
    });
    let ports: BTreeSet<String> = ports.collect();
    (!ports.is_empty())
        .then(|| Hit::at(Rule::Port, format!("{} on all interfaces", shown(&ports)), "EndpointSpec.Ports"))
}

/// Whether an engine that is told this address listens on all: it does so on everything that it cannot read.
fn is_everywhere(address: &str) -> bool {
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_unspecified(),
        Err(_) => true,
    }
}

/// A port or a range of them; nothing, and zero, is one that the engine picks.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    if text.is_empty() {
        return Some(0..=0);
    }
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(port(first)?..=port(last)?)
}

fn shown(ports: &BTreeSet<String>) -> String {
    let names: Vec<String> = ports.iter().take(SHOWN).map(|port| quote(port)).collect();
    let more = ports.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("port{} {}{more}", if ports.len() == 1 { "" } else { "s" }, names.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hits(address: &str, port: &str) -> usize {
        of_host(&json!({"PortBindings": {"80/tcp": [{"HostIp": address, "HostPort": port}]}})).len()
    }

    #[test]
    fn all_interfaces_have_many_names() {
        for address in
            ["", "0.0.0.0", "::", "0", "::0", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0", "[::]", "0x0", "localhost"]
        {
            assert_eq!(hits(address, "8080"), 1, "{address}");
        }
        for address in ["127.0.0.1", "::1", "192.0.2.7", "::ffff:127.0.0.1"] {
            assert_eq!(hits(address, "8080"), 0, "{address}");
        }
    }

    #[test]
    fn low_ports_are_told_in_ranges_too() {
        for port in ["80", "1", "1023", "0080", "1000-2000", "0-1", "99999", "http", "-1", "80-"] {
            assert_eq!(hits("127.0.0.1", port), 1, "{port}");
        }
        for port in ["", "0", "1024", "8000-8010", "65535"] {
            assert_eq!(hits("127.0.0.1", port), 0, "{port}");
        }
    }

    #[test]
    fn many_ports_make_one_sentence() {
        let ports: serde_json::Map<String, Value> =
            (1..=9).map(|port| (format!("{port}/tcp"), json!([{"HostPort": port.to_string()}]))).collect();
        let hits = of_host(&json!({"PortBindings": ports}));
        assert_eq!(hits.len(), 1);
        assert!(hits[0].value.starts_with("ports \"1\", \"2\", \"3\", \"4\", \"5\" and 4 more on all"), "{hits:?}");
        assert_eq!(of_host(&json!({"PortBindings": {"80/tcp": []}})).len(), 1);
        assert_eq!(of_host(&json!({"PortBindings": {"80/tcp": null}})).len(), 1);
        assert_eq!(of_host(&json!({"PublishAllPorts": true, "PortBindings": {}})).len(), 1);
        assert!(of_host(&json!({"PortBindings": null})).is_empty());
    }
}
