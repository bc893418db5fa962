//! The guard's table against the list of every operation that an engine serves.

use std::fmt::Write;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use quaymaster::docker::{
    access::Permission,
    guard::{Class, ROUTES, Refusal, Route, Wire, classify},
};

/// Method, path and class of every operation, as the design lists them.
const LIST: &str = include_str!("routes.txt");

/// Where the product's page decides otherwise than the list, or more finely.
const DECIDED: &[(&str, &str, Class)] = &[
    // `exec` is a mutation; what leaves the engine, and what nobody can look into, destroys.
    ("POST", "/exec/{id}/start", Class::Mutate),
    ("POST", "/images/{name}/push", Class::Destroy),
    ("POST", "/plugins/{name}/push", Class::Destroy),
    ("POST", "/session", Class::Destroy),
    ("POST", "/grpc", Class::Destroy),
    // It can switch off the plugin that authorises requests.
    ("POST", "/plugins/{name}/disable", Class::Destroy),
    // Writes, carries a password away, or is the daemon's own inside.
    ("GET", "/containers/{id}/attach/ws", Class::Never),
    ("POST", "/auth", Class::Never),
    ("GET", "/debug/vars", Class::Never),
    ("GET", "/debug/pprof", Class::Never),
    ("GET", "/debug/pprof/{name}", Class::Never),
    // Contents of files, credentials of a cluster.
    ("GET", "/containers/{id}/archive", Class::Files),
    ("HEAD", "/containers/{id}/archive", Class::Files),
    ("GET", "/containers/{id}/export", Class::Files),
    ("GET", "/images/get", Class::Files),
    ("GET", "/images/{name}/get", Class::Files),
    ("GET", "/swarm/unlockkey", Class::Credentials),
];

/// Served by a daemon and of no use here: not in the table, so refused.
const UNSERVED: &[(&str, &str)] = &[("GET", "/networks/"), ("OPTIONS", "/info")];

/// The rows of the list.
fn listed() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [method, path, class] = words[..] else { panic!("no row: {line}") };
        (method, path, class)
    })
}

/// A target that fits a template; what needs a parameter to be harmless gets it.
fn example(template: &str) -> String {
    let is_reference = ["/images/", "/distribution/", "/plugins/"].iter().any(|prefix| template.starts_with(prefix));
    let name = if is_reference { "library/nginx" } else { "nginx" };
    let path = template.replace("{name}", name).replace("{id}", "0a1b2c").replace("{checkpoint}", "first");
    if template == "/images/search" { format!("{path}?term=nginx") } else { path }
}

fn ask(method: &str, target: &str) -> Result<Wire, Refusal> {
    let method: Method = method.parse().unwrap();
    let target: Uri = target.parse().unwrap_or_else(|error| panic!("{target}: {error}"));
    classify(&method, &target)
}

