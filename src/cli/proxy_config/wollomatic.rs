//! wollomatic/socket-proxy: one regular expression for the paths of each method, which can say exactly what is needed.
//!
//! Sources: its README and `internal/config/config.go`. It matches the path as decoded once, without the query, and
//! puts `^` and `$` around each expression.

use super::needs::Needs;

/// A name or id of everything but images: `..` is none, and neither is anything with a slash, however it is written.
const ID: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]*";
/// A reference of an image or a plugin, of which every part between slashes begins with a letter or digit.
const NAME: &str = "[a-zA-Z0-9][a-zA-Z0-9_.:@-]*(/[a-zA-Z0-9][a-zA-Z0-9_.:@-]*)*";
/// The version in front of a path.
const VERSION: &str = r"(/v1\.[0-9]+)?";
/// What the daemon answers to HEAD; everywhere else it does not know the method.
const HEADS: [&str; 2] = ["/_ping", "/containers/{id}/archive"];

/// The expression of each method that is needed, in the order of its options.
pub(super) fn expressions(needs: &Needs) -> Vec<(&'static str, String)> {
    ["GET", "HEAD", "POST", "PUT", "DELETE"]
        .into_iter()
        .filter_map(|method| {
            let table = if method == "HEAD" { "GET" } else { method };
            let rows = needs.rows().filter(|route| route.method == table);
            let rows = rows.filter(|route| method != "HEAD" || HEADS.contains(&route.template));
            let paths: Vec<Vec<&str>> = rows.map(|route| route.template.split('/').skip(1).collect()).collect();
            let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
            (!paths.is_empty()).then(|| (method, format!("{VERSION}/{}", either(&paths))))
        })
        .collect()
}

/// One of some paths, what they begin with written once. None of the paths is empty.
fn either(paths: &[&[&str]]) -> String {
    let mut branches: Vec<(&str, Vec<&[&str]>)> = Vec::new();
    for path in paths {
        let Some((first, rest)) = path.split_first() else { continue };
        match branches.iter_mut().find(|(known, _)| known == first) {
            Some((_, rests)) => rests.push(rest),
            None => branches.push((first, vec![rest])),
        }
    }
    let single = branches.len() == 1;
    let branches: Vec<String> = branches
        .into_iter()
        .map(|(first, rests)| {
            let longer: Vec<&[&str]> = rests.iter().copied().filter(|rest| !rest.is_empty()).collect();
            let ends = longer.len() < rests.len();
            match (longer.is_empty(), ends) {
                (true, _) => segment(first),
                (false, false) => format!("{}/{}", segment(first), either(&longer)),
                (false, true) => format!("{}(/{})?", segment(first), either(&longer)),
            }
        })
        .collect();
    if single { branches.concat() } else { format!("({})", branches.join("|")) }
}

