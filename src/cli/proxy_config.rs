//! `proxy-config`: an allow list of the common Docker socket proxies, as near as each can be to what a host is sent.

mod haproxy;
mod needs;
mod page;
mod wollomatic;

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Screen, usage};
use crate::{
    config::{Endpoint, HostConfig, Mode, SshEndpoint},
    docker::{access::Permission, guard::Route},
    error::Result,
    gateway::Gateway,
};
use haproxy::{Kind, Switches};
use needs::Needs;

/// Where an engine listens unless it is told otherwise.
const ENGINE: &str = "/var/run/docker.sock";
/// Where the proxies that know TCP only listen.
const ADDRESS: &str = "127.0.0.1:2375";
/// The directory of the socket of the proxy that can listen on one.
const DIRECTORY: &str = "/run/quaymaster";
/// That socket.
const SOCKET: &str = "/run/quaymaster/docker.sock";

/// What the login on the far machine is called in the examples.
const LOGIN: &str = "quaymaster";

/// What `proxy-config` takes.
#[derive(Args)]
pub(super) struct ProxyConfig {
    /// The host, by name
    host: String,
    /// The proxy; all three if none is named
    #[arg(long = "for", value_name = "PROXY")]
    proxy: Option<Proxy>,
}

/// A proxy that people put in front of an engine's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Proxy {
    /// wollomatic/socket-proxy: by method and path, the nearest
    Wollomatic,
    /// linuxserver/docker-socket-proxy: by section, with finer switches for the life of containers
    Linuxserver,
    /// Tecnativa/docker-socket-proxy: by section, and all writes or none
    Tecnativa,
}

/// Everything that is printed about one proxy.
#[derive(Serialize)]
struct Advice {
    proxy: Proxy,
    image: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<String>,
    /// What stays open although the host is never sent it.
    open: Vec<Row>,
    /// What the host may be sent and the proxy refuses.
    closed: Vec<Row>,
    notes: Vec<String>,
    /// What the far machine's sshd is to run for the login.
    authorized_keys: String,
    /// The host as Quaymaster is to know it from then on.
    host: Vec<String>,
    compose: String,
}

/// A request, and what is worth knowing about it.
#[derive(Serialize)]
struct Row {
    method: &'static str,
    path: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Serialize)]
struct Document {
    host: String,
    mode: &'static str,
    proxies: Vec<Advice>,
}

