//! What a daemon answered: a document, or an error in our words; read to its end and never beyond a limit.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    access::Permission,
    connect,
    guard::Wire,
    names,
    pool::Lent,
    records::{self, Record},
    stream::{IDLE, silent},
    values::{self, Unread},
};
use crate::{
    error::{Error, Kind, Result},
    redact,
};

/// The longest JSON document that is read from a daemon.
const LARGEST_DOCUMENT: usize = 32 << 20;
/// What the values of a document may take in memory: those of three thousand containers fit.
const LARGEST_VALUES: usize = 64 << 20;
/// How much of an answer is quoted for the person.
const SAMPLE: usize = 4 << 10;

/// An answer, what it answers, and the connection that it comes on.
pub(super) struct Reply {
    pub(super) wire: Wire,
    pub(super) response: Response<Incoming>,
    pub(super) lent: Lent,
}

impl Reply {
    /// Reads the bytes of the document that it is; [`parsed`] makes one of them.
    pub(super) async fn bytes(self) -> Result<Bytes> {
        let Self { wire, response, lent } = self;
        let bytes = whole(response, &wire, IDLE).await?;
        lent.give_back().await;
        Ok(bytes)
    }

    /// Reads the document that it is.
    pub(super) async fn document(self) -> Result<(Wire, Value)> {
        let wire = self.wire.clone();
        let document = parsed(&self.bytes().await?, &wire)?;
        Ok((wire, document))
    }
}

