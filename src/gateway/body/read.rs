//! Reading of the engine's documents: what is absent, `null` or of another kind is empty.

use serde_json::Value;

static NOTHING: Value = Value::Null;

/// A part of a document by its path of names.
pub(super) fn part<'a>(document: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(document, |value, name| value.get(name).unwrap_or(&NOTHING))
}

/// A text.
pub(super) fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether something is `true`.
pub(super) fn flag(document: &Value, name: &str) -> bool {
    document.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// A number; one with a fraction is rounded towards zero.
pub(super) fn number(document: &Value, name: &str) -> Option<i64> {
    let value = document.get(name)?;
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
    value.as_i64().or_else(|| value.as_f64().map(|number| number as i64))
}

/// The items of a list.
pub(super) fn items<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a list.
pub(super) fn texts<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    items(document, name).iter().filter_map(Value::as_str)
}

/// The entries of a map.
pub(super) fn entries<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    document.get(name).and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// The entries of a map of texts.
pub(super) fn words<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    entries(document, name).map(|(name, value)| (name, value.as_str().unwrap_or_default()))
}
