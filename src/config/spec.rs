//! The host grammar, `name=endpoint(markers)`: read from flags and variables, and printed again.

mod authority;
mod endpoint;
mod scanner;

use std::{fmt, path::PathBuf};

pub use endpoint::{EndpointSpec, Security};
pub(super) use endpoint::{Notation, bracketed, write_ssh};

use super::{
    Mode,
    refusal::{no_control_characters, quoted, refusal},
};
use crate::error::{Error, Result};
use scanner::{Mark, Scanner};

/// Words that the `host` argument and the resources use for themselves.
const RESERVED: [&str; 3] = ["all", "default", "containers"];

/// The longest name, in characters.
const LONGEST_NAME: usize = 63;

/// One host as it was written, checked in itself; nothing is looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// As given, or derived from a bare endpoint.
    pub name: String,
    /// Where the daemon is, with its `tls` or `insecure`.
    pub endpoint: EndpointSpec,
    /// `ro` or `nd`, else `rw`.
    pub mode: Mode,
}

/// Reads a list of hosts.
///
/// # Errors
/// `config` with the 1-based column, the offending text, and the mend as the hint.
pub fn parse_list(text: &str) -> Result<Vec<HostSpec>> {
    let mut scanner = Scanner::new(text);
    let mut specs: Vec<HostSpec> = Vec::new();
    loop {
        scanner.skip_space();
        let start = scanner.mark();
        let spec = element(&mut scanner)?;
        if specs.iter().any(|other| other.name == spec.name) {
            return Err(scanner.refuse_at(start, &given_twice(&spec.name)));
        }
        specs.push(spec);
        if !scanner.take(',') {
            return Ok(specs);
        }
    }
}

/// The refusal of a second host of the same name.
pub(super) fn given_twice(name: &str) -> Error {
    refusal(format!("the name \"{name}\" is given twice"), "give each host a name of its own")
}

/// Refuses what is no host name.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(refusal("the name is empty", "write name=endpoint"));
    }
    if RESERVED.contains(&name) {
        return Err(refusal(format!("the name \"{name}\" is reserved"), "take another name"));
    }
    let inner =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "_.-".contains(character);
    let valid = name.chars().all(inner)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= LONGEST_NAME;
    if valid {
        return Ok(());
    }
    Err(refusal(
        format!("{} is no host name", quoted(name)),
        "use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ))
}

/// Reads one `[name=]endpoint[(markers)...]` up to the comma or the end.
fn element(scanner: &mut Scanner<'_>) -> Result<HostSpec> {
    let start = scanner.mark();
    if scanner.at_end() || scanner.at(',') {
        return Err(scanner.refuse_at(start, &refusal("an empty element", "remove the comma, or write name=endpoint")));
    }
    let name = scanner.name();
    if let Some(name) = name {
        check_name(name).map_err(|refused| scanner.refuse_at(start, &refused))?;
    }
    scanner.skip_space();
    let place = scanner.mark();
    let text = scanner.value(&[',', '('])?;
    let endpoint = EndpointSpec::parse(&text).map_err(|refused| scanner.refuse_at(place, &refused))?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => derived_name(&endpoint).map_err(|refused| scanner.refuse_at(place, &refused))?,
    };
    let markers = markers(scanner)?;
    let place = match markers.first_security {
        Some(marker) if !endpoint.is_tcp() => marker,
        _ => place,
    };
    let endpoint = endpoint
        .secured(markers.tls, markers.insecure, Notation::Spec)
        .map_err(|refused| scanner.refuse_at(place, &refused))?;
    Ok(HostSpec { name, endpoint, mode: markers.mode.unwrap_or_default() })
}

/// The name of a bare endpoint: `local`, or its lower-cased host name.
fn derived_name(endpoint: &EndpointSpec) -> Result<String> {
    let name = match endpoint {
        EndpointSpec::Auto | EndpointSpec::Local | EndpointSpec::Unix { .. } => "local".to_owned(),
        EndpointSpec::Tcp { host, .. } | EndpointSpec::Ssh { host, .. } => host.to_lowercase(),
    };
    match check_name(&name) {
        Ok(()) => Ok(name),
        Err(refused) => Err(refusal(refused.message(), format!("give it a name: NAME={endpoint}"))),
    }
}

