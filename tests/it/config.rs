//! What is configured, from flags, variables, files and the docker CLI, through `Config::load`.

mod limits;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use quaymaster::config::{Config, Endpoint, Environment, Flags, Mode, TlsFiles, Tunnel};
use tempfile::TempDir;

/// Somebody's machine: a home, variables and flags.
struct Desk {
    directory: TempDir,
    environment: Environment,
    flags: Flags,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_owned();
        let environment =
            Environment { working_directory: home.join("desk"), home: Some(home), ..Environment::default() };
        Self { directory, environment, flags: Flags::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.variables.insert(name.into(), value.into());
        self
    }

    fn host(mut self, hosts: &str) -> Self {
        self.flags.hosts.push(hosts.into());
        self
    }

    fn mode(mut self, mode: &str) -> Self {
        self.flags.mode = Some(mode.into());
        self
    }

    fn config(mut self, path: &str) -> Self {
        self.flags.config = Some(path.into());
        self
    }

    fn write(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    /// Writes the default configuration file.
    fn file(self, text: &str) -> Self {
        self.write(".config/quaymaster/hosts.toml", text)
    }

    /// Writes a context of the docker CLI; the directory is the SHA-256 of "prod".
    fn context(self, meta: &str) -> Self {
        self.write(&format!(".docker/contexts/meta/{PROD}/meta.json"), meta)
    }

    fn load(&self) -> Config {
        Config::load(&self.environment, &self.flags).unwrap()
    }

    /// The refusal with its mend, and with the home as `~`.
    fn refused(&self) -> String {
        let error = Config::load(&self.environment, &self.flags).unwrap_err();
        let home = self.directory.path().display().to_string();
        format!("{}; {}", error.message(), error.hint_text().unwrap()).replace(&home, "~")
    }

    /// `name=endpoint mode` of each host, with the home as `~`.
    fn hosts(&self) -> Vec<String> {
        let home = self.directory.path().display().to_string();
        let print = |host: &quaymaster::config::HostConfig| {
            format!("{}={} {}", host.name, host.endpoint, host.mode.as_str()).replace(&home, "~")
        };
        self.load().hosts.iter().map(print).collect()
    }
}

const PROD: &str = "6754af9632a2745e85c293e5aac0863370d9bd3330b9938c00cadfd215227d77";

// The list of hosts.

#[test]
fn the_list_of_hosts_has_a_precedence() {
    let file = "[[host]]\nname = \"file\"\nendpoint = \"ssh://file\"\n";
    let desk = Desk::new().file(file).set("QUAYMASTER_HOSTS", "variable=ssh://variable").host("flag=ssh://flag");
    assert_eq!((desk.load().origin.as_str(), desk.hosts()), ("--host", vec!["flag=ssh://flag rw".to_owned()]));
    let desk = Desk { flags: Flags { hosts: vec![" ".into()], ..Flags::default() }, ..desk };
    assert_eq!(desk.load().origin, "QUAYMASTER_HOSTS");
    assert_eq!(desk.hosts(), ["variable=ssh://variable rw"]);
    let desk = desk.set("QUAYMASTER_HOSTS", " ");
    assert_eq!(desk.load().origin, desk.path(".config/quaymaster/hosts.toml").display().to_string());
    assert_eq!(desk.hosts(), ["file=ssh://file rw"]);
    let desk = desk.file("mode = \"ro\"").set("DOCKER_HOST", "ssh://automatic");
    assert_eq!((desk.load().origin.as_str(), desk.hosts()), ("auto", vec!["local=ssh://automatic ro".to_owned()]));
}

#[test]
fn several_flags_are_one_list() {
    let desk = Desk::new().host("a=ssh://a, b=ssh://b(ro)").host("").host("c=ssh://c(nd)");
    assert_eq!(desk.hosts(), ["a=ssh://a rw", "b=ssh://b ro", "c=ssh://c nd"]);
    assert_eq!(
        desk.host("b=ssh://b").refused(),
        "--host number 4: the name \"b\" is given twice; give each host a name of its own"
    );
}

#[test]
fn a_refusal_names_its_source() {
    let refused = Desk::new().set("QUAYMASTER_HOSTS", "a=auto, b=tcp://x").refused();
    assert!(refused.starts_with("QUAYMASTER_HOSTS: column 11: plain TCP to \"x\""), "{refused}");
    assert!(Desk::new().host("a=auto(rw)").refused().starts_with("--host: column 8: unknown marker \"rw\""));
    let refused = Desk::new().file("\nlabel = true").refused();
    let expected = "\"~/.config/quaymaster/hosts.toml\", line 2: unknown key \"label\"; did you mean \"labels\"?";
    assert_eq!(refused, expected);
}

// The settings of the file.

#[test]
fn the_file_gives_a_listed_host_its_settings() {
    let file = "[[host]]\nname = \"b\"\nendpoint = \"ssh://b\"\nmode = \"nd\"\nnote = \"careful\"\ntags = [\"eu\"]\n\
                user = \"ops\"\nidentity_files = [\"k\"]\ntunnel = \"streamlocal\"\n\
                [[host]]\nname = \"c\"\nendpoint = \"tcp://c\"\ntls = \"/nowhere\"\nmode = \"ro\"\n";
    let desk = Desk::new().file(file).host("a=ssh://a, b=ssh://b:2222");
    assert_eq!(desk.hosts(), ["a=ssh://a rw", "b=ssh://ops@b:2222 nd"], "\"c\" is not listed, so it is not used");
    let host = desk.load().hosts.remove(1);
    assert_eq!((host.note.as_deref(), host.tags), (Some("careful"), vec!["eu".to_owned()]));
    let Endpoint::Ssh(endpoint) = host.endpoint else { panic!("ssh") };
    assert_eq!(endpoint.identity_files, Some(vec![desk.path(".config/quaymaster/k")]));
    assert_eq!(endpoint.tunnel, Tunnel::Streamlocal);
}

#[test]
fn the_stricter_mode_of_flag_and_file_holds() {
    for (flag, file, expected) in
        [("", "rw", "rw"), ("", "nd", "nd"), ("(ro)", "nd", "ro"), ("(nd)", "ro", "ro"), ("(nd)", "rw", "nd")]
    {
        let desk = Desk::new().file(&format!("[[host]]\nname = \"a\"\nendpoint = \"ssh://a\"\nmode = \"{file}\""));
        assert_eq!(desk.host(&format!("a=ssh://a{flag}")).hosts(), [format!("a=ssh://a {expected}")]);
    }
}

#[test]
fn one_name_has_one_endpoint() {
    let refused = |flag: &str, file: &str| {
        Desk::new().file(&format!("[[host]]\nname = \"a\"\n{file}")).host(&format!("a={flag}")).refused()
    };
    assert_eq!(
        refused("ssh://a", "endpoint = \"ssh://b\""),
        "--host and \"~/.config/quaymaster/hosts.toml\": host \"a\" has two endpoints, \"ssh://a\" and \"ssh://b\"; \
         make them the same, or give one of the two another name"
    );
    for (flag, file) in [
        ("auto", "endpoint = \"local\""),
        ("auto", "endpoint = \"unix:///var/run/docker.sock\""),
        ("ssh://x@a", "endpoint = \"ssh://a\"\nuser = \"y\""),
        ("ssh://a:22", "endpoint = \"ssh://a\"\nport = 23"),
        ("ssh://a/x", "endpoint = \"ssh://a\"\nsocket = \"/y\""),
        ("ssh://a/x", "endpoint = \"ssh://a\"\ntunnel = \"dial-stdio\""),
        ("tcp://a(insecure)", "endpoint = \"tcp://a:2375\"\ntls = \"/x\""),
        ("tcp://a(tls=/y)", "endpoint = \"tcp://a\"\ntls = \"/x\""),
        ("tcp://localhost", "endpoint = \"tcp://localhost:2377\""),
    ] {
        assert!(refused(flag, file).contains("has two endpoints"), "{flag} {file}");
    }
    let same = |flag: &str, file: &str| {
        Desk::new().file(&format!("[[host]]\nname = \"a\"\n{file}")).host(&format!("a={flag}")).hosts().remove(0)
    };
    assert_eq!(same("ssh://x@a", "endpoint = \"ssh://a\"\nsocket = \"/y\""), "a=ssh://x@a/y rw");
    assert_eq!(
        same("tcp://localhost", "endpoint = \"tcp://localhost:2375\"\ninsecure = true"),
        "a=tcp://localhost:2375 rw"
    );
}

#[test]
fn the_rest_of_the_file_applies_always() {
    let file = "mode = \"nd\"\ndeny = [\"exec*\", \"swarm\"]\ntoolsets = [\"volumes\"]\nlabels = false\n";
    let desk = Desk::new()
        .file(file)
        .host("a=ssh://a")
        .set("QUAYMASTER_DENY", "images, exec*,")
        .set("QUAYMASTER_TOOLSETS", "core");
    let flags = Flags { deny: vec!["a,b".into(), "c".into()], toolsets: vec!["images".into()], ..desk.flags.clone() };
    let config = Desk { flags, ..desk }.load();
    assert_eq!(config.hosts[0].mode, Mode::Nd);
    assert_eq!(config.deny, ["a", "b", "c", "images", "exec*", "swarm"]);
    assert_eq!(config.toolsets, ["images", "core", "volumes"]);
    assert!(!config.labels);
    let config = Desk::new().host("a=ssh://a").load();
    assert!(config.labels && config.deny.is_empty() && config.toolsets.is_empty() && config.warnings.is_empty());
}

#[test]
fn the_strictest_cap_holds() {
    for (flag, variable, file, expected) in [
        ("rw", "rw", "rw", ["rw", "nd", "ro"]),
        ("", "", "nd", ["nd", "nd", "ro"]),
        ("nd", "", "rw", ["nd", "nd", "ro"]),
        ("rw", "ro", "nd", ["ro", "ro", "ro"]),
        (" ro ", "rw", "rw", ["ro", "ro", "ro"]),
    ] {
        let desk = Desk::new().file(&format!("mode = \"{file}\"")).set("QUAYMASTER_MODE", variable).mode(flag);
        let modes = desk.host("a=ssh://a,b=ssh://b(nd),c=ssh://c(ro)").load().hosts;
        assert_eq!(modes.iter().map(|host| host.mode.as_str()).collect::<Vec<_>>(), expected);
    }
    assert_eq!(Desk::new().mode("or").refused(), "--mode: unknown mode \"or\"; did you mean \"ro\"?");
    let refused = Desk::new().set("QUAYMASTER_MODE", "readonly").refused();
    assert_eq!(refused, "QUAYMASTER_MODE: unknown mode \"readonly\"; it is one of rw, nd, ro");
}

// Where the file is.

#[test]
fn the_file_is_looked_for_in_this_order() {
    let host = |name: &str| format!("[[host]]\nname = \"{name}\"\nendpoint = \"ssh://x\"");
    let desk = Desk::new().file(&host("home")).write("xdg/quaymaster/hosts.toml", host("xdg"));
    let desk = desk.write("variable.toml", host("variable")).write("desk/flag.toml", host("flag"));
    assert_eq!(desk.hosts(), ["home=ssh://x rw"]);
    let xdg = desk.path("xdg").display().to_string();
    let desk = desk.set("XDG_CONFIG_HOME", "relative/is/ignored");
    assert_eq!(desk.hosts(), ["home=ssh://x rw"]);
    let desk = desk.set("XDG_CONFIG_HOME", xdg);
    assert_eq!(desk.hosts(), ["xdg=ssh://x rw"]);
    let desk = desk.set("QUAYMASTER_CONFIG", "~/variable.toml").config("");
    assert_eq!(desk.hosts(), ["variable=ssh://x rw"]);
    assert_eq!(desk.config("flag.toml").hosts(), ["flag=ssh://x rw"]);
}

#[test]
fn a_named_file_has_to_be_there() {
    let expected = "is missing; name a file that exists with --config or QUAYMASTER_CONFIG";
    assert_eq!(Desk::new().config("~/x.toml").refused(), format!("\"~/x.toml\" {expected}"));
    assert_eq!(Desk::new().set("QUAYMASTER_CONFIG", "x.toml").refused(), format!("\"~/desk/x.toml\" {expected}"));
    assert!(Desk::new().write("x/y", "").config("~/x").refused().starts_with("\"~/x\" cannot be read: "));
    assert!(Desk::new().write("x", "").set("XDG_CONFIG_HOME", "/dev/null").host("a=ssh://a").load().labels);
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    for mode in [0o620, 0o602, 0o666, 0o664] {
        let desk = Desk::new().file("mode = \"ro\"");
        let path = desk.path(".config/quaymaster/hosts.toml");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let file = "\"~/.config/quaymaster/hosts.toml\"";
        let expected = format!("{file} can be written by others than its owner (mode {mode:o}); chmod go-w {file}");
        assert_eq!(desk.refused(), expected);
    }
}

#[test]
fn a_file_of_nonsense_is_refused() {
    let refused = Desk::new().write("x", [0x61, 0xff]).config("~/x").refused();
    assert_eq!(refused, "\"~/x\" is not UTF-8; see hosts.example.toml for every key");
    let refused = Desk::new().write("x", vec![b'#'; (1 << 20) + 1]).config("~/x").refused();
    assert_eq!(refused, "\"~/x\" is larger than 1 MiB; see hosts.example.toml for every key");
}

#[test]
fn the_example_can_be_used_as_it_is() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/hosts.example.toml");
    let desk = Desk::new().set("DOCKER_HOST", "ssh://automatic");
    let (with, without) = (desk.load(), Desk::new().set("DOCKER_HOST", "ssh://automatic"));
    let used = without.write("hosts.toml", fs::read(example).unwrap()).config("~/hosts.toml").load();
    assert_eq!(format!("{:?}", used.hosts), format!("{:?}", with.hosts));
    assert_eq!((used.labels, used.deny, used.toolsets), (with.labels, with.deny, with.toolsets));
    assert_eq!((used.registries, used.audit, used.secrets), (with.registries, with.audit, with.secrets));
    assert!(used.approval_passphrase.is_none() && used.warnings.is_empty());
}