/// An answer of another kind than the route's is refused: an empty list made of it would be a lie.
fn fits(wire: &Wire, document: Value) -> Option<Value> {
    match (wire.route.lists(), document) {
        (true, document @ Value::Array(_)) | (false, document @ Value::Object(_)) => Some(document),
        // Go writes a list that was never made as `null`.
        (true, Value::Null) => Some(Value::Array(Vec::new())),
        _ => None,
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

/// The JSON of an answer, which may fall silent for as long as `idle` on its way.
pub(super) async fn document(response: Response<Incoming>, wire: &Wire, idle: Duration) -> Result<Value> {
    parsed(&whole(response, wire, idle).await?, wire)
}

/// The bytes of an answer that says that it is JSON.
async fn whole(response: Response<Incoming>, wire: &Wire, idle: Duration) -> Result<Bytes> {
    let is_json = is_json(&response);
    let bytes = gather(response.into_body(), LARGEST_DOCUMENT, idle).await?;
    let bytes = bytes.ok_or_else(|| too_large(wire, &format!("is larger than {} MiB", LARGEST_DOCUMENT >> 20)))?;
    if is_json { Ok(bytes.into()) } else { Err(foreign().detail(sample(&bytes))) }
}

/// The document in the bytes of an answer.
pub(super) fn parsed(bytes: &[u8], wire: &Wire) -> Result<Value> {
    let document = values::parse(bytes, LARGEST_VALUES).map_err(|unread| unreadable(unread, bytes, wire))?;
    fits(wire, document).ok_or_else(|| unasked(bytes))
}

/// The rows of the list in the bytes of an answer, with these of their labels.
pub(super) fn listed<R: Record>(bytes: &[u8], wire: &Wire, labels: &[&str]) -> Result<Vec<R>> {
    let rows = records::parse(bytes, LARGEST_VALUES, labels).map_err(|unread| unreadable(unread, bytes, wire))?;
    rows.ok_or_else(|| unasked(bytes))
}

/// An answer of another kind than what was asked for.
pub(super) fn unasked(bytes: &[u8]) -> Error {
    Error::docker("the daemon's answer is not what was asked for")
        .hint("ask the person to run \"quaymaster check\"")
        .detail(sample(bytes))
}

fn unreadable(unread: Unread, bytes: &[u8], wire: &Wire) -> Error {
    match unread {
        Unread::TooMuch => too_large(wire, &format!("would take more than {} MiB of memory", LARGEST_VALUES >> 20)),
        Unread::Nonsense(error) => {
            Error::docker("the daemon's answer is cut off or is not JSON").detail(format!("{error}: {}", sample(bytes)))
        }
    }
}

/// A document beyond the limits, with what makes the daemon send less of it.
fn too_large(wire: &Wire, how: &str) -> Error {
    let hint = match wire.route.template {
        "/containers/json" => {
            "ask for fewer: in list_containers \"name\", \"label\" and \"status\" narrow what the daemon sends"
        }
        "/images/json" => "ask for fewer: in list_images \"reference\" and \"label\" narrow what the daemon sends",
        "/networks" => "ask for fewer: in list_networks \"driver\" and \"label\" narrow what the daemon sends",
        "/volumes" => {
            "ask for fewer: in list_volumes \"driver\", \"label\" and \"dangling\" narrow what the daemon sends"
        }
        "/system/df" => "ask for one \"kind\" of disk_usage at a time",
        "/images/search" => "ask for fewer, with a smaller \"limit\"",
        "/containers/{id}/changes" => "the container has changed too many files to list; look inside it instead",
        _ => {
            "no argument makes it smaller, and no engine sends so much here; ask the person to run \"quaymaster check\""
        }
    };
    Error::docker(format!("the daemon's answer {how}")).hint(hint)
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
pub(super) async fn collect(body: Incoming, limit: usize) -> Result<Vec<u8>> {
    gather(body, limit, IDLE).await?.ok_or_else(|| {
        Error::docker(format!("the daemon's answer is larger than {limit} bytes"))
            .hint("no engine sends so much here; ask the person to run \"quaymaster check\"")
    })
}

/// A body read to its end; `None` beyond the limit: the rest is not read, and the connection ends.
async fn gather(mut body: Incoming, limit: usize, idle: Duration) -> Result<Option<Vec<u8>>> {
    let announced = body.size_hint();
    if usize::try_from(announced.lower()).map_or(true, |size| size > limit) {
        return Ok(None);
    }
    // What is announced need not come.
    let size = announced.exact().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size.min(64 << 10));
    while let Some(frame) = timeout(idle, body.frame()).await.map_err(|_| silent(idle))? {
        let frame = frame.map_err(|error| {
            Error::docker("the daemon's answer was cut off").detail(error.to_string()).retryable(true)
        })?;
        if let Ok(data) = frame.into_data() {
            let length = bytes.len() + data.len();
            if length > limit {
                return Ok(None);
            }
            if length > bytes.capacity() {
                // Doubled, but never beyond the limit: it would be twice of that.
                bytes.reserve_exact((2 * length).min(limit) - bytes.len());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Some(bytes))
}

fn sample(bytes: &[u8]) -> String {
    // It is cut far behind what is quoted of it: half a secret has no shape.
    names::quote(&redact::shown(&String::from_utf8_lossy(bytes.get(..bytes.len().min(SAMPLE)).unwrap_or_default())))
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

pub(super) fn daemon_error(status: u16, message: Option<&str>) -> Error {
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
    if let Some(error) = of_swarm(&message) {
        return error;
    }
    let error = Error::new(kind, message);
    match kind {
        Kind::Denied => {
            error.hint("the endpoint itself refuses this, as a socket proxy in front of it would; report it")
        }
        _ if error.message().contains("no space left on device") => {
            error.hint("the host's disk is full: look with disk_usage, and ask the person what may go")
        }
        _ => error,
    }
}

/// What the managers of a swarm say with statuses of many kinds, in the kind that it is, and with a way on.
fn of_swarm(message: &str) -> Option<Error> {
    let says = |words: &str| message.contains(words);
    let (kind, hint) = if says("Worker nodes can't be used") {
        (
            Kind::Conflict,
            "the host is a worker: name one that is a manager of the swarm; inspect_swarm says what a host is",
        )
    } else if says("not a swarm manager") || says("not part of a swarm") {
        (Kind::Conflict, "inspect_swarm says what the host is; init_swarm makes a swarm, join_swarm takes it into one")
    } else if says("Swarm is encrypted and needs to be unlocked") {
        (Kind::Conflict, "unlock_swarm unlocks it with the key from the operator's secrets")
    } else if says("invalid key provided") {
        (Kind::Invalid, "the secret is not the key of this swarm, or no longer; ask the person")
    } else if says("update out of sequence") {
        (Kind::Conflict, "somebody else changed it meanwhile: look at it, then make the call again")
    } else if says("does not have a leader") {
        (Kind::Conflict, "too few of the swarm's managers can be reached: start the others, or ask the person")
    } else if says("is participating as a manager") {
        (Kind::Conflict, "update_node makes it a worker first; with force it leaves all the same")
    } else if says("before node joined") {
        (Kind::Timeout, "inspect_swarm shows how far it is, leave_swarm takes it back; are the addresses right?")
    } else if says("is not down and can't be removed") {
        (Kind::Conflict, "leave_swarm on its host first; with force it goes all the same")
    } else if says("must be demoted to worker before removal") {
        (Kind::Conflict, "update_node makes it a worker")
    } else if says("loss of quorum") || says("last manager") {
        (Kind::Conflict, "the swarm needs this manager: wait until the others are reachable, or make another one first")
    } else if says("is in use by the following service") {
        (Kind::Conflict, "take it from these services first, or remove them")
    } else {
        return None;
    };
    Some(Error::new(kind, message).hint(hint))
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
            let document: Value = serde_json::from_str(document).unwrap();
            assert_eq!(super::fits(&wire(target), document.clone()).is_some(), fits, "{target} {document}");
        }
    }

    #[test]
    fn what_is_too_large_says_what_to_ask_for() {
        for (target, argument) in [
            ("/containers/json?all=1", "\"name\", \"label\" and \"status\""),
            ("/images/json", "\"reference\""),
            ("/system/df", "\"kind\""),
            ("/containers/x/json", "no argument makes it smaller"),
        ] {
            let error = too_large(&wire(target), "is too large");
            assert_eq!(error.kind(), Kind::Docker);
            assert!(error.hint_text().unwrap().contains(argument), "{error:?}");
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
    fn what_a_swarm_says_has_a_way_on() {
        for (status, message, way) in [
            (
                503,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to ...",
                "init_swarm",
            ),
            (503, "This node is not a swarm manager. Worker nodes can't be used to view or modify ...", "manager"),
            (503, "Swarm is encrypted and needs to be unlocked before it can be used. ...", "unlock_swarm"),
            (500, "rpc error: code = Unknown desc = update out of sequence", "again"),
        ] {
            let error = daemon_error(status, Some(message));
            assert_eq!(error.kind(), Kind::Conflict, "{message}");
            assert!(error.hint_text().unwrap().contains(way), "{error:?}");
        }
    }

    #[test]
    fn html_of_a_proxy_is_no_reason() {
        let error = refusal_of_daemon(StatusCode::FORBIDDEN, b"<html><body>403 Forbidden", false);
        assert_eq!(error.kind(), Kind::Denied);
        assert!(!error.message().contains('<'));
    }
}
