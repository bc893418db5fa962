//! Repositories, tags, manifests and configurations, as the distribution specification has them.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};
use url::Url;

use super::{
    Registries,
    http::{Ask, Reply},
    session::Session,
};
use crate::error::{Error, Result};

/// What is asked for of manifests: every kind that there is.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// The largest manifest that is taken in, in bytes (the specification's own limit).
const LARGEST_MANIFEST: usize = 4 << 20;
/// The largest configuration of an image that is taken in, in bytes.
const LARGEST_CONFIG: usize = 1 << 20;
/// The largest page of tags that is taken in, in bytes.
const LARGEST_PAGE: usize = 4 << 20;
/// How many tags a page is asked to have.
const PAGE: &str = "1000";
/// How many tags are gathered at most.
const MOST_TAGS: usize = 20_000;
/// How many pages are read at most.
const MOST_PAGES: usize = 200;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    registry: String,
    repository: String,
    reference: String,
}

impl Image {
    /// From a reference that is written in full: registry, path, and a tag or digest.
    ///
    /// # Errors
    /// `invalid` for any other.
    pub fn of_canonical(text: &str) -> Result<Self> {
        let refused = || Error::invalid(format!("{text:?} is no reference to an image in a registry"));
        let (registry, rest) = text.split_once('/').ok_or_else(refused)?;
        let (repository, reference) = rest.split_once('@').or_else(|| rest.rsplit_once(':')).ok_or_else(refused)?;
        let owned = [registry, repository, reference].map(str::to_owned);
        if owned.iter().any(String::is_empty) {
            return Err(refused());
        }
        let [registry, repository, reference] = owned;
        Ok(Self { registry: super::name::name(&registry), repository, reference })
    }

    /// The same repository's other image.
    #[must_use]
    pub fn with_reference(&self, reference: &str) -> Self {
        Self { reference: reference.to_owned(), ..self.clone() }
    }

    /// The registry, by its one name.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag or digest.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }
}

/// A manifest, or an index of manifests.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The digest of its very bytes.
    pub digest: String,
    /// What it is.
    pub media_type: String,
    /// Its size in bytes.
    pub size: usize,
    /// What it says.
    pub document: Document,
}

/// What a manifest says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Document {
    media_type: Option<String>,
    schema_version: Option<u64>,
    /// What kind of artifact it is, where it is no image.
    pub artifact_type: Option<String>,
    /// The manifests of an index.
    pub manifests: Option<Vec<Descriptor>>,
    /// The configuration of an image.
    pub config: Option<Descriptor>,
    /// The layers of an image.
    pub layers: Option<Vec<Descriptor>>,
    /// Notes of whoever made it.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What points to a blob or a manifest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it runs on.
    pub platform: Option<Platform>,
    /// Notes of whoever made it.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl std::fmt::Display for Platform {
    /// `os/architecture[/variant]`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(formatter, "/{variant}"))
    }
}

impl Platform {
    /// Whether it is the one that is written as `os/architecture[/variant]`; a part that is not written fits.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let mut wanted = text.split('/');
        let (os, architecture, variant) = (wanted.next(), wanted.next(), wanted.next());
        os.is_none_or(|os| os == self.os)
            && architecture.is_none_or(|architecture| architecture == self.architecture)
            && variant.is_none_or(|variant| self.variant.as_deref() == Some(variant))
    }
}

/// The tags of a repository.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    /// In the registry's order.
    pub tags: Vec<String>,
    /// Whether there are more than were gathered.
    pub more: bool,
}

