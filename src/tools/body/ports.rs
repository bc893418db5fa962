//! Published ports as `docker run -p` takes them: `[[address:][host]:]container[/protocol]`.

use std::{collections::HashMap, net::IpAddr, ops::RangeInclusive};

use bollard::models::{PortBinding, PortMap};

use super::values::wrong;
use crate::error::{Error, Result};

/// The most ports of one container; each has a process of its own at the engine.
const MOST: usize = 1024;

/// The ports that are exposed, and where the host publishes them.
pub(crate) fn published(specs: &[String]) -> Result<(Vec<String>, PortMap)> {
    let mut exposed = Vec::new();
    let mut bindings: PortMap = HashMap::new();
    for spec in specs {
        let refused = || {
            let allowed = "\"8080:80\", \"127.0.0.1:5353:53/udp\", \"80\" or \"8000-8002:9000-9002\"";
            wrong("ports", spec, "no published port", allowed)
        };
        let Published { address, host, container, protocol } = parse(spec).ok_or_else(refused)?;
        for (position, inside) in container.clone().enumerate() {
            let outside = match &host {
                None => String::new(),
                // One port inside, several outside: the engine takes the first that is free.
                Some(host) if container.start() == container.end() && host.start() != host.end() => {
                    format!("{}-{}", host.start(), host.end())
                }
                Some(host) => host.clone().nth(position).ok_or_else(refused)?.to_string(),
            };
            let port = format!("{inside}/{protocol}");
            let binding = PortBinding { host_ip: address.map(|address| address.to_string()), host_port: Some(outside) };
            bindings.entry(port.clone()).or_insert_with(|| Some(Vec::new())).get_or_insert_default().push(binding);
            if !exposed.contains(&port) {
                exposed.push(port);
            }
            if exposed.len() > MOST {
                return Err(Error::invalid(format!("argument \"ports\" publishes more than {MOST} ports"))
                    .hint("publish fewer, or connect to the container over a network"));
            }
        }
    }
    Ok((exposed, bindings))
}

struct Published<'a> {
    address: Option<IpAddr>,
    host: Option<RangeInclusive<u16>>,
    container: RangeInclusive<u16>,
    protocol: &'a str,
}

fn parse(spec: &str) -> Option<Published<'_>> {
    let (rest, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return None;
    }
    let (address, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once("]:")?;
            (Some(IpAddr::V6(address.parse().ok()?)), rest)
        }
        None if rest.matches(':').count() == 2 => {
            let (address, rest) = rest.split_once(':')?;
            (Some(IpAddr::V4(address.parse().ok()?)), rest)
        }
        None => (None, rest),
    };
    let (host, container) = match rest.split_once(':') {
        Some(("", container)) if address.is_some() => (None, container),
        Some((host, container)) => (Some(range(host)?), container),
        None if address.is_some() => return None,
        None => (None, rest),
    };
    let container = range(container).filter(|ports| *ports.start() > 0)?;
    let fits = host.as_ref().is_none_or(|host| host.len() == container.len() || container.len() == 1);
    fits.then_some(Published { address, host, container, protocol })
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = port(first)?..=port(last)?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `address|host|container`, sorted.
    fn shown(specs: &[&str]) -> Vec<String> {
        let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
        let (exposed, bindings) = published(&specs).unwrap();
        let mut shown = Vec::new();
        for port in exposed {
            for PortBinding { host_ip, host_port } in bindings[&port].clone().unwrap() {
                shown.push(format!("{}|{}|{port}", host_ip.unwrap_or_default(), host_port.unwrap_or_default()));
            }
        }
        shown.sort();
        shown
    }

    #[test]
    fn every_form_of_the_command_line() {
        assert_eq!(shown(&["8080:80"]), ["|8080|80/tcp"]);
        assert_eq!(shown(&["80"]), ["||80/tcp"]);
        assert_eq!(shown(&["127.0.0.1:5353:53/udp"]), ["127.0.0.1|5353|53/udp"]);
        assert_eq!(shown(&["127.0.0.1::53"]), ["127.0.0.1||53/tcp"]);
        assert_eq!(shown(&["[::1]:80:80"]), ["::1|80|80/tcp"]);
        assert_eq!(shown(&["8000-8001:9000-9001"]), ["|8000|9000/tcp", "|8001|9001/tcp"]);
        assert_eq!(shown(&["8000-8005:80"]), ["|8000-8005|80/tcp"]);
        assert_eq!(shown(&["9000-9001"]), ["||9000/tcp", "||9001/tcp"]);
        assert_eq!(shown(&["1:80", "2:80"]), ["|1|80/tcp", "|2|80/tcp"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for spec in [
            "",
            ":",
            "80:",
            ":80",
            "a:b",
            "80/http",
            "65536",
            "0",
            "1-3:5-6",
            "3-1",
            "1:2:3",
            "::1:80:80",
            "[::1]:80",
            "127.0.0.1:80",
            "80 ",
            "+80",
            "1:2:3:4",
            "80/tcp/udp",
        ] {
            assert!(published(&[spec.to_owned()]).is_err(), "{spec:?}");
        }
        assert!(published(&["1-2000".to_owned()]).is_err());
    }
}
