//! The file key by key, and what holds for every text.

mod limits_and_rest;

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::{
    Tunnel,
    limits::Rule,
    permission::Permission,
    spec::{EndpointSpec, Security},
};

const EXAMPLE_FILE: &str = include_str!("../../../hosts.example.toml");

fn parsed(text: &str) -> Result<File> {
    File::parse(text, PathBuf::from("/etc/q/hosts.toml"), Some(Path::new("/home/x")))
}

/// The refusal as the person reads it, without the path of the file.
fn refused(text: &str) -> String {
    let error = parsed(text).unwrap_err();
    let line = format!("{}; {}", error.message(), error.hint_text().unwrap());
    line.strip_prefix("\"/etc/q/hosts.toml\", ").unwrap().to_owned()
}

/// The one host of a file that has these lines for it, from line 4 on.
fn host(lines: &str) -> String {
    format!("[[host]]\nname = \"a\"\n{lines}")
}

/// The keys of a table, as its own refusal lists them.
fn keys<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
    let error = toml::from_str::<T>("no_such_key = 1").unwrap_err();
    let (_, known) = error.message().rsplit_once(", expected ").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The example with its settings switched on: a setting follows `#` at once, an explanation after a space.
fn uncommented() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE_FILE.lines().map(on).collect::<Vec<_>>().join("\n")
}

/// Every key that there is as `(table, key)`; the table of the file itself has no name.
fn every_key() -> Vec<(&'static str, String)> {
    let in_table = |table: &'static str, keys: Vec<String>| keys.into_iter().map(move |key| (table, key));
    let tables = ["host", "audit", "secrets", "files"];
    in_table("", keys::<Document>())
        .filter(|(_, key)| !tables.contains(&key.as_str()))
        .chain(in_table("[[host]]", keys::<host::Table>()))
        .chain(in_table("[audit]", keys::<general::Audit>()))
        .chain(in_table("[secrets]", keys::<general::Secrets>()))
        .chain(in_table("[files]", keys::<general::Files>()))
        .collect()
}

/// The lines of the example that set a key of a table.
fn settings(table: &str, key: &str) -> Vec<(usize, String)> {
    let mut current = String::new();
    let mut found = Vec::new();
    for (number, line) in uncommented().lines().enumerate() {
        if line.starts_with('[') {
            line.clone_into(&mut current);
        } else if current == table && line.starts_with(&format!("{key} = ")) {
            found.push((number, line.to_owned()));
        }
    }
    found
}

#[test]
fn the_example_has_every_key() {
    let all = every_key();
    assert!(all.len() >= 40, "{all:?}");
    for (table, key) in all {
        assert!(!settings(table, &key).is_empty(), "hosts.example.toml lacks the key \"{key}\" of \"{table}\"");
    }
    for (key, inner) in [
        ("tools", keys::<limits::Names>()),
        ("containers", keys::<limits::Names>()),
        ("images", keys::<limits::Names>()),
    ] {
        for table in ["", "[[host]]"] {
            let line = &settings(table, key)[0].1;
            assert!(inner.len() == 2 && inner.iter().all(|key| line.contains(&format!("{key} = []"))), "{line}");
        }
    }
    let whole = |key: &str| settings("[[host]]", key)[0].1.clone();
    assert_eq!((whole("binds"), keys::<limits::Binds>()), ("binds = { allow = [] }".to_owned(), vec!["allow".into()]));
    assert_eq!((whole("exec"), keys::<limits::Exec>()), ("exec = { deny = [] }".to_owned(), vec!["deny".into()]));
}

#[test]
fn the_example_explains_every_key() {
    let text = uncommented();
    let lines: Vec<&str> = text.lines().collect();
    for (table, key) in every_key() {
        let (at, _) = settings(table, &key)[0];
        assert!(lines[at - 1].starts_with("# "), "hosts.example.toml does not explain the key \"{key}\"");
    }
    // Explanations that go on, as one line.
    let prose = EXAMPLE_FILE.replace("\n# ", " ");
    let rules = Rule::ALL.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ");
    assert!(prose.contains(&format!("The rules: {rules}.")), "every rule in its order");
    let permissions = Permission::ALL.map(Permission::as_str).join(", ");
    assert!(prose.contains(&format!("The words: {permissions}.")), "every permission in its order");
}

