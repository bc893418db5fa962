//! What a request is for: a path, its parameters, and how long its answer may take.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

use super::{
    HEADERS,
    pool::{Body, Length},
};
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// A path with its query, made from a template and validated names only.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) path: String,
    query: Vec<(String, String)>,
    sealed: Vec<(&'static str, HeaderValue)>,
    pub(super) headers: Duration,
    pub(super) length: Length,
}

impl Target {
    /// A path; whatever is put into it has passed [`super::names`] or came from the daemon as a full id.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), query: Vec::new(), sealed: Vec::new(), headers: HEADERS, length: Length::Short }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.query.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Adds `filters`, the engine's JSON object of lists, unless it is empty.
    #[must_use]
    pub fn filters(self, filters: &Filters) -> Self {
        if filters.0.is_empty() { self } else { self.query("filters", Value::Object(filters.0.clone()).to_string()) }
    }

    /// Adds a header whose value is never logged: the credentials of a registry, for a request about that registry.
    ///
    /// # Errors
    /// `invalid` for a value that no header can have.
    pub fn sealed(mut self, name: &'static str, value: &Secret) -> Result<Self> {
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| Error::invalid("credentials cannot be part of a request"))?;
        value.set_sensitive(true);
        self.sealed.push((name, value));
        Ok(self)
    }

    /// Gives the daemon another time than ten seconds to begin its answer.
    #[must_use]
    pub fn patient(mut self, headers: Duration) -> Self {
        self.headers = headers;
        self
    }

    /// Says that the answer may stay open; it never takes a host's last connection.
    #[must_use]
    pub fn long(mut self) -> Self {
        self.length = Length::Long;
        self
    }

    pub(super) fn request(mut self, method: Method, body: Body) -> Result<Request<Body>> {
        let sealed = std::mem::take(&mut self.sealed);
        let mut request = Request::builder()
            .method(method)
            .uri(self.uri()?)
            .body(body)
            .map_err(|error| Error::invalid("a name cannot be part of a request").detail(error.to_string()))?;
        request.headers_mut().extend(sealed.into_iter().map(|(name, value)| (HeaderName::from_static(name), value)));
        Ok(request)
    }

    pub(super) fn uri(self) -> Result<Uri> {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        let target = if query.is_empty() { self.path } else { format!("{}?{query}", self.path) };
        target.parse().map_err(|_| Error::invalid("a name cannot be part of a request"))
    }
}

/// The engine's filters: every value of a key counts, keys are joined with and.
#[derive(Debug, Clone, Default)]
pub struct Filters(serde_json::Map<String, Value>);

impl Filters {
    /// Adds values under a key; none adds nothing.
    #[must_use]
    pub fn with<T: AsRef<str>>(mut self, key: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Value> = values.into_iter().map(|value| value.as_ref().into()).collect();
        if !values.is_empty() {
            self.0.insert(key.into(), values.into());
        }
        self
    }
}
