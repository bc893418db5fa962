//! Registries over HTTPS, from this machine: whose credentials there are, and what a registry says of an image.
//!
//! The credentials of a registry go to that registry, to the token service that it names, and to a daemon for a
//! request about that registry; to nobody else.

mod address;
mod challenge;
mod credentials;
mod digests;
mod helper;
mod http;
mod hub;
mod image;
mod name;
mod proxy;
mod session;

use std::{collections::BTreeSet, path::Path};

pub use credentials::{Credentials, Source};
pub use hub::RateLimit;
pub use image::{Descriptor, Image, Manifest, Platform, Tags};

use crate::{
    config::{Config, Environment},
    error::Result,
    secret::Secret,
};
use credentials::Store;
use digests::Digests;
use http::{Ask, Client};
use session::{Session, Tokens};

/// The registries that can be spoken to, and the credentials for them.
#[derive(Debug, Default)]
pub struct Registries {
    client: Client,
    store: Store,
    tokens: Tokens,
    digests: Digests,
}

impl Registries {
    /// Those of a configuration; nothing is read or contacted.
    #[must_use]
    pub fn new(config: &Config, environment: &Environment) -> Self {
        Self {
            client: Client::new(config.registries.clone(), environment),
            store: Store::new(environment),
            tokens: Tokens::default(),
            digests: Digests::default(),
        }
    }

    /// The operator's credentials for a registry, by its name in front of images; `docker.io` is Docker Hub.
    ///
    /// # Errors
    /// `config` where they cannot be read: a broken file, a helper that is missing or fails.
    pub async fn credentials(&self, registry: &str) -> Result<Option<Credentials>> {
        self.store.of(&name::name(registry)).await
    }

    /// The file of the only authorities that are trusted for a registry, where the configuration names one.
    #[must_use]
    pub fn authority(&self, registry: &str) -> Option<&Path> {
        self.client.authority(&name::name(registry))
    }

    /// The key under which the docker CLI keeps the credentials of a registry.
    #[must_use]
    pub fn key(registry: &str) -> String {
        name::key(&name::name(registry)).to_owned()
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

    /// Asks a registry whether it lets the gateway in.
    ///
    /// # Errors
    /// `denied` where it refuses the credentials, or wants some where there are none; those of a request.
    pub async fn admission(&self, registry: &str) -> Result<Admission> {
        let mut session = Session::new(self, registry, None)?;
        let ask = Ask::get(session.base().clone(), "application/json", LARGEST_GREETING);
        session.ask(ask).await?;
        Ok(if session.is_known() { Admission::Known } else { Admission::Anybody })
    }

    /// The digest that a tag stands for in its registry, as of a few minutes ago at most.
    ///
    /// Whoever asks for the same image meanwhile waits for the same answer.
    ///
    /// # Errors
    /// Those of a request to a registry; they are remembered for half a minute.
    pub async fn digest(&self, image: &Image) -> Result<String> {
        self.digests.of(image, || self.head(image)).await
    }
}

/// The largest greeting of a registry that is taken in, in bytes.
const LARGEST_GREETING: usize = 64 << 10;

/// Why a registry lets the gateway in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It has seen the operator's credentials.
    Known,
    /// It asks nobody.
    Anybody,
}