#[test]
fn every_operation_of_an_engine_has_its_class() {
    let mut wrong = Vec::new();
    for (method, path, class) in listed() {
        let found = ask(method, &example(path)).map(|wire| wire.class);
        let decided = DECIDED.iter().find(|row| (row.0, row.1) == (method, path));
        let expected = match (decided, class) {
            (Some((_, _, class)), _) => *class,
            (None, "read" | "read-sensitive") => Class::Read,
            (None, "mutate") => Class::Mutate,
            (None, "destructive") => Class::Destroy,
            (None, other) => panic!("{method} {path}: unknown class {other}"),
        };
        let fits = if UNSERVED.contains(&(method, path)) { found.is_err() } else { found == Ok(expected) };
        if !fits {
            wrong.push(format!("{method} {path}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(listed().count() > 107, "the list is cut off");
}

#[test]
fn the_table_holds_nothing_that_the_list_does_not() {
    let wild = |template: &str| {
        let segments = template.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
        segments.collect::<Vec<_>>().join("/")
    };
    for route in ROUTES {
        let known = listed().any(|(method, path, _)| method == route.method && wild(path) == wild(route.template));
        assert!(known, "{} {} is not in routes.txt", route.method, route.template);
    }
    for (method, path, _) in DECIDED {
        assert!(listed().any(|row| (row.0, row.1) == (*method, *path)), "{method} {path} is not in routes.txt");
    }
}

#[test]
fn every_row_of_the_table_is_reached() {
    for route in ROUTES {
        let wire = ask(route.method, &example(route.template)).unwrap();
        assert!(std::ptr::eq(wire.route, route), "{} {} meets {:?}", route.method, route.template, wire.route);
    }
}

#[test]
fn what_a_method_says_holds() {
    for route in ROUTES {
        let Route { method, template, class, .. } = route;
        let is_prune = template.ends_with("/prune");
        match *method {
            "GET" => assert!(!matches!(class, Class::Mutate | Class::Destroy), "{route:?}"),
            "DELETE" => assert_eq!(*class, Class::Destroy, "{route:?}"),
            "POST" if is_prune => assert_eq!(*class, Class::Destroy, "{route:?}"),
            "POST" if *template == "/containers/{id}/wait" => assert_eq!(*class, Class::Read),
            "POST" | "PUT" => {
                assert!(matches!(class, Class::Mutate | Class::Destroy | Class::Never), "{route:?}");
            }
            other => panic!("a method that nobody expects: {other}"),
        }
    }
}

#[test]
fn every_write_needs_the_permission_of_its_domain() {
    use Permission::{Create, Exec, Files, Images, Lifecycle, Networks, Swarm, System, Volumes};
    for route in ROUTES {
        let writes = matches!(route.class, Class::Mutate | Class::Destroy);
        let domain: &[Permission] = match route.template.split('/').nth(1).unwrap() {
            _ if !writes && route.class != Class::Never => match route.class {
                Class::Files => &[Files],
                Class::Credentials => &[Permission::Credentials],
                _ => &[Permission::Read],
            },
            "containers" => &[Create, Lifecycle, Exec, Files],
            "exec" => &[Exec],
            "build" if route.template == "/build/prune" => &[System],
            "images" | "commit" | "build" | "session" | "grpc" => &[Images],
            "networks" => &[Networks],
            "volumes" => &[Volumes],
            "swarm" | "nodes" | "services" | "secrets" | "configs" => &[Swarm],
            "plugins" | "auth" | "debug" => &[System],
            other => panic!("an unknown domain: {other}"),
        };
        assert!(domain.contains(&route.permission), "{route:?}");
    }
}

#[test]
fn head_is_judged_as_get() {
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let wire = ask("HEAD", &example(route.template)).unwrap();
        assert_eq!(wire.class, ask("GET", &example(route.template)).unwrap().class, "{route:?}");
    }
}

/// The path with every character that `which` picks written as an escape.
fn escaped(target: &str, which: impl Fn(usize, char) -> bool) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut text = String::from("/");
    for (position, character) in path.chars().enumerate().skip(1) {
        if which(position, character) {
            write!(text, "%{:02x}", character as u32).unwrap();
        } else {
            text.push(character);
        }
    }
    query.map_or(text.clone(), |query| format!("{text}?{query}"))
}

#[test]
fn escapes_and_versions_change_nothing() {
    for route in ROUTES {
        let plain = example(route.template);
        let expected = ask(route.method, &plain);
        let forms = [
            escaped(&plain, |_, _| true),
            escaped(&plain, |_, character| character == '/'),
            escaped(&plain, |position, _| position % 2 == 0),
            escaped(&plain, |position, _| position % 3 == 1).to_uppercase().replace("TERM=NGINX", "term=nginx"),
        ];
        for form in &forms[..3] {
            assert_eq!(ask(route.method, form), expected, "{form}");
            assert_eq!(ask(route.method, &format!("/v1.41{form}")), expected, "{form}");
        }
        // Paths are told apart by case: a shouted one is another path, and never a milder one.
        if let Ok(wire) = ask(route.method, &forms[3]) {
            assert!(wire == expected.clone().unwrap() || wire.writes() || wire.class == Class::Never, "{}", forms[3]);
        }
    }
}

#[test]
fn doubly_escaped_paths_are_refused() {
    for route in ROUTES {
        let twice = escaped(&example(route.template), |_, character| character == 'a').replace('%', "%25");
        if twice.contains("%25") {
            assert!(ask(route.method, &twice).is_err(), "{twice}");
        }
    }
}

/// What a reader makes of a path that decodes until nothing changes and then cleans it as Go's `path.Clean`.
fn canonical(path: &str) -> String {
    let mut decoded = path.to_owned();
    for _ in 0..8 {
        let next = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if next == decoded {
            break;
        }
        decoded = next;
    }
    let mut clean: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    let mut target = String::new();
    for segment in clean {
        target.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte) {
                target.push(char::from(byte));
            } else {
                write!(target, "%{byte:02X}").unwrap();
            }
        }
    }
    if target.is_empty() { "/".to_owned() } else { target }
}

