//! The guard on the wire: what every request to an engine is, and whether a connection may send it.
//!
//! It decides on the final, percent-decoded request, at the single exit towards a daemon, so a
//! name that smuggles a path, a library that builds a wrong URL or a tool with a defect meets it
//! too. What is not in its table is refused.

mod routes;

use std::borrow::Cow;

use http::{Method, Uri, header};
use percent_encoding::percent_decode_str;

use super::{
    access::{Ceiling, Effect, Permission},
    reference::is_registry,
};
use crate::config::Sources;
pub use routes::{ROUTES, Route};

/// What a request does and shows, as the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Changes nothing and shows no file and no credential.
    Read,
    /// Shows contents of files.
    Files,
    /// Shows credentials of a cluster.
    Credentials,
    /// Changes something.
    Mutate,
    /// Ends something.
    Destroy,
    /// Refused, whatever is granted.
    Never,
}

/// A request as the guard understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The row of the table.
    pub route: &'static Route,
    /// The row's class, after a look at the query.
    pub class: Class,
    /// The object that its path names, decoded: what stands for the first placeholder of the row.
    pub subject: Option<String>,
    /// The registry, other than Docker Hub, that it sends the daemon to.
    pub registry: Option<String>,
    /// The address that it makes the daemon fetch; never sent unless the host's settings allow that very one.
    pub source: Option<String>,
}

impl Wire {
    /// Whether it changes anything at the engine.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self.class, Class::Mutate | Class::Destroy)
    }

    /// The same where its host lets the daemon fetch from that address.
    #[must_use]
    pub fn fetching(mut self, sources: &Sources) -> Self {
        if self.source.as_ref().is_some_and(|source| sources.admit(source)) {
            self.class = self.route.class;
        }
        self
    }

    /// Whether it must not be cut off once it was sent: early engines 23.0 and 24.0 kill a container whose stop
    /// loses its client. What moves data ends with its connection, as people expect of it.
    #[must_use]
    pub fn outlives_its_caller(&self) -> bool {
        let moves_data = matches!(
            self.route.template,
            "/images/create"
                | "/images/load"
                | "/images/{name}/push"
                | "/build"
                | "/build/prune"
                | "/containers/{id}/archive"
                | "/plugins/pull"
                | "/plugins/create"
                | "/plugins/{name}/upgrade"
                | "/plugins/{name}/push"
                | "/session"
                | "/grpc"
        );
        self.writes() && !moves_data
    }
}

/// Why a request does not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Cow<'static, str>);

impl Refusal {
    const fn because(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }
}

/// Finds out what a request is.
///
/// # Errors
/// A target that cannot be read unambiguously, or that no row of the table names.
pub fn classify(method: &Method, uri: &Uri) -> Result<Wire, Refusal> {
    let path = decode(uri.path())?;
    let segments: Vec<&str> = unversioned(&path).split('/').skip(1).collect();
    let query = Query::parse(uri.query().unwrap_or_default())?;
    let route = ROUTES
        .iter()
        .find(|route| route.matches(method, &segments))
        .ok_or(Refusal::because("it is not in the table of known requests"))?;
    // An address that the daemon fetches from; `fromSrc` is `-` for the request's own body.
    let source = match route.template {
        "/images/create" => query.single("fromSrc")?.filter(|source| *source != "-"),
        "/build" => query.single("remote")?.filter(|remote| !remote.is_empty()),
        _ => None,
    };
    let class = match route.template {
        "/containers/{id}/kill" if is_mild_signal(query.single("signal")?) => Class::Mutate,
        _ if source.is_some() => Class::Never,
        "/images/search" if query.single("term")?.is_none_or(|term| registry(term).is_some()) => Class::Never,
        _ => route.class,
    };
    let subject = route.subject(&segments);
    let registry = match (route.template, &subject) {
        ("/distribution/{name}/json", Some(name)) => registry(name),
        ("/plugins/privileges", _) => query.single("remote")?.and_then(registry),
        _ => None,
    };
    let registry = registry.map(str::to_ascii_lowercase);
    let source = source.map(str::to_owned);
    Ok(Wire { route, class, subject, registry, source })
}

