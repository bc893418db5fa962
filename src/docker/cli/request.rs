//! What a program asks for on the private socket, read so that the engine cannot read something else in it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request::Parts};

use crate::{
    docker::{
        guard::{self, Wire},
        host::ApiVersion,
        names::quote,
    },
    error::{Error, Result},
};

/// Parameters that may be there more than once.
const REPEATED: &[&str] = &["t", "names", "changes", "type", "extrahosts"];
/// Headers that mean something to an engine, beside those about the connection and the body.
const KEPT: &[&str] = &["x-registry-auth", "x-registry-config"];
/// In front of what the client of a `BuildKit` session offers.
const SESSION: &str = "x-docker-expose-session-";

/// A request as it was understood.
#[derive(Debug, Clone)]
pub struct Asked {
    /// One of five.
    pub method: Method,
    /// Path and query, without a version, the query written anew.
    pub uri: Uri,
    /// The version that was in front of the path.
    pub api: Option<ApiVersion>,
    /// What the guard's table says.
    pub wire: Wire,
    /// The parameters, decoded.
    pub query: Vec<(String, String)>,
    /// What is kept of its headers.
    pub headers: HeaderMap,
    /// The protocol that it wants to go on with.
    pub upgrade: Option<&'static str>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Nothing.
    None,
    /// A document.
    Json,
    /// An archive of any length.
    Stream,
}

/// Reads the head of a request.
///
/// # Errors
/// `invalid` for what two readers could read in two ways, or what no docker CLI sends; `denied` for what the
/// guard's table does not know.
pub fn read(parts: &Parts) -> Result<Asked> {
    let Parts { method, uri, version, headers, .. } = parts;
    if *version != Version::HTTP_11 {
        return Err(Error::invalid("only HTTP/1.1 is spoken here"));
    }
    if ![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE].contains(method) {
        return Err(Error::invalid(format!("no engine knows the method {}", quote(method.as_str()))));
    }
    if uri.scheme().is_some() || uri.authority().is_some() || !uri.path().starts_with('/') {
        return Err(Error::invalid("a request names a path, and no address"));
    }
    framing(headers)?;
    let (api, path) = unversioned(uri.path())?;
    let query = parameters(uri.query().unwrap_or_default())?;
    let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&query).finish();
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{written}") };
    let uri: Uri = target.parse().map_err(|_| Error::invalid("a path cannot be part of a request"))?;
    let wire = guard::classify(method, &uri).map_err(|guard::Refusal(reason)| {
        Error::denied(format!("the guard refused {method} {}: {reason}", quote(uri.path())))
            .hint("nothing was sent; do not retry, and report it")
    })?;
    if method == Method::HEAD && !matches!(wire.route.template, "/_ping" | "/containers/{id}/archive") {
        return Err(Error::invalid("only a ping and an archive are asked for with HEAD"));
    }
    let upgrade = upgrade(method, headers, &wire)?;
    Ok(Asked { method: method.clone(), uri, api, query, headers: kept(headers, upgrade), upgrade, wire })
}

/// What requests of a kind carry.
pub(super) fn load(asked: &Asked) -> Load {
    match (asked.wire.route.method, asked.wire.route.template) {
        (
            "POST",
            "/containers/create"
            | "/containers/{id}/update"
            | "/containers/{id}/exec"
            | "/exec/{id}/start"
            | "/commit"
            | "/networks/create"
            | "/networks/{id}/connect"
            | "/networks/{id}/disconnect"
            | "/volumes/create"
            | "/services/create"
            | "/services/{id}/update"
            | "/secrets/create"
            | "/secrets/{id}/update"
            | "/configs/create"
            | "/configs/{id}/update",
        ) => Load::Json,
        ("POST", "/build" | "/images/load") | ("PUT", "/containers/{id}/archive") => Load::Stream,
        ("POST", "/images/create") if asked.query.iter().any(|(name, _)| name == "fromSrc") => Load::Stream,
        _ => Load::None,
    }
}

/// Whether the answer may stay open.
pub(super) fn is_long(wire: &Wire) -> bool {
    matches!(
        wire.route.template,
        "/events"
            | "/containers/{id}/logs"
            | "/containers/{id}/stats"
            | "/containers/{id}/attach"
            | "/containers/{id}/wait"
            | "/containers/{id}/archive"
            | "/containers/{id}/export"
            | "/exec/{id}/start"
            | "/services/{id}/logs"
            | "/tasks/{id}/logs"
            | "/images/create"
            | "/images/load"
            | "/images/get"
            | "/images/{name}/get"
            | "/images/{name}/push"
            | "/build"
            | "/session"
            | "/grpc"
    )
}

