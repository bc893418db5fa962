//! `[user@]host[:port]`, the part that tcp and ssh share.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

use crate::{
    config::refusal::{no_control_characters, quoted, refusal},
    error::{Error, Result},
};

/// The forms of an endpoint, for the mend of what is none.
pub(super) const FORMS: &str = "use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]";

/// Text without its `%` escapes.
pub(super) fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| refusal(format!("{} is not UTF-8 once decoded", quoted(text)), "write it without % escapes"))?;
    no_control_characters(&decoded)?;
    Ok(decoded.into_owned())
}

/// `[user@]host[:port]`.
pub(super) struct Authority {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    /// Reads it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(login(user)?), address),
            None => (None, text),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or_else(|| not_an_address(address))?;
                let host: Ipv6Addr = host.parse().map_err(|_| not_an_address(address))?;
                let port = match port.strip_prefix(':') {
                    None if port.is_empty() => None,
                    None => return Err(not_an_address(address)),
                    given => given,
                };
                (host.to_string(), port)
            }
            None => match address.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(not_an_address(address)),
                Some((host, port)) => (host_name(host)?, Some(port)),
                None => (host_name(address)?, None),
            },
        };
        Ok(Self { user, host, port: port.map(port_number).transpose()? })
    }
}

fn not_an_address(text: &str) -> Error {
    refusal(format!("{} is no address", quoted(text)), "write an IPv6 address in brackets, as in [fd00::1]:2376")
}

/// Reads a login name.
fn login(text: &str) -> Result<String> {
    if text.contains(':') {
        let what = format!("a password in {}", shown(&format!("{text}@")));
        return Err(refusal(what, "remove it: keys and the ssh agent log in"));
    }
    if text.is_empty() {
        return Err(refusal("the user is empty", "remove the \"@\""));
    }
    decoded(text)
}

/// Reads a host name, an address of IP version 4 or an alias.
fn host_name(text: &str) -> Result<String> {
    let valid = text.chars().all(|character| character.is_alphanumeric() || "._-".contains(character));
    if text.is_empty() {
        return Err(refusal("the endpoint has no host", FORMS));
    }
    if !valid || text.starts_with('-') {
        return Err(refusal(
            format!("{} is no host", quoted(text)),
            "a host has letters, digits, \".\", \"_\" and \"-\"",
        ));
    }
    Ok(text.to_owned())
}

/// Reads a port; what is no number may be a part of a password and is not repeated.
fn port_number(text: &str) -> Result<u16> {
    let digits = !text.is_empty() && text.chars().all(|character| character.is_ascii_digit());
    if let (true, Ok(port @ 1..)) = (digits, text.parse()) {
        return Ok(port);
    }
    let what = if digits { format!("{} is no port", quoted(text)) } else { "the port is no number".to_owned() };
    Err(refusal(what, "a port is a number from 1 to 65535"))
}

/// An endpoint as a refusal shows it: a password never is.
pub(super) fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let masked = rest.rsplit_once('@').and_then(|(userinfo, host)| Some((userinfo.split_once(':')?.0, host)));
    match masked {
        Some((user, host)) if scheme.is_empty() => quoted(&format!("{user}:***@{host}")),
        Some((user, host)) => quoted(&format!("{scheme}://{user}:***@{host}")),
        None => quoted(text),
    }
}
