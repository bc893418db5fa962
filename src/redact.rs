//! What may be shown: masks secrets in known places and of known shapes, strips what is more than text.
//!
//! Where text enters from a daemon, [`document`] masks the known places of its documents, and [`Lines`]
//! whatever a container writes. Where anything leaves, [`texts`] and [`shown`] look at it once more.
//! A mark is never masked again, so it does not matter how often a text passes.

mod command;
mod instruction;
mod known;
mod lines;
mod marks;
mod masks;
mod names;
mod options;
mod plain;
mod shapes;

use serde_json::Value;

pub use known::document;
pub use lines::Lines;
pub use marks::mask;
pub use masks::Masks;
pub use names::Reveal;
pub(crate) use plain::is_invisible;
pub use plain::plain;

/// `NAME=<redacted ...>` of every `NAME=value`; a name without a value stays as it is.
#[must_use]
pub fn variable(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) => format!("{}={}", plain(name), mask(value)),
        None => plain(text),
    }
}

/// A label's value as it may be shown, where that is another one.
pub(crate) fn label(name: &str, value: &str, reveal: &Reveal) -> Option<String> {
    known::label(name, value, reveal, &mut |_| {})
}

/// What leaves: stripped of what is not text, and of every secret that its shape gives away.
#[must_use]
pub fn shown(text: &str) -> String {
    let clean = plain::stripped(text);
    match shapes::hide(&clean) {
        (std::borrow::Cow::Owned(hidden), _) => hidden,
        _ => clean.into_owned(),
    }
}

/// What the texts of most documents take together.
const USUAL: usize = 2 << 10;
/// How much of a document is looked at at once.
const PIECE: usize = 64 << 10;

/// The same for every text of an answer, at any depth; most have nothing to hide and stay untouched.
pub fn texts(document: &mut Value) {
    // All of them together are soon looked through: they are short, and what takes time is to begin.
    let mut together = String::with_capacity(USUAL);
    if !(is_clean_so_far(document, &mut together) && is_clean(&together)) {
        each_text(document);
    }
}

/// Adds all texts of a document to what is looked at together, and looks at it whenever it is long.
fn is_clean_so_far(document: &Value, together: &mut String) -> bool {
    let mut add = |text: &str| {
        together.push_str(text);
        together.push('\n');
        let is_clean = together.len() < PIECE || is_clean(together);
        if together.len() >= PIECE {
            together.clear();
        }
        is_clean
    };
    match document {
        Value::String(text) => add(text),
        Value::Array(items) => items.iter().all(|item| is_clean_so_far(item, together)),
        Value::Object(fields) => {
            fields.keys().all(|name| add(name)) && fields.values().all(|value| is_clean_so_far(value, together))
        }
        _ => true,
    }
}

/// Whether nothing in a text could be masked or stripped, whatever stands before and behind it.
fn is_clean(text: &str) -> bool {
    !shapes::has_anchor(text) && matches!(plain::stripped(text), std::borrow::Cow::Borrowed(_))
}

fn each_text(document: &mut Value) {
    match document {
        Value::String(text) => {
            if let Some(changed) = changed(text) {
                *text = changed;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(each_text),
        Value::Object(fields) => {
            if fields.keys().any(|name| changed(name).is_some()) {
                *fields = std::mem::take(fields).into_iter().map(|(name, value)| (shown(&name), value)).collect();
            }
            fields.values_mut().for_each(each_text);
        }
        _ => {}
    }
}

/// The same for every line of a text, each by itself: what one holds does not reach into the next.
#[must_use]
pub fn lines(text: String) -> String {
    if is_clean(&text) || text.split('\n').all(|line| changed(line).is_none()) {
        return text;
    }
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// A text as it may be shown, where that is another one.
fn changed(text: &str) -> Option<String> {
    use std::borrow::Cow;
    if shapes::is_short_word(text) {
        return None;
    }
    let clean = plain::stripped(text);
    match (shapes::hide(&clean).0, &clean) {
        (Cow::Owned(hidden), _) => Some(hidden),
        (_, Cow::Owned(clean)) => Some(clean.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
