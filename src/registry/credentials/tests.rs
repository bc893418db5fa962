use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Instant};

use super::*;
use crate::error::Kind;

/// A home with a configuration and helpers, and the variables of whoever lives there.
struct Desk {
    directory: tempfile::TempDir,
    environment: Environment,
}

impl Desk {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_owned();
        fs::create_dir_all(home.join(".docker")).unwrap();
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join(".docker/config.json"), config).unwrap();
        let path = format!("bin:{}:/usr/bin:/bin", home.join("bin").display());
        let variables = BTreeMap::from([("PATH".to_owned(), path), ("SECRET_OF_OTHERS".to_owned(), "x".to_owned())]);
        Self { environment: Environment { variables, home: Some(home), ..Environment::default() }, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn helper(self, name: &str, script: &str) -> Self {
        let program = self.path().join("bin").join(format!("docker-credential-{name}"));
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn store(&self) -> Store {
        Store::new(&self.environment)
    }

    async fn of(&self, registry: &str) -> Option<Credentials> {
        self.store().of(&name::name(registry)).await.unwrap()
    }

    async fn refused(&self, registry: &str) -> Error {
        self.store().of(registry).await.unwrap_err()
    }
}

fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password { username: username.to_owned(), password: Secret::new(password) }
}

#[tokio::test]
async fn the_file_is_read_as_docker_reads_it() {
    let auth = STANDARD.encode("ann:p:w\0\0");
    let desk = Desk::new(
        &json!({"auths": {
            "https://index.docker.io/v1/": {"auth": auth},
            "https://ghcr.io/v2/": {"username": "bob", "password": "pw"},
            "quay.io": {"identitytoken": "idt", "auth": auth},
            "reg.example:5000": {"registrytoken": "rt"},
            "empty.example": {},
            "broken.example": {"auth": "%%%"},
        }, "credsStore": null, "HttpHeaders": {"x": "y"}})
        .to_string(),
    );
    for hub in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        assert_eq!(desk.of(hub).await, Some(password("ann", "p:w")), "{hub}");
    }
    assert_eq!(desk.of("GHCR.io").await, Some(password("bob", "pw")));
    assert_eq!(desk.of("quay.io").await, Some(Credentials::Identity(Secret::new("idt"))));
    assert_eq!(desk.of("reg.example:5000").await, Some(Credentials::Registry(Secret::new("rt"))));
    for nothing in ["empty.example", "broken.example", "reg.example", "evil.example", "io", "hcr.io"] {
        assert_eq!(desk.of(nothing).await, None, "{nothing}");
    }
    let known = desk.store().registries().await.unwrap();
    assert_eq!(known.len(), 6);
    assert!(known.contains("docker.io") && known.contains("ghcr.io"));
}

#[tokio::test]
async fn docker_config_names_another_directory_and_none_is_no_error() {
    let desk = Desk::new("{}");
    let other = desk.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("config.json"), r#"{"auths": {"a.b": {"username": "u", "password": "p"}}}"#).unwrap();
    let desk = desk.set("DOCKER_CONFIG", other.to_str().unwrap());
    assert_eq!(desk.of("a.b").await, Some(password("u", "p")));
    fs::remove_file(other.join("config.json")).unwrap();
    assert_eq!(desk.of("a.b").await, None);
    assert_eq!(Store::new(&Environment::default()).of("a.b").await.unwrap(), None);
}

#[tokio::test]
async fn two_variables_are_for_one_registry() {
    let file = r#"{"auths": {"a.b": {"username": "u", "password": "p"}, "c.d": {"username": "u", "password": "p"}}}"#;
    let desk = Desk::new(file)
        .set("QUAYMASTER_REGISTRY", "https://A.b/v2/")
        .set("QUAYMASTER_REGISTRY_USERNAME", "own")
        .set("QUAYMASTER_REGISTRY_PASSWORD", "secret");
    assert_eq!(desk.of("a.b").await, Some(password("own", "secret")));
    assert_eq!(desk.of("c.d").await, Some(password("u", "p")));
    assert_eq!(desk.of("docker.io").await, None);
    let unbound =
        Desk::new("{}").set("QUAYMASTER_REGISTRY_USERNAME", "own").set("QUAYMASTER_REGISTRY_PASSWORD", "secret");
    assert_eq!(unbound.of("docker.io").await, None);
    assert!(!format!("{:?}", desk.store()).contains("secret"));
}

