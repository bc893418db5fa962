//! How many bytes a JSON value takes once it is written, without writing it.

use std::fmt::{self, Write};

use serde_json::Value;

use super::Json;

/// The bytes of an object as compact JSON.
#[must_use]
pub(super) fn of(fields: &Json) -> usize {
    let inner: usize = fields.iter().map(|(name, value)| of_text(name) + 1 + of_value(value)).sum();
    framed(inner, fields.len())
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => {
            let mut counted = Counted(0);
            // Counting does not fail.
            write!(counted, "{number}").ok();
            counted.0
        }
        Value::String(text) => of_text(text),
        Value::Array(items) => framed(items.iter().map(of_value).sum(), items.len()),
        Value::Object(fields) => of(fields),
    }
}

/// Two brackets, and commas between the parts.
const fn framed(inner: usize, parts: usize) -> usize {
    2 + inner + parts.saturating_sub(1)
}

/// Two quotes; what has to be escaped takes one more byte, or five (RFC 8259, 7).
fn of_text(text: &str) -> usize {
    // Without a branch for each byte: nearly no text has anything to escape.
    let odd = text
        .bytes()
        .fold(0, |odd, byte| odd | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\'));
    if odd == 0 {
        return 2 + text.len();
    }
    let escapes: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 1,
            0..0x20 => 5,
            _ => 0,
        })
        .sum();
    2 + text.len() + escapes
}

struct Counted(usize);

impl Write for Counted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\u{0}-\u{7f}]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_is_written(value in values()) {
            prop_assert_eq!(of_value(&value), value.to_string().len());
        }
    }

    #[test]
    fn an_object_is_counted_as_it_is_written() {
        let fields = json!({"a": [], "b": {}, "c\n": ["\u{1}", "é", 0.1, -7, null, true, false]});
        assert_eq!(of(fields.as_object().unwrap()), fields.to_string().len());
    }
}