/// The markers behind one endpoint.
#[derive(Default)]
struct Markers {
    mode: Option<Mode>,
    tls: Option<PathBuf>,
    insecure: bool,
    /// Where `tls` or `insecure` stands first, for the refusal on an endpoint that cannot take it.
    first_security: Option<Mark>,
}

/// Reads every pair of parentheses up to the comma or the end.
fn markers(scanner: &mut Scanner<'_>) -> Result<Markers> {
    let mut markers = Markers::default();
    loop {
        scanner.skip_space();
        if !scanner.take('(') {
            break;
        }
        loop {
            scanner.skip_space();
            marker(scanner, &mut markers)?;
            scanner.skip_space();
            if scanner.take(')') {
                break;
            }
            if !scanner.take(',') {
                return Err(scanner.refuse_at(scanner.mark(), &refusal("the parenthesis is not closed", "add \")\"")));
            }
        }
    }
    let place = scanner.mark();
    let rest = scanner.until(&[',']).trim();
    if rest.is_empty() {
        return Ok(markers);
    }
    let refused = refusal(
        format!("{} after the endpoint and its markers", quoted(rest)),
        "remove it, or separate the hosts with a comma",
    );
    Err(scanner.refuse_at(place, &refused))
}

/// Reads one marker; upper case is taken too.
fn marker(scanner: &mut Scanner<'_>, markers: &mut Markers) -> Result<()> {
    let place = scanner.mark();
    let word = scanner.until(&[',', ')', '=']).trim();
    let known = word.to_ascii_lowercase();
    let has_value = scanner.at('=');
    let fresh = match known.as_str() {
        "tls" => {
            let directory = if scanner.take('=') { scanner.value(&[',', ')'])? } else { String::new() };
            no_control_characters(&directory).map_err(|refused| scanner.refuse_at(place, &refused))?;
            if directory.is_empty() {
                let refused = refusal("marker \"tls\" without a directory", "write tls=DIR, the directory of ca.pem");
                return Err(scanner.refuse_at(place, &refused));
            }
            markers.first_security.get_or_insert(place);
            markers.tls.replace(directory.into()).is_none()
        }
        "insecure" if !has_value => {
            markers.first_security.get_or_insert(place);
            !std::mem::replace(&mut markers.insecure, true)
        }
        "ro" | "nd" if !has_value => {
            let mode = Mode::parse(&known);
            let before = std::mem::replace(&mut markers.mode, mode);
            if before.is_some() && before != mode {
                let refused = refusal("markers \"ro\" and \"nd\" exclude each other", "keep the one that you mean");
                return Err(scanner.refuse_at(place, &refused));
            }
            before.is_none()
        }
        _ => {
            let value = scanner.until(&[',', ')']).trim();
            let given = if value.is_empty() { word.to_owned() } else { format!("{word}{value}") };
            let refused =
                refusal(format!("unknown marker {}", quoted(&given)), "the markers are ro, nd, tls=DIR, insecure");
            return Err(scanner.refuse_at(place, &refused));
        }
    };
    if fresh {
        return Ok(());
    }
    Err(scanner.refuse_at(place, &refusal(format!("marker \"{known}\" is given twice"), "remove one of them")))
}

impl fmt::Display for HostSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, enclosed(&self.endpoint.to_string()))?;
        let security = match &self.endpoint {
            EndpointSpec::Tcp { security: Security::Tls(directory), .. } => {
                Some(format!("tls={}", enclosed(&directory.display().to_string())))
            }
            EndpointSpec::Tcp { security: Security::Insecure, .. } => Some("insecure".to_owned()),
            _ => None,
        };
        let mode = (self.mode != Mode::Rw).then(|| self.mode.as_str().to_owned());
        let markers: Vec<String> = security.into_iter().chain(mode).collect();
        if markers.is_empty() { Ok(()) } else { write!(formatter, "({})", markers.join(",")) }
    }
}

/// A value with the quotes that it needs to be read as it is.
fn enclosed(value: &str) -> String {
    if value == value.trim() && !value.contains([',', '(', ')', '"']) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#))
}

#[cfg(test)]
mod tests;