// TLS and plain TCP.

/// A directory with these files, and what becomes of `tcp://x` with it.
fn tls(files: &[&str]) -> Desk {
    let desk = files.iter().fold(Desk::new(), |desk, file| desk.write(&format!("desk/tls/{file}"), "pem"));
    desk.host("a=tcp://x(tls=tls)")
}

#[test]
fn tls_needs_its_files() {
    let endpoint = |files: &[&str]| {
        let desk = tls(files);
        let Endpoint::Tls { host, port, tls: TlsFiles { ca, client } } = desk.load().hosts.remove(0).endpoint else {
            panic!("tls")
        };
        assert_eq!((host.as_str(), port, ca), ("x", 2376, desk.path("desk/tls/ca.pem")));
        let (certificate, key) = (desk.path("desk/tls/cert.pem"), desk.path("desk/tls/key.pem"));
        client.inspect(|client| assert_eq!(*client, (certificate, key))).is_some()
    };
    assert!(!endpoint(&["ca.pem"]));
    assert!(endpoint(&["ca.pem", "cert.pem", "key.pem"]));
    let mend = "put the certificate of the daemon's authority there, or name another directory";
    assert_eq!(
        tls(&["cert.pem", "key.pem"]).refused(),
        format!("host \"a\": \"~/desk/tls/ca.pem\" is missing; {mend}")
    );
    assert_eq!(tls(&["ca.pem/x"]).refused(), format!("host \"a\": \"~/desk/tls/ca.pem\" is no file; {mend}"));
    let mend = "give cert.pem and key.pem, or neither";
    let refused = tls(&["ca.pem", "cert.pem"]).refused();
    assert_eq!(refused, format!("host \"a\": \"~/desk/tls/key.pem\" is missing; {mend}"));
    let refused = tls(&["ca.pem", "key.pem"]).refused();
    assert_eq!(refused, format!("host \"a\": \"~/desk/tls/cert.pem\" is missing; {mend}"));
}

