//! The keys about limits and about no host: what arrives, what is merged, what is refused.

use super::*;
use crate::config::{
    AuditSettings, Endpoint, Globs, Limits, RegistryConfig,
    limits::{Confirm, Profile, Verdict},
    permission::Permissions,
};

/// The limits of a host with these lines, below these lines of the file.
fn limits(top: &str, lines: &str, mode: Mode, endpoint: &Endpoint) -> Limits {
    let mut file = parsed(&format!("{top}\n[[host]]\nname = \"a\"\nendpoint = \"auto\"\n{lines}")).unwrap();
    file.hosts.remove(0).limits.over(&file.limits, mode, endpoint)
}

fn here() -> Endpoint {
    Endpoint::Unix { path: "/run/docker.sock".into() }
}

fn there() -> Endpoint {
    Endpoint::Ssh(crate::config::SshEndpoint::default())
}

fn words(limits: &Limits) -> String {
    limits.permissions.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn nothing_said_is_the_default() {
    for endpoint in [here(), there()] {
        for mode in [Mode::Rw, Mode::Nd, Mode::Ro] {
            let said = format!("{:?}", limits("", "", mode, &endpoint));
            assert_eq!(said, format!("{:?}", Limits::of(mode, &endpoint)));
        }
    }
    let (local, remote) = (limits("", "", Mode::Rw, &here()), limits("", "", Mode::Rw, &there()));
    assert_eq!((local.confirm, local.bodies.profile), (Confirm::Data, Profile::Open));
    assert_eq!((remote.confirm, remote.bodies.profile), (Confirm::Destroy, Profile::Guarded));
    assert!(!local.own_container && local.permissions == Permissions::implied_by(Mode::Rw));
}

#[test]
fn permissions_by_mode_list_and_grants() {
    const ALL: &str = "read files lifecycle exec create images volumes networks swarm system";
    let with = |list: &str| ALL.replace("read files", list);
    for (top, lines, rw, ro) in [
        ("", "", ALL, "read"),
        ("", "permissions = []", "read", "read"),
        ("", "permissions = [\"read\"]", "read", "read"),
        ("", "permissions = [\"exec\", \"lifecycle\", \"exec\"]", "read lifecycle exec", "read lifecycle exec"),
        ("", "permissions = [\"files\"]", "read files", "read"),
        ("", "permissions = [\"files\"]\ngrant = [\"files\"]", "read files", "read files"),
        ("", "grant = [\"files\"]", ALL, "read files"),
        ("", "grant = [\"credentials\"]", &with("read files credentials"), "read credentials"),
        ("grant = [\"credentials\"]", "", &with("read files credentials"), "read credentials"),
        ("grant = [\"files\"]", "permissions = [\"exec\"]", "read files exec", "read files exec"),
        ("", "permissions = [\"exec\"]\ngrant = [\"credentials\"]", "read credentials exec", "read credentials exec"),
        ("", "permissions = [\"credentials\"]\ngrant = [\"credentials\"]", "read credentials", "read credentials"),
        ("grant = [\"credentials\"]", "permissions = [\"credentials\"]", "read credentials", "read credentials"),
        ("grant = [\"files\"]", "grant = [\"credentials\"]", &with("read files credentials"), "read files credentials"),
    ] {
        assert_eq!(words(&limits(top, lines, Mode::Rw, &here())), rw, "{top} {lines}");
        assert_eq!(words(&limits(top, lines, Mode::Nd, &there())), rw, "{top} {lines}");
        assert_eq!(words(&limits(top, lines, Mode::Ro, &here())), ro, "{top} {lines}");
    }
}

#[test]
fn every_permission_can_be_listed() {
    for permission in Permission::ALL.into_iter().filter(|permission| *permission != Permission::Credentials) {
        let said = limits("", &format!("permissions = [\"{permission}\"]"), Mode::Rw, &here());
        assert_eq!(said.permissions, Permissions::of(&[permission]));
    }
}

#[test]
fn names_of_all_and_of_one_host_have_to_agree() {
    for (key, pick) in [
        ("tools", (|limits| &limits.tools) as fn(&Limits) -> &Globs),
        ("containers", |limits| &limits.containers),
        ("images", |limits| &limits.images),
    ] {
        let set = |top: &str, own: &str| {
            let line = |value: &str| if value.is_empty() { String::new() } else { format!("{key} = {{ {value} }}") };
            limits(&line(top), &line(own), Mode::Rw, &here())
        };
        let both = set("allow = [\"a*\"], deny = [\"ab\"]", "allow = [\"*c\"], deny = [\"acc\"]");
        for (name, admitted) in [("ac", true), ("abc", true), ("ab", false), ("acc", false), ("a", false), ("c", false)]
        {
            assert_eq!(pick(&both).admit([name]), admitted, "{key} {name}");
        }
        assert!(!pick(&set("deny = [\"x\"]", "allow = [\"x\"]")).admit(["x"]), "{key}: no host widens");
        assert!(!pick(&set("allow = [\"x\"]", "allow = [\"y\"]")).admit(["y"]), "{key}: allows intersect");
        assert!(pick(&set("", "deny = []")).is_open() && pick(&set("allow = []", "")).is_open());
        let plain = set("", "");
        let others = [&plain.tools, &plain.containers, &plain.images];
        assert!(others.iter().all(|globs| globs.is_open()), "{key}");
    }
    let images = limits("", "images = { deny = [\"nginx\"] }", Mode::Rw, &here()).images;
    assert!(!images.admit(["docker.io/library/nginx:1", "nginx:1"]) && images.admit(["nginx-x:1"]));
}

#[test]
fn every_other_limit_arrives() {
    for (word, confirm) in
        [("never", Confirm::Never), ("data", Confirm::Data), ("destroy", Confirm::Destroy), ("write", Confirm::Write)]
    {
        for endpoint in [here(), there()] {
            let said = limits("", &format!("confirm = \"{word}\""), Mode::Rw, &endpoint);
            assert_eq!((said.confirm, confirm.as_str()), (confirm, word));
        }
    }
    for profile in [Profile::Strict, Profile::Guarded, Profile::Open] {
        for endpoint in [here(), there()] {
            let said = limits("", &format!("bodies = \"{}\"", profile.as_str()), Mode::Rw, &endpoint);
            assert_eq!(said.bodies.profile, profile);
        }
    }
    for verdict in [Verdict::Allow, Verdict::Note, Verdict::Ask, Verdict::Deny] {
        for rule in Rule::ALL {
            let said = limits("", &format!("rules = {{ {rule} = \"{}\" }}", verdict.as_str()), Mode::Rw, &there());
            assert_eq!((said.bodies.rules.len(), said.bodies.verdict(*rule)), (1, verdict));
        }
    }
    let said = limits(
        "own_container = \"allow\"\nreveal = [\"A\", \"B\", \"A\"]",
        "binds = { allow = [\"/srv/data\", \"/a b\"] }\nexec = { deny = [\"*rm -rf*\"] }\nreveal = [\"B\", \"C_*\"]",
        Mode::Rw,
        &there(),
    );
    assert_eq!(said.bodies.binds_allow, ["/srv/data", "/a b"]);
    assert!(!said.exec_deny.admit(["sh -c rm -rf /"]) && said.exec_deny.admit(["ls"]));
    assert_eq!(said.reveal, ["A", "B", "C_*"]);
    assert!(said.own_container);
    assert!(!limits("own_container = \"refuse\"", "", Mode::Rw, &there()).own_container);
    let table = "[host.rules]\nbind = \"ask\"\n[host.tools]\ndeny = [\"x\"]";
    let said = limits("", table, Mode::Rw, &here());
    assert_eq!((said.bodies.verdict(Rule::Bind), said.tools.admit(["x"])), (Verdict::Ask, false), "tables work too");
}

#[test]
fn every_general_key_arrives() {
    let text = "registries = [\"ghcr.io\", \"127.0.0.1:5000\", \"GHCR.io\", \"localhost\", \"[fd00::1]:5000\", \"a-b:1\"]\n\
                state = \"state\"\napproval_passphrase = \" $argon2id$v=19$x \"\n\
                [audit]\ndirectory = \"~/audit\"\nsize = \"1g\"\nkeep = 3\n[secrets]\ndir = \"/s\"\n[files]\nroots = [\"src\", \"~/x\"]\nallow = [\".env.example\"]";
    let General { registries, state, approval_passphrase, audit, secrets, files, cli_config } =
        parsed(text).unwrap().general;
    let hosts: Vec<&str> = registries.iter().map(|registry| registry.host.as_str()).collect();
    assert_eq!(hosts, ["ghcr.io", "127.0.0.1:5000", "localhost", "[fd00::1]:5000", "a-b:1"]);
    assert!(registries.iter().all(|registry| !registry.insecure && registry.ca.is_none()));
    assert_eq!(state, Some("/etc/q/state".into()));
    assert_eq!(approval_passphrase.as_deref(), Some("$argon2id$v=19$x"));
    assert_eq!(audit, AuditSettings { directory: Some("/home/x/audit".into()), size: 1 << 30, keep: 3 });
    assert_eq!(secrets, Some("/s".into()));
    assert_eq!(files.roots, Some(vec!["/etc/q/src".into(), "/home/x/x".into()]));
    assert_eq!(files.allow, [".env.example"]);
    assert!(!cli_config && parsed("grant = [\"cli-config\"]").unwrap().general.cli_config);
    for (size, bytes) in [("64k", 64 << 10), ("65536", 64 << 10), ("4G", 4 << 30), (" 1m ", 1 << 20)] {
        assert_eq!(parsed(&format!("audit = {{ size = \"{size}\" }}")).unwrap().general.audit.size, bytes);
    }
}

#[test]
fn registries_are_names_or_tables() {
    let text = "registries = [\"ghcr.io\", { host = \"127.0.0.1:5000\", insecure = true }, { host = \"A.b\", ca = \"ca.pem\" }, \"GHCR.io\"]";
    let registries = parsed(text).unwrap().general.registries;
    let registry = |host: &str, insecure, ca: Option<&str>| RegistryConfig {
        host: host.to_owned(),
        insecure,
        ca: ca.map(Into::into),
    };
    let expected = [
        registry("ghcr.io", false, None),
        registry("127.0.0.1:5000", true, None),
        registry("a.b", false, Some("/etc/q/ca.pem")),
    ];
    assert_eq!(registries, expected);
    let tables = "[[registries]]\nhost = \"a.b\"\nca = \"~/ca.pem\"";
    assert_eq!(parsed(tables).unwrap().general.registries, [registry("a.b", false, Some("/home/x/ca.pem"))]);
}

#[test]
fn limits_that_are_refused() {
    for (text, expected) in LIMITS {
        assert_eq!(refused(text), format!("line 1: {expected}"), "{text}");
    }
    for (lines, expected) in HOST_LIMITS {
        assert_eq!(refused(&host(&format!("endpoint = \"auto\"\n{lines}"))), format!("line 4: {expected}"), "{lines}");
    }
    let below =
        refused("grant = []\n[[host]]\nname = \"a\"\nendpoint = \"auto\"\npermissions = [\n\"read\",\n\"rad\"]");
    assert_eq!(below, "line 7: unknown permission \"rad\"; did you mean \"read\"?");
    let everything = Rule::ALL.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = refused(&host("endpoint = \"auto\"\nrules = { zzzzzzzzzzzz = \"ask\" }"));
    assert_eq!(unknown, format!("line 4: unknown rule \"zzzzzzzzzzzz\"; it is one of {everything}"));
}

#[test]
fn sources_of_all_hosts_and_of_one_add_up() {
    let said = limits("sources = [\"https://a.b/*\"]", "sources = [\"git://c.d/*\"]", Mode::Rw, &here());
    assert!(said.sources.admit("https://a.b/x") && said.sources.admit("git://c.d/x"));
    assert!(!said.sources.admit("https://c.d/x"));
    assert!(!limits("", "", Mode::Rw, &here()).sources.admit("https://a.b/x"));
    for glob in ["*", "a.b/*", "ssh://a.b/*", "https://u:p@a.b/*"] {
        assert!(parsed(&format!("sources = [\"{glob}\"]")).is_err(), "{glob}");
    }
}

#[test]
fn a_passphrase_is_never_repeated() {
    for text in [
        "approval_passphrase = 123456",
        "approval_passphrase = [\"123456\"]",
        "approval_passphrase = \"123456",
        "approval_passphrase = 123456 x",
        "approval_passphrase = \"123456\" x",
        "  approval_passphrase = 123456x",
        "approval_passphrase = \"123456\\u0000\"",
        "approval_passphrase = \"1\"\napproval_passphrase = \"123456\"",
        "[[host]]\nname = \"a\"\nendpoint = \"auto\"\napproval_passphrase = \"123456\"",
    ] {
        let refused = refused(text);
        assert!(refused.contains("approval_passphrase") && !refused.contains("123456"), "{refused}");
    }
    assert!(!refused("reveal = [\"PASSWORD=123456\"]").contains("123456"));
}

/// Lines above every host.
const LIMITS: &[(&str, &str)] = &[
    ("bodies = \"strict\"", "unknown key \"bodies\"; it belongs below the [[host]] that it is for"),
    ("permissions = []", "unknown key \"permissions\"; it belongs below the [[host]] that it is for"),
    ("granted = []", "unknown key \"granted\"; did you mean \"grant\"?"),
    ("grant = [\"file\"]", "unknown grant \"file\"; did you mean \"files\"?"),
    ("grant = [\"zzzzzzzzzz\"]", "unknown grant \"zzzzzzzzzz\"; it is one of files, credentials, cli-config"),
    (
        "grant = [\"exec\"]",
        "permission \"exec\" in grant; grant takes files and credentials; name the others in permissions of a host",
    ),
    ("tools = { denny = [] }", "unknown key \"denny\"; did you mean \"deny\"?"),
    ("tools = { audit = [] }", "unknown key \"audit\"; it is one of allow, deny"),
    ("audit = { registries = [] }", "unknown key \"registries\"; it belongs above every [table]"),
    ("secrets = { state = [] }", "unknown key \"state\"; it belongs above every [table]"),
    ("tools = { deny = [\"\"] }", "an empty name; remove it; \"*\" means every name"),
    (
        "tools = { deny = [\"a[\"] }",
        "\"a[\" is no glob: unclosed character class; missing ']'; write such as \"web-*\" or \"*-db\"",
    ),
    (
        "containers = { deny = [\"/vault\"] }",
        "\"/vault\" fits no container; a container's name has letters, digits, \"_\", \".\" and \"-\"; write such as \"web-*\"",
    ),
    ("containers = { deny = [\"a, b\"] }", "a blank in \"a, b\"; write one name or glob in each pair of quotes"),
    ("containers = { deny = [\"a\\u0007\"] }", "a control character in \"a\\u{7}\"; remove it"),
    (
        "images = { deny = [\"https://ghcr.io/a\"] }",
        "\"https://ghcr.io/a\" fits no image; write it as images are named, such as \"ghcr.io/acme/*\" or \"nginx\"",
    ),
    ("reveal = [\"A=b\"]", "a name with \"=\" in reveal; write the name alone, without a value"),
    (
        "reveal = [\"{A\"]",
        "\"{A\" is no glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?); write such as \"web-*\" or \"*-db\"",
    ),
    ("own_container = \"alow\"", "unknown value \"alow\"; did you mean \"allow\"?"),
    ("own_container = true", "wanted string or table: \"true\"; see hosts.example.toml for every key"),
    (
        "registries = [\"https://ghcr.io\"]",
        "\"https://ghcr.io\" is no registry; write HOST or HOST:PORT, as in front of an image: \"ghcr.io\", \"127.0.0.1:5000\"",
    ),
    ("registries = [{ host = \"a.b\", insecur = true }]", "unknown key \"insecur\"; did you mean \"insecure\"?"),
    ("registries = [{ host = \"a.b\", tls = \"x\" }]", "unknown key \"tls\"; it is one of host, insecure, ca"),
    ("registries = [{ insecure = true }]", "missing field `host`; see hosts.example.toml for every key"),
    (
        "registries = [{ host = \"a.b\", ca = \"\" }]",
        "\"ca\" without a file; name the PEM file of its authority, or remove the key",
    ),
    (
        "registries = [{ host = \"a.b\", ca = \"x\", insecure = true }]",
        "\"ca\" and \"insecure\" exclude each other; a file of authorities is for TLS",
    ),
    (
        "registries = [\"a.b\", { host = \"A.B\", insecure = true }]",
        "registry \"a.b\" is given twice; remove one of them",
    ),
    ("registries = [5]", "invalid type: integer `5`, expected a text or a table; see hosts.example.toml for every key"),
    ("state = \" \"", "the directory is empty; name one, or remove the key"),
    ("state = \"a\\u0000\"", "a control character in \"a\\0\"; remove it"),
    (
        "approval_passphrase = \"\"",
        "approval_passphrase is no verifier; make one with \"quaymaster approve --passphrase\"",
    ),
    ("audit = { size = \"1k\" }", "\"1k\" is no size for files; write such as \"64m\": from \"64k\" to \"4g\""),
    ("audit = { keep = 0 }", "0 files cannot be kept; give a number from 1 to 10000"),
    ("audit = { sice = \"1m\" }", "unknown key \"sice\"; did you mean \"size\"?"),
    ("secrets = { dir = \"\" }", "the directory is empty; name one, or remove the key"),
    ("secrets = { dirs = \"x\" }", "unknown key \"dirs\"; did you mean \"dir\"?"),
];

/// Lines of one host.
const HOST_LIMITS: &[(&str, &str)] = &[
    ("registries = []", "unknown key \"registries\"; it belongs above every [table]"),
    ("own_container = \"allow\"", "unknown key \"own_container\"; it belongs above every [table]"),
    ("permission = []", "unknown key \"permission\"; did you mean \"permissions\"?"),
    ("permissions = [\"lifecylce\"]", "unknown permission \"lifecylce\"; did you mean \"lifecycle\"?"),
    (
        "permissions = [\"zzzzzzzzzzzz\"]",
        "unknown permission \"zzzzzzzzzzzz\"; it is one of read, files, credentials, lifecycle, exec, create, images, volumes, networks, swarm, system",
    ),
    (
        "permissions = [\"credentials\"]",
        "permission \"credentials\" without a grant; add grant = [\"credentials\"], or remove it",
    ),
    (
        "grant = [\"cli-config\"]",
        "grant \"cli-config\" of one host; it is about no host: grant it above every [[host]]",
    ),
    ("grant = [\"zzzzzzzzzz\"]", "unknown grant \"zzzzzzzzzz\"; it is one of files, credentials"),
    ("rules = { privilegd = \"ask\" }", "unknown rule \"privilegd\"; did you mean \"privileged\"?"),
    ("rules = { privileged = \"aks\" }", "unknown value \"aks\"; did you mean \"ask\"?"),
    ("confirm = \"destory\"", "unknown value \"destory\"; did you mean \"destroy\"?"),
    ("confirm = \"always\"", "unknown value \"always\"; it is one of never, data, destroy, write"),
    ("bodies = \"gaurded\"", "unknown value \"gaurded\"; did you mean \"guarded\"?"),
    ("binds = { deny = [] }", "unknown key \"deny\"; it is one of allow"),
    ("binds = { allow = [\"srv\"] }", "\"srv\" is no absolute path; begin it with \"/\""),
    (
        "binds = { allow = [\"/\"] }",
        "\"/\" in binds; name directories, or set rules = { bind = \"allow\" } if you mean every one",
    ),
    (
        "binds = { allow = [\"/srv/*\"] }",
        "\"/srv/*\" is a glob; name a directory: it stands for itself and all below it",
    ),
    (
        "binds = { allow = [\"/srv/../etc\"] }",
        "\"/srv/../etc\" is no plain path; write it without \".\", \"..\", \"//\" and a \"/\" at its end",
    ),
    ("exec = { deny = [\" \"] }", "an empty name; remove it; \"*\" means every name"),
];

#[test]
fn what_is_no_plain_directory_is_no_bind() {
    for path in ["/srv/", "//srv", "/srv//a", "/./srv", "/srv/.", "/srv/..", "", "~/x", "C:\\\\x", "/a\\u0000"] {
        assert!(parsed(&host(&format!("endpoint = \"auto\"\nbinds = {{ allow = [\"{path}\"] }}"))).is_err(), "{path}");
    }
}

#[test]
fn what_is_no_registry_is_refused() {
    for text in [
        "",
        " ",
        "ghcr",
        "ghcr.io/acme",
        "u@ghcr.io",
        "ghcr.io:0",
        "ghcr.io:x",
        "ghcr.io:65536",
        "a b.c",
        "*.io",
        "::1",
        "gh%63r.io",
        "ghcr.io?x",
        "ghcr.io#x",
        "-a.b",
        "é.io",
        "ghcr.io ",
        "a.b:1:2",
        "a.b\\n",
    ] {
        assert!(parsed(&format!("registries = [\"{text}\"]")).is_err(), "{text:?}");
    }
}

#[test]
fn what_is_no_size_is_refused() {
    for text in [
        "",
        "m",
        "64",
        "64 m",
        "64mb",
        "mm",
        "64km",
        "-1m",
        "1.5m",
        "5g",
        "99999999999999999999",
        "18446744073709551615g",
        "٤m",
    ] {
        assert!(parsed(&format!("audit = {{ size = \"{text}\" }}")).is_err(), "{text:?}");
    }
    for number in ["0", "-1", "10001", "1.5", "\"3\""] {
        assert!(parsed(&format!("audit = {{ keep = {number} }}")).is_err(), "{number}");
    }
}