fn segment(part: &str) -> String {
    match part {
        "{name}" => NAME.to_owned(),
        _ if part.starts_with('{') => ID.to_owned(),
        _ => regex::escape(part),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{Method, Uri};
    use percent_encoding::percent_decode_str;
    use regex::Regex;

    use super::{
        super::needs::tests::{host, hosts, permitted},
        *,
    };
    use crate::docker::{
        access::Permission,
        guard::{ROUTES, classify},
    };

    /// The proxy, as its source has it.
    struct Proxy(BTreeMap<&'static str, Regex>);

    impl Proxy {
        fn new(needs: &Needs) -> Self {
            let compile = |(method, text): (&'static str, String)| (method, Regex::new(&format!("^{text}$")).unwrap());
            Self(expressions(needs).into_iter().map(compile).collect())
        }

        /// Go's `URL.Path` is the target's path decoded once; what is no text is no path of ours.
        fn admits(&self, method: &str, path: &str) -> bool {
            let Ok(decoded) = percent_decode_str(path).decode_utf8() else { return false };
            self.0.get(method).is_some_and(|expression| expression.is_match(&decoded))
        }
    }

    /// Paths that fit a template.
    fn samples(template: &str) -> Vec<String> {
        let id = "3d2b1c0f9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f6e5d4";
        let names = [
            ("web_1.a-b", "nginx"),
            (id, "docker.io/library/nginx:1.27"),
            ("a", "127.0.0.1:5000/lab/base@sha256:00"),
            ("json", "sha256:00ff"),
        ];
        let fill = |(id, name): &(&str, &str)| {
            template.replace("{name}", name).replace("{id}", id).replace("{checkpoint}", "first")
        };
        let paths =
            names.iter().map(fill).flat_map(|path| ["", "/v1.41", "/v1.53"].map(|version| format!("{version}{path}")));
        paths.collect()
    }

    #[test]
    fn every_needed_row_passes_and_no_other() {
        for host in hosts() {
            let needs = Needs::of(&host);
            let proxy = Proxy::new(&needs);
            for route in ROUTES {
                for path in samples(route.template) {
                    // The daemon's own order of rows: `/images/json` is no image called `json`.
                    let row = classify(&route.method.parse().unwrap(), &path.parse::<Uri>().unwrap()).unwrap().route;
                    assert_eq!(
                        proxy.admits(route.method, &path),
                        needs.has(row),
                        "{} {:?}: {} {path}",
                        host.mode.as_str(),
                        host.limits.permissions,
                        route.method
                    );
                }
            }
        }
    }

    #[test]
    fn a_read_only_host_gets_two_methods_and_one_post() {
        let expressions: BTreeMap<_, _> = expressions(&Needs::of(&host("a=unix:///x(ro)"))).into_iter().collect();
        assert_eq!(expressions.keys().copied().collect::<Vec<_>>(), ["GET", "HEAD", "POST"]);
        assert_eq!(expressions["POST"], format!("{VERSION}/containers/{ID}/wait"));
        assert_eq!(expressions["HEAD"], format!("{VERSION}/_ping"));
        let files = Proxy::new(&Needs::of(&permitted("a=unix:///x(ro)", &[Permission::Files])));
        assert!(files.admits("HEAD", "/v1.45/containers/a/archive") && !files.admits("PUT", "/containers/a/archive"));
    }

    #[test]
    fn no_disguise_passes() {
        let proxy = Proxy::new(&Needs::of(&host("a=unix:///x(ro)")));
        for path in [
            "/containers/x/attach/ws",
            "/containers/x/%61ttach/ws",
            "/containers/x/attach%2Fws",
            "/containers/x%2Fattach%2Fws",
            "/v1.41/containers/x/archive",
            "/containers/x/ex%70ort",
            "/containers/x/export/json",
            "/containers/x%2Fexport%2Fjson",
            "/containers/x%252Fexport/json",
            "/containers/../swarm/unlockkey",
            "/containers/%2e%2e/json",
            "/containers/./json",
            "/containers//json",
            "//containers/json",
            "/containers/json/",
            "/containers/json%0a",
            "/containers/json%00",
            "/containers/json%3fall=1",
            "/containers/json;x",
            "/images/get",
            "/images/a/b/get",
            "/images/../get/json",
            "/images/a/..%2f..%2fcontainers/x/json",
            "/images//json/json",
            "/swarm/unlockkey",
            "/swarm%2Funlockkey",
            "/swarm/",
            "/info/x",
            "/x/info",
            "/infos",
            "/_ping/..",
            "/v1.41",
            "/v1.41/v1.41/info",
            "/v2.0/info",
            "/v1.4a/info",
            "/v1x41/info",
            "/debug/pprof/heap",
            "/containers/ä/json",
            "/CONTAINERS/JSON",
            "",
            "/",
        ] {
            assert!(!proxy.admits("GET", path), "{path}");
        }
        for (method, path) in [
            ("POST", "/containers/x/start"),
            ("POST", "/containers/x/wait/../start"),
            ("POST", "/containers/create"),
            ("POST", "/containers/wait"),
            ("POST", "/containers/x%2Fstart/wait"),
            ("DELETE", "/containers/x"),
            ("PUT", "/containers/x/archive"),
            ("HEAD", "/containers/x/archive"),
            ("HEAD", "/containers/json"),
            ("OPTIONS", "/info"),
            ("CONNECT", "/info"),
            ("get", "/info"),
        ] {
            assert!(!proxy.admits(method, path), "{method} {path}");
        }
    }

    /// Whatever passes, of all paths of some hostile and harmless parts, is a row that is needed.
    #[test]
    fn what_passes_is_understood_by_the_guard_too() {
        let parts = [
            "v1.41",
            "containers",
            "images",
            "swarm",
            "unlockkey",
            "json",
            "get",
            "attach",
            "ws",
            "export",
            "archive",
            "exec",
            "start",
            "wait",
            "prune",
            "x",
            "a%2Fget",
            "%2e%2e",
            "..",
            "",
            "%67et",
            "plugins",
            "networks",
            "x:y",
            "_ping",
        ];
        let longer = |paths: &[String]| -> Vec<String> {
            paths.iter().flat_map(|path| parts.iter().map(move |part| format!("{path}/{part}"))).collect()
        };
        let (mut paths, mut last, mut passed) = (Vec::new(), vec![String::new()], 0);
        for _ in 0..3 {
            last = longer(&last);
            paths.extend(last.iter().cloned());
        }
        paths.extend(last.iter().map(|path| format!("/v1.41{path}")));
        for needs in ["(ro)", "(nd)", ""].map(|markers| Needs::of(&host(&format!("a=unix:///x{markers}")))) {
            let proxy = Proxy::new(&needs);
            for path in &paths {
                for method in ["GET", "POST", "DELETE", "PUT"].into_iter().filter(|method| proxy.admits(method, path)) {
                    let wire = classify(&method.parse::<Method>().unwrap(), &path.parse().unwrap());
                    let wire = wire.unwrap_or_else(|refusal| panic!("{method} {path}: {refusal:?}"));
                    assert!(needs.has(wire.route), "{method} {path}: {wire:?}");
                    passed += 1;
                }
            }
        }
        assert!(passed > 100, "{passed}");
    }
}
