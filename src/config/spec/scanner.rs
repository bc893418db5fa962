//! Walks over a list of hosts and knows at which column it is.

use crate::{
    config::refusal::{located, quoted, refusal},
    error::{Error, Result},
};

/// A place in the text: how many bytes were left there.
pub(super) type Mark = usize;

/// What is left of a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Starts at the first character.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, rest: text }
    }

    /// Where it is.
    pub(super) fn mark(&self) -> Mark {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether this character comes next.
    pub(super) fn at(&self, character: char) -> bool {
        self.rest.starts_with(character)
    }

    /// Steps over this character if it comes next.
    pub(super) fn take(&mut self, character: char) -> bool {
        let stripped = self.rest.strip_prefix(character);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    /// Steps over white space.
    pub(super) fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes everything before the first of `stops`.
    pub(super) fn until(&mut self, stops: &[char]) -> &'a str {
        let end = self.rest.find(stops).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes the `name=` in front of an endpoint, if there is one.
    ///
    /// A `=` inside an endpoint or a marker is told apart by what stands before it.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let (name, rest) = self.rest.split_once('=')?;
        if name.contains([',', '(', '"']) || name.contains("://") {
            return None;
        }
        self.rest = rest;
        Some(name.trim())
    }

    /// Takes a value: quoted, or everything before the first of `stops` without the space around it.
    pub(super) fn value(&mut self, stops: &[char]) -> Result<String> {
        self.skip_space();
        let start = self.mark();
        if self.take('"') {
            return self.quoted(start);
        }
        let value = self.until(stops).trim();
        if value.contains('"') {
            let what = format!("a quotation mark inside {}", quoted(value));
            return Err(self.refuse_at(start, &refusal(what, "quote the whole value, and write \\\" inside")));
        }
        Ok(value.to_owned())
    }

    /// Takes the rest of a quoted value; only `\"` and `\\` are escapes.
    fn quoted(&mut self, start: Mark) -> Result<String> {
        let mut value = String::new();
        let mut characters = self.rest.chars();
        loop {
            let place = characters.as_str().len();
            match (characters.next(), characters.clone().next()) {
                (Some('"'), _) => break,
                (Some('\\'), Some(escaped @ ('"' | '\\'))) => {
                    value.push(escaped);
                    characters.next();
                }
                (Some('\\'), Some(other)) => {
                    let what = format!("unknown escape {}", quoted(&format!("\\{other}")));
                    return Err(self.refuse_at(place, &refusal(what, "only \\\" and \\\\ are escapes")));
                }
                (Some(character), _) => value.push(character),
                (None, _) => {
                    return Err(self.refuse_at(start, &refusal("the quotation mark is not closed", "add \"")));
                }
            }
        }
        self.rest = characters.as_str();
        Ok(value)
    }

    /// A refusal with the column of a place, counted in characters from 1.
    pub(super) fn refuse_at(&self, mark: Mark, refused: &Error) -> Error {
        let before = self.text.len().saturating_sub(mark);
        let column = self.text.get(..before).map_or(0, |text| text.chars().count()) + 1;
        located(format_args!("column {column}"), refused)
    }
}
