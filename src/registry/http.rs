//! One request to one machine over HTTPS: where it may lead, whom it trusts, how long it takes, how much it takes in.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{
    address::is_public,
    name::HUB,
    proxy::{Proxy, REPORT},
};
use crate::{
    config::{Environment, RegistryConfig},
    error::{Error, Result},
    secret::Secret,
};

/// How long a connection may take, with the lookup of its name and the handshake of TLS.
const CONNECT: Duration = Duration::from_secs(6);
/// How long the headers of an answer may take.
const HEADERS: Duration = Duration::from_secs(10);
/// How long its body may take.
const BODY: Duration = Duration::from_secs(20);
/// How often an answer may send elsewhere.
const REDIRECTS: usize = 5;
/// The machines of Docker Hub.
const HUB_MACHINES: [&str; 4] = ["docker.io", "registry-1.docker.io", "auth.docker.io", "hub.docker.com"];

/// A two-way stream of bytes to a registry.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A request, and what its answer may be.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    /// The whole value of `Authorization`; never sent on to another machine.
    pub(super) authorization: Option<Secret>,
    /// A form, for a POST.
    pub(super) form: Option<Secret>,
    /// The largest body that is taken in, in bytes.
    pub(super) largest: usize,
}

impl Ask {
    /// A GET of a document of at most so many bytes.
    pub(super) fn get(url: Url, accept: &'static str, largest: usize) -> Self {
        Self { method: Method::GET, url, accept, authorization: None, form: None, largest }
    }
}

/// What a registry answered.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How a machine is reached: whom it has to convince, and whether it may be near.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reach {
    trust: Trust,
    vouched: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Trust {
    /// The public authorities.
    Public,
    /// Those of a file of the operator's, and no others.
    Only(PathBuf),
    /// Nobody: no TLS.
    Nobody,
}

/// Sends requests.
#[derive(Default)]
pub(super) struct Client {
    named: Vec<RegistryConfig>,
    proxy: Proxy,
    public: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("named", &self.named).field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

impl Client {
    /// For the registries that the operator vouches for, and all public ones.
    pub(super) fn new(named: Vec<RegistryConfig>, environment: &Environment) -> Self {
        Self { named, proxy: Proxy::new(environment), public: OnceLock::new() }
    }

    /// Whether a registry is spoken to without TLS.
    pub(super) fn is_insecure(&self, registry: &str) -> bool {
        self.named.iter().any(|named| named.host == registry && named.insecure)
    }

    /// The file of the only authorities that are trusted for a registry.
    pub(super) fn authority(&self, registry: &str) -> Option<&Path> {
        self.named.iter().find(|named| named.host == registry)?.ca.as_deref()
    }

    /// Sends it, follows where the answer leads - without credentials to any other machine - and takes the answer in.
    ///
    /// `home` is the registry that all this is about: what is said of it in the configuration also holds for other
    /// ports of its machine.
    pub(super) async fn send(&self, mut ask: Ask, home: &Url) -> Result<Reply> {
        for _ in 0..=REDIRECTS {
            let reply = self.once(&ask, home).await?;
            let leads = reply.status.is_redirection() && matches!(ask.method, Method::GET | Method::HEAD);
            let next = reply.header("location").filter(|_| leads).map(|location| ask.url.join(location));
            match next {
                None => return Ok(reply),
                Some(Err(_)) => return Err(Error::docker(format!("{} leads to nowhere", shown(&ask.url)))),
                Some(Ok(next)) => {
                    if next.origin() != ask.url.origin() {
                        ask.authorization = None;
                    }
                    ask.url = next;
                }
            }
        }
        Err(Error::docker(format!("{} leads from one place to another without end", shown(home))))
    }

    async fn once(&self, ask: &Ask, home: &Url) -> Result<Reply> {
        let reach = self.reach(&ask.url, home)?;
        let stream = timeout(CONNECT, self.connect(&ask.url, &reach))
            .await
            .unwrap_or_else(|_| Err(unreachable(&ask.url, "it does not answer")))?;
        let broken = |error: &dyn std::error::Error| {
            unreachable(&ask.url, "the connection broke, or what answers is not HTTP").detail(error.to_string())
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with this request, whatever becomes of that.
        let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = request(ask)?;
        let response = timeout(HEADERS, sender.send_request(request))
            .await
            .map_err(|_| slow(&ask.url))?
            .map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        let body = timeout(BODY, Limited::new(body, ask.largest).collect()).await.map_err(|_| slow(&ask.url))?;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let limit = ask.largest >> 10;
                return Error::docker(format!("the answer of {} is larger than {limit} KiB", shown(&ask.url)));
            }
            broken(&*error)
        })?;
        Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    /// What is said of a machine in the configuration, else what holds for everybody's.
    fn reach(&self, url: &Url, home: &Url) -> Result<Reach> {
        let is_home = url.host() == home.host();
        let named = self.named(url).or_else(|| self.named(home).filter(|_| is_home));
        let trust = match (url.scheme(), named) {
            ("https", Some(RegistryConfig { ca: Some(ca), .. })) => Trust::Only(ca.clone()),
            ("https", _) => Trust::Public,
            ("http", Some(RegistryConfig { insecure: true, .. })) => Trust::Nobody,
            _ => {
                return Err(Error::denied(format!("{} leads to a place without TLS", shown(home)))
                    .hint("ask the person to look at the registry; nothing was sent there"));
            }
        };
        Ok(Reach { trust, vouched: named.is_some() })
    }