impl Registries {
    /// The tags of an image's repository, over as many pages as there are.
    ///
    /// # Errors
    /// Those of a request to a registry.
    pub async fn tags(&self, image: &Image) -> Result<Tags> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut session = Session::new(self, &image.registry, Some(&image.repository))?;
        let mut url = place(&session, &format!("{}/tags/list", image.repository))?;
        url.query_pairs_mut().append_pair("n", PAGE);
        let mut found = Tags::default();
        for _ in 0..MOST_PAGES {
            let reply = session.ask(Ask::get(url.clone(), "application/json", LARGEST_PAGE)).await?;
            let page: Page = serde_json::from_slice(&reply.body).map_err(|_| nonsense(&session, "its list of tags"))?;
            found.tags.extend(page.tags.unwrap_or_default().into_iter().filter(|tag| is_tag(tag)));
            let Some(next) = next(&reply, &url) else { return Ok(found) };
            if next.origin() != url.origin() || next == url {
                return Err(nonsense(&session, "where its list of tags goes on"));
            }
            if found.tags.len() >= MOST_TAGS {
                break;
            }
            url = next;
        }
        found.more = true;
        Ok(found)
    }

    /// The manifest of an image, checked against its digest.
    ///
    /// # Errors
    /// Those of a request to a registry.
    pub async fn manifest(&self, image: &Image) -> Result<Manifest> {
        let mut session = Session::new(self, &image.registry, Some(&image.repository))?;
        let url = place(&session, &format!("{}/manifests/{}", image.repository, image.reference))?;
        let reply = session.ask(Ask::get(url, MANIFESTS, LARGEST_MANIFEST)).await?;
        let digest = if is_digest(&image.reference) {
            checked(&session, &image.reference, &reply.body)?;
            image.reference.clone()
        } else {
            format!("sha256:{:x}", Sha256::digest(&reply.body))
        };
        let document: Document = serde_json::from_slice(&reply.body).map_err(|_| nonsense(&session, "its manifest"))?;
        if document.schema_version == Some(1) {
            return Err(Error::unsupported(format!(
                "registry {:?} has this image in a form from before 2017",
                image.registry
            ))
            .hint("it has to be pushed anew by a newer engine"));
        }
        let media_type = document.media_type.clone().or_else(|| reply.header("content-type").map(str::to_owned));
        Ok(Manifest { digest, media_type: media_type.unwrap_or_default(), size: reply.body.len(), document })
    }

    /// The configuration of an image by its descriptor, checked against its digest.
    ///
    /// # Errors
    /// Those of a request to a registry.
    pub async fn config(&self, image: &Image, descriptor: &Descriptor) -> Result<Value> {
        let mut session = Session::new(self, &image.registry, Some(&image.repository))?;
        if !is_digest(&descriptor.digest) {
            return Err(nonsense(&session, "a digest in its manifest"));
        }
        let url = place(&session, &format!("{}/blobs/{}", image.repository, descriptor.digest))?;
        let reply = session.ask(Ask::get(url, "*/*", LARGEST_CONFIG)).await?;
        checked(&session, &descriptor.digest, &reply.body)?;
        serde_json::from_slice(&reply.body).map_err(|_| nonsense(&session, "the configuration of the image"))
    }

    /// The digest that a tag stands for now, without its manifest.
    ///
    /// # Errors
    /// Those of a request to a registry.
    pub(super) async fn head(&self, image: &Image) -> Result<String> {
        let mut session = Session::new(self, &image.registry, Some(&image.repository))?;
        let url = place(&session, &format!("{}/manifests/{}", image.repository, image.reference))?;
        let ask = Ask { method: Method::HEAD, ..Ask::get(url, MANIFESTS, LARGEST_MANIFEST) };
        let reply = session.ask(ask).await?;
        match reply.header("docker-content-digest").filter(|digest| is_digest(digest)) {
            Some(digest) => Ok(digest.to_owned()),
            // Not every registry says it.
            None => Ok(self.manifest(image).await?.digest),
        }
    }
}

/// An address of the registry's interface.
fn place(session: &Session<'_>, path: &str) -> Result<Url> {
    session.base().join(path).map_err(|_| Error::invalid("a name cannot be part of a request"))
}

/// Where a list goes on: the `Link` header with `rel="next"`.
fn next(reply: &Reply, url: &Url) -> Option<Url> {
    let links = reply.header("link")?.split(',');
    let (target, _) = links.filter_map(|link| link.trim().split_once(';')).find(|(_, parameters)| {
        parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().replace([' ', '"'], "");
            parameter.eq_ignore_ascii_case("rel=next")
        })
    })?;
    url.join(target.trim().strip_prefix('<')?.strip_suffix('>')?).ok()
}

fn is_tag(text: &str) -> bool {
    let word = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    text.len() <= 128
        && text.chars().all(word)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
}

fn is_digest(text: &str) -> bool {
    let hex = |digits: &str, length| {
        digits.len() == length && digits.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit))
    };
    match text.split_once(':') {
        Some(("sha256", digits)) => hex(digits, 64),
        Some(("sha512", digits)) => hex(digits, 128),
        _ => false,
    }
}

/// Refuses bytes that are not those of a digest.
fn checked(session: &Session<'_>, digest: &str, bytes: &[u8]) -> Result<()> {
    let is = if digest.starts_with("sha512:") {
        format!("sha512:{:x}", Sha512::digest(bytes))
    } else {
        format!("sha256:{:x}", Sha256::digest(bytes))
    };
    if is == digest { Ok(()) } else { Err(nonsense(session, "what it sends for a digest")) }
}

fn nonsense(session: &Session<'_>, what: &str) -> Error {
    Error::docker(format!("{what} makes no sense (registry {:?})", session.registry()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let parts = |text| {
            let image = Image::of_canonical(text).unwrap();
            [image.registry, image.repository, image.reference]
        };
        assert_eq!(parts("docker.io/library/nginx:1"), ["docker.io", "library/nginx", "1"]);
        assert_eq!(parts("127.0.0.1:5000/a/b:latest"), ["127.0.0.1:5000", "a/b", "latest"]);
        assert_eq!(parts("GHCR.io/a@sha256:00"), ["ghcr.io", "a", "sha256:00"]);
        for text in ["nginx", "a/b", "/a:1", "a/:1", "a/b:"] {
            assert!(Image::of_canonical(text).is_err(), "{text}");
        }
    }

    #[test]
    fn platforms_fit_by_what_is_written() {
        let arm = Platform { os: "linux".into(), architecture: "arm".into(), variant: Some("v7".into()) };
        assert_eq!(arm.to_string(), "linux/arm/v7");
        for (text, fits) in
            [("linux/arm", true), ("linux/arm/v7", true), ("linux/arm/v6", false), ("linux/arm64", false)]
        {
            assert_eq!(arm.is(text), fits, "{text}");
        }
    }

    #[test]
    fn tags_and_digests_have_a_grammar() {
        assert!(is_tag("1.2-alpine") && is_tag("_x") && !is_tag("-x") && !is_tag("") && !is_tag("a\u{1b}b"));
        assert!(is_digest(&format!("sha256:{}", "0".repeat(64))));
        for text in ["sha256:00", "md5:00", "", "sha256", &format!("sha256:{}", "G".repeat(64))] {
            assert!(!is_digest(text), "{text}");
        }
    }
}
