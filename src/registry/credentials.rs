//! The operator's credentials for registries: the docker CLI's configuration and its helpers, or two variables.
//!
//! Nothing is read before it is asked for, and nothing is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    helper::Helpers,
    name::{self, key},
};
use crate::{
    config::Environment,
    error::{Error, Result},
    secret::Secret,
};

/// The largest configuration of the docker CLI that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What lets somebody into a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's password, or what stands for one.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry's token service takes instead of a password.
    Identity(Secret),
    /// A token that the registry itself takes.
    Registry(Secret),
}

impl Credentials {
    /// The engine's `AuthConfig`, for one registry.
    fn document(&self, registry: &str) -> Value {
        let address = key(registry);
        match self {
            Self::Password { username, password } => {
                json!({"username": username, "password": password.expose(), "serveraddress": address})
            }
            Self::Identity(token) => json!({"identitytoken": token.expose(), "serveraddress": address}),
            Self::Registry(token) => json!({"registrytoken": token.expose(), "serveraddress": address}),
        }
    }

    /// The value of `X-Registry-Auth` for a registry.
    pub(super) fn header(&self, registry: &str) -> Secret {
        encoded(&self.document(registry))
    }
}

/// The value of `X-Registry-Config` for several registries.
pub(super) fn header_of_many(credentials: &[(String, Credentials)]) -> Secret {
    let documents = credentials.iter().map(|(registry, own)| (key(registry).to_owned(), own.document(registry)));
    encoded(&Value::Object(documents.collect()))
}

/// As the engine reads it: base64 for URLs, padded.
fn encoded(document: &Value) -> Secret {
    Secret::new(URL_SAFE.encode(document.to_string()))
}

/// Where the credentials of a registry come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `QUAYMASTER_REGISTRY_USERNAME` and `QUAYMASTER_REGISTRY_PASSWORD`.
    Variables,
    /// The docker CLI's configuration itself.
    Configuration,
    /// A helper of the docker CLI, by name.
    Helper(String),
}

/// Where credentials are looked for.
#[derive(Debug, Default)]
pub(super) struct Store {
    bound: Option<(String, Credentials)>,
    file: Option<PathBuf>,
    helpers: Helpers,
}

/// The part of the CLI's `config.json` that is about registries.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CliConfig {
    auths: Option<BTreeMap<String, Login>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

/// One of `auths`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Login {
    /// What it holds; `auth` is `user:password` in base64, and empty where a helper keeps it.
    fn credentials(&self) -> Option<Credentials> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identitytoken) {
            return Some(Credentials::Identity(Secret::new(token)));
        }
        if let Some(token) = given(&self.registrytoken) {
            return Some(Credentials::Registry(Secret::new(token)));
        }
        let password = |username: String, password: &str| Credentials::Password {
            username,
            // Old versions of the CLI filled it up.
            password: Secret::new(password.trim_end_matches('\0')),
        };
        match given(&self.auth) {
            Some(auth) => {
                let decoded = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
                let (username, secret) = decoded.split_once(':')?;
                Some(password(username.to_owned(), secret))
            }
            None => Some(password(given(&self.username)?, &given(&self.password)?)),
        }
    }
}

impl CliConfig {
    /// Who keeps the credentials of a registry: a helper of its own, the helper of all, else the file itself.
    fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.cred_helpers.as_ref().and_then(|helpers| helpers.get(key(registry)));
        own.or(self.creds_store.as_ref()).map(|helper| helper.trim()).filter(|helper| !helper.is_empty())
    }

    /// The file's own entry: by its very key, else by any key that is for the same registry.
    fn login(&self, registry: &str) -> Option<&Login> {
        let logins = self.auths.as_ref()?;
        let same = || logins.iter().find(|(key, _)| name::of_key(key) == registry).map(|(_, login)| login);
        logins.get(key(registry)).or_else(same)
    }

    /// Every registry that it names.
    fn registries(&self) -> BTreeSet<String> {
        let logins = self.auths.iter().flat_map(BTreeMap::keys);
        let helped = self.cred_helpers.iter().flat_map(BTreeMap::keys);
        logins.chain(helped).map(|key| name::of_key(key)).collect()
    }
}

impl Store {
    /// The places of an environment; nothing is read.
    pub(super) fn new(environment: &Environment) -> Self {
        let bound = || {
            let variable = |name: &str| environment.get(name);
            let registry = name::of_key(variable("QUAYMASTER_REGISTRY")?);
            let password = Secret::new(variable("QUAYMASTER_REGISTRY_PASSWORD")?);
            let username = variable("QUAYMASTER_REGISTRY_USERNAME")?.to_owned();
            Some((registry, Credentials::Password { username, password }))
        };
        Self {
            bound: bound(),
            file: environment.cli_directory().map(|directory| directory.join("config.json")),
            helpers: Helpers::new(&environment.variables),
        }
    }

    /// The credentials of a registry, by its name.
    pub(super) async fn of(&self, registry: &str) -> Result<Option<Credentials>> {
        if let Some((_, bound)) = self.bound.as_ref().filter(|(bound, _)| bound == registry) {
            return Ok(Some(bound.clone()));
        }
        let config = self.configuration().await?;
        match config.helper(registry) {
            Some(helper) => self.helpers.get(helper, key(registry)).await,
            None => Ok(config.login(registry).and_then(Login::credentials)),
        }
    }

    /// Where the credentials of a registry would come from, without asking for them.
    pub(super) async fn source(&self, registry: &str) -> Result<Option<Source>> {
        if self.bound.as_ref().is_some_and(|(bound, _)| bound == registry) {
            return Ok(Some(Source::Variables));
        }
        let config = self.configuration().await?;
        Ok(match config.helper(registry) {
            Some(helper) => Some(Source::Helper(helper.to_owned())),
            None => config.login(registry).and_then(Login::credentials).map(|_| Source::Configuration),
        })
    }

    /// The registries that there may be credentials for, by name.
    pub(super) async fn registries(&self) -> Result<BTreeSet<String>> {
        let bound = self.bound.iter().map(|(registry, _)| registry.clone());
        Ok(self.configuration().await?.registries().into_iter().chain(bound).collect())
    }

    /// The CLI's configuration; one that is not there is an empty one.
    async fn configuration(&self) -> Result<CliConfig> {
        let Some(path) = self.file.clone() else { return Ok(CliConfig::default()) };
        let read = tokio::task::spawn_blocking(move || read(&path));
        read.await.map_err(|error| Error::internal("reading credentials was cut off").detail(error.to_string()))?
    }
}

fn read(path: &Path) -> Result<CliConfig> {
    let refused = |why: String| {
        Error::config("the docker CLI's configuration on the gateway's machine cannot be read")
            .hint("ask the person to look at its \"config.json\"")
            .detail(format!("{}: {why}", path.display()))
    };
    let mut text = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
    match opened {
        Ok(_) if text.len() as u64 > LARGEST => Err(refused("it is larger than 1 MiB".to_owned())),
        Ok(_) if text.trim_ascii().is_empty() => Ok(CliConfig::default()),
        // What the parser says may quote a password.
        Ok(_) => serde_json::from_slice(&text)
            .map_err(|error| refused(format!("line {}, column {}", error.line(), error.column()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(CliConfig::default()),
        Err(error) => Err(refused(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