#[test]
fn plain_tcp_beyond_this_machine_is_warned_about() {
    let desk = Desk::new().host("a=tcp://x(insecure), b=tcp://localhost, c=tcp://[::1]:2375(insecure)");
    let warning =
        "host \"a\": plain TCP to tcp://x:2375: whoever is on the way can read and control this daemon; use TLS or ssh";
    assert_eq!(desk.load().warnings, [warning]);
}

#[test]
fn an_endpoint_prints_as_it_is_written() {
    for endpoint in ["unix:///run/a b", "tcp://[::1]:2375", "ssh://ops@x:22/run/d.sock", "ssh://[fd00::1]"] {
        assert_eq!(Desk::new().host(&format!("a={endpoint}")).load().hosts[0].endpoint.to_string(), endpoint);
    }
    let Endpoint::Ssh(ssh) = Desk::new().host("a=ssh://x/run/d.sock").load().hosts.remove(0).endpoint else {
        panic!("ssh")
    };
    assert_eq!((ssh.socket.as_deref(), ssh.tunnel), (Some("/run/d.sock"), Tunnel::Streamlocal));
}

// What the docker CLI would use.

#[test]
fn docker_host_is_followed() {
    for (host, expected) in [
        ("unix:///run/x.sock", "local=unix:///run/x.sock rw"),
        ("ssh://ops@x", "local=ssh://ops@x rw"),
        ("tcp://127.0.0.1", "local=tcp://127.0.0.1:2375 rw"),
        ("127.0.0.1:2375", "local=tcp://127.0.0.1:2375 rw"),
        ("tcp://x:1/", "local=tcp://x:1 rw"),
    ] {
        assert_eq!(Desk::new().set("DOCKER_HOST", host).hosts(), [expected]);
        assert_eq!(Desk::new().set("DOCKER_HOST", host).host("auto").hosts(), [expected]);
    }
    let desk = Desk::new().set("DOCKER_HOST", "tcp://x:2376");
    let warnings = desk.load().warnings;
    assert!(warnings[0].starts_with("host \"local\": plain TCP to tcp://x:2376"), "{warnings:?}");
    assert!(warnings[1].starts_with("host \"local\": DOCKER_TLS_VERIFY is not set"), "{warnings:?}");
    let warnings = Desk::new().set("DOCKER_HOST", "ssh://x").set("DOCKER_CONTEXT", "prod").load().warnings;
    assert_eq!(warnings, ["host \"local\": DOCKER_HOST is set, so DOCKER_CONTEXT \"prod\" is not used"]);
}

