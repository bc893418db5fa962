//! The two proxies that know sections and methods only: Tecnativa's and linuxserver's, both made of haproxy rules.
//!
//! Sources: the README files and haproxy templates of Tecnativa/docker-socket-proxy and
//! linuxserver/docker-socket-proxy.

use std::collections::BTreeMap;

use super::needs::{Needs, writes};
use crate::docker::guard::{ROUTES, Route};

/// A section is what the first part of a path is called.
const SECTIONS: [&str; 23] = [
    "AUTH",
    "BUILD",
    "COMMIT",
    "CONFIGS",
    "CONTAINERS",
    "DISTRIBUTION",
    "EVENTS",
    "EXEC",
    "GRPC",
    "IMAGES",
    "INFO",
    "NETWORKS",
    "NODES",
    "PING",
    "PLUGINS",
    "SECRETS",
    "SERVICES",
    "SESSION",
    "SWARM",
    "SYSTEM",
    "TASKS",
    "VERSION",
    "VOLUMES",
];

/// Switches that let something of `/containers/{id}` through beside its section, and what.
const GRANTS: [(&str, &[&str]); 5] = [
    ("ALLOW_PAUSE", &["pause"]),
    ("ALLOW_RESTARTS", &["stop", "restart", "kill"]),
    ("ALLOW_START", &["start"]),
    ("ALLOW_STOP", &["stop"]),
    ("ALLOW_UNPAUSE", &["unpause"]),
];

/// Switches of newer releases, without which they refuse something of `/containers/{id}`.
const GATES: [(&str, &[&str]); 6] = [
    ("ALLOW_ARCHIVE", &["archive"]),
    ("ALLOW_ATTACH", &["attach", "attach/ws"]),
    ("ALLOW_EXEC", &["exec"]),
    ("ALLOW_EXPORT", &["export"]),
    ("ALLOW_KILL", &["kill"]),
    ("ALLOW_LOGS", &["logs"]),
];

/// Methods that newer releases of Tecnativa's have a switch for; before, `POST` meant all but GET and HEAD.
const METHODS: [&str; 2] = ["DELETE", "PUT"];

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tecnativa,
    Linuxserver,
}

/// What every switch is set to.
pub(super) struct Switches {
    kind: Kind,
    set: BTreeMap<&'static str, bool>,
}

impl Switches {
    /// As little as lets through what is needed; what one switch cannot tell apart stays as open as it must.
    pub(super) fn of(kind: Kind, needs: &Needs) -> Self {
        let mut set = BTreeMap::new();
        for section in SECTIONS {
            set.insert(section, needs.rows().any(|route| self::section(route) == Some(section)));
        }
        for (name, parts) in GRANTS {
            // One that lets through more than is needed stays off.
            let mut rows = ROUTES.iter().filter(|route| route.method == "POST" && is_any(route, parts));
            set.insert(name, rows.all(|route| needs.has_freely(route)));
        }
        for (name, parts) in GATES {
            set.insert(name, needs.rows().any(|route| is_any(route, parts)));
        }
        for method in METHODS {
            set.insert(method, kind == Kind::Tecnativa && needs.rows().any(|route| route.method == method));
        }
        // It opens every write of every open section: not for waiting, which looking again and again replaces,
        // and where there are finer switches not for what they nearly cover either.
        let fine = |route: &Route| {
            kind == Kind::Linuxserver
                && (is_any(route, &["checkpoints"]) || GRANTS.iter().any(|(_, parts)| is_any(route, parts)))
        };
        set.insert("POST", needs.rows().any(|route| writes(route) && !fine(route)));
        Self { kind, set }
    }

    /// The variables and their values.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let known = |name: &str| self.kind == Kind::Tecnativa || !METHODS.contains(&name);
        self.set.iter().filter(move |(name, _)| known(name)).map(|(name, on)| (*name, if *on { "1" } else { "0" }))
    }

    /// Whether any release lets the row through.
    pub(super) fn admits(&self, route: &Route) -> bool {
        let method = route.method == "GET" || self.is_on("POST");
        let section = section(route).is_some_and(|section| self.is_on(section));
        match self.kind {
            Kind::Tecnativa => method && (self.grants(route) || section),
            // Its grants hold whatever POST says.
            Kind::Linuxserver => self.grants(route) || (method && section),
        }
    }

    /// Whether newer releases let the row through.
    pub(super) fn admits_in_newer(&self, route: &Route) -> bool {
        let gated = GATES.iter().any(|(name, parts)| is_any(route, parts) && !self.is_on(name));
        let method = self.kind == Kind::Linuxserver || !METHODS.contains(&route.method) || self.is_on(route.method);
        self.admits(route) && !gated && method
    }

    fn grants(&self, route: &Route) -> bool {
        GRANTS.iter().any(|(name, parts)| is_any(route, parts) && self.is_on(name))
    }

    fn is_on(&self, name: &str) -> bool {
        self.set.get(name).copied().unwrap_or_default()
    }
}

