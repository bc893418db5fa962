//! What `auto` and `local` stand for: the docker CLI's host or context, else the well-known sockets.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    Endpoint, Environment,
    refusal::{located, no_control_characters, quoted, quoted_path, refusal},
    resolve::{Resolved, resolve, tls_files, unreadable},
    spec::EndpointSpec,
};
use crate::error::Result;

/// Finds the daemon that the docker CLI would talk to.
///
/// # Errors
/// `config` where `DOCKER_HOST` or the active context is set but cannot be used.
pub(super) fn auto(environment: &Environment) -> Result<Resolved> {
    if let Some(host) = environment.get("DOCKER_HOST") {
        return docker_host(host, environment).map_err(|refused| located("DOCKER_HOST", &refused));
    }
    let (name, warning) = active_context(environment);
    let mut resolved = match name {
        Some(name) => {
            let place = format!("docker context {}", quoted(&name));
            context(&name, environment).map_err(|refused| located(place, &refused))?
        }
        None => local(environment),
    };
    resolved.warnings.extend(warning);
    Ok(resolved)
}

/// Finds a socket of this machine.
pub(super) fn local(environment: &Environment) -> Resolved {
    first_socket(&sockets(environment))
}

/// The well-known sockets in the order in which they are tried.
fn sockets(environment: &Environment) -> Vec<PathBuf> {
    let home = environment.home.as_deref();
    let runtime = environment.get("XDG_RUNTIME_DIR").map(Path::new);
    [
        home.map(|home| home.join(".docker/run/docker.sock")),
        home.map(|home| home.join(".docker/desktop/docker.sock")),
        runtime.map(|runtime| runtime.join("docker.sock")),
        Some("/var/run/docker.sock".into()),
        runtime.map(|runtime| runtime.join("podman/podman.sock")),
        Some("/run/podman/podman.sock".into()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first path that is a socket; whether anybody listens is for the first call to find out.
fn first_socket(paths: &[PathBuf]) -> Resolved {
    let is_socket = |path: &&PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    Resolved::new(match paths.iter().find(is_socket) {
        Some(path) => Endpoint::Unix { path: path.clone() },
        None => Endpoint::Missing { looked_for: paths.iter().map(|path| path.display().to_string()).collect() },
    })
}

/// Reads `DOCKER_HOST` with its TLS variables, as the docker CLI does.
///
/// `DOCKER_TLS` asks the CLI for TLS without verification; here TLS is always verified.
fn docker_host(text: &str, environment: &Environment) -> Result<Resolved> {
    let wants_tls = environment.get("DOCKER_TLS_VERIFY").or(environment.get("DOCKER_TLS")).is_some();
    let certificates = environment.get("DOCKER_CERT_PATH");
    let tls = match certificates {
        _ if !wants_tls => None,
        Some(path) => Some(environment.working_directory.join(path)),
        None => {
            Some(environment.cli_directory().ok_or_else(|| refusal("no directory of ca.pem", "set DOCKER_CERT_PATH"))?)
        }
    };
    let mut resolved = daemon(text, tls.as_deref(), environment)?;
    if let Endpoint::Tcp { port, .. } = resolved.endpoint
        && (port == 2376 || certificates.is_some())
    {
        let warning = "DOCKER_TLS_VERIFY is not set, so DOCKER_HOST is spoken to without TLS, as the docker CLI does";
        resolved.warnings.push(warning.to_owned());
    }
    if let Some(name) = environment.get("DOCKER_CONTEXT") {
        resolved.warnings.push(format!("DOCKER_HOST is set, so DOCKER_CONTEXT {} is not used", quoted(name)));
    }
    Ok(resolved)
}

/// Reads the address of a daemon as the docker CLI writes it; without a scheme it is TCP.
fn daemon(text: &str, tls: Option<&Path>, environment: &Environment) -> Result<Resolved> {
    let text = if text.contains("://") { text.to_owned() } else { format!("tcp://{text}") };
    match (EndpointSpec::parse(&text)?, tls) {
        (EndpointSpec::Tcp { host, port, .. }, Some(directory)) => {
            Ok(Resolved::new(Endpoint::Tls { host, port: port.unwrap_or(2376), tls: tls_files(directory)? }))
        }
        (endpoint, _) => resolve(endpoint, environment),
    }
}

/// The part of the CLI's `config.json` that names the context.
#[derive(Deserialize)]
struct CliConfig {
    #[serde(default, rename = "currentContext")]
    current_context: Option<String>,
}

/// The name of the active context, unless it is the default one; a broken `config.json` is a warning, as in the CLI.
fn active_context(environment: &Environment) -> (Option<String>, Option<String>) {
    let named = |name: &str| Some(name.trim().to_owned()).filter(|name| !name.is_empty() && name != "default");
    if let Some(name) = environment.get("DOCKER_CONTEXT") {
        return (named(name), None);
    }
    let Some(path) = environment.cli_directory().map(|directory| directory.join("config.json")) else {
        return (None, None);
    };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return (None, None),
        Err(error) => return (None, Some(unreadable(&path, &error, "").message().to_owned())),
    };
    match serde_json::from_slice::<CliConfig>(&text) {
        Ok(config) => (config.current_context.as_deref().and_then(named), None),
        Err(error) => (None, Some(format!("{} is not read: {error}", quoted_path(&path)))),
    }
}

/// The part of a context that says where the daemon is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// Reads a context of the docker CLI.
fn context(name: &str, environment: &Environment) -> Result<Resolved> {
    no_control_characters(name)?;
    let mend = "see `docker context ls`, or name another with DOCKER_CONTEXT";
    let contexts = environment
        .cli_directory()
        .ok_or_else(|| refusal("no home directory", "set HOME or DOCKER_CONFIG"))?
        .join("contexts");
    let digest = format!("{:x}", Sha256::digest(name));
    let path = contexts.join("meta").join(&digest).join("meta.json");
    let text = fs::read(&path).map_err(|error| unreadable(&path, &error, mend))?;
    let context: Context = serde_json::from_slice(&text)
        .map_err(|error| refusal(format!("{} is not understood: {error}", quoted_path(&path)), mend))?;
    let endpoint = context
        .endpoints
        .docker
        .filter(|endpoint| !endpoint.host.trim().is_empty())
        .ok_or_else(|| refusal("it has no docker endpoint", mend))?;
    let tls = Some(contexts.join("tls").join(digest).join("docker")).filter(|directory| directory.is_dir());
    let resolved = daemon(endpoint.host.trim(), tls.as_deref(), environment)?;
    if endpoint.skip_tls_verify && matches!(resolved.endpoint, Endpoint::Tcp { .. } | Endpoint::Tls { .. }) {
        let mend = "give it the daemon's ca.pem: here TLS is always verified";
        return Err(refusal("it skips the verification of TLS", mend));
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests;