#[test]
fn keys_know_their_place() {
    let (top, host) = (keys::<Document>(), keys::<host::Table>());
    for key in ABOVE_HOSTS {
        assert!(top.iter().any(|known| known == key) && !host.iter().any(|known| known == key), "{key}");
    }
    for key in OF_ONE_HOST {
        assert!(host.iter().any(|known| known == key) && !top.iter().any(|known| known == key), "{key}");
    }
}

#[test]
fn the_example_is_valid_with_and_without_its_comments() {
    let file = parsed(EXAMPLE_FILE).unwrap();
    let specs: Vec<String> = file.hosts.iter().map(|host| host.spec.to_string()).collect();
    assert_eq!(specs, ["local=auto"], "what is switched on is the default");
    assert_eq!((file.mode, file.labels), (Mode::Rw, true));
    assert!(file.deny.is_empty() && file.toolsets.is_empty() && file.hosts[0].tags.is_empty());
    assert_eq!(format!("{:?}", file.limits), format!("{:?}", SharedLimits::default()));
    assert_eq!(format!("{:?}", file.general), format!("{:?}", General::default()));
    assert_eq!(format!("{:?}", file.hosts[0].limits), format!("{:?}", HostLimits::default()));
    let specs: Vec<String> = parsed(&uncommented()).unwrap().hosts.iter().map(|host| host.spec.to_string()).collect();
    assert_eq!(
        specs,
        [
            "local=auto",
            "staging=tcp://staging.example.com:2376(tls=/etc/q/staging-certificates)",
            "lab=tcp://192.0.2.7:2375(insecure)",
            "prod=ssh://ops@prod.example.com:22(ro)",
            "nas=ssh://nas/var/run/docker.sock",
        ]
    );
}

#[test]
fn an_empty_file_is_the_defaults() {
    let file = parsed("").unwrap();
    assert!(file.labels && file.hosts.is_empty() && file.deny.is_empty() && file.toolsets.is_empty());
    assert_eq!(file.mode, Mode::Rw);
}

#[test]
fn every_ssh_key_arrives() {
    let file = parsed(&host(
        "endpoint = \"ssh://prod\"\nuser = \"ops\"\nport = 2222\nidentity_files = [\"~/.ssh/k\", \"k\", \"/k\"]\n\
         identity_agent = \"agent\"\nknown_hosts = [\"known\"]\nproxy_jump = \"ops@a:22,[::1]:2,b\"\n\
         tunnel = \"streamlocal\"\nsocket = \"/run/d.sock\"\nnote = \"careful\"\ntags = [\"eu\", \"eu\", \"0.x_-\"]",
    ));
    let host = file.unwrap().hosts.remove(0);
    assert_eq!(host.spec.to_string(), "a=ssh://ops@prod:2222/run/d.sock");
    assert_eq!((host.note.as_deref(), host.tags), (Some("careful"), vec!["eu".to_owned(), "0.x_-".to_owned()]));
    let mut endpoint = crate::config::SshEndpoint::default();
    host.ssh.apply(&mut endpoint);
    let paths = |paths: &[&str]| Some(paths.iter().map(PathBuf::from).collect::<Vec<_>>());
    assert_eq!(endpoint.identity_files, paths(&["/home/x/.ssh/k", "/etc/q/k", "/k"]));
    assert_eq!(endpoint.known_hosts, paths(&["/etc/q/known"]));
    assert_eq!(endpoint.identity_agent.as_deref(), Some("/etc/q/agent"));
    assert_eq!(endpoint.proxy_jump.as_deref(), Some("ops@a:22,[::1]:2,b"));
    assert_eq!(endpoint.tunnel, Tunnel::Streamlocal);
}