/// The section of a row, if the proxies know one.
fn section(route: &Route) -> Option<&'static str> {
    let first = route.template.split('/').nth(1).unwrap_or_default().trim_start_matches('_');
    SECTIONS.into_iter().find(|section| section.eq_ignore_ascii_case(first))
}

/// Whether a row is one of these parts of a container.
fn is_any(route: &Route, parts: &[&str]) -> bool {
    route.template.strip_prefix("/containers/{id}/").is_some_and(|part| parts.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::{
        super::needs::tests::{host, hosts, permitted},
        *,
    };
    use crate::docker::access::Permission;

    fn on(switches: &Switches) -> Vec<&'static str> {
        switches.variables().filter(|(_, value)| *value == "1").map(|(name, _)| name).collect()
    }

    #[test]
    fn every_row_has_a_section() {
        let without: Vec<&str> =
            ROUTES.iter().filter(|route| section(route).is_none()).map(|route| route.template).collect();
        assert_eq!(without, ["/debug/vars", "/debug/pprof", "/debug/pprof/{name}"]);
    }

    #[test]
    fn a_read_only_host_opens_its_sections_and_no_method() {
        for kind in [Kind::Tecnativa, Kind::Linuxserver] {
            let needs = Needs::of(&host("a=unix:///x(ro)"));
            let switches = Switches::of(kind, &needs);
            let expected = [
                "ALLOW_LOGS",
                "CONFIGS",
                "CONTAINERS",
                "DISTRIBUTION",
                "EVENTS",
                "EXEC",
                "IMAGES",
                "INFO",
                "NETWORKS",
                "NODES",
                "PING",
                "PLUGINS",
                "SECRETS",
                "SERVICES",
                "SWARM",
                "SYSTEM",
                "TASKS",
                "VERSION",
                "VOLUMES",
            ];
            assert_eq!(on(&switches), expected);
            let closed: Vec<&str> =
                needs.closed(|route| switches.admits_in_newer(route)).iter().map(|route| route.template).collect();
            assert_eq!(closed, ["/containers/{id}/wait"]);
            let names = |newer: bool| -> Vec<&str> {
                let admits = |route| if newer { switches.admits_in_newer(route) } else { switches.admits(route) };
                needs.open(admits).iter().map(|route| route.template).collect()
            };
            let open = ["/containers/{id}/archive", "/containers/{id}/export", "/containers/{id}/attach/ws"];
            let rest = ["/images/get", "/images/{name}/get", "/swarm/unlockkey"];
            assert_eq!(names(false), [&open[..], &rest].concat());
            assert_eq!(names(true), rest);
        }
    }

    #[test]
    fn lifecycle_alone_takes_no_method_where_there_are_finer_switches() {
        let fine = Switches::of(Kind::Linuxserver, &Needs::of(&permitted("a=unix:///x", &[Permission::Lifecycle])));
        for name in ["ALLOW_START", "ALLOW_STOP", "ALLOW_RESTARTS", "ALLOW_PAUSE", "ALLOW_UNPAUSE", "ALLOW_KILL"] {
            assert!(fine.is_on(name), "{name}");
        }
        assert!(!fine.is_on("POST") && !fine.is_on("ALLOW_EXEC"));
        let nd = Needs::of(&permitted("a=unix:///x(nd)", &[Permission::Lifecycle]));
        let nd = Switches::of(Kind::Linuxserver, &nd);
        assert!(
            !nd.is_on("POST") && !nd.is_on("ALLOW_RESTARTS") && nd.is_on("ALLOW_STOP"),
            "it would let KILL through"
        );
        let coarse = Switches::of(Kind::Tecnativa, &Needs::of(&permitted("a=unix:///x", &[Permission::Lifecycle])));
        assert!(coarse.is_on("POST") && !coarse.is_on("DELETE") && !coarse.is_on("PUT"));
    }

    #[test]
    fn what_is_needed_is_open_and_the_rest_is_named() {
        for host in hosts() {
            let needs = Needs::of(&host);
            for kind in [Kind::Tecnativa, Kind::Linuxserver] {
                let switches = Switches::of(kind, &needs);
                let fine = ["/containers/{id}/restart", "/containers/{id}/checkpoints"];
                for route in needs.closed(|route| switches.admits_in_newer(route)) {
                    let may = route.template == "/containers/{id}/wait"
                        || (kind == Kind::Linuxserver && fine.contains(&route.template));
                    assert!(may && !switches.is_on("POST"), "{:?} {kind:?}: {route:?}", host.limits.permissions);
                }
                for route in ROUTES.iter().filter(|route| switches.admits_in_newer(route)) {
                    assert!(switches.admits(route), "a newer release opens {route:?}");
                }
            }
        }
    }
}
