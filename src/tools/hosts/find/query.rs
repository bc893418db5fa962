//! What somebody looks for, and how well a property of an object fits it.

use std::{fmt, net::IpAddr};

use crate::{
    docker::names::quote,
    error::{Error, Result},
    redact,
};

/// The longest query, in bytes; the engine's own names are shorter.
const LONGEST: usize = 255;
/// Fewer digits of an id say nothing.
const DIGITS: usize = 4;

/// A query, read once: it may be a name, a number, an address, or the beginning of an id.
pub(super) struct Query {
    text: String,
    port: Option<(u64, Option<String>)>,
    address: Option<IpAddr>,
    id: Option<String>,
}

/// How well something fits, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It is what was asked for.
    Exact,
    /// What was asked for is a part of it.
    Partial,
    /// Only a label says something of the kind.
    Mentioned,
}

/// A property that an object can be found by, as the engine tells it.
pub(super) enum Trait<'a> {
    /// Its name.
    Name(&'a str),
    /// A tag of an image, which is its name.
    Reference(&'a str),
    /// A digest of an image, with the repository in front.
    Digest(&'a str),
    /// An id, its own or its image's.
    Id(&'a str),
    /// The image it was made of.
    Image(&'a str),
    /// The compose project.
    Project(&'a str),
    /// The compose service.
    Service(&'a str),
    /// A port, published or only listened on.
    Port { public: Option<u64>, private: u64, protocol: &'a str },
    /// An address in a network, or one of the network's own.
    Address { address: &'a str, whose: &'a str },
    /// A label.
    Label(&'a str, &'a str),
}

impl<'a> Trait<'a> {
    /// The property as a name to call the object by.
    pub(super) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Name(name) | Self::Reference(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Trait<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(_) | Self::Reference(_) => formatter.write_str("name"),
            Self::Id(_) => formatter.write_str("id"),
            Self::Digest(_) => formatter.write_str("digest"),
            Self::Image(image) => write!(formatter, "image {image}"),
            Self::Project(project) => write!(formatter, "project {project}"),
            Self::Service(service) => write!(formatter, "service {service}"),
            Self::Port { public: Some(public), private, protocol } => {
                write!(formatter, "port {public}->{private}/{protocol}")
            }
            Self::Port { public: None, private, protocol } => {
                write!(formatter, "port {private}/{protocol}, not published")
            }
            Self::Address { address, whose } => write!(formatter, "address {address} ({whose})"),
            Self::Label(key, value) => write!(formatter, "label {key}={value}"),
        }
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// `invalid` for nothing, too much, or control characters.
    pub(super) fn new(query: &str) -> Result<Self> {
        let text = query.trim();
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(Error::invalid(format!("argument \"query\": {} is nothing to look for", quote(query)))
                .hint(format!("a part of a name, a port, an address or a label; at most {LONGEST} bytes, one line")));
        }
        let text = text.to_lowercase();
        let id = text.strip_prefix("sha256:").unwrap_or(&text);
        // Those of a swarm have letters of the whole alphabet.
        let is_id = id.len() >= DIGITS && id.chars().all(|digit| digit.is_ascii_alphanumeric());
        let id = is_id.then(|| id.to_owned());
        Ok(Self { port: port(&text), address: text.trim_matches(['[', ']']).parse().ok(), id, text })
    }

    /// How well a property fits, if at all.
    pub(super) fn rank(&self, property: &Trait<'_>) -> Option<Rank> {
        match property {
            Trait::Name(text) | Trait::Project(text) | Trait::Service(text) => {
                self.of_text(text, |text| text == self.text.trim_start_matches('/'))
            }
            Trait::Reference(text) | Trait::Image(text) => {
                self.of_text(text, |text| text == self.text || without_tag(text) == self.text)
            }
            Trait::Digest(text) => self.of_text(text, |text| {
                text == self.text
                    || self.id.as_ref().is_some_and(|id| text.rsplit(':').next().unwrap_or_default().starts_with(id))
            }),
            Trait::Id(id) => {
                let id = id.rsplit(':').next().unwrap_or_default();
                self.id.as_ref().filter(|asked| id.starts_with(asked.as_str())).map(|_| Rank::Exact)
            }
            Trait::Port { public, private, protocol } => {
                let (asked, asked_protocol) = self.port.as_ref()?;
                let fits = asked_protocol.as_ref().is_none_or(|asked| asked == protocol);
                match public {
                    _ if !fits => None,
                    Some(public) if public == asked => Some(Rank::Exact),
                    _ => (private == asked).then_some(Rank::Partial),
                }
            }
            Trait::Address { address, .. } => {
                let same = match self.address {
                    Some(asked) => address.parse() == Ok(asked),
                    None => !address.is_empty() && address.eq_ignore_ascii_case(&self.text),
                };
                same.then_some(Rank::Exact)
            }
            Trait::Label(key, value) => {
                // As a whole: a key tells what its value is.
                let (key, label) = (readable(key), readable(&format!("{key}={value}")));
                if key == self.text || label == self.text {
                    return Some(Rank::Exact);
                }
                label.contains(&self.text).then_some(Rank::Mentioned)
            }
        }
    }

    fn of_text(&self, text: &str, is_it: impl Fn(&str) -> bool) -> Option<Rank> {
        let text = readable(text);
        if is_it(&text) {
            return Some(Rank::Exact);
        }
        text.contains(&self.text).then_some(Rank::Partial)
    }
}

/// A text as it may be shown, for nothing may be found that may not be seen; in lower case.
fn readable(text: &str) -> String {
    redact::shown(text).to_lowercase()
}

/// A reference without its tag; a registry's port is none.
fn without_tag(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

/// `5432`, `:5432`, `5432/udp`.
fn port(text: &str) -> Option<(u64, Option<String>)> {
    let text = text.strip_prefix(':').unwrap_or(text);
    let (number, protocol) = match text.split_once('/') {
        Some((number, protocol)) => (number, Some(protocol.to_owned())),
        None => (text, None),
    };
    let number = number.parse::<u16>().ok().filter(|number| *number > 0)?;
    Some((number.into(), protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_not_looked_for() {
        let long = "a".repeat(10_240);
        for query in ["", "  ", "a\nb", "a\0", "\u{1b}[31m", long.as_str()] {
            assert!(Query::new(query).is_err(), "{query:?}");
        }
        for query in ["../info", "a/b", "%2f", "ä", "0", "70000", "[::1]"] {
            assert!(Query::new(query).is_ok(), "{query:?}");
        }
    }

    #[test]
    fn ports_are_numbers() {
        assert_eq!(port("5432"), Some((5432, None)));
        assert_eq!(port(":53/udp"), Some((53, Some("udp".into()))));
        for text in ["0", "70000", "-1", "54a", "", "/tcp"] {
            assert_eq!(port(text), None, "{text}");
        }
    }

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(without_tag("nginx:1.27"), "nginx");
        assert_eq!(without_tag("127.0.0.1:5000/web"), "127.0.0.1:5000/web");
    }
}
