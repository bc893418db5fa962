//! What one call says to one registry: it shows who it is when it is asked to, waits when it is told to, and tells
//! errors apart.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::sleep;
use url::{Url, form_urlencoded::Serializer};

use super::{
    Credentials, Registries,
    challenge::Challenge,
    http::{Ask, Reply, shown},
    name::{self, HUB},
};
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// How long a call may wait for registries that want it to, and work on, in all.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often a request that was sent too soon is sent again.
const AGAIN: usize = 3;
/// The pause before a request is sent again that met a failure of the registry.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest answer of a token service, in bytes.
const LARGEST_TOKEN: usize = 256 << 10;
/// How long a token is good for that does not say it (the token specification's default).
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// A token that ends this soon is not used any more.
const MARGIN: Duration = Duration::from_secs(10);
/// How many tokens are kept.
const MOST_TOKENS: usize = 256;

/// The tokens that are good for a while, by registry and scope.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<(String, String), (Secret, Instant)>>);

impl Tokens {
    fn fresh(&self, registry: &str, scope: &str) -> Option<Secret> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = tokens.get(&(registry.to_owned(), scope.to_owned()))?;
        (*until > Instant::now() + MARGIN).then(|| token.clone())
    }

    fn keep(&self, registry: &str, scope: &str, token: Secret, life: Duration) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        tokens.retain(|_, (_, until)| *until > now);
        if tokens.len() < MOST_TOKENS {
            tokens.insert((registry.to_owned(), scope.to_owned()), (token, now + life));
        }
    }

    fn forget(&self, registry: &str, scope: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(registry.to_owned(), scope.to_owned()));
    }
}

/// What a token service answers.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// One call's way to one registry.
pub(super) struct Session<'a> {
    registries: &'a Registries,
    registry: String,
    base: Url,
    /// What tokens have to be for; empty for the registry as a whole.
    scope: String,
    authorization: Option<Secret>,
    /// Whether it has shown who it is, and is not asked again.
    introduced: bool,
    /// Whether it had credentials to show.
    known: bool,
    started: Instant,
}

