//! Carries one request of a program to the engine: through judge, guard and sight, over the host's own connections.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::{
    body::{Body as _, Frame, Incoming, SizeHint},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::copy_bidirectional;

use super::{
    Sieve,
    proxy::{Passage, said},
    request::{self, Asked, Load},
};
use crate::{
    docker::{
        Docker, HEADERS, LONGEST_UPLOAD, LONGEST_WRITE,
        answer::{Reply, collect, foreign, is_page, refused},
        guard::Refusal,
        host::OLDEST,
        judge::{Foreign, Ruling},
        pool::{Body, Length, empty},
        sight::events::Judge,
        stream::JsonLines,
    },
    error::{Error, Result},
};

/// The longest document of a program; the judge reads no longer one.
const LARGEST_DOCUMENT: usize = 4 << 20;
/// How long an engine may take to begin an answer that is dear to make.
const DEAR: Duration = Duration::from_secs(120);
/// The longest answer that is read to see what was made.
const LARGEST_RECEIPT: usize = 1 << 20;

/// What came of a request.
pub(super) enum Carried {
    /// An answer.
    Answer(Response<Body>),
    /// Another protocol, in both directions.
    Switched {
        /// The answer that says so.
        head: Response<Body>,
        /// The engine's side.
        engine: Bridge,
    },
}

/// The engine's side of a connection that was handed over, and what of the host it takes.
pub(super) struct Bridge {
    upgraded: Upgraded,
    _held: Docker,
}

impl Bridge {
    /// Copies both ways until both sides have ended, or one broke.
    pub(super) async fn bridge(self, client: Upgraded) {
        copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(self.upgraded)).await.ok();
    }
}

/// A body together with what has to be held until it ends.
struct Held<T> {
    body: Incoming,
    _held: T,
}

impl<T: Unpin> hyper::body::Body for Held<T> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Carries a request.
///
/// # Errors
/// What refuses it, and what the connection to the engine failed with; an error of the engine is an answer.
pub(super) async fn carry(request: Request<Incoming>, passage: &Arc<Passage>) -> Result<Carried> {
    let (parts, body) = request.into_parts();
    let mut asked = request::read(&parts)?;
    let docker = passage.docker.apart();
    spoken(&asked, &docker).await?;
    admitted(&asked, &docker, !body.is_end_stream())?;
    let body = judged(&mut asked, body, &docker, passage).await?;
    let (method, uri) = (asked.method.clone(), asked.uri.clone());
    let long = request::is_long(&asked.wire) && !is_short(&asked);
    let headers = match (asked.wire.writes() || long, asked.wire.route.template) {
        _ if request::load(&asked) == Load::Stream => LONGEST_UPLOAD,
        (true, _) => LONGEST_WRITE,
        (false, "/system/df" | "/images/search" | "/distribution/{name}/json") => DEAR,
        (false, _) => HEADERS,
    };
    let request = written(asked, body)?;
    let reply = docker.send(request, if long { Length::Long } else { Length::Short }, headers).await?;
    let status = reply.response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return switched(reply, docker).await;
    }
    if is_page(&reply.response) {
        return Err(foreign());
    }
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        let Reply { wire, response, lent } = reply;
        let error = refused(response).await;
        lent.give_back().await;
        let error = docker.unsay(error, &wire, &uri).await;
        return Ok(Carried::Answer(said(status, error.message())));
    }
    answer(reply, docker, &method).await.map(Carried::Answer)
}

/// Refuses words of a version that was not agreed on: other versions mean other things by the same words.
async fn spoken(asked: &Asked, docker: &Docker) -> Result<()> {
    let agreed = docker.engine().await?.api;
    match asked.api {
        Some(api) if api > agreed => {
            Err(Error::invalid(format!("client version {api} is too new. Maximum supported API version is {agreed}")))
        }
        Some(api) if api < OLDEST.min(agreed) => {
            Err(Error::invalid(format!("client version {api} is too old. Minimum supported API version is {OLDEST}")))
        }
        _ => Ok(()),
    }
}

/// What the ceiling refuses is not looked at any closer.
fn admitted(asked: &Asked, docker: &Docker, has_body: bool) -> Result<()> {
    let creates = docker.creates(&asked.wire);
    docker.ceiling.admits(&asked.wire, &asked.headers, has_body, creates).map_err(|Refusal(reason)| {
        Error::denied(format!(
            "the guard refused {} {}: {reason}",
            asked.method,
            crate::docker::names::quote(asked.uri.path())
        ))
        .hint("nothing was sent; do not retry, and report it")
    })
}

