//! The one table of what every engine request is.
//!
//! Source: the engine API's description (v1.41 to v1.53) and the daemon's router, which serves
//! some routes that the description leaves out.

use http::Method;

use super::{
    super::access::Permission::{self, Create, Exec, Images, Lifecycle, Networks, Swarm, System, Volumes},
    Class::{self, Destroy, Mutate, Never},
};

/// One kind of request.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET` stands for `HEAD` too, which the daemon answers alike.
    pub method: &'static str,
    /// The path without a version; `{name}` is one or more segments, any other `{...}` exactly one.
    pub template: &'static str,
    /// What it is, before a look at the query.
    pub class: Class,
    /// What a caller needs for it, beside what the class asks for.
    pub permission: Permission,
}

impl Route {
    /// Whether the engine answers with a list, and not with an object.
    #[must_use]
    pub fn lists(&self) -> bool {
        self.method == Method::GET.as_str()
            && matches!(
                self.template,
                "/containers/json"
                    | "/containers/{id}/changes"
                    | "/containers/{id}/checkpoints"
                    | "/images/json"
                    | "/images/search"
                    | "/images/{name}/history"
                    | "/images/{name}/attestations"
                    | "/networks"
                    | "/nodes"
                    | "/services"
                    | "/tasks"
                    | "/secrets"
                    | "/configs"
                    | "/plugins"
                    | "/plugins/privileges"
            )
    }

    /// What stands for the first placeholder in a path that matches.
    pub(super) fn subject(&self, segments: &[&str]) -> Option<String> {
        let pattern: Vec<&str> = self.template.split('/').skip(1).collect();
        let start = pattern.iter().position(|part| part.starts_with('{'))?;
        let end = segments.len().checked_sub(pattern.len() - start - 1)?;
        segments.get(start..end).map(|parts| parts.join("/"))
    }

    pub(super) fn matches(&self, method: &Method, segments: &[&str]) -> bool {
        let method_fits =
            method.as_str() == self.method || (method == Method::HEAD && self.method == Method::GET.as_str());
        let pattern: Vec<&str> = self.template.split('/').skip(1).collect();
        method_fits && fits(&pattern, segments)
    }
}

fn fits(pattern: &[&str], segments: &[&str]) -> bool {
    match pattern {
        [] => segments.is_empty(),
        ["{name}", rest @ ..] => {
            // The daemon's `{name:.*}` is greedy; what follows it is anchored at the end.
            segments.len() > rest.len()
                && segments.split_at_checked(segments.len() - rest.len()).is_some_and(|(_, tail)| fits(rest, tail))
        }
        [first, rest @ ..] => match segments {
            [segment, others @ ..] => (first.starts_with('{') || first == segment) && fits(rest, others),
            [] => false,
        },
    }
}

const fn route(method: &'static str, template: &'static str, class: Class, permission: Permission) -> Route {
    Route { method, template, class, permission }
}