impl Ceiling {
    /// Whether a connection with this ceiling may send the request.
    ///
    /// `creates` says that the request acts on a container which the same call made, for which
    /// `create` is enough to start it.
    ///
    /// # Errors
    /// The reason, for the agent: which limit it would break.
    pub fn admits(&self, wire: &Wire, headers: &http::HeaderMap, body: bool, creates: bool) -> Result<(), Refusal> {
        let needed = match wire.class {
            Class::Never => return Err(Refusal::because("it is never sent")),
            Class::Read | Class::Files | Class::Credentials => Effect::Read,
            Class::Mutate => Effect::Mutate,
            Class::Destroy => Effect::Destroy,
        };
        if !needed.allowed_by(self.mode) {
            return Err(Refusal(format!("the host is ({})", self.mode.as_str()).into()));
        }
        if needed > self.effect {
            return Err(Refusal(format!("the call was decided to be a {}", self.effect).into()));
        }
        if self.effect == Effect::Read && (body || headers.contains_key(header::UPGRADE)) {
            return Err(Refusal::because("a reading connection carries no body and no upgrade"));
        }
        let permission = match (wire.class, wire.route.permission) {
            (Class::Files, _) => Permission::Files,
            (Class::Credentials, _) => Permission::Credentials,
            (_, Permission::Lifecycle) if creates && self.permissions.has(Permission::Create) => Permission::Create,
            (_, permission) => permission,
        };
        if !self.permissions.has(permission) {
            return Err(Refusal(format!("the call was not decided to need \"{permission}\"").into()));
        }
        Ok(())
    }
}

/// HUP, USR1, USR2 and WINCH, by name with or without `SIG` in any case, or by number on Linux.
///
/// None, and anything that is not understood, counts as the worst: `KILL`.
#[must_use]
pub fn is_mild_signal(signal: Option<&str>) -> bool {
    let Some(signal) = signal else { return false };
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    matches!(name, "HUP" | "USR1" | "USR2" | "WINCH" | "1" | "10" | "12" | "28")
}

/// Decodes a path once and refuses what two readers could read differently.
fn decode(path: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Refusal::because("its path is not valid text"))?;
    let ambiguous =
        decoded.chars().any(|character| character.is_control() || matches!(character, '%' | '\\' | '?' | '#'));
    if ambiguous || decoded.split('/').skip(1).any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        return Err(Refusal::because("its path can be read in two ways"));
    }
    Ok(decoded.into_owned())
}

/// The path without `/v1.41` in front.
fn unversioned(path: &str) -> &str {
    let Some((first, _)) = path.get(1..).and_then(|rest| rest.split_once('/')) else { return path };
    let is_version = first.strip_prefix('v').is_some_and(|version| {
        !version.is_empty() && version.chars().all(|character| character.is_ascii_digit() || character == '.')
    });
    if is_version { path.get(first.len() + 1..).unwrap_or(path) } else { path }
}

/// The decoded parameters of a request.
struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Result<Self, Refusal> {
        // Go drops pairs with a `;`, others split at it.
        if query.contains(';') {
            return Err(Refusal::because("its query can be read in two ways"));
        }
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).collect()))
    }

    /// The value of a parameter that decides about the class, so it may be there only once.
    fn single(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_ref());
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal(format!("it names \"{name}\" twice").into()));
        }
        Ok(first)
    }
}