    /// Trusts the public authorities.
    fn public(&self) -> Result<Arc<ClientConfig>> {
        if let Some(public) = self.public.get() {
            return Ok(public.clone());
        }
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        let public = Arc::new(trusting(RootCertStore { roots })?);
        Ok(self.public.get_or_init(|| public).clone())
    }

    fn named(&self, url: &Url) -> Option<&RegistryConfig> {
        let host = url.host_str()?;
        let port = url.port_or_known_default()?;
        let is_hub = HUB_MACHINES.contains(&host) && url.port().is_none();
        let full = format!("{host}:{port}");
        self.named.iter().find(|named| {
            (is_hub && named.host == HUB) || named.host == full || (url.port().is_none() && named.host == host)
        })
    }

    async fn connect(&self, url: &Url, reach: &Reach) -> Result<Box<dyn Stream>> {
        let (host, port) = (url.host(), url.port_or_known_default());
        let (Some(host), Some(port)) = (host, port) else {
            return Err(Error::docker(format!("{} leads to nowhere", shown(url))));
        };
        let plain = match &host {
            Host::Domain(name) => (*name).to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let stream = if self.proxy.serves(&plain) && reach.trust != Trust::Nobody {
            // Whoever configured the proxy has decided what it may reach; an address is still an address.
            if let Ok(address) = plain.parse::<IpAddr>() {
                check(url, reach, [address])?;
            }
            self.proxy.connect(&plain, port).await?
        } else {
            dial(url, reach, &plain, port).await?
        };
        stream.set_nodelay(true).ok();
        let config = match &reach.trust {
            Trust::Nobody => return Ok(Box::new(stream)),
            Trust::Public => self.public()?,
            Trust::Only(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || only(&path)).await;
                Arc::new(
                    read.map_err(|error| Error::internal("reading a file was cut off").detail(error.to_string()))??,
                )
            }
        };
        let name = ServerName::try_from(plain)
            .map_err(|_| Error::invalid(format!("{} has no name that a certificate can carry", shown(url))))?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
            let carried = error.get_ref().and_then(|carried| carried.downcast_ref::<rustls::Error>());
            let class = match carried {
                Some(rustls::Error::InvalidCertificate(_)) => "its certificate is not valid here",
                Some(rustls::Error::InvalidMessage(_)) => "what answers does not speak TLS",
                _ => "the TLS handshake failed",
            };
            unreachable(url, class).detail(error.to_string())
        })?;
        Ok(Box::new(stream))
    }
}

/// Looks a name up, checks what it stands for, and connects to the very addresses that were checked.
async fn dial(url: &Url, reach: &Reach, host: &str, port: u16) -> Result<TcpStream> {
    let found: Vec<SocketAddr> = lookup_host((host, port))
        .await
        .map_err(|error| unreachable(url, "its name is not found").detail(error.to_string()))?
        .collect();
    check(url, reach, found.iter().map(SocketAddr::ip))?;
    let mut last = unreachable(url, "its name stands for no address");
    for address in found.into_iter().take(4) {
        match timeout(CONNECT / 3, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                let class = match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => "connection refused",
                    _ => "cannot connect",
                };
                last = unreachable(url, class).detail(format!("{address}: {error}"));
            }
            Err(_) => last = unreachable(url, "it does not answer").detail(address.to_string()),
        }
    }
    Err(last)
}

/// Refuses addresses that are not the public network's, unless the operator vouches for the machine.
///
/// One among several is enough: a name that stands for both is made to lead astray.
fn check(url: &Url, reach: &Reach, addresses: impl IntoIterator<Item = IpAddr>) -> Result<()> {
    let near = addresses.into_iter().find(|address| !is_public(*address));
    match near {
        Some(address) if !reach.vouched => Err(Error::denied(format!("{} leads into a private network", shown(url)))
            .hint("nothing was sent; the person can add it to \"registries\" in the configuration")
            .detail(address.to_string())),
        _ => Ok(()),
    }
}

