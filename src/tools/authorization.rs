//! The gateway's credentials beside a request that makes a daemon speak to a registry.

use std::collections::BTreeSet;

use crate::{
    config::Endpoint,
    docker::{Docker, Target, cli::Login, names::quote},
    error::{Error, Kind, Result},
    registry::{Credentials, Registries},
    secret::Secret,
    tool::Call,
};

/// The engine's header for the credentials of the one registry that a request is about.
const HEADER: &str = "x-registry-auth";
/// The engine's header for those of the registries that a build takes images from.
const HEADER_OF_MANY: &str = "x-registry-config";
/// `{}`, as the engine reads it: nobody's credentials.
const NOBODY: &str = "e30=";

/// What became of the credentials for a registry: sent along, or why not.
pub(crate) struct Authorization {
    unsent: Option<Error>,
    sent: bool,
}

impl Authorization {
    /// A request about a registry, with the credentials for it where there are any.
    ///
    /// Without them it goes out all the same: most images need none, and a helper may be missing.
    pub(crate) async fn beside(target: Target, registry: &str, docker: &Docker, call: &Call) -> Result<(Target, Self)> {
        let found = match call.registries().authorization(registry).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(registry, detail = error.detail_text(), "{error}");
                return Ok((target, Self { unsent: Some(error), sent: false }));
            }
        };
        let Some(secret) = found else { return Ok((target, Self { unsent: None, sent: false })) };
        if is_in_clear(&docker.config().endpoint) {
            let error = Error::config("they do not travel over TCP without TLS");
            return Ok((target, Self { unsent: Some(error), sent: false }));
        }
        Ok((target.sealed(HEADER, &secret)?, Self { unsent: None, sent: true }))
    }

    /// The same beside a push, to which the engine takes no request without the header.
    pub(crate) async fn beside_push(
        target: Target,
        registry: &str,
        docker: &Docker,
        call: &Call,
    ) -> Result<(Target, Self)> {
        let (target, own) = Self::beside(target, registry, docker, call).await?;
        let target = if own.sent { target } else { target.sealed(HEADER, &Secret::new(NOBODY))? };
        Ok((target, own))
    }

    /// A build, with the credentials for the registries that its images come from, and for no others.
    pub(crate) async fn beside_build(
        target: Target,
        registries: impl IntoIterator<Item = &str>,
        docker: &Docker,
        call: &Call,
    ) -> Result<Target> {
        if is_in_clear(&docker.config().endpoint) {
            return Ok(target);
        }
        match call.registries().authorizations(registries).await {
            Ok(Some(secret)) => target.sealed(HEADER_OF_MANY, &secret),
            Ok(None) => Ok(target),
            Err(error) => {
                tracing::warn!(detail = error.detail_text(), "{error}");
                Ok(target)
            }
        }
    }

    /// The logins that a run of the docker CLI needs for these registries, and what is to be said where one is missing.
    ///
    /// `direct` says that the program itself speaks to the registries, and no daemon is told.
    pub(crate) async fn logins(
        registries: impl IntoIterator<Item = &str>,
        direct: bool,
        docker: &Docker,
        call: &Call,
    ) -> (Vec<Login>, Vec<String>) {
        let (mut logins, mut notes) = (Vec::new(), Vec::new());
        let registries: BTreeSet<String> = registries.into_iter().map(str::to_ascii_lowercase).collect();
        for registry in &registries {
            let found = call.registries().credentials(registry).await;
            let mut unsent = |why: &str| notes.push(format!("no credentials for registry {}: {why}", quote(registry)));
            let (user, password) = match found {
                Ok(None) => continue,
                Ok(Some(_)) if !direct && is_in_clear(&docker.config().endpoint) => {
                    unsent("they do not travel over TCP without TLS");
                    continue;
                }
                Ok(Some(Credentials::Password { username, password })) => (username, password),
                Ok(Some(Credentials::Identity(token))) => (Login::TOKEN.to_owned(), token),
                Ok(Some(Credentials::Registry(_))) => {
                    unsent("a registry token cannot be handed to the docker CLI");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(registry, detail = error.detail_text(), "{error}");
                    unsent(error.message());
                    continue;
                }
            };
            logins.push(Login { registry: Registries::key(registry), user, password });
        }
        (logins, notes)
    }

    /// A failure with what has to be known of the credentials: who is not let in may have come without them.
    pub(crate) fn explains(&self, error: Error, registry: &str) -> Error {
        let is_refusal = matches!(error.kind(), Kind::NotFound | Kind::Denied | Kind::Docker | Kind::Unreachable);
        let words = error.message().to_ascii_lowercase();
        let says_so = ["denied", "unauthorized", "authentication", "authorization", "login", "credentials"]
            .iter()
            .any(|word| words.contains(word));
        if !is_refusal || !says_so {
            return error;
        }
        let registry = quote(registry);
        error.hint(match (&self.unsent, self.sent) {
            (Some(why), _) => format!("the credentials for registry {registry} were not sent: {why}"),
            (None, true) => {
                format!("the gateway's credentials for registry {registry} were sent; login shows whether they work")
            }
            (None, false) => {
                format!("the gateway has no credentials for registry {registry}; login shows how a person gives them")
            }
        })
    }
}

/// Whether whoever is on the way to a daemon can read along.
fn is_in_clear(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Tcp { .. }) && !endpoint.is_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_travel_in_clear() {
        let tcp = |host: &str| Endpoint::Tcp { host: host.to_owned(), port: 2375 };
        assert!(is_in_clear(&tcp("192.0.2.7")) && is_in_clear(&tcp("lab")));
        assert!(!is_in_clear(&tcp("127.0.0.1")) && !is_in_clear(&Endpoint::Unix { path: "/x".into() }));
    }

    #[test]
    fn who_is_not_let_in_is_told_about_the_credentials() {
        let without = Authorization { unsent: None, sent: false };
        let explained = without.explains(Error::docker("pull access denied for x"), "a.b");
        assert!(explained.hint_text().unwrap().contains("no credentials for registry \"a.b\""));
        let failed = Authorization { unsent: Some(Error::config("the helper failed")), sent: false };
        assert!(
            failed.explains(Error::docker("unauthorized"), "a.b").hint_text().unwrap().ends_with("the helper failed")
        );
        let other = Error::not_found("manifest unknown").hint("as it was");
        assert_eq!(failed.explains(other, "a.b").hint_text(), Some("as it was"));
    }
}
