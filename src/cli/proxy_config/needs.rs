//! Which requests Quaymaster may send to a host, read off the guard's table, so that no list here can drift from it.

use http::HeaderMap;

use crate::{
    config::HostConfig,
    docker::{
        access::{Ceiling, Effect},
        guard::{Class, ROUTES, Route, Wire},
    },
};

/// What may be sent to one host, by its mode and its permissions.
pub(super) struct Needs {
    ceiling: Ceiling,
}

impl Needs {
    /// What the highest ceiling of a call on the host lets through.
    pub(super) fn of(host: &HostConfig) -> Self {
        let most = [Effect::Destroy, Effect::Mutate].into_iter().find(|effect| effect.allowed_by(host.mode));
        let effect = most.unwrap_or(Effect::Read);
        Self { ceiling: Ceiling { mode: host.mode, effect, permissions: host.limits.permissions } }
    }

    /// Whether the row is ever sent, be it only to a container that the same call made.
    pub(super) fn has(&self, route: &'static Route) -> bool {
        self.admits(route, true)
    }

    /// Whether it is sent to any object.
    pub(super) fn has_freely(&self, route: &'static Route) -> bool {
        self.admits(route, false)
    }

    fn admits(&self, route: &'static Route, creates: bool) -> bool {
        let wire = Wire { route, class: route.class, subject: None, registry: None, source: None };
        self.ceiling.admits(&wire, &HeaderMap::new(), false, creates).is_ok()
    }

    /// Every row that is sent.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Route> {
        ROUTES.iter().filter(|route| self.has(route))
    }

    /// Every row that a proxy lets through although it is not sent, or not to every object.
    pub(super) fn open(&self, admits: impl Fn(&'static Route) -> bool) -> Vec<&'static Route> {
        ROUTES.iter().filter(|route| admits(route) && !self.has_freely(route)).collect()
    }

    /// Every row that is sent and that a proxy refuses.
    pub(super) fn closed(&self, admits: impl Fn(&'static Route) -> bool) -> Vec<&'static Route> {
        self.rows().filter(|route| !admits(route)).collect()
    }
}

/// Whether a row changes something.
pub(super) fn writes(route: &Route) -> bool {
    matches!(route.class, Class::Mutate | Class::Destroy)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{
        Config, Environment, Flags,
        permission::{Permission, Permissions},
    };

    /// A host of a test.
    pub(in crate::cli::proxy_config) fn host(spec: &str) -> HostConfig {
        let flags = Flags { hosts: vec![spec.to_owned()], ..Flags::default() };
        Config::load(&Environment::default(), &flags).unwrap().hosts.remove(0)
    }

    /// The same with a complete list of permissions.
    pub(in crate::cli::proxy_config) fn permitted(spec: &str, permissions: &[Permission]) -> HostConfig {
        let mut host = host(spec);
        host.limits.permissions = Permissions::of(permissions);
        host
    }

    /// Hosts of every kind.
    pub(in crate::cli::proxy_config) fn hosts() -> Vec<HostConfig> {
        let mut hosts: Vec<HostConfig> =
            ["", "(nd)", "(ro)"].map(|markers| host(&format!("a=unix:///x{markers}"))).into();
        for permissions in [
            &[][..],
            &[Permission::Lifecycle],
            &[Permission::Create],
            &[Permission::Files],
            &[Permission::Credentials],
            &[Permission::Images, Permission::Exec],
            &Permission::ALL,
        ] {
            hosts.extend(["", "(nd)", "(ro)"].map(|markers| permitted(&format!("a=unix:///x{markers}"), permissions)));
        }
        hosts
    }

    #[test]
    fn the_table_decides() {
        let rows = |host: &HostConfig| Needs::of(host).rows().count();
        let reads = ROUTES.iter().filter(|route| route.class == Class::Read).count();
        assert_eq!(rows(&host("a=unix:///x(ro)")), reads);
        assert!(rows(&host("a=unix:///x(nd)")) > reads);
        assert!(rows(&host("a=unix:///x")) > rows(&host("a=unix:///x(nd)")));
        let files = Needs::of(&permitted("a=unix:///x(ro)", &[Permission::Files]));
        assert!(files.rows().any(|route| route.template == "/containers/{id}/export"));
        for host in hosts() {
            assert!(Needs::of(&host).rows().all(|route| route.class != Class::Never));
        }
    }
}
