//! Small tolerant views of the engine's documents that several domains share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    docker::{Port, names::quote},
    error::{Error, Result},
    redact,
};

/// The longest text that a filter takes.
const LONGEST_FILTER: usize = 1000;

/// A text field, or nothing.
pub(crate) fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a field says so.
pub(crate) fn flag(document: &Value, field: &str) -> bool {
    document.get(field).and_then(Value::as_bool).unwrap_or_default()
}

/// The name of a container in the engine's list, without the slash in front; empty where it has none.
pub(crate) fn container_name(row: &Value) -> &str {
    let first = row.get("Names").and_then(|names| names.get(0));
    first.and_then(Value::as_str).unwrap_or_default().trim_start_matches('/')
}

/// The first twelve digits of an id, without the algorithm in front.
pub(crate) fn short_id(id: &str) -> String {
    let digits = id.rsplit(':').next().unwrap_or(id);
    digits.char_indices().nth(12).and_then(|(end, _)| digits.get(..end)).unwrap_or(digits).to_owned()
}

/// An image is shown by its reference; one without is shown by a short id.
pub(crate) fn image(reference: &str) -> String {
    if reference.starts_with("sha256:") { short_id(reference) } else { reference.to_owned() }
}

/// `8080->80/udp`; an address in front where it is not every one.
pub(crate) fn ports(ports: &[Port]) -> Vec<String> {
    let shown = |port: &Port| {
        let private = port.private?;
        let protocol = if port.protocol == "tcp" { String::new() } else { format!("/{}", port.protocol) };
        Some(match (port.public, port.address.as_str()) {
            (None, _) => format!("{private}{protocol}"),
            (Some(public), "" | "0.0.0.0" | "::") => format!("{public}->{private}{protocol}"),
            (Some(public), address) => format!("{address}:{public}->{private}{protocol}"),
        })
    };
    let mut shown: Vec<String> = ports.iter().filter_map(shown).collect();
    shown.sort_unstable();
    shown.dedup();
    shown
}

/// A sum that ends at its limit: a daemon's numbers may be anything.
pub(super) fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

/// A size as people read it, in binary units: `512 B`, `1.5 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if size >= 100.0 { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") }
}

/// Somebody's text as it may be shown, of at most so many characters; a cut one ends with `…`.
///
/// It is masked before it is cut: half a secret has no shape.
pub(crate) fn clipped(text: &str, characters: usize) -> String {
    let mut text = redact::shown(text);
    // No text has more characters than bytes.
    if text.len() > characters
        && let Some((end, _)) = text.char_indices().nth(characters)
    {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The first texts, and how many more there are.
pub(crate) fn few(mut texts: Vec<String>, most: usize) -> Vec<String> {
    let more = texts.len().saturating_sub(most);
    if more > 0 {
        texts.truncate(most);
        texts.push(format!("and {more} more"));
    }
    texts
}

/// Keeps the first rows, as many as fit into the room that is left in an answer, and takes it.
pub(crate) fn fit<T: serde::Serialize>(rows: &mut Vec<T>, room: &mut usize) {
    let mut kept = 0;
    for row in rows.iter() {
        let size = serde_json::to_string(row).map_or(0, |text| text.len() + 1);
        if size > *room {
            break;
        }
        *room -= size;
        kept += 1;
    }
    rows.truncate(kept);
}

/// The objects of a list; none where the field is missing, null or no list.
pub(crate) fn items<'a>(document: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    document.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of a list.
pub(crate) fn texts<'a>(document: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    items(document, field).filter_map(Value::as_str)
}

/// The texts of a map, such as labels, without what is not text.
pub(crate) fn map(document: &Value, field: &str) -> BTreeMap<String, String> {
    let fields = document.get(field).and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(key, value)| Some((redact::shown(key), redact::shown(value.as_str()?)))).collect()
}

/// Seconds since 1970 as RFC 3339; none for the engine's "never".
pub(crate) fn timestamp(seconds: i64) -> Option<String> {
    let moment = Timestamp::from_second(seconds).ok().filter(|moment| moment.as_second() > 0)?;
    Some(moment.to_string())
}

/// A time as an engine writes it, in UTC and to the second; none for "never".
pub(crate) fn time(text: &str) -> Option<String> {
    timestamp(text.parse::<Timestamp>().ok()?.as_second())
}

/// A document whose known places are masked, as it may be shown: every text without what is not text, and
/// without what its shape gives away.
pub(crate) fn cleaned(document: &Value) -> Value {
    match document {
        Value::String(text) => redact::shown(text).into(),
        Value::Array(items) => items.iter().map(cleaned).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (redact::shown(key), cleaned(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// Refuses what no filter can mean: nothing, control characters, too much.
///
/// # Errors
/// `invalid`, naming the argument.
pub(crate) fn filter(argument: &str, text: &str) -> Result<()> {
    if !text.is_empty() && text.len() <= LONGEST_FILTER && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(format!("argument \"{argument}\": {} is nothing to look for", quote(text)))
        .hint(format!("printable text of at most {LONGEST_FILTER} characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(clipped("äöü", 3), "äöü");
        assert_eq!(clipped("äöü", 2), "äö…");
        let (mut rows, mut room) = (vec!["12345"; 10], 20);
        fit(&mut rows, &mut room);
        assert_eq!((rows.len(), room), (2, 4));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let texts = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(few(texts(3), 3), ["0", "1", "2"]);
        assert_eq!(few(texts(5), 3), ["0", "1", "2", "and 2 more"]);
    }

    #[test]
    fn times_are_utc_to_the_second() {
        assert_eq!(time("2026-11-20T16:02:53.864366197+01:00").as_deref(), Some("2026-11-20T15:02:53Z"));
        assert_eq!(timestamp(1_795_190_573).as_deref(), Some("2026-11-20T16:02:53Z"));
        for never in ["0001-01-01T00:00:00Z", "", "yesterday"] {
            assert_eq!(time(never), None, "{never}");
        }
    }

    #[test]
    fn documents_are_cleaned_at_every_depth() {
        let document = serde_json::json!({"Config": {"Labels": {"k\u{202e}": "\u{1b}[31mred"}}});
        let clean = cleaned(&document);
        assert_eq!(clean.pointer("/Config/Labels/k").and_then(Value::as_str), Some("red"));
        let masked = redact::variable("A=hunter2");
        assert_eq!(cleaned(&Value::from(masked.as_str())), masked.as_str());
    }

    #[test]
    fn sizes_are_binary() {
        for (size, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2 << 30, "2.0 GiB"), (150 << 20, "150 MiB")]
        {
            assert_eq!(bytes(size), shown);
        }
    }
}