/// Every request that is known; the first that fits counts, so fixed paths stand before patterns.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    // system
    route("GET",     "/_ping",                               Class::Read,  Permission::Read),
    route("GET",     "/info",                                Class::Read,  Permission::Read),
    route("GET",     "/version",                             Class::Read,  Permission::Read),
    route("GET",     "/events",                              Class::Read,  Permission::Read),
    route("GET",     "/system/df",                           Class::Read,  Permission::Read),
    // It carries a password to an address of the caller's choice.
    route("POST",    "/auth",                                Never,       System),
    route("GET",     "/debug/vars",                          Never,       System),
    route("GET",     "/debug/pprof",                         Never,       System),
    route("GET",     "/debug/pprof/{name}",                  Never,       System),

    // containers
    route("GET",     "/containers/json",                     Class::Read,  Permission::Read),
    route("POST",    "/containers/create",                   Mutate,      Create),
    route("POST",    "/containers/prune",                    Destroy,     Create),
    route("DELETE",  "/containers/{id}",                     Destroy,     Create),
    route("GET",     "/containers/{id}/json",                Class::Read,  Permission::Read),
    route("GET",     "/containers/{id}/top",                 Class::Read,  Permission::Read),
    route("GET",     "/containers/{id}/logs",                Class::Read,  Permission::Read),
    route("GET",     "/containers/{id}/stats",               Class::Read,  Permission::Read),
    route("GET",     "/containers/{id}/changes",             Class::Read,  Permission::Read),
    // A POST that only waits.
    route("POST",    "/containers/{id}/wait",                Class::Read,  Permission::Read),
    route("GET",     "/containers/{id}/archive",             Class::Files, Permission::Files),
    route("PUT",     "/containers/{id}/archive",             Destroy,     Permission::Files),
    route("GET",     "/containers/{id}/export",              Class::Files, Permission::Files),
    // A GET that writes to the standard input of the container.
    route("GET",     "/containers/{id}/attach/ws",           Never,       Exec),
    route("POST",    "/containers/{id}/attach",              Mutate,      Create),
    route("POST",    "/containers/{id}/start",               Mutate,      Lifecycle),
    route("POST",    "/containers/{id}/stop",                Mutate,      Lifecycle),
    route("POST",    "/containers/{id}/restart",             Mutate,      Lifecycle),
    route("POST",    "/containers/{id}/pause",               Mutate,      Lifecycle),
    route("POST",    "/containers/{id}/unpause",             Mutate,      Lifecycle),
    route("POST",    "/containers/{id}/kill",                Destroy,     Lifecycle),
    route("POST",    "/containers/{id}/rename",              Mutate,      Create),
    route("POST",    "/containers/{id}/update",              Mutate,      Create),
    route("POST",    "/containers/{id}/resize",              Mutate,      Exec),
    route("POST",    "/containers/{id}/exec",                Mutate,      Exec),
    route("GET",     "/containers/{id}/checkpoints",         Class::Read,  Permission::Read),
    route("POST",    "/containers/{id}/checkpoints",         Mutate,      Lifecycle),
    route("DELETE",  "/containers/{id}/checkpoints/{checkpoint}", Destroy, Create),
    route("GET",     "/exec/{id}/json",                      Class::Read,  Permission::Read),
    route("POST",    "/exec/{id}/start",                     Mutate,      Exec),
    route("POST",    "/exec/{id}/resize",                    Mutate,      Exec),
    route("POST",    "/commit",                              Mutate,      Images),

    // images
    route("GET",     "/images/json",                         Class::Read,  Permission::Read),
    route("GET",     "/images/search",                       Class::Read,  Permission::Read),
    route("GET",     "/images/get",                          Class::Files, Permission::Files),
    route("POST",    "/images/create",                       Mutate,      Images),
    route("POST",    "/images/load",                         Mutate,      Images),
    route("POST",    "/images/prune",                        Destroy,     Images),
    route("GET",     "/images/{name}/get",                   Class::Files, Permission::Files),
    route("GET",     "/images/{name}/history",               Class::Read,  Permission::Read),
    route("GET",     "/images/{name}/attestations",          Class::Read,  Permission::Read),
    route("GET",     "/images/{name}/json",                  Class::Read,  Permission::Read),
    route("POST",    "/images/{name}/push",                  Destroy,     Images),
    route("POST",    "/images/{name}/tag",                   Mutate,      Images),
    route("DELETE",  "/images/{name}",                       Destroy,     Images),
    route("GET",     "/distribution/{name}/json",            Class::Read,  Permission::Read),
    route("POST",    "/build",                               Mutate,      Images),
    route("POST",    "/build/cancel",                        Mutate,      Images),
    route("POST",    "/build/prune",                         Destroy,     System),
    // Tunnels that no guard can look into.
    route("POST",    "/session",                             Destroy,     Images),
    route("POST",    "/grpc",                                Destroy,     Images),

    // networks
    route("GET",     "/networks",                            Class::Read,  Permission::Read),
    route("POST",    "/networks/create",                     Mutate,      Networks),
    route("POST",    "/networks/prune",                      Destroy,     Networks),
    route("GET",     "/networks/{id}",                       Class::Read,  Permission::Read),
    route("DELETE",  "/networks/{id}",                       Destroy,     Networks),
    route("POST",    "/networks/{id}/connect",               Mutate,      Networks),
    route("POST",    "/networks/{id}/disconnect",            Mutate,      Networks),

    // volumes
    route("GET",     "/volumes",                             Class::Read,  Permission::Read),
    route("POST",    "/volumes/create",                      Mutate,      Volumes),
    route("POST",    "/volumes/prune",                       Destroy,     Volumes),
    route("GET",     "/volumes/{id}",                        Class::Read,  Permission::Read),
    route("PUT",     "/volumes/{id}",                        Mutate,      Volumes),
    route("DELETE",  "/volumes/{id}",                        Destroy,     Volumes),

    // swarm
    route("GET",     "/swarm",                               Class::Read,  Permission::Read),
    route("GET",     "/swarm/unlockkey",                     Class::Credentials, Permission::Credentials),
    route("POST",    "/swarm/init",                          Mutate,      Swarm),
    route("POST",    "/swarm/join",                          Mutate,      Swarm),
    route("POST",    "/swarm/leave",                         Destroy,     Swarm),
    route("POST",    "/swarm/update",                        Mutate,      Swarm),
    route("POST",    "/swarm/unlock",                        Mutate,      Swarm),
    route("GET",     "/nodes",                               Class::Read,  Permission::Read),
    route("GET",     "/nodes/{id}",                          Class::Read,  Permission::Read),
    route("DELETE",  "/nodes/{id}",                          Destroy,     Swarm),
    route("POST",    "/nodes/{id}/update",                   Mutate,      Swarm),
    route("GET",     "/services",                            Class::Read,  Permission::Read),
    route("POST",    "/services/create",                     Mutate,      Swarm),
    route("GET",     "/services/{id}",                       Class::Read,  Permission::Read),
    route("DELETE",  "/services/{id}",                       Destroy,     Swarm),
    route("GET",     "/services/{id}/logs",                  Class::Read,  Permission::Read),
    route("POST",    "/services/{id}/update",                Mutate,      Swarm),
    route("GET",     "/tasks",                               Class::Read,  Permission::Read),
    route("GET",     "/tasks/{id}",                          Class::Read,  Permission::Read),
    route("GET",     "/tasks/{id}/logs",                     Class::Read,  Permission::Read),
    route("GET",     "/secrets",                             Class::Read,  Permission::Read),
    route("POST",    "/secrets/create",                      Mutate,      Swarm),
    route("GET",     "/secrets/{id}",                        Class::Read,  Permission::Read),
    route("DELETE",  "/secrets/{id}",                        Destroy,     Swarm),
    route("POST",    "/secrets/{id}/update",                 Mutate,      Swarm),
    route("GET",     "/configs",                             Class::Read,  Permission::Read),
    route("POST",    "/configs/create",                      Mutate,      Swarm),
    route("GET",     "/configs/{id}",                        Class::Read,  Permission::Read),
    route("DELETE",  "/configs/{id}",                        Destroy,     Swarm),
    route("POST",    "/configs/{id}/update",                 Mutate,      Swarm),

    // plugins
    route("GET",     "/plugins",                             Class::Read,  Permission::Read),
    route("GET",     "/plugins/privileges",                  Class::Read,  Permission::Read),
    route("POST",    "/plugins/pull",                        Mutate,      System),
    route("POST",    "/plugins/create",                      Mutate,      System),
    route("GET",     "/plugins/{name}/json",                 Class::Read,  Permission::Read),
    route("POST",    "/plugins/{name}/enable",               Mutate,      System),
    // It can switch off the plugin that authorises requests.
    route("POST",    "/plugins/{name}/disable",              Destroy,     System),
    route("POST",    "/plugins/{name}/upgrade",              Mutate,      System),
    route("POST",    "/plugins/{name}/push",                 Destroy,     System),
    route("POST",    "/plugins/{name}/set",                  Mutate,      System),
    route("DELETE",  "/plugins/{name}",                      Destroy,     System),
];
