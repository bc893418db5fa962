//! Registries: who gets whose credentials, and what is made of what registries answer.

mod authority;
mod credentials;
mod faults;
mod hub;
mod machine;
mod tokens;

use std::{fs, path::PathBuf, sync::Arc};

use authority::Authority;
use machine::Machine;
use quaymaster::{
    config::{Environment, RegistryConfig},
    gateway::Gateway,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::gateway_of;

/// A home with a configuration of the docker CLI.
fn home(config: &Value) -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(".docker")).unwrap();
    fs::write(directory.path().join(".docker/config.json"), config.to_string()).unwrap();
    let environment = Environment { home: Some(directory.path().to_owned()), ..Environment::default() };
    (directory, environment)
}

/// A gateway whose operator vouches for these machines.
fn vouching(environment: Environment, authority: &Authority, hosts: &[&str]) -> Arc<Gateway> {
    let ca: PathBuf = authority.file();
    gateway_of(environment, &["a=unix:///nowhere.sock".to_owned()], |config| {
        let vouched = |host: &&str| RegistryConfig { host: (*host).to_owned(), insecure: false, ca: Some(ca.clone()) };
        config.registries = hosts.iter().map(vouched).collect();
    })
}

/// An image in a machine.
fn image(machine: &Machine, name: &str) -> String {
    format!("{}/{name}", machine.host())
}
