//! How a configuration is refused: one line that names the place and the text, with the mend as the hint.

use std::{fmt::Display, path::Path};

use crate::error::{Error, Result, nearest};

/// The longest piece of somebody's text that a refusal repeats, in characters.
const SHOWN: usize = 60;

/// A refusal: what is wrong, and the mend.
pub(super) fn refusal(what: impl Into<String>, mend: impl Into<String>) -> Error {
    Error::config(what).hint(mend)
}

/// The same refusal with its place in front.
pub(super) fn located(place: impl Display, refused: &Error) -> Error {
    let error = Error::config(format!("{place}: {}", refused.message()));
    match refused.hint_text() {
        Some(mend) => error.hint(mend),
        None => error,
    }
}

/// A text as a refusal shows it: quoted, escaped to one line, cut when long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}", format!("{}…", text.get(..end).unwrap_or_default())),
        None => format!("{text:?}"),
    }
}

/// A path as a refusal shows it: quoted, escaped, whole.
pub(super) fn quoted_path(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// `did you mean "x"?`, else what is allowed.
pub(super) fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(given, known).map_or_else(|| otherwise.to_owned(), |name| format!("did you mean \"{name}\"?"))
}

/// Refuses control characters, which no name, path or sentence of a configuration has.
pub(super) fn no_control_characters(text: &str) -> Result<()> {
    if text.chars().any(char::is_control) {
        return Err(refusal(format!("a control character in {}", quoted(text)), "remove it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_text_is_one_short_line() {
        assert_eq!(quoted("a\n\u{202e}\"b"), r#""a\n\u{202e}\"b""#);
        assert_eq!(quoted(&"é".repeat(61)), format!("\"{}…\"", "é".repeat(60)));
        assert_eq!(quoted(&"é".repeat(60)), format!("\"{}\"", "é".repeat(60)));
    }

    #[test]
    fn a_place_keeps_the_mend() {
        let error = located("line 3", &refusal("no", "do"));
        assert_eq!((error.message(), error.hint_text()), ("line 3: no", Some("do")));
    }
}
