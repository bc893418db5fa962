//! What a daemon answered: a document, or an error in our words; read to its end and never beyond a limit.

use http::{Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use serde_json::Value;

use super::{access::Permission, connect, guard::Wire, names, pool::Lent};
use crate::{
    error::{Error, Kind, Result},
    redact,
};

/// The longest JSON document that is read from a daemon.
const LARGEST_DOCUMENT: usize = 32 << 20;

/// An answer, what it answers, and the connection that it comes on.
pub(super) struct Reply {
    pub(super) wire: Wire,
    pub(super) response: Response<Incoming>,
    pub(super) lent: Lent,
}

impl Reply {
    /// Reads the document that it is.
    pub(super) async fn document(self) -> Result<(Wire, Value)> {
        let Self { wire, response, lent } = self;
        let mut document = document(response).await?;
        lent.give_back().await;
        shape(&wire, &mut document)?;
        Ok((wire, document))
    }
}

/// Refuses an answer of another kind than the route's: an empty list made of it would be a lie.
fn shape(wire: &Wire, document: &mut Value) -> Result<()> {
    match (wire.route.lists(), &*document) {
        (true, Value::Array(_)) | (false, Value::Object(_)) => Ok(()),
        // Go writes a list that was never made as `null`.
        (true, Value::Null) => {
            *document = Value::Array(Vec::new());
            Ok(())
        }
        _ => Err(Error::docker("the daemon's answer is not what was asked for")
            .hint("ask the person to run \"quaymaster check\"")
            .detail(sample(document.to_string().as_bytes()))),
    }
}

/// What is dropped from an answer, and the permission that keeps it.
pub(super) fn withheld(wire: &Wire) -> Option<(&'static str, Permission)> {
    match wire.route.template {
        "/swarm" => Some(("/JoinTokens", Permission::Credentials)),
        "/configs" | "/configs/{id}" if wire.route.method == "GET" => Some(("/Spec/Data", Permission::Files)),
        _ => None,
    }
}

pub(super) fn drop_field(document: &mut Value, pointer: &str) {
    if let Some((parent, field)) = pointer.rsplit_once('/')
        && let Some(Value::Object(object)) = document.pointer_mut(parent)
    {
        object.remove(field);
    }
}

/// The JSON of an answer.
pub(super) async fn document(response: Response<Incoming>) -> Result<Value> {
    let is_json = is_json(&response);
    let bytes = collect(response.into_body(), LARGEST_DOCUMENT).await?;
    if !is_json {
        return Err(foreign().detail(sample(&bytes)));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::docker("the daemon's answer is cut off or is not JSON").detail(format!("{error}: {}", sample(&bytes)))
    })
}

pub(super) fn is_json<T>(response: &Response<T>) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

/// Whether it is a page for people, as a web server or a proxy in front of an engine sends it.
pub(super) fn is_page<T>(response: &Response<T>) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/html"))
}

pub(super) fn foreign() -> Error {
    Error::docker("what answers is not a Docker engine").hint("ask the person to run \"quaymaster check\"")
}

/// Reads a body to its end, but not beyond the limit.
pub(super) async fn collect(mut body: Incoming, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(
        body.size_hint().exact().and_then(|size| usize::try_from(size).ok()).unwrap_or(0).min(limit),
    );
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Error::docker("the daemon's answer was cut off").detail(error.to_string()).retryable(true)
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Error::docker(format!("the daemon's answer is larger than {limit} bytes"))
                    .hint("ask for less, with a filter or a smaller limit"));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn sample(bytes: &[u8]) -> String {
    // It is cut far behind what is quoted of it: half a secret has no shape.
    names::quote(&redact::shown(&String::from_utf8_lossy(bytes.get(..bytes.len().min(4 << 10)).unwrap_or_default())))
}

/// The error that an answer is.
pub(super) async fn refused(response: Response<Incoming>) -> Error {
    let (status, is_json) = (response.status(), is_json(&response));
    let body = collect(response.into_body(), 64 << 10).await.unwrap_or_default();
    refusal_of_daemon(status, &body, is_json)
}

/// An HTTP error of a daemon, or of a proxy in front of it.
fn refusal_of_daemon(status: StatusCode, body: &[u8], is_json: bool) -> Error {
    let message = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|document| Some(document.get("message")?.as_str()?.to_owned()))
        .or_else(|| (!is_json && body.len() < 400).then(|| String::from_utf8_lossy(body).trim().to_owned()))
        .filter(|message| !message.is_empty() && !message.starts_with('<'));
    daemon_error(status.as_u16(), message.as_deref())
}