/// The body that is sent: what was understood and judged, or an archive as it comes.
async fn judged(asked: &mut Asked, body: Incoming, docker: &Docker, passage: &Arc<Passage>) -> Result<Body> {
    let load = request::load(asked);
    let bytes = match load {
        Load::Json => Limited::new(body, LARGEST_DOCUMENT)
            .collect()
            .await
            .map_err(|error| Error::invalid("the body is larger than 4 MiB, or was cut off").detail(error.to_string()))?
            .to_bytes(),
        Load::Stream => {
            rule(asked, &[], docker, passage).await?;
            return Ok(match &passage.sieve {
                Some(sieve) if asked.wire.route.template == "/build" => sifted(body, &**sieve, passage.clone()),
                _ => body.map_err(Into::into).boxed_unsync(),
            });
        }
        Load::None if body.is_end_stream() => Bytes::new(),
        // The engine would take nothing from it, unless it is one that no test has met.
        Load::None => {
            let rest = Limited::new(body, LARGEST_DOCUMENT).collect().await.map(http_body_util::Collected::to_bytes);
            if !rest.is_ok_and(|bytes| bytes.trim_ascii().is_empty()) {
                return Err(Error::invalid("a request of this kind carries no body"));
            }
            Bytes::new()
        }
    };
    let Some(document) = rule(asked, &bytes, docker, passage).await? else { return Ok(empty()) };
    let body = Full::from(document.to_string()).map_err(|never| match never {}).boxed_unsync();
    let (head, ()) = Request::builder()
        .method(asked.method.clone())
        .uri(asked.uri.clone())
        .body(())
        .map_err(|error| Error::internal("a request cannot be written").detail(error.to_string()))?
        .into_parts();
    let head: Parts = head;
    docker.judged(&head, body).await
}