fn request(ask: &Ask) -> Result<http::Request<Full<Bytes>>> {
    let invalid =
        |error: &dyn fmt::Display| Error::invalid("a name cannot be part of a request").detail(error.to_string());
    let target = match ask.url.query() {
        Some(query) => format!("{}?{query}", ask.url.path()),
        None => ask.url.path().to_owned(),
    };
    let authority = &ask.url[url::Position::BeforeHost..url::Position::AfterPort];
    let body = ask.form.as_ref().map(|form| Bytes::from(form.expose().to_owned())).unwrap_or_default();
    let mut request = http::Request::builder()
        .method(ask.method.clone())
        .uri(target)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("quaymaster/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, ask.accept)
        .body(Full::new(body))
        .map_err(|error| invalid(&error))?;
    let headers = request.headers_mut();
    if ask.form.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    if let Some(secret) = &ask.authorization {
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| Error::invalid("credentials cannot be part of a request"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// A machine as agents see it: the name that it has in addresses.
pub(super) fn shown(url: &Url) -> String {
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    format!("registry \"{authority}\"")
}

fn unreachable(url: &Url, class: &str) -> Error {
    Error::unreachable(format!("{} cannot be reached: {class}", shown(url))).hint(REPORT)
}

fn slow(url: &Url) -> Error {
    Error::timeout(format!("{} did not answer in time", shown(url)))
}

/// Trusts the authorities of a file and nobody else.
fn only(path: &Path) -> Result<ClientConfig> {
    let unusable = |why: &dyn fmt::Display| {
        Error::config("the file of a registry's authorities cannot be used")
            .hint("ask the person to run \"quaymaster check\"")
            .detail(format!("{}: {why}", path.display()))
    };
    let mut authorities = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        authorities.add(certificate).map_err(|error| unusable(&error))?;
    }
    if authorities.is_empty() { Err(unusable(&"it holds no certificate")) } else { trusting(authorities) }
}

fn trusting(authorities: RootCertStore) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("tls is not available").detail(error.to_string()))?;
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn client_for(named: &[(&str, bool, Option<&str>)]) -> Client {
        let named = named
            .iter()
            .map(|(host, insecure, ca)| RegistryConfig {
                host: (*host).to_owned(),
                insecure: *insecure,
                ca: ca.map(Into::into),
            })
            .collect();
        Client::new(named, &Environment::default())
    }

    fn reach(client: &Client, url: &str, home: &str) -> Result<Reach> {
        client.reach(&Url::parse(url).unwrap(), &Url::parse(home).unwrap())
    }

    #[test]
    fn what_is_said_of_a_registry_holds_for_its_machine_only() {
        let client =
            client_for(&[("a.b:5000", true, None), ("c.d", false, Some("/ca")), ("docker.io", false, Some("/hub"))]);
        let plain = Reach { trust: Trust::Nobody, vouched: true };
        assert_eq!(reach(&client, "http://a.b:5000/", "http://a.b:5000/").unwrap(), plain);
        assert_eq!(reach(&client, "http://a.b:5001/token", "http://a.b:5000/").unwrap(), plain);
        let own = Reach { trust: Trust::Only("/ca".into()), vouched: true };
        assert_eq!(reach(&client, "https://c.d/", "https://c.d/").unwrap(), own);
        assert_eq!(reach(&client, "https://c.d:8443/", "https://c.d/").unwrap(), own);
        for machine in HUB_MACHINES {
            let url = format!("https://{machine}/");
            assert_eq!(reach(&client, &url, &url).unwrap().trust, Trust::Only("/hub".into()));
        }
        let public = Reach { trust: Trust::Public, vouched: false };
        for url in ["https://e.f/", "https://x.c.d/", "https://a.b.evil/", "https://hub.docker.com:444/"] {
            assert_eq!(reach(&client, url, "https://c.d/").unwrap(), public, "{url}");
        }
        for url in ["http://e.f/", "http://c.d/", "ftp://a.b/", "http://a.b.evil:5000/"] {
            assert_eq!(reach(&client, url, "http://a.b:5000/").unwrap_err().kind(), Kind::Denied, "{url}");
        }
    }

    #[tokio::test]
    async fn names_and_numbers_of_this_machine_are_refused() {
        let client = client_for(&[]);
        for host in
            ["127.0.0.1:1", "localhost:1", "[::1]:1", "2130706433:1", "0x7f.1:1", "[::ffff:127.0.0.1]:1", "10.0.0.1"]
        {
            let url = Url::parse(&format!("https://{host}/v2/")).unwrap();
            let error = client.send(Ask::get(url.clone(), "*/*", 10), &url).await.err().unwrap();
            assert_eq!(error.kind(), Kind::Denied, "{host}: {error}");
            assert!(error.detail_text().is_some());
        }
    }
}