fn methods() -> impl Strategy<Value = String> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "CONNECT", "PRI"];
    prop::sample::select(known.to_vec()).prop_map(str::to_owned)
}

/// Pieces of paths that mean something, and pieces that try to hide it.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "containers",
        "images",
        "volumes",
        "networks",
        "exec",
        "swarm",
        "plugins",
        "json",
        "attach",
        "ws",
        "start",
        "stop",
        "kill",
        "wait",
        "create",
        "prune",
        "archive",
        "export",
        "get",
        "push",
        "unlockkey",
        "_ping",
        "build",
        "a",
        "0a1b2c",
        "library",
        "v1.41",
        "v1.51",
        "..",
        ".",
        "%2e%2e",
        "%2E",
        "%2f",
        "%2F",
        "/",
        "//",
        "%5c",
        "%00",
        "%25",
        "%252e",
        "%61ttach",
        "ex%70ort",
        "%3f",
        "%23",
        ";",
        "%0a",
        "%c3%28",
        "ä",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn paths() -> impl Strategy<Value = String> {
    let joined = prop::collection::vec((pieces(), prop::sample::select(vec!["/", "", "%2f"])), 1..7)
        .prop_map(|parts| parts.into_iter().fold("/".to_owned(), |path, (piece, join)| path + &piece + join));
    let of_table = (0..ROUTES.len(), prop::collection::vec(any::<bool>(), 64)).prop_map(|(row, escape)| {
        escaped(&example(ROUTES[row].template), |position, _| escape.get(position).copied().unwrap_or_default())
    });
    let anything = prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        format!("/{text}")
    });
    prop_oneof![joined, of_table, anything]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is let through is the same request to a reader that decodes more and cleans up.
    #[test]
    fn no_write_passes_as_a_read(method in methods(), path in paths(), version in any::<bool>()) {
        let target = if version { format!("/v1.45{path}") } else { path };
        if let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>())
            && let Ok(wire) = classify(&method, &uri)
        {
            let clean: Uri = canonical(uri.path()).parse().unwrap();
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            let clean: Uri = format!("{clean}{query}").parse().unwrap();
            prop_assert_eq!(classify(&method, &clean), Ok(wire), "{} as {}", uri, clean);
        }
    }

    /// No bytes of a target make it panic.
    #[test]
    fn no_bytes_make_it_panic(method in "[!-~]{1,8}", target in prop::collection::vec(any::<u8>(), 0..80)) {
        if let (Ok(method), Ok(uri)) = (method.parse::<Method>(), Uri::try_from(target)) {
            classify(&method, &uri).ok();
        }
    }

    /// A signal is mild only if the first and only one that the daemon would read is.
    #[test]
    fn no_query_makes_a_killing_mild(pairs in prop::collection::vec(("(signal|sig%6eal|SIGNAL|x)", "(HUP|KILL|9|1|%48UP|hup|HUP%00|)"), 0..4)) {
        let query: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let signals: Vec<String> = url::form_urlencoded::parse(query.join("&").as_bytes())
            .filter(|(key, _)| key == "signal").map(|(_, value)| value.into_owned()).collect();
        let class = ask("POST", &format!("/containers/a/kill?{}", query.join("&"))).map(|wire| wire.class);
        let mild = matches!(&signals[..], [one] if ["HUP", "hup", "1"].contains(&one.as_str()));
        match signals.len() {
            0 | 1 => prop_assert_eq!(class, Ok(if mild { Class::Mutate } else { Class::Destroy })),
            _ => prop_assert!(class.is_err()),
        }
    }
}
