//! Limits and the keys about no host, merged from the whole file, one host of it, flags and the endpoint.

use quaymaster::{
    config::{
        AuditSettings,
        limits::{Confirm, Profile, Rule, Verdict},
        permission::Permission,
    },
    gateway::Gateway,
};

use super::*;

#[test]
fn global_limits_hold_wherever_the_hosts_come_from() {
    let globals = "tools = { deny = [\"kill_*\"] }\ncontainers = { deny = [\"*-db\"] }\nimages = { allow = [\"nginx\"] }\n\
                   grant = [\"credentials\"]\nreveal = [\"LOG_LEVEL\"]\nown_container = \"allow\"\n";
    let own = "[[host]]\nname = \"a\"\nendpoint = \"ssh://a\"\npermissions = [\"lifecycle\"]\nconfirm = \"write\"\n\
               bodies = \"strict\"\ncontainers = { deny = [\"vault\"] }\nrules = { bind = \"ask\" }\nreveal = [\"APP\"]\n";
    let file = Desk::new().file(&format!("{globals}{own}"));
    let flag = Desk::new().file(&format!("{globals}{own}")).host("a=ssh://a, b=ssh://b, unix:///x");
    let variable =
        Desk::new().file(&format!("{globals}{own}")).set("QUAYMASTER_HOSTS", "ssh://a, ssh://b, local=local");
    let auto = Desk::new().file(globals).set("DOCKER_HOST", "ssh://far");
    for (desk, hosts) in [(file, 1), (flag, 3), (variable, 3), (auto, 1)] {
        let config = desk.load();
        assert_eq!(config.hosts.len(), hosts);
        for host in &config.hosts {
            let limits = &host.limits;
            assert!(!limits.tools.admit(["kill_container"]) && limits.tools.admit(["stop_container"]));
            assert!(!limits.containers.admit(["web-db"]) && limits.containers.admit(["web"]));
            assert!(!limits.images.admit(["redis:7"]) && limits.images.admit(["nginx:1"]));
            assert!(limits.permissions.has(Permission::Credentials) && limits.own_container);
            let is_a = host.name == "a";
            assert_eq!(limits.containers.admit(["vault"]), !is_a, "{}", host.name);
            assert_eq!(limits.permissions.has(Permission::Exec), !is_a);
            assert!(limits.permissions.has(Permission::Lifecycle));
            assert_eq!(limits.reveal, if is_a { &["LOG_LEVEL", "APP"][..] } else { &["LOG_LEVEL"] });
            let expected = match host.name.as_str() {
                "a" => (Confirm::Write, Profile::Strict),
                "local" if hosts == 3 => (Confirm::Data, Profile::Open),
                _ => (Confirm::Destroy, Profile::Guarded),
            };
            assert_eq!((limits.confirm, limits.bodies.profile), expected, "{}", host.name);
            assert_eq!(
                limits.bodies.verdict(Rule::Bind),
                if is_a || expected.1 == Profile::Guarded { Verdict::Ask } else { Verdict::Allow }
            );
        }
    }
}

