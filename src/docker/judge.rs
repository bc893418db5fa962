//! What judges a request that somebody else wrote, before a connection carries it: the types; the judgement is the gateway's.

use std::{future::Future, pin::Pin};

use serde_json::Value;

use super::{Docker, guard::Wire};
use crate::error::Result;

/// A judgement that is being made.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Result<Ruling>> + Send + 'a>>;

/// Judges what programs that were written by others ask of an engine.
pub trait Judge: Send + Sync {
    /// Judges one request that changes something. The handle sends only looks; it knows what the same call made.
    ///
    /// An error is a refusal: nothing is sent. `denied` names the rule.
    fn judge<'a>(&'a self, foreign: Foreign<'a>, looking: &'a Docker) -> Judging<'a>;
}

/// A request that somebody else wrote.
#[derive(Debug, Clone, Copy)]
pub struct Foreign<'a> {
    /// What it is.
    pub wire: &'a Wire,
    /// Its parameters, decoded.
    pub query: &'a [(String, String)],
    /// Its body, read whole; empty where it has none, and where it is a stream.
    pub body: &'a [u8],
    /// Labels that the program itself writes.
    pub marks: &'a [Mark],
}

impl<'a> Foreign<'a> {
    /// The first value of a parameter, as the engine takes it; blank counts as absent.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Labels that a program writes by itself, and no caller typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Every label whose name begins so.
    Prefix(&'static str),
    /// This label with this value, and with no other.
    Exact(String, String),
}

impl Mark {
    /// Whether a label is one of the program's own: what has an exact mark has to have its value.
    #[must_use]
    pub fn cover(marks: &[Self], name: &str, value: &str) -> bool {
        let exact = marks.iter().find_map(|mark| match mark {
            Self::Exact(label, wanted) if label == name => Some(wanted),
            _ => None,
        });
        match exact {
            Some(wanted) => wanted == value,
            None => marks.iter().any(|mark| matches!(mark, Self::Prefix(prefix) if name.starts_with(prefix))),
        }
    }
}

/// What may be sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ruling {
    /// The body as it was understood, which is sent in place of what was written.
    pub document: Option<Value>,
    /// The full id of the object that the request names, which is sent in place of what was written.
    pub subject: Option<String>,
    /// What passes, but not in silence.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_mark_is_stronger_than_a_prefix() {
        let marks = [
            Mark::Prefix("com.docker.compose."),
            Mark::Exact("com.docker.compose.project".to_owned(), "shop".to_owned()),
        ];
        assert!(Mark::cover(&marks, "com.docker.compose.service", "web"));
        assert!(Mark::cover(&marks, "com.docker.compose.project", "shop"));
        assert!(!Mark::cover(&marks, "com.docker.compose.project", "bank"));
        assert!(!Mark::cover(&marks, "traefik.enable", "true"));
    }
}