impl<'a> Session<'a> {
    /// For a registry, and for one of its repositories where that is known.
    pub(super) fn new(registries: &'a Registries, registry: &str, repository: Option<&str>) -> Result<Self> {
        let registry = name::name(registry);
        let machine = if registry == HUB { "registry-1.docker.io" } else { registry.as_str() };
        let scheme = if registries.client.is_insecure(&registry) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{machine}/v2/")).ok().filter(|url| {
            url.path() == "/v2/" && url.username().is_empty() && url.password().is_none() && url.query().is_none()
        });
        let base =
            base.ok_or_else(|| Error::invalid(format!("{registry:?} is no registry")).hint("HOST or HOST:PORT"))?;
        let scope = repository.map(|repository| format!("repository:{repository}:pull")).unwrap_or_default();
        let authorization = registries.tokens.fresh(&registry, &scope).map(|token| bearer(&token));
        let started = Instant::now();
        Ok(Self { registries, registry, base, scope, authorization, introduced: false, known: false, started })
    }

    /// Where the registry's interface begins.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The name of the registry.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// Whether it has shown credentials.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Sends a request until it has an answer that means success.
    ///
    /// # Errors
    /// What the registry answers instead, or why there is no answer; never what it says in its own words.
    pub(super) async fn ask(&mut self, ask: Ask) -> Result<Reply> {
        let mut again = 0;
        loop {
            let sent = Ask { authorization: self.authorization.clone(), ..ask.clone() };
            let reply = self.registries.client.send(sent, &self.base).await?;
            let pause = match reply.status {
                status if status.is_success() => return Ok(reply),
                StatusCode::UNAUTHORIZED if !self.introduced => {
                    self.introduce(&reply).await?;
                    continue;
                }
                StatusCode::TOO_MANY_REQUESTS if again < AGAIN => wished(&reply),
                status if status.is_server_error() && again == 0 => PAUSE,
                _ => return Err(self.refused(&reply)),
            };
            if self.started.elapsed() + pause > PATIENCE {
                return Err(self.refused(&reply));
            }
            sleep(pause).await;
            again += 1;
        }
    }

    /// Shows who it is, as the registry wants it.
    async fn introduce(&mut self, reply: &Reply) -> Result<()> {
        let had_token = self.authorization.take().is_some();
        if had_token {
            // One that was kept, and is not good any more.
            self.registries.tokens.forget(&self.registry, &self.scope);
        }
        self.introduced = true;
        let challenge = Challenge::of(&reply.headers).ok_or_else(|| self.refused(reply))?;
        let credentials = self.registries.credentials(&self.registry).await?;
        self.known = credentials.is_some();
        self.authorization = match (challenge, credentials) {
            (_, Some(Credentials::Registry(token))) => Some(bearer(&token)),
            (Challenge::Basic, Some(Credentials::Password { username, password })) => Some(basic(&username, &password)),
            (Challenge::Basic, _) => return Err(self.refused(reply)),
            (Challenge::Bearer { realm, service, scope }, credentials) => {
                // What was asked for, where that is more than to look.
                let scope = if self.scope.is_empty() { scope.unwrap_or_default() } else { self.scope.clone() };
                let (token, life) = self.token(&realm, service.as_deref(), &scope, credentials.as_ref()).await?;
                self.registries.tokens.keep(&self.registry, &self.scope, token.clone(), life);
                Some(bearer(&token))
            }
        };
        Ok(())
    }

    /// A token of the service that the registry names.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credentials: Option<&Credentials>,
    ) -> Result<(Secret, Duration)> {
        let registry = &self.registry;
        let strange = || Error::docker(format!("registry {registry:?} names a token service that cannot be one"));
        let mut url = Url::parse(realm).map_err(|_| strange())?;
        if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(strange());
        }
        let mut parameters: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        parameters.extend((!scope.is_empty()).then_some(("scope", scope)));
        let ask = match credentials {
            // Only this one is exchanged with a form (OAuth 2).
            Some(Credentials::Identity(token)) => {
                parameters.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "quaymaster"),
                    ("refresh_token", token.expose()),
                ]);
                let form = Serializer::new(String::new()).extend_pairs(&parameters).finish();
                Ask {
                    method: Method::POST,
                    form: Some(Secret::new(form)),
                    ..Ask::get(url, "application/json", LARGEST_TOKEN)
                }
            }
            Some(Credentials::Password { username, password }) => {
                parameters.push(("account", username));
                url.query_pairs_mut().extend_pairs(&parameters);
                let authorization = Some(basic(username, password));
                Ask { authorization, ..Ask::get(url, "application/json", LARGEST_TOKEN) }
            }
            _ => {
                url.query_pairs_mut().extend_pairs(&parameters);
                Ask::get(url, "application/json", LARGEST_TOKEN)
            }
        };
        let machine = shown(&ask.url);
        let reply = self.registries.client.send(ask, &self.base).await?;
        if !reply.status.is_success() {
            return Err(match reply.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => self.refused(&reply),
                StatusCode::TOO_MANY_REQUESTS => self.busy(wished(&reply)),
                status => {
                    Error::docker(format!("the token service of registry {registry:?} answers {}", status.as_u16()))
                        .detail(machine)
                }
            });
        }
        let granted: Granted = serde_json::from_slice(&reply.body).map_err(|_| strange())?;
        let token = granted.token.or(granted.access_token).filter(|token| !token.is_empty()).ok_or_else(strange)?;
        let life = granted.expires_in.map_or(USUAL_LIFE, |seconds| Duration::from_secs(seconds.min(3600)));
        Ok((Secret::new(token), life))
    }

    /// What an answer that is no success means.
    fn refused(&self, reply: &Reply) -> Error {
        let registry = &self.registry;
        let code = code(reply).map(|code| format!(" ({code})")).unwrap_or_default();
        match reply.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.known => {
                Error::denied(format!("registry {registry:?} refuses the gateway's credentials{code}"))
                    .hint("they may be wrong, or not for this repository; login shows how a person renews them")
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::denied(format!(
                "registry {registry:?} lets nobody in without credentials, or does not show this{code}"
            ))
            .hint("is the name right? login shows how a person gives the gateway credentials"),
            StatusCode::NOT_FOUND => Error::not_found(format!("registry {registry:?} has no such thing{code}"))
                .hint("look at the name, the tag and the registry in front of it"),
            StatusCode::TOO_MANY_REQUESTS => self.busy(wished(reply)),
            status if status.is_server_error() => {
                Error::docker(format!("registry {registry:?} fails with {}{code}", status.as_u16())).retryable(true)
            }
            status => Error::docker(format!("registry {registry:?} answers {}{code}", status.as_u16())),
        }
    }

    fn busy(&self, pause: Duration) -> Error {
        let seconds = pause.as_secs().max(1);
        Error::new(
            crate::error::Kind::Busy,
            format!("registry {:?} lets no more requests through for now", self.registry),
        )
        .hint(format!("try again in {seconds} s at the earliest"))
    }
}

/// How long a registry wants to be left alone: seconds, or a date.
fn wished(reply: &Reply) -> Duration {
    let text = reply.header("retry-after").unwrap_or_default().trim();
    let until = || {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        u64::try_from(date.duration_since(jiff::Timestamp::now()).as_secs()).ok()
    };
    text.parse::<u64>()
        .ok()
        .or_else(until)
        .map_or(Duration::from_secs(1), |seconds| Duration::from_secs(seconds.min(86_400)))
}

/// The code of a registry's error: its own words stay behind, a code is one of a known alphabet.
fn code(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Told>,
    }
    #[derive(Deserialize)]
    struct Told {
        code: String,
    }
    let errors: Errors = serde_json::from_slice(&reply.body).ok()?;
    let code = errors.errors.into_iter().next()?.code;
    let is_code = code.len() <= 40 && code.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    (is_code && !code.is_empty()).then_some(code)
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}

fn basic(username: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose()))))
}