/// The registry in front of a reference, other than Docker Hub; taken off text that may be no reference at all.
fn registry(reference: &str) -> Option<&str> {
    let (first, _) = reference.split_once('/')?;
    (is_registry(first) && !matches!(first, "docker.io" | "index.docker.io")).then_some(first)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::{config::Mode, docker::access::Permissions};

    fn class(method: &str, target: &str) -> Result<Class, Refusal> {
        classify(&method.parse().unwrap(), &target.parse().unwrap()).map(|wire| wire.class)
    }

    #[test]
    fn signals_are_judged_by_what_they_do() {
        for mild in ["HUP", "sighup", "1", "SIGUSR1", "winch"] {
            assert_eq!(class("POST", &format!("/containers/a/kill?signal={mild}")), Ok(Class::Mutate), "{mild}");
        }
        for target in ["/containers/a/kill", "/containers/a/kill?signal=TERM", "/containers/a/kill?signal=9"] {
            assert_eq!(class("POST", target), Ok(Class::Destroy), "{target}");
        }
        assert!(class("POST", "/containers/a/kill?signal=HUP&signal=KILL").is_err());
    }

    #[test]
    fn disguises_are_seen_through() {
        assert_eq!(class("GET", "/containers/x/%61ttach/ws"), Ok(Class::Never));
        assert_eq!(class("GET", "/containers/x/attach%2Fws"), Ok(Class::Never));
        for target in [
            "/containers/../info",
            "/containers/%2e%2e/info",
            "/containers//json",
            "/containers/x%252fattach/json",
            "/containers/a%00b/json",
            "/containers/a%3Fb/json",
            "/v1.41",
            "/nonsense",
            "/containers/a/b/json",
        ] {
            assert!(class("GET", target).is_err(), "{target}");
        }
    }

    #[test]
    fn what_a_path_is_about_is_known() {
        let subject = |target: &str| {
            let mut methods = [Method::GET, Method::POST].into_iter();
            methods.find_map(|method| classify(&method, &target.parse().unwrap()).ok()).unwrap().subject
        };
        for (target, expected) in [
            ("/containers/web/json", Some("web")),
            ("/v1.45/containers/w%65b/logs?follow=1", Some("web")),
            ("/images/127.0.0.1:5000/lab/base:1/json", Some("127.0.0.1:5000/lab/base:1")),
            ("/images/json/json", Some("json")),
            ("/networks/x/connect", Some("x")),
            ("/containers/json", None),
            ("/info", None),
        ] {
            assert_eq!(subject(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_version_changes_nothing() {
        assert_eq!(class("GET", "/v1.41/containers/json"), Ok(Class::Read));
        assert_eq!(class("DELETE", "/v1.51/volumes/data"), Ok(Class::Destroy));
    }

    #[test]
    fn image_names_may_have_slashes() {
        assert_eq!(class("GET", "/images/127.0.0.1:5000/lab/base:1/json"), Ok(Class::Read));
        assert_eq!(class("GET", "/images/a/b/get"), Ok(Class::Files));
        assert_eq!(class("POST", "/images/a/b/push"), Ok(Class::Destroy));
        assert_eq!(class("DELETE", "/images/a/b/c"), Ok(Class::Destroy));
    }

    #[test]
    fn daemons_are_not_sent_to_strange_registries() {
        assert_eq!(class("GET", "/images/search?term=nginx"), Ok(Class::Read));
        assert_eq!(class("GET", "/images/search?term=10.0.0.1:5000/x"), Ok(Class::Never));
        assert_eq!(class("GET", "/distribution/library/nginx/json"), Ok(Class::Read));
        assert_eq!(class("GET", "/images/search?term=EVIL/x"), Ok(Class::Never));
        assert_eq!(class("GET", "/images/search?term=evil.example@x/y"), Ok(Class::Never));
        let sent_to = |name: &str| {
            let target = format!("/v1.45/distribution/{name}/json").parse().unwrap();
            classify(&Method::GET, &target).unwrap().registry
        };
        for (name, expected) in [
            ("nginx", None),
            ("library/nginx", None),
            ("docker.io/ops/web:1", None),
            ("index.docker.io/ops/web", None),
            ("evil.example/x", Some("evil.example")),
            ("Evil.Example/x", Some("evil.example")),
            ("EVIL/x", Some("evil")),
            ("localhost/x", Some("localhost")),
            ("10.0.0.1:5000/a/b:1", Some("10.0.0.1:5000")),
            ("%65vil.example/x", Some("evil.example")),
            ("docker.io.evil.example/x", Some("docker.io.evil.example")),
        ] {
            assert_eq!(sent_to(name).as_deref(), expected, "{name}");
        }
        let asked_of = |remote: &str| {
            let target = format!("/plugins/privileges?remote={remote}").parse().unwrap();
            classify(&Method::GET, &target).map(|wire| wire.registry)
        };
        assert_eq!(asked_of("vieux/sshfs:latest"), Ok(None));
        assert_eq!(asked_of("Evil.Example%2fx").unwrap().as_deref(), Some("evil.example"));
        assert_eq!(asked_of("10.0.0.1:5000/a/b:1").unwrap().as_deref(), Some("10.0.0.1:5000"));
        assert!(asked_of("vieux/sshfs&remote=evil.example/x").is_err());
    }

    #[test]
    fn a_daemon_fetches_only_what_its_host_allows() {
        let sources = Sources::new(&["https://github.com/acme/*".to_owned()]).unwrap();
        let class = |target: &str| {
            let wire = classify(&Method::POST, &target.parse().unwrap());
            wire.map(|wire| (wire.class, wire.fetching(&sources).class))
        };
        for (target, expected) in [
            ("/build?remote=https://github.com/acme/web.git", (Class::Never, Class::Mutate)),
            ("/build?remote=https%3A%2F%2Fgithub.com%2Facme%2Fweb.git%23main", (Class::Never, Class::Mutate)),
            ("/images/create?fromSrc=https://github.com/acme/x.tar", (Class::Never, Class::Mutate)),
            ("/build?remote=https://github.com/other/web.git", (Class::Never, Class::Never)),
            ("/build?remote=https://github.com/acme/../other", (Class::Never, Class::Never)),
            ("/build?remote=client-session", (Class::Never, Class::Never)),
            ("/images/create?fromSrc=http://x", (Class::Never, Class::Never)),
            ("/images/create?fromSrc=", (Class::Never, Class::Never)),
            ("/images/create?fromSrc=-", (Class::Mutate, Class::Mutate)),
            ("/build?remote=", (Class::Mutate, Class::Mutate)),
            ("/build", (Class::Mutate, Class::Mutate)),
        ] {
            assert_eq!(class(target), Ok(expected), "{target}");
        }
        let twice = "/build?remote=https://github.com/acme/x&remote=http://evil.test/x";
        assert!(class(twice).is_err(), "one of two could be the one that counts");
        // No other address becomes allowed by one that is.
        let search = classify(&Method::GET, &"/images/search?term=10.0.0.1:5000/x".parse().unwrap()).unwrap();
        assert_eq!(search.fetching(&sources).class, Class::Never);
    }

    #[test]
    fn the_ceiling_holds_on_every_side() {
        let all = Permissions::of(&Permission::ALL);
        let may = |mode, effect, permissions, method: &str, target: &str| {
            let wire = classify(&method.parse().unwrap(), &target.parse().unwrap()).unwrap();
            Ceiling { mode, effect, permissions }.admits(&wire, &HeaderMap::new(), false, false).is_ok()
        };
        let wait = "/containers/a/wait";
        assert!(may(Mode::Ro, Effect::Read, Permissions::READ, "POST", wait));
        for (method, target) in
            [("POST", "/containers/a/start"), ("DELETE", "/containers/a"), ("PUT", "/containers/a/archive")]
        {
            assert!(!may(Mode::Ro, Effect::Destroy, all, method, target), "{target}");
            assert!(!may(Mode::Rw, Effect::Read, all, method, target), "{target}");
        }
        assert!(may(Mode::Nd, Effect::Destroy, all, "POST", "/containers/a/start"));
        assert!(!may(Mode::Nd, Effect::Destroy, all, "DELETE", "/containers/a"));
        assert!(!may(Mode::Rw, Effect::Mutate, all, "DELETE", "/containers/a"));
        assert!(!may(Mode::Rw, Effect::Destroy, Permissions::READ, "DELETE", "/containers/a"));
        assert!(!may(Mode::Rw, Effect::Read, Permissions::READ, "GET", "/containers/a/export"));
        assert!(!may(Mode::Rw, Effect::Destroy, Permissions::implied_by(Mode::Rw), "GET", "/swarm/unlockkey"));
    }

    #[test]
    fn reading_connections_carry_nothing() {
        let wire = classify(&Method::GET, &"/info".parse().unwrap()).unwrap();
        let reading = Ceiling::reading(Mode::Rw);
        let mut headers = HeaderMap::new();
        assert!(reading.admits(&wire, &headers, true, false).is_err());
        headers.insert(header::UPGRADE, "h2c".parse().unwrap());
        assert!(reading.admits(&wire, &headers, false, false).is_err());
    }

    #[test]
    fn what_a_call_creates_it_may_start() {
        let wire = classify(&Method::POST, &"/containers/a/start".parse().unwrap()).unwrap();
        let ceiling =
            Ceiling { mode: Mode::Rw, effect: Effect::Mutate, permissions: Permissions::of(&[Permission::Create]) };
        assert!(ceiling.admits(&wire, &HeaderMap::new(), false, true).is_ok());
        assert!(ceiling.admits(&wire, &HeaderMap::new(), false, false).is_err());
    }
}
