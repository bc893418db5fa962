//! Registries over HTTPS, from this machine: whose credentials there are, and what a registry says of an image.
//!
//! The credentials of a registry go to that registry, to the token service that it names, and to a daemon for a
//! request about that registry; to nobody else.

mod credentials;
mod helper;
mod name;

use std::collections::BTreeSet;

pub use credentials::{Credentials, Source};

use crate::{
    config::{Config, Environment, RegistryConfig},
    error::Result,
    secret::Secret,
};
use credentials::Store;

/// The registries that can be spoken to, and the credentials for them.
#[derive(Debug, Default)]
pub struct Registries {
    named: Vec<RegistryConfig>,
    store: Store,
}

impl Registries {
    /// Those of a configuration; nothing is read or contacted.
    #[must_use]
    pub fn new(config: &Config, environment: &Environment) -> Self {
        Self { named: config.registries.clone(), store: Store::new(environment) }
    }

    /// The operator's credentials for a registry, by its name in front of images; `docker.io` is Docker Hub.
    ///
    /// # Errors
    /// `config` where they cannot be read: a broken file, a helper that is missing or fails.
    pub async fn credentials(&self, registry: &str) -> Result<Option<Credentials>> {
        self.store.of(&name::name(registry)).await
    }

    /// The value of the engine's `X-Registry-Auth`, for a request about that registry and no other.
    ///
    /// # Errors
    /// As [`Registries::credentials`].
    pub async fn authorization(&self, registry: &str) -> Result<Option<Secret>> {
        let registry = name::name(registry);
        Ok(self.store.of(&registry).await?.map(|own| own.header(&registry)))
    }

    /// The value of the engine's `X-Registry-Config`, for a build from images of these registries and no others;
    /// `None` where there are credentials for none of them.
    ///
    /// # Errors
    /// As [`Registries::credentials`].
    pub async fn authorizations(&self, registries: impl IntoIterator<Item = &str>) -> Result<Option<Secret>> {
        let registries: BTreeSet<String> = registries.into_iter().map(name::name).collect();
        let mut found = Vec::new();
        for registry in registries {
            if let Some(own) = self.store.of(&registry).await? {
                found.push((registry, own));
            }
        }
        Ok((!found.is_empty()).then(|| credentials::header_of_many(&found)))
    }

    /// Where the credentials of a registry would come from, without asking for them.
    ///
    /// # Errors
    /// As [`Registries::credentials`].
    pub async fn source(&self, registry: &str) -> Result<Option<Source>> {
        self.store.source(&name::name(registry)).await
    }

    /// The registries that there may be credentials for.
    ///
    /// # Errors
    /// As [`Registries::credentials`].
    pub async fn known(&self) -> Result<BTreeSet<String>> {
        self.store.registries().await
    }
}