/// Whether the answer to a look is a stream and no document.
pub(super) fn streams(wire: &Wire) -> bool {
    is_long(wire) || wire.route.template == "/_ping"
}

/// Refuses what says in two ways, or in a strange one, where a body ends and what it is.
fn framing(headers: &HeaderMap) -> Result<()> {
    let single = |name: HeaderName| -> Result<Option<&HeaderValue>> {
        let mut values = headers.get_all(&name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(Error::invalid(format!("the header {name} is there twice")));
        }
        Ok(first)
    };
    let length = single(header::CONTENT_LENGTH)?;
    let encoding = single(header::TRANSFER_ENCODING)?;
    if encoding.is_some_and(|encoding| length.is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Error::invalid("where the body ends is said in a strange way"));
    }
    if headers.contains_key(header::CONTENT_ENCODING) || headers.contains_key(header::TE) {
        return Err(Error::invalid("an encoded body cannot be judged"));
    }
    if headers.contains_key(header::TRAILER) {
        return Err(Error::invalid("headers behind a body cannot be judged"));
    }
    // The engine takes the parameters of a form before those of the address.
    let kind = single(header::CONTENT_TYPE)?.map(HeaderValue::as_bytes).unwrap_or_default().to_ascii_lowercase();
    let kind = kind.trim_ascii_start();
    if kind.starts_with(b"application/x-www-form-urlencoded") || kind.starts_with(b"multipart/") {
        return Err(Error::invalid("a form would override what the address says"));
    }
    Ok(())
}

fn unversioned(path: &str) -> Result<(Option<ApiVersion>, &str)> {
    let Some((first, _)) = path.get(1..).and_then(|rest| rest.split_once('/')) else { return Ok((None, path)) };
    let Some(version) =
        first.strip_prefix('v').filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    else {
        return Ok((None, path));
    };
    let api = ApiVersion::parse(version)
        .filter(|api| api.to_string() == version)
        .ok_or_else(|| Error::invalid("the version in front of the path is none"))?;
    let rest = path.get(first.len() + 1..).unwrap_or_default();
    // A second one would be taken for a part of a name here and for a version elsewhere.
    match unversioned(rest)? {
        (None, rest) => Ok((Some(api), rest)),
        _ => Err(Error::invalid("there are two versions in front of the path")),
    }
}

fn parameters(query: &str) -> Result<Vec<(String, String)>> {
    if query.contains(';') {
        return Err(Error::invalid("the query can be read in two ways"));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    for (position, (name, value)) in pairs.iter().enumerate() {
        if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Error::invalid("the query is not valid text"));
        }
        let again = pairs.iter().take(position).any(|(earlier, _)| earlier == name);
        if again && !REPEATED.contains(&name.as_str()) {
            return Err(Error::invalid(format!("the query names {} twice", quote(name))));
        }
    }
    Ok(pairs)
}

/// The protocol that a request wants to go on with, on the few routes that have one.
fn upgrade(method: &Method, headers: &HeaderMap, wire: &Wire) -> Result<Option<&'static str>> {
    let mut asked = headers.get_all(header::UPGRADE).iter();
    let Some(first) = asked.next() else { return Ok(None) };
    let known = match wire.route.template {
        "/containers/{id}/attach" | "/exec/{id}/start" => "tcp",
        "/session" | "/grpc" => "h2c",
        _ => return Err(Error::invalid("no other protocol is spoken there")),
    };
    let connection = headers.get(header::CONNECTION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let says_so = connection.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if asked.next().is_some()
        || method != Method::POST
        || !first.as_bytes().eq_ignore_ascii_case(known.as_bytes())
        || !says_so
    {
        return Err(Error::invalid("another protocol is asked for in a strange way"));
    }
    Ok(Some(known))
}