#[test]
fn a_cap_takes_what_the_mode_implied() {
    const ALL: &str = "read files lifecycle exec create images volumes networks swarm system";
    let file = "[[host]]\nname = \"a\"\nendpoint = \"ssh://a\"\npermissions = [\"files\", \"exec\"]\n\
                [[host]]\nname = \"b\"\nendpoint = \"ssh://b\"\n[[host]]\nname = \"c\"\nendpoint = \"ssh://c\"\ngrant = [\"files\"]\n";
    let permissions = |desk: Desk| -> Vec<String> {
        let hosts = desk.load().hosts;
        hosts
            .iter()
            .map(|host| host.limits.permissions.iter().map(Permission::as_str).collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(permissions(Desk::new().file(file)), ["read files exec", ALL, ALL]);
    let capped = ["read exec", "read", "read files"];
    assert_eq!(permissions(Desk::new().file(file).mode("ro")), capped);
    assert_eq!(permissions(Desk::new().file(file).set("QUAYMASTER_MODE", "ro")), capped);
    assert_eq!(permissions(Desk::new().file(&format!("mode = \"ro\"\n{file}"))), capped);
    assert_eq!(permissions(Desk::new().file(file).host("a=ssh://a(ro), b=ssh://b(ro), c=ssh://c(ro)")), capped);
    assert_eq!(permissions(Desk::new().host("a=ssh://a(nd)")), [ALL]);
    assert!(Desk::new().file(file).mode("ro").load().warnings.is_empty(), "whoever capped it knows");
    let warnings = Desk::new().file(file).host("a=ssh://a(ro)").load().warnings;
    let expected = "host \"a\": permissions has \"files\", which a read-only host needs a grant for: add grant = [\"files\"], or remove it";
    assert_eq!(warnings, [expected]);
}

#[test]
fn limits_by_where_the_daemon_is() {
    let desk = tls(&["ca.pem"])
        .host("u=unix:///x, l=tcp://127.0.0.1, v=tcp://[::1]:1, t=tcp://y(insecure), s=ssh://localhost");
    let tls_here = "h=tcp://localhost(tls=tls)";
    for host in desk.host(tls_here).load().hosts {
        let local = ["u", "l", "v", "h"].contains(&host.name.as_str());
        let expected = if local { (Confirm::Data, Profile::Open) } else { (Confirm::Destroy, Profile::Guarded) };
        assert_eq!((host.limits.confirm, host.limits.bodies.profile), expected, "{}", host.name);
    }
    let automatic = |host: &str| Desk::new().set("DOCKER_HOST", host).load().hosts.remove(0).limits.bodies.profile;
    assert_eq!((automatic("unix:///x"), automatic("tcp://far:2375")), (Profile::Open, Profile::Guarded));
}

#[test]
fn what_was_loosened_far_away_is_warned_about() {
    let warnings = |endpoint: &str, lines: &str| {
        let file = format!("[[host]]\nname = \"a\"\nendpoint = \"{endpoint}\"\n{lines}");
        Desk::new().file(&file).load().warnings
    };
    let confirm = "host \"a\": confirm = \"never\": nobody is asked before anything is destroyed there";
    let bodies =
        "host \"a\": bodies = \"open\": what is made there may use the machine's files and network without a question";
    assert_eq!(warnings("ssh://a", "confirm = \"never\"\nbodies = \"open\""), [confirm, bodies]);
    assert_eq!(warnings("ssh://a", "mode = \"nd\"\nconfirm = \"never\"\nbodies = \"open\""), [bodies]);
    for (endpoint, lines) in [
        ("ssh://a", "mode = \"ro\"\nconfirm = \"never\"\nbodies = \"open\""),
        ("ssh://a", "confirm = \"data\"\nbodies = \"guarded\""),
        ("unix:///x", "confirm = \"never\"\nbodies = \"open\""),
        ("tcp://127.0.0.1:1", "confirm = \"never\"\nbodies = \"open\""),
        ("ssh://a", "reveal = [\"APP_*\"]"),
    ] {
        assert!(warnings(endpoint, lines).is_empty(), "{endpoint} {lines}");
    }
    let reveal = "reveal has \"*\": the values of all variables and labels are shown, secrets too";
    assert_eq!(warnings("ssh://a", "reveal = [\"A\", \"**\"]"), [reveal]);
    let twice = Desk::new().file("reveal = [\"*\"]\n").host("a=ssh://a, b=ssh://b");
    assert_eq!(twice.load().warnings, [reveal], "once for all hosts");
}

#[test]
fn what_is_about_no_host_arrives() {
    let config = Desk::new().load();
    assert!(config.registries.is_empty() && config.approval_passphrase.is_none() && config.secrets.is_none());
    assert_eq!(config.audit, AuditSettings { directory: None, size: 64 << 20, keep: 20 });
    let desk = Desk::new();
    assert_eq!(desk.load().state, Some(desk.path(".local/state/quaymaster")));
    let desk = desk.set("XDG_STATE_HOME", "/state");
    assert_eq!(desk.load().state, Some("/state/quaymaster".into()));
    let desk = desk.file(
        "registries = [\"ghcr.io\"]\nstate = \"here\"\napproval_passphrase = \"x\"\n\
         [audit]\ndirectory = \"~/audit\"\nkeep = 2\n[secrets]\ndir = \"~/secrets\"\n",
    );
    let config = desk.load();
    assert_eq!(config.registries.iter().map(|registry| registry.host.as_str()).collect::<Vec<_>>(), ["ghcr.io"]);
    assert_eq!(config.state, Some(desk.path(".config/quaymaster/here")), "the file is stronger than XDG_STATE_HOME");
    assert_eq!(config.approval_passphrase.as_deref(), Some("x"));
    assert_eq!(config.audit, AuditSettings { directory: Some(desk.path("audit")), size: 64 << 20, keep: 2 });
    assert_eq!(config.secrets, Some(desk.path("secrets")));
    let home = desk.directory.path().display().to_string();
    assert_eq!(config.warnings, [format!("secrets.dir \"{home}/secrets\" is no directory")]);
    assert!(desk.write("secrets/x", "").load().warnings.is_empty());
}

#[test]
fn tools_are_compared_with_the_catalogue() {
    let gateway = |text: &str| {
        let desk = Desk::new().file(text).host("a=ssh://a, b=ssh://b");
        Gateway::new(desk.load(), Environment::default())
            .map(drop)
            .map_err(|error| format!("{}; {}", error.message(), error.hint_text().unwrap()))
    };
    let own = |tools: &str| format!("[[host]]\nname = \"b\"\nendpoint = \"ssh://b\"\ntools = {{ {tools} }}");
    for text in ["tools = { deny = [\"remove_*\", \"exec_in_container\"] }", &own("allow = [\"list_*\", \"info\"]"), ""]
    {
        gateway(text).unwrap();
    }
    for (tools, expected) in [
        (
            "deny = [\"remove_contaner\"]",
            "tools \"remove_contaner\": no tool is called so; did you mean \"remove_container\"?",
        ),
        (
            "allow = [\"zzzzzzzzzzzzz\"]",
            "tools \"zzzzzzzzzzzzz\": no tool is called so; \"quaymaster tools\" lists them",
        ),
        ("deny = [\"remove-*\"]", "tools \"remove-*\": no tool is called so; \"quaymaster tools\" lists them"),
        (
            "deny = [\"volumes\"]",
            "tools \"volumes\": no tool is called so; it is a toolset: only the key deny, --deny and QUAYMASTER_DENY take those",
        ),
    ] {
        assert_eq!(gateway(&format!("tools = {{ {tools} }}")).unwrap_err(), expected);
        assert_eq!(gateway(&own(tools)).unwrap_err(), expected);
    }
}
