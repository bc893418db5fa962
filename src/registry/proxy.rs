//! The proxy that the environment names for HTTPS, where it names one.

use std::{fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use crate::{
    config::{Environment, is_loopback},
    error::{Error, Result},
    secret::Secret,
};

/// The longest head of an answer to `CONNECT`, in bytes.
const LONGEST: usize = 8 << 10;

/// `HTTPS_PROXY` and `NO_PROXY`.
#[derive(Clone, Default)]
pub(super) struct Proxy {
    address: Option<String>,
    around: Vec<String>,
}

impl fmt::Debug for Proxy {
    /// A password may be in the address.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("is_set", &self.address.is_some()).finish_non_exhaustive()
    }
}

impl Proxy {
    /// What an environment says; the small letters count first, as with curl.
    pub(super) fn new(environment: &Environment) -> Self {
        let variable = |small: &str, large: &str| environment.get(small).or(environment.get(large)).map(str::to_owned);
        let around = variable("no_proxy", "NO_PROXY").unwrap_or_default();
        Self {
            address: variable("https_proxy", "HTTPS_PROXY"),
            around: around
                .split(',')
                .map(|host| host.trim().to_ascii_lowercase())
                .filter(|host| !host.is_empty())
                .collect(),
        }
    }

    /// Whether a machine is reached through it: never this one, and none that `NO_PROXY` names.
    pub(super) fn serves(&self, host: &str) -> bool {
        let is_around = |name: &String| {
            let name = name.trim_start_matches("*.").trim_start_matches('.');
            name == "*" || host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
        };
        self.address.is_some() && !is_loopback(host) && !self.around.iter().any(is_around)
    }

    /// A connection to a machine through it.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream> {
        let text = self.address.as_deref().unwrap_or_default();
        let address = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let unusable = || {
            Error::config("HTTPS_PROXY is no proxy that can be used")
                .hint("ask the person to set it to http://HOST:PORT, or to unset it")
        };
        let url = Url::parse(&address).ok().filter(|url| url.scheme() == "http").ok_or_else(unusable)?;
        let (proxy, proxy_port) = (url.host_str().ok_or_else(unusable)?, url.port_or_known_default().unwrap_or(80));
        let failed =
            |why: String| Error::unreachable("the proxy of HTTPS_PROXY cannot be used").hint(REPORT).detail(why);
        let proxy = proxy.trim_matches(['[', ']']);
        let mut stream = TcpStream::connect((proxy, proxy_port)).await.map_err(|error| failed(error.to_string()))?;
        let target = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) => format!("[{host}]:{port}"),
            _ => format!("{host}:{port}"),
        };
        let authorization = authorization(&url)
            .map(|secret| format!("Proxy-Authorization: Basic {}\r\n", secret.expose()))
            .unwrap_or_default();
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        stream.write_all(head.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            // Byte by byte: what follows the head belongs to whoever answers behind it.
            let byte = stream.read_u8().await.map_err(|error| failed(error.to_string()))?;
            said.push(byte);
            if said.len() > LONGEST {
                return Err(failed("its answer has no end".to_owned()));
            }
        }
        let status = std::str::from_utf8(&said).ok().and_then(|head| head.split(' ').nth(1)).unwrap_or_default();
        if status == "200" { Ok(stream) } else { Err(failed(format!("it answers CONNECT with {status:?}"))) }
    }
}

/// What an agent should do about what cannot be reached from here.
pub(super) const REPORT: &str =
    "do not try another way; report it, and ask the person to look at the network of the gateway's machine";

/// User and password of its address, as `Proxy-Authorization` takes them.
fn authorization(url: &Url) -> Option<Secret> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = Some(url.username()).filter(|user| !user.is_empty())?;
    let pair = format!("{}:{}", plain(user), plain(url.password().unwrap_or_default()));
    Some(Secret::new(STANDARD.encode(pair)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn proxy(variables: &[(&str, &str)]) -> Proxy {
        let variables: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Proxy::new(&Environment { variables, ..Environment::default() })
    }

    #[test]
    fn this_machine_and_what_is_named_go_around_it() {
        let set = proxy(&[("HTTPS_PROXY", "http://u:hunter2@p:1"), ("NO_PROXY", "a.b, .corp,*.lan")]);
        for host in ["ghcr.io", "xa.b", "b"] {
            assert!(set.serves(host), "{host}");
        }
        for host in ["a.b", "x.a.b", "x.corp", "reg.lan", "localhost", "127.0.0.1", "::1"] {
            assert!(!set.serves(host), "{host}");
        }
        assert!(!proxy(&[("NO_PROXY", "")]).serves("ghcr.io"));
        assert!(!proxy(&[("https_proxy", "p:1"), ("no_proxy", "*")]).serves("ghcr.io"));
        assert!(!format!("{set:?}").contains("hunter2"));
    }
}