fn kept(headers: &HeaderMap, upgrade: Option<&'static str>) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let is_offer = upgrade == Some("h2c") && name.as_str().starts_with(SESSION);
        if KEPT.contains(&name.as_str()) || is_offer {
            let mut value = value.clone();
            value.set_sensitive(!is_offer);
            kept.append(name.clone(), value);
        }
    }
    if let Some(protocol) = upgrade {
        kept.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        kept.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn of(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Asked> {
        read(&parts(method, target, headers))
    }

    #[test]
    fn what_is_understood_is_what_is_sent() {
        let asked = of(
            "POST",
            "/v1.43/images/create?fromImage=a%2Fb&tag=1+2",
            &[("X-Registry-Auth", "e30="), ("Host", "elsewhere"), ("User-Agent", "x"), ("X-Meta", "y")],
        )
        .unwrap();
        assert_eq!(asked.uri, "/images/create?fromImage=a%2Fb&tag=1+2");
        assert_eq!(asked.api.unwrap().to_string(), "1.43");
        assert_eq!(asked.headers.keys().collect::<Vec<_>>(), ["x-registry-auth"]);
        assert!(asked.headers["x-registry-auth"].is_sensitive());
        assert_eq!(asked.query, [("fromImage".into(), "a/b".into()), ("tag".into(), "1 2".into())]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (method, target, headers) in [
            ("GET", "http://elsewhere/info", &[][..]),
            ("CONNECT", "docker:80", &[]),
            ("OPTIONS", "/info", &[]),
            ("PATCH", "/containers/x/update", &[]),
            ("HEAD", "/containers/json", &[]),
            ("GET", "/v1.41/v1.41/info", &[]),
            ("GET", "/v1.041/info", &[]),
            ("GET", "/v1/info", &[]),
            ("GET", "/containers/json?all=1&all=0", &[]),
            ("GET", "/containers/json?all=1;limit=1", &[]),
            ("GET", "/containers/json?filters=%ff", &[]),
            ("POST", "/containers/create", &[("Content-Encoding", "gzip")]),
            ("POST", "/containers/create", &[("Transfer-Encoding", "gzip, chunked")]),
            ("POST", "/containers/create", &[("Transfer-Encoding", "chunked"), ("Content-Length", "2")]),
            ("POST", "/containers/create", &[("Content-Length", "2"), ("Content-Length", "2")]),
            ("POST", "/images/create", &[("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")]),
            ("POST", "/images/create", &[("Content-Type", "multipart/form-data; boundary=x")]),
            ("POST", "/containers/x/start", &[("Upgrade", "tcp"), ("Connection", "Upgrade")]),
            ("POST", "/containers/x/attach", &[("Upgrade", "h2c"), ("Connection", "Upgrade")]),
            ("POST", "/containers/x/attach", &[("Upgrade", "tcp")]),
            ("POST", "/grpc", &[("Upgrade", "tcp"), ("Connection", "Upgrade")]),
        ] {
            let error = of(method, target, headers).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{method} {target} {headers:?}: {error}");
        }
        for (method, target) in [("GET", "/containers/../info"), ("GET", "/nonsense"), ("GET", "/_ping/x")] {
            assert_eq!(of(method, target, &[]).unwrap_err().kind(), Kind::Denied, "{target}");
        }
    }

    #[test]
    fn streams_are_opened_where_they_are() {
        let upgrade = |protocol| [("Upgrade", protocol), ("Connection", "keep-alive, Upgrade")];
        let asked = of("POST", "/exec/x/start", &upgrade("tcp")).unwrap();
        assert_eq!((asked.upgrade, asked.headers[header::UPGRADE].to_str().unwrap()), (Some("tcp"), "tcp"));
        let session = [&upgrade("h2c")[..], &[("X-Docker-Expose-Session-Uuid", "u"), ("X-Other", "y")]].concat();
        let asked = of("POST", "/session", &session).unwrap();
        let names: Vec<&str> = asked.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-docker-expose-session-uuid", "connection", "upgrade"]);
    }

    proptest! {
        #[test]
        fn whatever_is_understood_is_understood_alike_again(
            method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE"]),
            route in prop::sample::select(guard::ROUTES.iter().map(|route| route.template).collect::<Vec<_>>()),
            subject in "[a-z0-9/%.:]{1,12}",
            query in "([a-z]{1,4}=[a-z%&+;=0-9]{0,6}&?){0,3}",
            version in prop::sample::select(vec!["", "/v1.41", "/v1.53", "/v9", "/v1.41/v1.41"]),
        ) {
            let path = route.replace("{id}", &subject).replace("{name}", &subject);
            let target = format!("{version}{path}?{query}");
            prop_assume!(target.parse::<Uri>().is_ok());
            if let Ok(asked) = of(method, &target, &[]) {
                prop_assert!(asked.uri.authority().is_none());
                let again = of(method, &asked.uri.to_string(), &[]).unwrap();
                prop_assert_eq!(&again.uri, &asked.uri);
                prop_assert_eq!(again.query, asked.query);
                prop_assert_eq!(again.wire, asked.wire);
                prop_assert_eq!(again.api, None);
            }
        }
    }
}