/// A build context, without what must not be sent.
fn sifted(body: Incoming, sieve: &dyn Sieve, passage: Arc<Passage>) -> Body {
    let came = body
        .into_data_stream()
        .map(|piece| piece.map_err(|error| Error::cancelled("a build context was cut off").detail(error.to_string())));
    let frames = sieve.sift(Box::pin(came)).map(move |piece| match piece {
        Ok(piece) => Ok(Frame::data(piece)),
        Err(error) => {
            // Else it would be told that the engine had hung up.
            let refusal = Error::denied("the build context cannot be looked through, so it is not sent");
            passage.refuse(&refusal.detail(error.to_string()));
            Err(error.to_string().into())
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Asks the judge about what changes anything; answers the document to send.
async fn rule(asked: &mut Asked, body: &[u8], docker: &Docker, passage: &Passage) -> Result<Option<Value>> {
    if !asked.wire.writes() {
        return Ok(None);
    }
    // An execution tells nothing of what it will do: only one that was judged when it was made is started.
    if asked.wire.route.template == "/exec/{id}/start"
        && !asked.wire.subject.as_deref().is_some_and(|id| docker.has_made(id))
    {
        return Err(Error::denied("an execution that another call made is not started"));
    }
    let judge = docker.judge.as_ref().ok_or_else(|| Error::internal("nobody judges what this program asks"))?;
    let foreign = Foreign { wire: &asked.wire, query: &asked.query, body, marks: &passage.marks };
    let Ruling { document, subject, notes } = judge.judge(foreign, &docker.looking()).await?;
    passage.note(notes);
    if let Some(id) = subject {
        name(asked, &id)?;
    }
    Ok(document)
}

/// Writes the full id of what was judged in place of how the program called it.
fn name(asked: &mut Asked, id: &str) -> Result<()> {
    let unnameable = || Error::internal("an object's id cannot be part of a path");
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(unnameable());
    }
    let path = asked.wire.route.template.replacen("{id}", id, 1);
    let target = match asked.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    asked.uri = target.parse::<Uri>().map_err(|_| unnameable())?;
    asked.wire.subject = Some(id.to_owned());
    Ok(())
}

fn written(asked: Asked, body: Body) -> Result<Request<Body>> {
    let load = request::load(&asked);
    let Asked { method, uri, api, mut headers, .. } = asked;
    match load {
        Load::Stream => drop(headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"))),
        Load::Json if !body.is_end_stream() => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Load::Json | Load::None => {}
    }
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .body(body)
        .map_err(|error| Error::internal("a request cannot be written").detail(error.to_string()))?;
    *request.headers_mut() = headers;
    if let Some(api) = api {
        request.extensions_mut().insert(api);
    }
    Ok(request)
}

/// A look that could stay open and was told not to.
fn is_short(asked: &Asked) -> bool {
    let is = |name: &str, values: &[&str]| {
        asked.query.iter().any(|(key, value)| key == name && values.contains(&value.to_ascii_lowercase().as_str()))
    };
    let (no, yes) = (&["0", "false", ""][..], &["1", "true"][..]);
    match asked.wire.route.template {
        "/containers/{id}/stats" => is("stream", no),
        "/containers/{id}/archive" => asked.method == Method::HEAD,
        "/containers/{id}/logs" | "/services/{id}/logs" | "/tasks/{id}/logs" => !is("follow", yes),
        _ => false,
    }
}

async fn switched(reply: Reply, docker: Docker) -> Result<Carried> {
    let mut head = Response::new(empty());
    *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *head.headers_mut() = forwarded(reply.response.headers());
    for name in [header::CONNECTION, header::UPGRADE] {
        if let Some(value) = reply.response.headers().get(&name) {
            head.headers_mut().insert(name, value.clone());
        }
    }
    let upgraded = hyper::upgrade::on(reply.response)
        .await
        .map_err(|error| Error::docker("the daemon did not open a stream").detail(error.to_string()))?;
    Ok(Carried::Switched { head, engine: Bridge { upgraded, _held: docker } })
}

/// The answer as the program gets it: documents without what does not exist for callers, streams as they come.
async fn answer(reply: Reply, docker: Docker, method: &Method) -> Result<Response<Body>> {
    let (status, mut headers) = (reply.response.status(), forwarded(reply.response.headers()));
    let template = reply.wire.route.template;
    let is_look = reply.wire.route.method == Method::GET.as_str();
    let body = match template {
        "/_ping" => {
            // The program agrees on a version with us, and we know no newer one than this.
            let api = docker.engine().await?.api.to_string();
            headers.insert("api-version", HeaderValue::try_from(api).map_err(|_| foreign())?);
            held(reply, docker)
        }
        "/events" if !docker.sees_all() => {
            let judge = docker.judge_of_events().await?;
            events(reply, judge, docker)
        }
        _ if method == Method::HEAD || !is_look || request::streams(&reply.wire) => match template {
            "/containers/create" | "/containers/{id}/exec" => receipt(reply, &docker).await?,
            _ => held(reply, docker),
        },
        _ => {
            let (wire, mut document) = reply.document().await?;
            docker.withhold(&wire, &mut document);
            docker.sift(&wire, &mut document).await?;
            Full::from(document.to_string()).map_err(|never| match never {}).boxed_unsync()
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What was made belongs to the call from now on.
async fn receipt(reply: Reply, docker: &Docker) -> Result<Body> {
    let bytes = collect(reply.response.into_body(), LARGEST_RECEIPT).await?;
    reply.lent.give_back().await;
    let receipt: Option<Value> = serde_json::from_slice(&bytes).ok();
    if let Some(id) = receipt.as_ref().and_then(|receipt| receipt.get("Id")?.as_str()) {
        docker.made(id);
    }
    Ok(Full::from(bytes).map_err(|never| match never {}).boxed_unsync())
}

fn held(reply: Reply, docker: Docker) -> Body {
    let Reply { response, lent, .. } = reply;
    Held { body: response.into_body(), _held: (docker, lent) }.boxed_unsync()
}

/// Events about what exists for callers, one in each line.
fn events(reply: Reply, judge: Judge, docker: Docker) -> Body {
    let Reply { response, lent, .. } = reply;
    let lines = JsonLines::new(crate::docker::stream::Bytes::new(response).patient(Duration::MAX));
    let frames = stream::unfold((lines, judge, (docker, lent)), |(mut lines, mut judge, held)| async move {
        loop {
            match lines.next_sound().await {
                Ok(Some(event)) if judge.admits(&event) => {
                    let line = Bytes::from(format!("{event}\n"));
                    return Some((Ok(Frame::data(line)), (lines, judge, held)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    let broken: Box<dyn std::error::Error + Send + Sync> = error.to_string().into();
                    return Some((Err(broken), (lines, judge, held)));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The headers of an answer without those of one connection and those about how its body is sent.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let own = [
        header::CONNECTION,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::PROXY_AUTHENTICATE,
        header::SET_COOKIE,
    ];
    headers
        .iter()
        .filter(|(name, _)| !own.contains(name) && name.as_str() != "keep-alive")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