#[test]
fn what_is_no_path_of_an_agent_stays() {
    for word in ["none", "SSH_AUTH_SOCK", "$AGENT"] {
        let mut endpoint = crate::config::SshEndpoint::default();
        let file = parsed(&host(&format!("endpoint = \"ssh://x\"\nidentity_agent = \"{word}\""))).unwrap();
        file.hosts.into_iter().for_each(|host| host.ssh.apply(&mut endpoint));
        assert_eq!(endpoint.identity_agent.as_deref(), Some(word));
    }
}

#[test]
fn tls_begins_at_the_directory_of_the_file() {
    for (given, expected) in [("c", "/etc/q/c"), ("~/c", "/home/x/c"), ("/c", "/c")] {
        let file = parsed(&host(&format!("endpoint = \"tcp://x\"\ntls = \"{given}\""))).unwrap();
        let endpoint =
            EndpointSpec::Tcp { host: "x".into(), port: Some(2376), security: Security::Tls(expected.into()) };
        assert_eq!(file.hosts[0].spec.endpoint, endpoint);
    }
}

#[test]
fn what_is_refused() {
    for (text, expected) in TOP {
        assert_eq!(refused(text), *expected, "{text}");
    }
    for (lines, expected) in HOST {
        assert_eq!(refused(&host(lines)), *expected, "{lines}");
    }
    assert!(refused(&host(&format!("endpoint = \"auto\"\nnote = \"{}\"", "x".repeat(301)))).contains("301 characters"));
    assert!(parsed(&host(&format!("endpoint = \"auto\"\nnote = \"{}\"", "ä".repeat(300)))).is_ok());
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |piece: &str| piece.repeat(100_000);
    for text in [
        format!("mode = {}", deep("[")),
        format!("mode = {}", deep("{a=")),
        format!("[{}a]", deep("a.")),
        format!("{}a = 1", deep("a.")),
        format!("[[host]]\nname{} = 1", deep(".a")),
    ] {
        assert!(parsed(&text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_panics_and_every_refusal_is_one_line(text in prop_oneof![
        any::<String>(),
        "(\\[\\[host\\]\\]\n|(name|endpoint|mode|tls|port|tags|deny|x|\"a\\\\nb\") ?= ?(\"[a-z:/@(]{0,9}\"|[0-9-]{1,9}|\\[\\]|true)\n){0,6}",
        "(grant|tools|reveal|registries|audit|secrets|state|rules|binds|permissions) ?= ?((\\{ ?(allow|deny|size|dir|bind|host|ca) ?= ?)?\\[?\"[a-z*{\\[/.:é]{0,9}\"\\]?( ?\\})?\n){1,3}",
        ("[a-z`\u{e9}]{0,6}", any::<String>(), any::<String>(), any::<i64>()).prop_map(|(key, one, other, number)| {
            format!("[[host]]\nname = \"a\"\nendpoint = \"ssh://x\"\n{key} = {number}\nnote = {one:?}\nsocket = {other:?}")
        }),
    ]) {
        if let Err(error) = parsed(&text) {
            prop_assert!(!error.message().contains(char::is_control), "{:?}", error.message());
            prop_assert!(!error.hint_text().unwrap().contains(char::is_control));
        }
    }
}

/// Whole files.
const TOP: &[(&str, &str)] = &[
    ("mod = \"ro\"", "line 1: unknown key \"mod\"; did you mean \"mode\"?"),
    (
        "\n\nzebra = 1",
        "line 3: unknown key \"zebra\"; it is one of mode, deny, toolsets, labels, grant, tools, containers, images, reveal, own_container, registries, state, approval_passphrase, audit, secrets, files, host",
    ),
    (
        "\"a\\nb`\" = 1",
        "line 1: unknown key \"a\\nb`\"; it is one of mode, deny, toolsets, labels, grant, tools, containers, images, reveal, own_container, registries, state, approval_passphrase, audit, secrets, files, host",
    ),
    ("mode = \"or\"", "line 1: unknown value \"or\"; did you mean \"ro\"?"),
    ("mode = \"readonly\"", "line 1: unknown value \"readonly\"; it is one of rw, nd, ro"),
    ("mode = 3", "line 1: wanted string or table: \"3\"; see hosts.example.toml for every key"),
    ("deny = \"x\"", "line 1: invalid type: string \"x\", expected an array; see hosts.example.toml for every key"),
    (
        "labels = \"yes\"",
        "line 1: invalid type: string \"yes\", expected a boolean; see hosts.example.toml for every key",
    ),
    ("mode =", "line 1: string values must be quoted, expected literal string; see hosts.example.toml for every key"),
    ("mode = \"ro\"\nmode = \"ro\"", "line 2: duplicate key: \"mode\"; see hosts.example.toml for every key"),
    ("[[hosts]]", "line 1: unknown key \"hosts\"; did you mean \"host\"?"),
    (
        "[host]\nname = \"a\"",
        "line 1: invalid type: map, expected an array: \"[host]\"; see hosts.example.toml for every key",
    ),
    ("[[host]]\nendpoint = \"auto\"", "line 1: missing field `name`; see hosts.example.toml for every key"),
    ("[[host]]\nname = \"a\"", "line 1: missing field `endpoint`; see hosts.example.toml for every key"),
    (
        "[[host]]\nname = \"A\"\nendpoint = \"auto\"",
        "line 2: \"A\" is no host name; use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    ("[[host]]\nname = \"all\"\nendpoint = \"auto\"", "line 2: the name \"all\" is reserved; take another name"),
    (
        "[[host]]\nname = \"a\"\nendpoint = \"auto\"\n[[host]]\nname = \"a\"\nendpoint = \"local\"",
        "line 5: the name \"a\" is given twice; give each host a name of its own",
    ),
];

/// The lines of one host, the first of them line 3 of the file.
const HOST: &[(&str, &str)] = &[
    ("endpoint = \"auto\"\nnotee = \"x\"", "line 4: unknown key \"notee\"; did you mean \"note\"?"),
    (
        "endpoint = \"auto\"\nzebra = [\"read\"]",
        "line 4: unknown key \"zebra\"; it is one of name, endpoint, mode, note, tags, permissions, grant, tools, containers, images, confirm, bodies, rules, binds, exec, reveal, tls, insecure, user, port, identity_files, identity_agent, known_hosts, proxy_jump, tunnel, socket",
    ),
    ("endpoint = \"auto\"\nmode = \"wr\"", "line 4: unknown value \"wr\"; did you mean \"rw\"?"),
    (
        "endpoint = \"\"",
        "line 3: the endpoint is empty; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    ("endpoint = \"ssh://prod(ro)\"", "line 3: markers \"(ro)\" in an endpoint; use the keys mode, tls and insecure"),
    (
        "endpoint = \"auto,local\"",
        "line 3: \"auto,local\" is no endpoint; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    (
        "endpoint = \"ssh://ops:secret@prod\"",
        "line 3: a password in \"ops:***@\"; remove it: keys and the ssh agent log in",
    ),
    (
        "endpoint = \"tcp://x\"",
        "line 3: plain TCP to \"x\", which is not this machine; add tls = \"DIR\" with the directory of ca.pem, use ssh://, or accept the risk with insecure = true",
    ),
    (
        "endpoint = \"tcp://x:2376\"\ninsecure = true",
        "line 3: port 2376 of \"x\" without \"tls\"; add tls = \"DIR\" with the directory of ca.pem, or give the port of plain TCP",
    ),
    (
        "endpoint = \"tcp://x\"\ninsecure = true\ntls = \"c\"",
        "line 3: \"tls\" and \"insecure\" exclude each other; keep the one that you mean",
    ),
    ("endpoint = \"tcp://x\"\ntls = \" \"", "line 4: \"tls\" without a directory; name the directory of ca.pem"),
    ("endpoint = \"tcp://x\"\ntls = \"a\\u0000\"", "line 4: a control character in \"a\\0\"; remove it"),
    ("endpoint = \"ssh://x\"\ntls = \"c\"", "line 4: \"tls\" on \"ssh://x\"; remove it: only tcp:// takes \"tls\""),
    (
        "endpoint = \"unix:///x\"\nmode = \"ro\"\ninsecure = true",
        "line 5: \"insecure\" on \"unix:///x\"; remove it: only tcp:// takes \"insecure\"",
    ),
    ("endpoint = \"auto\"\nnote = \"a\\u001bb\"", "line 4: a control character in \"a\\u{1b}b\"; remove it"),
    (
        "endpoint = \"auto\"\ntags = [\"eu\",\n\"EU\"]",
        "line 5: \"EU\" is no tag; use a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    (
        "endpoint = \"auto\"\ntags = [\"\"]",
        "line 4: \"\" is no tag; use a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    (
        "endpoint = \"auto\"\nsocket = \"/x\"\nuser = \"x\"",
        "line 4: key \"socket\" on \"auto\"; remove it: only ssh:// takes \"socket\"",
    ),
    (
        "endpoint = \"tcp://localhost\"\nport = 2375",
        "line 4: key \"port\" on \"tcp://localhost\"; remove it: only ssh:// takes \"port\"",
    ),
    (
        "endpoint = \"unix:///x\"\ntunnel = \"streamlocal\"",
        "line 4: key \"tunnel\" on \"unix:///x\"; remove it: only ssh:// takes \"tunnel\"",
    ),
    ("endpoint = \"ssh://a@x\"\nuser = \"a\"", "line 4: key \"user\" is part of the endpoint too; keep one of them"),
    ("endpoint = \"ssh://x:22\"\nport = 22", "line 4: key \"port\" is part of the endpoint too; keep one of them"),
    (
        "endpoint = \"ssh://x/a\"\nsocket = \"/a\"",
        "line 4: key \"socket\" is part of the endpoint too; keep one of them",
    ),
    ("endpoint = \"ssh://x\"\nuser = \"\"", "line 4: the user is empty; remove the key"),
    ("endpoint = \"ssh://x\"\nuser = \"a\\nb\"", "line 4: a control character in \"a\\nb\"; remove it"),
    ("endpoint = \"ssh://x\"\nport = 0", "line 4: 0 is no port; a port is a number from 1 to 65535"),
    ("endpoint = \"ssh://x\"\nport = 65536", "line 4: 65536 is no port; a port is a number from 1 to 65535"),
    (
        "endpoint = \"ssh://x\"\nport = \"22\"",
        "line 4: invalid type: string \"22\", expected a number; see hosts.example.toml for every key",
    ),
    (
        "endpoint = \"ssh://x\"\nsocket = \"docker.sock\"",
        "line 4: \"docker.sock\" is no absolute path; begin it with \"/\"",
    ),
    (
        "endpoint = \"ssh://x\"\ntunnel = \"stream-local\"",
        "line 4: unknown value \"stream-local\"; did you mean \"streamlocal\"?",
    ),
    (
        "endpoint = \"ssh://x/a\"\ntunnel = \"dial-stdio\"",
        "line 4: \"dial-stdio\" with a socket; a socket needs tunnel = \"streamlocal\"",
    ),
    (
        "endpoint = \"ssh://x\"\nsocket = \"/a\"\ntunnel = \"dial-stdio\"",
        "line 5: \"dial-stdio\" with a socket; a socket needs tunnel = \"streamlocal\"",
    ),
    (
        "endpoint = \"ssh://x\"\nproxy_jump = \"a b\"",
        "line 4: \"a b\" is no list of jump hosts; write [USER@]HOST[:PORT], separated by commas",
    ),
    (
        "endpoint = \"ssh://x\"\nproxy_jump = \"a,\"",
        "line 4: \"a,\" is no list of jump hosts; write [USER@]HOST[:PORT], separated by commas",
    ),
    (
        "endpoint = \"ssh://x\"\nidentity_files = \"k\"",
        "line 4: invalid type: string \"k\", expected an array; see hosts.example.toml for every key",
    ),
    ("endpoint = \"ssh://x\"\nknown_hosts = [\"a\\tb\"]", "line 4: a control character in \"a\\tb\"; remove it"),
];
