//! A gateway for a test: any hosts, every toolset, no environment.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quaymaster::{
    config::{
        Config, Environment, Flags,
        limits::{Confirm, Rule, Verdict},
    },
    error::Error,
    gateway::{Failure, Gateway, Request},
    tool::{Answer, Permission, Permissions},
};
use serde_json::Value;

/// The configuration of some hosts, as `--host` takes them.
pub(crate) fn config(hosts: &[String]) -> Config {
    let flags = Flags { hosts: hosts.to_vec(), toolsets: vec!["all".into()], ..Flags::default() };
    Config::load(&environment(), &flags).unwrap_or_else(|error| panic!("{error}: {hosts:?}"))
}

/// Nobody's machine; what would leave it for a registry ends at a proxy that is not there, and its docker CLI and
/// plugins do nothing. What real ones do is tested on real engines.
fn environment() -> Environment {
    let programs = programs().display().to_string();
    let variables = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("PATH", &programs), ("QUAYMASTER_CLI_PLUGINS", &programs)];
    Environment {
        variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        working_directory: "/".into(),
        home: Some("/nonexistent".into()),
        ..Environment::default()
    }
}

/// A docker CLI and plugins that succeed at nothing.
fn programs() -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS
        .get_or_init(|| {
            let directory = state();
            for name in ["docker", "docker-buildx", "docker-compose", "docker-scout"] {
                std::os::unix::fs::symlink("/bin/true", directory.join(name)).expect("a link");
            }
            directory
        })
        .clone()
}

/// Three hosts as the budgets of the tool list assume them; nothing answers there.
pub(crate) fn three_hosts() -> Config {
    config(&[
        "local=unix:///run/docker.sock".to_owned(),
        "staging=tcp://127.0.0.1:2375".to_owned(),
        "prod=ssh://ops@prod.example.com(ro)".to_owned(),
    ])
}

/// A gateway in front of some hosts that asks nobody and hands out credentials.
pub(crate) fn gateway(hosts: &[String]) -> Arc<Gateway> {
    gateway_with(hosts, asking_nobody)
}

/// Neither by its effect nor by what a plugin asks for, which every profile at least asks about.
fn asking_nobody(config: &mut Config) {
    for host in &mut config.hosts {
        host.limits.confirm = Confirm::Never;
        host.limits.permissions = host.limits.permissions.with(Permission::Credentials);
        host.limits.bodies.rules.insert(Rule::PluginPrivileges, Verdict::Allow);
    }
}

/// A state directory of its own, where cargo keeps what tests leave behind.
pub(crate) fn state() -> PathBuf {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory").keep()
}

/// The operator's store of secrets, which holds one called `token`.
fn store() -> PathBuf {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(new_store).clone()
}

fn new_store() -> PathBuf {
    let store = state();
    std::fs::write(store.join("token"), "a token\n").expect("a file");
    store
}

/// A gateway that asks nobody, lets every body pass, grants everything and has a store of secrets of its own.
pub(crate) fn generous(hosts: &[String]) -> Arc<Gateway> {
    gateway_with(hosts, |config| {
        config.secrets = Some(new_store());
        for host in &mut config.hosts {
            host.limits.confirm = Confirm::Never;
            host.limits.bodies.rules = Rule::ALL.iter().map(|rule| (*rule, Verdict::Allow)).collect();
            host.limits.permissions = Permissions::of(&Permission::ALL);
        }
    })
}

/// A directory of files that arguments may name, with a tar in it.
pub(crate) fn files() -> PathBuf {
    let directory = state();
    std::fs::write(directory.join("bundle.tar"), crate::simulated::tar("x", b"x")).expect("a file");
    directory
}

/// A gateway with other settings than the defaults; it keeps its audit and its approvals in a directory of its own.
pub(crate) fn gateway_with(hosts: &[String], set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
    let mut config = config(hosts);
    config.state = Some(state());
    config.secrets = Some(store());
    config.files.roots = Some(vec![files()]);
    set(&mut config);
    Gateway::new(config, environment()).expect("the gateway")
}

/// A gateway that asks nobody, of somebody with a home and variables.
pub(crate) fn gateway_of(environment: Environment, hosts: &[String], set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
    let mut config = config(hosts);
    config.state = Some(state());
    asking_nobody(&mut config);
    set(&mut config);
    Gateway::new(config, environment).expect("the gateway")
}

/// A gateway that asks nobody and runs in a container itself.
pub(crate) fn gateway_inside(container: &str, hosts: &[String], set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
    let mut config = config(hosts);
    config.state = Some(state());
    config.hosts.iter_mut().for_each(|host| host.limits.confirm = Confirm::Never);
    set(&mut config);
    Gateway::new(config, Environment { container: Some(container.to_owned()), ..environment() }).expect("the gateway")
}

/// Calls a tool; a call that does not end within `seconds` fails the test.
pub(crate) async fn call(gateway: &Arc<Gateway>, tool: &str, arguments: Value, seconds: u64) -> Result<Answer, Error> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let shown = format!("{arguments:?}");
    let shown: String = shown.chars().take(200).collect();
    let call = gateway.call(Request::new(gateway.caller("test"), tool, arguments));
    let ended = tokio::time::timeout(Duration::from_secs(seconds), call).await;
    match ended.unwrap_or_else(|_| panic!("{tool} did not end within {seconds} s: {shown}")) {
        Err(Failure::UnknownTool(error)) => panic!("{error}"),
        Err(Failure::Tool(error)) => Err(error),
        Err(Failure::Asked { form, .. }) => panic!("it asked: {form:?}"),
        Ok(answer) => Ok(answer),
    }
}

/// The structured part of an answer.
pub(crate) fn fields(answer: &Answer) -> Value {
    answer.structured.clone().map_or(Value::Null, Value::Object)
}
