//! Small answers: the caps of one answer, and the cursor that goes on where it was cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The most characters of one channel.
pub const LONGEST_ANSWER: usize = 24_000;

/// Where the next page begins: after the row with this key, whatever came or went meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor behind the row with this key.
    #[must_use]
    pub fn after(key: &str) -> Self {
        Self(percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string())
    }

    /// The key of the last row that was shown.
    ///
    /// # Errors
    /// `invalid` for one that no answer gave.
    pub fn key(&self) -> Result<String> {
        percent_encoding::percent_decode_str(&self.0).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
            Error::invalid("argument \"cursor\" is not one that an answer gave").hint("call again without a cursor")
        })
    }
}

/// What an answer that may be cut says about itself.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Page {
    /// How many rows there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// How many are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<usize>,
    /// Goes on after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

impl Page {
    /// For a summary: nothing when all is shown, else how much and how to go on.
    #[must_use]
    pub fn rest(&self) -> String {
        match (self.shown, self.total) {
            (Some(shown), Some(total)) if self.cursor.is_some() => {
                format!(" shown, {} more: give the cursor or a narrower filter", total - shown)
            }
            _ => String::new(),
        }
    }
}

/// Cuts sorted rows to a page: those after the cursor, at most `limit`, and no more than fit an answer.
///
/// # Errors
/// `invalid` for a broken cursor.
pub fn paged<T: Serialize>(
    rows: Vec<T>,
    key: impl Fn(&T) -> String,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<T>, Page)> {
    let start = cursor.map(Cursor::key).transpose()?;
    let rest: Vec<T> = rows.into_iter().filter(|row| start.as_ref().is_none_or(|start| key(row) > *start)).collect();
    let total = rest.len();
    let mut room = LONGEST_ANSWER.saturating_sub(2_000);
    let mut shown: usize = 0;
    for row in rest.iter().take(limit) {
        let size = serde_json::to_string(row).map_or(0, |text| text.len() + 1);
        if size > room && shown > 0 {
            break;
        }
        room = room.saturating_sub(size);
        shown += 1;
    }
    let cursor = rest.get(shown.wrapping_sub(1)).filter(|_| shown < total).map(|row| Cursor::after(&key(row)));
    let page = match cursor {
        None => Page::default(),
        cursor => Page { total: Some(total), shown: Some(shown), cursor },
    };
    Ok((rest.into_iter().take(shown).collect(), page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_without_a_row_twice_or_missed() {
        let rows: Vec<String> = (0..250).map(|number| format!("row-{number:03}")).collect();
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let (shown, page) = paged(rows.clone(), Clone::clone, cursor.as_ref(), 40).unwrap();
            seen.extend(shown);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn an_answer_has_an_end() {
        let rows: Vec<String> = (0..100).map(|number| format!("{number:03}{}", "x".repeat(1000))).collect();
        let (shown, page) = paged(rows, Clone::clone, None, 100).unwrap();
        assert!(shown.len() < 24 && page.cursor.is_some());
    }
}
