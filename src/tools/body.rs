//! What `docker run` and `docker service create` are told in the same words, as an engine's documents have it.

pub(crate) mod mounts;
pub(crate) mod ports;
pub(crate) mod values;
pub(crate) mod variables;

use crate::error::Result;

/// Arguments of a process: anything but NUL.
pub(crate) fn arguments(argument: &str, given: &[String]) -> Result<()> {
    match given.iter().find(|text| text.contains('\0')) {
        Some(text) => Err(values::wrong(argument, text, "not allowed", "no NUL in it")),
        None => Ok(()),
    }
}

/// Text on one line.
pub(crate) fn words(argument: &str, given: Option<&String>) -> Result<Option<String>> {
    match given {
        Some(text) if text.is_empty() || text.chars().any(char::is_control) => {
            Err(values::wrong(argument, text, "not allowed", "one line of text, without control characters"))
        }
        given => Ok(given.cloned()),
    }
}

/// A list that says something.
pub(crate) fn filled<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
