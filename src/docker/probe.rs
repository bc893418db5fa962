//! Whether an endpoint itself refuses writes: found out with one write that can change nothing, for a person only.

use std::sync::Arc;

use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    HEADERS, Host, Target,
    answer::is_json,
    collect,
    guard::{self, Class},
    names,
    pool::{Body, empty},
};
use crate::{
    error::{Error, Kind, Result},
    secret::random,
};

/// The row of the guard's table that a probe is, and nothing else.
const START: &str = "/containers/{id}/start";
/// How much of an answer is looked at.
const LARGEST_ANSWER: usize = 64 << 10;

/// What holds a host's limits beside what Quaymaster's own policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// The endpoint refuses writes, as a socket proxy does.
    Endpoint,
    /// The endpoint lets writes through: only Quaymaster holds back.
    Gateway,
    /// Nobody has found out.
    Unknown,
}

impl Enforcement {
    /// `endpoint`, `gateway` or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Gateway => "gateway",
            Self::Unknown => "unknown",
        }
    }
}

impl Host {
    /// Asks the endpoint to start a container that does not exist, on a connection of its own.
    ///
    /// An engine answers that there is none, and so has let a write through; what stands in front of one
    /// refuses. It is the one request that is sent whatever the host's mode is, so only the command line
    /// may ask for it; a test holds the sources to that.
    ///
    /// # Errors
    /// Whatever leaves it open: a host that is not reached, an endpoint that does not say that there is no
    /// such container (then nothing is sent), an answer that fits neither.
    pub async fn probe_guard(&self) -> Result<Enforcement> {
        let host = Arc::new(self.anew());
        let name: String = random::<16>()?.iter().fold("quaymaster-probe-".to_owned(), |name, byte| {
            let (high, low) = (byte >> 4, byte & 15);
            name + &format!("{high:x}{low:x}")
        });
        match host.reading().json(Target::new(format!("/containers/{name}/json"))).await {
            Err(error) if error.kind() == Kind::NotFound && error.message().contains(&name) => {}
            Err(error) if error.kind() == Kind::NotFound => {
                return Err(Error::docker("the endpoint does not say what is missing, so nothing was sent")
                    .detail(error.message().to_owned()));
            }
            Err(error) if error.kind() == Kind::Denied => {
                return Err(Error::docker("the endpoint shows no containers, so nothing was sent")
                    .detail(error.message().to_owned()));
            }
            Err(error) => return Err(error),
            Ok(_) => {
                return Err(Error::docker("the endpoint shows a container that cannot exist, so nothing was sent"));
            }
        }
        let (response, _lent) = host.exchange(start(&name)?, true, HEADERS).await?;
        let (status, is_json) = (response.status(), is_json(&response));
        let body = collect(response.into_body(), LARGEST_ANSWER).await.unwrap_or_default();
        judge(status, if is_json { &body } else { &[] }, &name)
    }
}

/// The one request, which the guard's table has to know as what it is meant to be.
fn start(name: &str) -> Result<Request<Body>> {
    let request = Request::post(format!("/containers/{name}/start"))
        .body(empty())
        .map_err(|error| Error::internal("a fixed path is wrong").detail(error.to_string()))?;
    let known = guard::classify(request.method(), request.uri())
        .is_ok_and(|wire| wire.route.template == START && wire.class == Class::Mutate);
    if known { Ok(request) } else { Err(Error::internal("the probe is not what it is meant to be")) }
}

/// What the answer says; only an engine knows that the container is missing.
fn judge(status: StatusCode, json: &[u8], name: &str) -> Result<Enforcement> {
    let message = serde_json::from_slice::<Value>(json)
        .ok()
        .and_then(|document| document.get("message").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_default();
    match status {
        StatusCode::NOT_FOUND if message.contains(name) => Ok(Enforcement::Gateway),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Ok(Enforcement::Endpoint),
        _ => {
            let reason = format!("HTTP status {} is no answer to the start of a missing container", status.as_u16());
            let error = Error::docker(reason);
            Err(if message.is_empty() { error } else { error.detail(names::quote(&message)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_who_refuses() {
        let name = "quaymaster-probe-0a";
        for (status, json, expected) in [
            (404, r#"{"message":"No such container: quaymaster-probe-0a"}"#, Some(Enforcement::Gateway)),
            (
                404,
                r#"{"cause":"no such container","message":"no container with name or ID \"quaymaster-probe-0a\" found"}"#,
                Some(Enforcement::Gateway),
            ),
            // What an engine would never say does not come from one.
            (404, r#"{"message":"page not found"}"#, None),
            (404, "", None),
            (404, "<html>", None),
            (403, "", Some(Enforcement::Endpoint)),
            (403, r#"{"message":"authorization denied by plugin opa"}"#, Some(Enforcement::Endpoint)),
            (405, "", Some(Enforcement::Endpoint)),
            (401, "", Some(Enforcement::Endpoint)),
            (407, "", Some(Enforcement::Endpoint)),
            (200, "", None),
            (204, "", None),
            (304, "", None),
            (301, "", None),
            (500, r#"{"message":"No such container: quaymaster-probe-0a"}"#, None),
            (502, "", None),
        ] {
            let found = judge(StatusCode::from_u16(status).unwrap(), json.as_bytes(), name);
            assert_eq!(found.as_ref().ok().copied(), expected, "{status} {json}: {found:?}");
        }
    }

    #[test]
    fn the_request_is_a_start_and_nothing_else() {
        assert!(start("quaymaster-probe-0a").is_ok());
        for name in ["x/../y", "x/attach", "..", "", "x?signal=KILL", "x#", "%2e%2e"] {
            assert!(start(name).is_err(), "{name}");
        }
    }
}