impl ProxyConfig {
    pub(super) fn run(self, gateway: &Gateway, screen: &Screen, json: bool) -> Result<ExitCode> {
        let host = gateway.fleet().host(&self.host).map_err(|error| usage(&error))?;
        let config = host.config();
        let wanted: Vec<Proxy> = self.proxy.map_or_else(|| Proxy::value_variants().to_vec(), |proxy| vec![proxy]);
        let proxies: Vec<Advice> = wanted.into_iter().map(|proxy| Advice::new(proxy, config)).collect();
        if json {
            screen.print_json(&Document { host: config.name.clone(), mode: config.mode.as_str(), proxies })?;
        } else {
            screen.print(&screen.out.show(&page::of(config, &proxies)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Proxy {
    const fn image(self) -> &'static str {
        match self {
            Self::Wollomatic => "wollomatic/socket-proxy:1",
            Self::Linuxserver => "lscr.io/linuxserver/socket-proxy:latest",
            Self::Tecnativa => "tecnativa/docker-socket-proxy:latest",
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Wollomatic => "github.com/wollomatic/socket-proxy",
            Self::Linuxserver => "github.com/linuxserver/docker-socket-proxy",
            Self::Tecnativa => "github.com/Tecnativa/docker-socket-proxy",
        }
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    fn address(self) -> String {
        match self {
            Self::Wollomatic => format!("unix://{SOCKET}"),
            Self::Linuxserver | Self::Tecnativa => format!("tcp://{ADDRESS}"),
        }
    }
}

impl Advice {
    fn new(proxy: Proxy, host: &HostConfig) -> Self {
        let needs = Needs::of(host);
        let mut advice = Self {
            proxy,
            image: proxy.image(),
            environment: BTreeMap::new(),
            arguments: Vec::new(),
            open: Vec::new(),
            closed: Vec::new(),
            notes: leaks(&needs, host),
            authorized_keys: format!(
                "restrict,command=\"env DOCKER_HOST={} docker system dial-stdio\" ssh-ed25519 AAAA... quaymaster",
                proxy.address()
            ),
            host: specs(proxy, host),
            compose: String::new(),
        };
        match proxy {
            Proxy::Wollomatic => advice.by_path(&needs),
            Proxy::Linuxserver => advice.by_section(Kind::Linuxserver, &needs),
            Proxy::Tecnativa => advice.by_section(Kind::Tecnativa, &needs),
        }
        advice.compose = page::compose(&advice, &engine(host));
        advice
    }

    fn by_path(&mut self, needs: &Needs) {
        self.open = rows(needs.open(|route| needs.has(route)), |_| Some("only containers that a call made are meant"));
        self.arguments = vec![
            "-loglevel=info".to_owned(),
            format!("-proxysocketendpoint={SOCKET}"),
            "-proxysocketendpointfilemode=0660".to_owned(),
        ];
        let expressions = wollomatic::expressions(needs);
        self.arguments.extend(expressions.into_iter().map(|(method, text)| format!("-allow{method}={text}")));
    }

    fn by_section(&mut self, kind: Kind, needs: &Needs) {
        let switches = Switches::of(kind, needs);
        self.open = rows(needs.open(|route| switches.admits(route)), |route| {
            let newer = switches.admits_in_newer(route);
            (!newer).then_some("newer releases refuse it with the switches below")
        });
        self.closed = rows(needs.closed(|route| switches.admits_in_newer(route)), closed);
        self.environment = switches.variables().collect();
        self.notes.push("It closes what was silent for ten minutes: a followed log, a long wait, an exec.".to_owned());
        if kind == Kind::Tecnativa {
            self.notes
                .push("A release that does not know a switch ignores it; there POST=1 means every method.".to_owned());
        } else {
            self.notes.push("A release that does not know a switch ignores it.".to_owned());
        }
    }
}

fn rows(routes: Vec<&'static Route>, note: impl Fn(&'static Route) -> Option<&'static str>) -> Vec<Row> {
    routes.into_iter().map(|route| Row { method: route.method, path: route.template, note: note(route) }).collect()
}

/// What does not work for want of a request.
fn closed(route: &'static Route) -> Option<&'static str> {
    match route.template {
        "/containers/{id}/wait" => Some("wait_for looks twice a second instead"),
        "/containers/{id}/restart" => Some("its switch lets kill through: stop and start instead"),
        _ => None,
    }
}

/// What gets out of what is needed, since a proxy lets an answer through whole and does not look at a query.
fn leaks(needs: &Needs, host: &HostConfig) -> Vec<String> {
    let needed = |method: &str, path: &str| needs.rows().any(|route| (route.method, route.template) == (method, path));
    let lacks = |permission| !host.limits.permissions.has(permission);
    let kill = needs.rows().any(|route| route.permission == Permission::Lifecycle && needs::writes(route))
        && !needed("POST", "/containers/{id}/kill");
    [
        (true, "Answers pass whole: variables, labels and logs are redacted by Quaymaster, not by the proxy."),
        (
            needed("GET", "/swarm") && lacks(Permission::Credentials),
            "GET /swarm shows the join tokens of a swarm's manager; Quaymaster drops them.",
        ),
        (
            needed("GET", "/configs/{id}") && lacks(Permission::Files),
            "GET /configs shows what is in configs; Quaymaster drops it.",
        ),
        (
            needed("GET", "/distribution/{name}/json"),
            "GET /distribution and /images/search send the engine to any registry; Quaymaster to known ones only.",
        ),
        (
            needed("POST", "/images/create"),
            "POST /images/create imports from any address (fromSrc); Quaymaster refuses that.",
        ),
        (needed("POST", "/build"), "POST /build fetches from any address (remote); Quaymaster refuses that."),
        (
            needed("POST", "/containers/create"),
            "POST /containers/create takes any body: who may create containers there is root of that machine.",
        ),
        (kill, "POST /containers/{id}/kill is not opened: no proxy tells HUP from KILL, so no signal can be sent."),
        (
            true,
            "The mount is read-only so that nobody replaces the socket; what is sent through it only the list limits.",
        ),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, note)| note.to_owned())
    .collect()
}

/// The engine's socket on its own machine.
fn engine(host: &HostConfig) -> String {
    match &host.endpoint {
        Endpoint::Unix { path } => path.display().to_string(),
        Endpoint::Ssh(ssh) => ssh.socket.clone().unwrap_or_else(|| ENGINE.to_owned()),
        Endpoint::Tcp { .. } | Endpoint::Tls { .. } | Endpoint::Missing { .. } => ENGINE.to_owned(),
    }
}

/// How the host is written once the proxy is there.
fn specs(proxy: Proxy, host: &HostConfig) -> Vec<String> {
    let marker = if host.mode == Mode::Rw { String::new() } else { format!("({})", host.mode.as_str()) };
    let name = &host.name;
    let ssh = match &host.endpoint {
        Endpoint::Ssh(ssh) => ssh.clone(),
        Endpoint::Unix { .. } | Endpoint::Missing { .. } => return vec![format!("{name}={}{marker}", proxy.address())],
        Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. } => {
            SshEndpoint { host: host.clone(), ..SshEndpoint::default() }
        }
    };
    let login = Endpoint::Ssh(SshEndpoint { user: Some(LOGIN.to_owned()), socket: None, ..ssh });
    let mut specs = vec![format!("{name}={login}{marker}")];
    if proxy == Proxy::Wollomatic {
        specs.push(format!("{name}={login}{SOCKET}{marker}"));
    }
    specs
}
