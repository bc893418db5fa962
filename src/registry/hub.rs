//! Docker Hub beside its registry: what its website says of repositories, and how many pulls are left.

use http::Method;
use serde_json::Value;
use url::Url;

use super::{
    Registries,
    http::{Ask, Reply},
    name::HUB,
    session::Session,
};
use crate::error::{Error, Result};

/// Where the website's interface is.
const SITE: &str = "https://hub.docker.com/v2/";
/// The image by which Docker Hub tells how many pulls are left; looking at it costs none.
const PREVIEW: &str = "ratelimitpreview/test";
/// The largest answer of the website that is taken in, in bytes.
const LARGEST: usize = 1 << 20;

/// How many pulls Docker Hub lets through in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// How many in all; `None` where there is no limit.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// The time that both are for, in seconds.
    pub window: Option<u64>,
    /// Whether it is that of the operator's account, and not that of the address.
    pub account: bool,
}

impl Registries {
    /// A document of the website's interface, which shows public repositories without credentials.
    ///
    /// # Errors
    /// `not_found` for what it does not show, and those of a request.
    pub async fn hub(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let site = Url::parse(SITE).map_err(|_| Error::internal("Docker Hub has no address"))?;
        let mut url = site.join(path).map_err(|_| Error::invalid("a name cannot be part of a request"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let reply = self.client.send(Ask::get(url, "application/json", LARGEST), &site).await?;
        match reply.status.as_u16() {
            200 => {
                serde_json::from_slice(&reply.body).map_err(|_| Error::docker("the answer of Docker Hub is not JSON"))
            }
            401 | 403 | 404 => Err(Error::not_found("Docker Hub shows no such repository")
                .hint("private ones are shown by registry_list_tags, with credentials")),
            429 => Err(Error::busy("Docker Hub lets no more requests through for now").hint("try again in a minute")),
            status => Err(Error::docker(format!("Docker Hub answers {status}")).retryable(status >= 500)),
        }
    }

    /// How many pulls are left, without spending one.
    ///
    /// # Errors
    /// Those of a request to a registry.
    pub async fn rate_limit(&self) -> Result<RateLimit> {
        let mut session = Session::new(self, HUB, Some(PREVIEW))?;
        let url = session.base().join(&format!("{PREVIEW}/manifests/latest"));
        let url = url.map_err(|_| Error::internal("Docker Hub has no address"))?;
        let ask = Ask {
            method: Method::HEAD,
            ..Ask::get(url, "application/vnd.docker.distribution.manifest.v2+json", LARGEST)
        };
        let reply = session.ask(ask).await?;
        let (limit, window) = counted(&reply, "ratelimit-limit");
        let (remaining, _) = counted(&reply, "ratelimit-remaining");
        let account = self.credentials(HUB).await?.is_some();
        Ok(RateLimit { limit, remaining, window, account })
    }
}

/// `100;w=21600`: a number and the seconds that it is for.
fn counted(reply: &Reply, name: &str) -> (Option<u64>, Option<u64>) {
    let mut parts = reply.header(name).unwrap_or_default().split(';').map(str::trim);
    let number = parts.next().and_then(|number| number.parse().ok());
    (number, parts.find_map(|part| part.strip_prefix("w=")).and_then(|seconds| seconds.parse().ok()))
}