#[test]
fn docker_host_takes_its_tls_files_from_the_cli_or_the_variable() {
    for (variable, directory) in [(None, ".docker"), (Some("DOCKER_CERT_PATH"), "c"), (Some("DOCKER_CONFIG"), "d")] {
        let desk = Desk::new().set("DOCKER_HOST", "tcp://x").set("DOCKER_TLS_VERIFY", "1");
        let desk = desk.write(&format!("{directory}/ca.pem"), "");
        let path = desk.path(directory);
        let desk = match variable {
            Some(variable) => desk.set(variable, path.display().to_string()),
            None => desk,
        };
        let tls = TlsFiles { ca: path.join("ca.pem"), client: None };
        assert_eq!(desk.load().hosts[0].endpoint, Endpoint::Tls { host: "x".into(), port: 2376, tls });
        assert!(desk.load().warnings.is_empty());
    }
    let refused = Desk::new().set("DOCKER_HOST", "tcp://x").set("DOCKER_TLS_VERIFY", "1").refused();
    assert!(refused.starts_with("host \"local\": DOCKER_HOST: \"~/.docker/ca.pem\" is missing"), "{refused}");
}

#[test]
fn a_docker_host_that_cannot_be_used_stops_the_start() {
    for (host, expected) in [
        ("http://x:1", "unknown scheme \"http\""),
        ("npipe:////./pipe/docker_engine", "\"npipe:////./pipe/docker_engine\" needs a Windows build"),
        ("/var/run/docker.sock", "the endpoint has no host"),
        ("tcp://x:99999", "\"99999\" is no port"),
        ("ssh://ops:secret@x", "a password in \"ops:***@\""),
    ] {
        let refused = Desk::new().set("DOCKER_HOST", host).refused();
        assert!(refused.starts_with(&format!("host \"local\": DOCKER_HOST: {expected};")), "{refused}");
    }
}