#[tokio::test]
async fn helpers_get_the_key_and_a_closed_environment() {
    let config = r#"{"credsStore": "all", "credHelpers": {"own.example": "own", "none.example": "none"},
        "auths": {"own.example": {"username": "u", "password": "p"}}}"#;
    let answer = r#"[ "$1" = get ] || exit 9; read -r key
        printf '{"ServerURL":"x","Username":"%s","Secret":"%s"}' "$key" "${SECRET_OF_OTHERS-closed}$(pwd)""#;
    let desk = Desk::new(config)
        .helper("all", answer)
        .helper("own", r#"printf '{"Username":"<token>","Secret":"idt"}'"#)
        .helper("none", "echo credentials not found in native keychain; exit 1");
    assert_eq!(desk.of("docker.io").await, Some(password("https://index.docker.io/v1/", "closed/")));
    assert_eq!(desk.of("ghcr.io").await, Some(password("ghcr.io", "closed/")));
    assert_eq!(desk.of("own.example").await, Some(Credentials::Identity(Secret::new("idt"))));
    assert_eq!(desk.of("none.example").await, None);
    assert_eq!(desk.store().source("own.example").await.unwrap(), Some(Source::Helper("own".to_owned())));
}

#[tokio::test]
async fn a_helper_that_misbehaves_says_nothing_of_what_it_said() {
    for (script, expected) in [
        ("echo hunter2; exit 1", "it refuses"),
        ("echo hunter2", "its answer is not understood"),
        ("head -c 100000 /dev/zero; sleep 60", "it says too much"),
    ] {
        let desk = Desk::new(r#"{"credsStore": "x"}"#).helper("x", script);
        let error = desk.refused("a.b").await;
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().ends_with(expected), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    for name in ["gone", "../x", "a b", "/bin/true"] {
        let desk = Desk::new(&json!({ "credsStore": name }).to_string());
        assert_eq!(desk.refused("a.b").await.kind(), Kind::Config, "{name}");
    }
}

#[tokio::test]
async fn a_helper_that_hangs_ends_with_all_it_started() {
    let desk = Desk::new(r#"{"credsStore": "x"}"#);
    let pids = desk.path().join("pids");
    let desk = desk.helper("x", &format!("sleep 300 & echo $! $$ > {}; wait", pids.display()));
    let started = Instant::now();
    let error = desk.refused("a.b").await;
    assert!(error.message().contains("did not end within 10 s"), "{error}");
    assert!(started.elapsed().as_secs() < 15);
    for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is_gone = || state().is_empty() || state().contains(") Z ");
        let gone = (0..50).any(|_| {
            is_gone() || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                false
            }
        });
        assert!(gone, "{pid} goes on");
    }
}

#[tokio::test]
async fn a_broken_file_is_never_quoted() {
    for text in [r#"{"auths": {"a.b": "hunter2"}}"#, r#"{"auths": {"a.b": {"auth": ["hunter2"]}}}"#, "hunter2"] {
        let error = Desk::new(text).refused("a.b").await;
        assert_eq!(error.kind(), Kind::Config);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(Desk::new(" \n").of("a.b").await, None);
    let large = format!("{{}}{}", " ".repeat(1 << 20));
    assert!(Desk::new(&large).refused("a.b").await.detail_text().unwrap().contains("1 MiB"));
}

#[test]
fn headers_are_what_engines_read() {
    let read =
        |secret: Secret| -> Value { serde_json::from_slice(&URL_SAFE.decode(secret.expose()).unwrap()).unwrap() };
    let own = password("ann", "p?>ÿ");
    assert_eq!(
        read(own.header("docker.io")),
        json!({"username": "ann", "password": "p?>ÿ", "serveraddress": "https://index.docker.io/v1/"})
    );
    let token = Credentials::Identity(Secret::new("t"));
    assert_eq!(read(token.header("a.b:5")), json!({"identitytoken": "t", "serveraddress": "a.b:5"}));
    let many = header_of_many(&[("docker.io".to_owned(), own), ("a.b:5".to_owned(), token)]);
    let many = read(many);
    assert_eq!(many["https://index.docker.io/v1/"]["username"], "ann");
    assert_eq!(many["a.b:5"]["identitytoken"], "t");
}
