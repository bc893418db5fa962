//! Documents of a daemon: read whole, once for all who wait to ask for the same, and masked for each.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{
    Container, Docker, Target,
    answer::{drop_field, foreign, is_page, listed, parsed, refused, unasked, withheld},
    bulkhead::Entry,
    guard::Wire,
    pool::{Length, empty},
    records,
    together::{Question, Spokesman},
};
use crate::{error::Result, redact};

/// What a read has to do.
enum Asking {
    /// Asking, and telling those for whom it does.
    Now(Option<Spokesman>),
    /// Nothing: another has asked for it.
    Answered(Bytes),
}

impl Docker {
    /// Reads a JSON document; where the engine answers with a list, it is one.
    ///
    /// Join tokens and payloads of configs are dropped from it unless the ceiling grants them; secrets in
    /// known places are masked.
    ///
    /// # Errors
    /// The guard's refusal, a failed connection, an error of the daemon, a truncated or foreign answer.
    pub async fn json(&self, target: Target) -> Result<Value> {
        let mut document = self.original(target).await?;
        redact::document(&mut document, self.reveal());
        Ok(document)
    }

    /// Reads a list of containers with these of their labels: what compose or a scheduler makes has dozens of them.
    ///
    /// The values of labels are masked.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn list_containers(&self, target: Target, labels: &[&str]) -> Result<Vec<Container>> {
        let (wire, bytes) = self.read(target).await?;
        let mut rows: Vec<Container> = if self.sees_all() {
            listed(&bytes, &wire, labels)?
        } else {
            // What is left out of the rows may be what they have to be judged by.
            let mut document = parsed(&bytes, &wire)?;
            Box::pin(self.sift(&wire, &mut document)).await?;
            records::of(document, labels).ok_or_else(|| unasked(&bytes))?
        };
        for container in &mut rows {
            container.mask(self.reveal());
        }
        Ok(rows)
    }

    /// As [`Docker::json`], before secrets are masked: for what has to be told apart or sent back as it was.
    pub(super) async fn original(&self, target: Target) -> Result<Value> {
        let (wire, bytes) = self.read(target).await?;
        let mut document = parsed(&bytes, &wire)?;
        self.withhold(&wire, &mut document);
        // Boxed, as all that is seldom: it would make every call's future large.
        Box::pin(self.sift(&wire, &mut document)).await?;
        Ok(document)
    }

    /// As the engine tells it, what callers must not see included: for judging other documents by it.
    pub(super) async fn look(&self, target: Target) -> Result<Value> {
        let headers = target.headers;
        let reply = self.pass(self.guarded(target.request(Method::GET, empty())?)?, Length::Short, headers).await?;
        if !reply.response.status().is_success() {
            return Err(refused(reply.response).await);
        }
        Ok(reply.document().await?.1)
    }

    /// Reads the bytes of a document, once for all the calls that wait for a place and ask for the same.
    async fn read(&self, target: Target) -> Result<(Wire, Bytes)> {
        let (headers, length) = (target.headers, target.length);
        let request = target.request(Method::GET, empty())?;
        let question = Question::of(&request, headers).filter(|_| length == Length::Short);
        let uri = request.uri().clone();
        let guarded = self.admitted(request).await?;
        let wire = guarded.wire.clone();
        let spokesman = match question {
            Some(question) => match self.enter_to_ask(&question).await? {
                Asking::Now(spokesman) => spokesman,
                Asking::Answered(bytes) => return Ok((wire, bytes)),
            },
            None => None,
        };
        // Boxed for its size: every call holds one.
        let heard = Box::pin(async {
            let reply = self.accepted(self.pass(guarded, length, headers).await?, &uri).await?;
            if is_page(&reply.response) { Err(foreign()) } else { reply.bytes().await }
        })
        .await;
        if let Some(spokesman) = spokesman {
            spokesman.tell(&heard);
        }
        Ok((wire, heard?))
    }

    /// As [`Docker::enter`] for a read that others may ask for too: where all places are taken, one asks for all.
    async fn enter_to_ask(&self, question: &Question) -> Result<Asking> {
        let mut standing = self.call.standing.lock().await;
        if standing.place.is_some() {
            return Ok(Asking::Now(None));
        }
        Ok(match self.host.place_to_ask(question).await? {
            Entry::Asks(place, spokesman) => {
                standing.place = Some(place);
                Asking::Now(spokesman)
            }
            Entry::Answered(bytes) => Asking::Answered(bytes),
        })
    }

    pub(super) fn withhold(&self, wire: &Wire, document: &mut Value) {
        let Some((field, permission)) = withheld(wire) else { return };
        if self.ceiling.permissions.has(permission) {
            return;
        }
        match document {
            Value::Array(items) => items.iter_mut().for_each(|item| drop_field(item, field)),
            item => drop_field(item, field),
        }
    }
}