#[test]
fn the_active_context_is_followed() {
    let meta = r#"{"Name":"prod","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://ops@x","SkipTLSVerify":false}}}"#;
    let current = r#"{"auths":{},"currentContext":"prod"}"#;
    let desk = Desk::new().context(meta).write(".docker/config.json", current);
    assert_eq!(desk.hosts(), ["local=ssh://ops@x rw"]);
    assert_eq!(Desk::new().context(meta).set("DOCKER_CONTEXT", "prod").hosts(), ["local=ssh://ops@x rw"]);
    let desk = desk.set("DOCKER_CONTEXT", "default").host("a=auto");
    let _socket = socket(&desk);
    assert_eq!(desk.hosts(), ["a=unix://~/.docker/run/docker.sock rw"], "\"default\" means none");
    let desk = desk.set("DOCKER_CONTEXT", "prod").host("b=local");
    assert_eq!(desk.hosts(), ["a=ssh://ops@x rw", "b=unix://~/.docker/run/docker.sock rw"]);
}

#[test]
fn a_context_brings_its_tls_files() {
    let meta = r#"{"Name":"prod","Endpoints":{"docker":{"Host":"tcp://x:1234"}}}"#;
    let desk = Desk::new().context(meta).set("DOCKER_CONTEXT", "prod");
    assert_eq!(desk.load().hosts[0].endpoint, Endpoint::Tcp { host: "x".into(), port: 1234 });
    assert_eq!(desk.load().warnings.len(), 1);
    let directory = format!(".docker/contexts/tls/{PROD}/docker");
    let desk = ["ca", "cert", "key"].iter().fold(desk, |desk, file| desk.write(&format!("{directory}/{file}.pem"), ""));
    let file = |name: &str| desk.path(&directory).join(name);
    let tls = TlsFiles { ca: file("ca.pem"), client: Some((file("cert.pem"), file("key.pem"))) };
    assert_eq!(desk.load().hosts[0].endpoint, Endpoint::Tls { host: "x".into(), port: 1234, tls });
    fs::remove_file(file("ca.pem")).unwrap();
    let expected = format!("host \"local\": docker context \"prod\": \"~/{directory}/ca.pem\" is missing");
    assert!(desk.refused().starts_with(&expected), "{}", desk.refused());
}