fn daemon_error(status: u16, message: Option<&str>) -> Error {
    let message = message.map_or_else(
        || format!("the daemon answered with HTTP status {status} and no reason"),
        |message| {
            // A registry's or a plugin's words are in it.
            let message = redact::shown(message);
            let mut text: String = message
                .chars()
                .map(|character| if character.is_control() { ' ' } else { character })
                .take(600)
                .collect();
            if message.chars().nth(600).is_some() {
                text.push('…');
            }
            text
        },
    );
    let kind = match status {
        400 => Kind::Invalid,
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        501 => Kind::Unsupported,
        _ => Kind::Docker,
    };
    let error = Error::new(kind, message);
    match kind {
        Kind::Denied => {
            error.hint("the endpoint itself refuses this, as a socket proxy in front of it would; report it")
        }
        _ => error,
    }
}

impl From<bollard::errors::Error> for Error {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as Bollard;
        match error {
            Bollard::DockerResponseServerError { status_code, message } => daemon_error(
                status_code,
                Some(message.trim()).filter(|text| !text.is_empty() && !text.starts_with('<')),
            ),
            Bollard::DockerStreamError { error } => daemon_error(500, Some(&error)),
            Bollard::RequestTimeoutError => Self::timeout("the daemon did not answer in time"),
            // It passes for what it carries (`transparent`), so its sources begin behind ours.
            Bollard::IOError { err } => connect::broken(&err).unwrap_or_else(|| senseless(&err)),
            other => connect::broken(&other).unwrap_or_else(|| senseless(&other)),
        }
    }
}

fn senseless(error: &dyn std::error::Error) -> Error {
    Error::docker("the daemon's answer is cut off or makes no sense").detail(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::Method;

    use super::{super::guard, *};

    fn wire(target: &str) -> Wire {
        guard::classify(&Method::GET, &target.parse().unwrap()).unwrap()
    }

    #[test]
    fn tokens_and_payloads_are_dropped_by_route() {
        let mut swarm = serde_json::json!({"ID": "x", "JoinTokens": {"Worker": "SWMTKN"}});
        let (field, permission) = withheld(&wire("/v1.41/swarm")).unwrap();
        assert_eq!(permission, Permission::Credentials);
        drop_field(&mut swarm, field);
        assert_eq!(swarm, serde_json::json!({"ID": "x"}));
        let mut config = serde_json::json!({"ID": "x", "Spec": {"Name": "n", "Data": "c2VjcmV0"}});
        drop_field(&mut config, withheld(&wire("/configs/x")).unwrap().0);
        assert_eq!(config, serde_json::json!({"ID": "x", "Spec": {"Name": "n"}}));
        assert!(withheld(&wire("/info")).is_none());
    }

    #[test]
    fn foreign_words_in_a_reason_are_only_text() {
        let body = r#"{"message":"registry says \u001b[31mno\u202e\nway"}"#;
        let error = refusal_of_daemon(StatusCode::NOT_FOUND, body.as_bytes(), true);
        assert_eq!(error.message(), "registry says no way");
    }

    #[test]
    fn a_list_is_a_list_and_an_object_an_object() {
        for (target, document, fits) in [
            ("/containers/json", "[]", true),
            ("/containers/json", "null", true),
            ("/containers/json", "{}", false),
            ("/networks", "{}", false),
            ("/networks/x", "{}", true),
            ("/volumes", "{}", true),
            ("/info", "null", false),
            ("/info", "[]", false),
        ] {
            let mut document = serde_json::from_str(document).unwrap();
            assert_eq!(shape(&wire(target), &mut document).is_ok(), fits, "{target} {document}");
        }
    }

    #[test]
    fn an_error_of_ours_comes_back_through_bollard() {
        let ours = Error::denied("the guard refused it").hint("report it");
        let carried = bollard::errors::Error::IOError { err: io::Error::other(ours) };
        let error = Error::from(carried);
        assert_eq!((error.kind(), error.hint_text()), (Kind::Denied, Some("report it")));
    }

    #[test]
    fn html_of_a_proxy_is_no_reason() {
        let error = refusal_of_daemon(StatusCode::FORBIDDEN, b"<html><body>403 Forbidden", false);
        assert_eq!(error.kind(), Kind::Denied);
        assert!(!error.message().contains('<'));
    }
}