#[test]
fn a_context_that_cannot_be_used_stops_the_start() {
    let refused = Desk::new().set("DOCKER_CONTEXT", "prod").refused();
    let expected = "is missing; see `docker context ls`, or name another with DOCKER_CONTEXT";
    let meta = format!("~/.docker/contexts/meta/{PROD}/meta.json");
    assert_eq!(refused, format!("host \"local\": docker context \"prod\": \"{meta}\" {expected}"));
    for (meta, expected) in [
        ("{}", "is not understood: missing field `Endpoints`"),
        ("nonsense", "is not understood: expected ident"),
        (r#"{"Endpoints":{}}"#, "it has no docker endpoint"),
        (r#"{"Endpoints":{"docker":{}}}"#, "it has no docker endpoint"),
        (r#"{"Endpoints":{"docker":{"Host":"fd://"}}}"#, "unknown scheme \"fd\""),
        (r#"{"Endpoints":{"docker":{"Host":"tcp://x","SkipTLSVerify":true}}}"#, "it skips the verification of TLS"),
    ] {
        let refused = Desk::new().context(meta).set("DOCKER_CONTEXT", "prod").refused();
        assert!(refused.contains("docker context \"prod\": ") && refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_broken_config_of_the_cli_is_a_warning() {
    let desk = Desk::new().write(".docker/config.json", "{");
    let _socket = socket(&desk);
    let config = desk.load();
    assert!(config.warnings[0].contains(".docker/config.json\" is not read: EOF"), "{:?}", config.warnings);
    assert_eq!(desk.hosts(), ["local=unix://~/.docker/run/docker.sock rw"]);
    let desk = desk.write(".docker/config.json", r#"{"auths":{}}"#);
    assert!(desk.load().warnings.is_empty());
}

/// Listens where Docker Desktop would.
fn socket(desk: &Desk) -> UnixListener {
    let path = desk.path(".docker/run/docker.sock");
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
    UnixListener::bind(path).unwrap()
}
