//! JSON as values that take at most so much memory, however small their text is.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::target::Fields;

/// What an allocation costs beside what is in it.
const ALLOCATION: usize = 16;
/// What one entry of an object takes: its key, its value, its hash.
const ENTRY: usize = size_of::<String>() + size_of::<Value>() + size_of::<u64>();
/// What one place in the index of an object takes.
const PLACE: usize = size_of::<usize>() + 1;

/// Why a text did not become a value.
#[derive(Debug)]
pub(super) enum Unread {
    /// Its values would take more memory than there is room for.
    TooMuch,
    /// It is no JSON, or cut off.
    Nonsense(serde_json::Error),
}

/// Reads a document, as `serde_json` does, within a room of so many bytes; of the rows of a list only these
/// fields, where some are named: the rest is stepped over, and takes no room.
///
/// A value takes 72 bytes where its text takes two, and an object with one entry takes 500: what is harmless
/// as text is a hundred times as large in memory.
pub(super) fn parse(text: &[u8], room: usize, fields: Option<&Fields>) -> Result<Value, Unread> {
    let room = Room { left: Cell::new(room), full: Cell::new(false) };
    let seed = Seed { room: &room, fields, depth: Depth::Top };
    // To look through the whole for what is no text is soon done, and dear for every string by itself.
    let read = match std::str::from_utf8(text) {
        Ok(text) => read(seed, serde_json::Deserializer::from_str(text)),
        Err(_) => read(seed, serde_json::Deserializer::from_slice(text)),
    };
    read.map_err(|error| if room.full.get() { Unread::TooMuch } else { Unread::Nonsense(error) })
}

fn read<'de>(
    seed: Seed<'_>,
    mut deserializer: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
) -> serde_json::Result<Value> {
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// What may still be taken.
struct Room {
    left: Cell<usize>,
    full: Cell<bool>,
}

impl Room {
    fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        if let Some(left) = self.left.get().checked_sub(bytes) {
            self.left.set(left);
            return Ok(());
        }
        self.full.set(true);
        Err(E::custom("it takes too much memory"))
    }

    fn text<E: serde::de::Error>(&self, length: usize) -> Result<(), E> {
        if length == 0 { Ok(()) } else { self.take(length + ALLOCATION) }
    }
}

/// Where in a document a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Top,
    Row,
    Labels,
    Below,
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    room: &'a Room,
    fields: Option<&'a Fields>,
    depth: Depth,
}

/// The names that are wanted here.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    All,
    Fields(&'a [&'a str]),
    Labels(&'a [String]),
}

/// The name of a field, unless it is one to step over.
struct Name<'a>(Wanted<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<String>, E> {
        let is_wanted = match self.0 {
            Wanted::All => true,
            Wanted::Fields(names) => names.contains(&name),
            Wanted::Labels(names) => names.iter().any(|wanted| wanted == name),
        };
        Ok(is_wanted.then(|| name.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.room.text(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let mut places = 0;
        let item = Seed { depth: if self.depth == Depth::Top { Depth::Row } else { Depth::Below }, ..self };
        while let Some(value) = items.next_element_seed(item)? {
            if list.len() == places {
                places = (2 * places).max(4);
                self.room.take((places - list.len()) * size_of::<Value>() + ALLOCATION)?;
                list.reserve_exact(places - list.len());
            }
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let wanted = match (self.depth, self.fields) {
            (Depth::Row, Some(Fields { names, .. })) => Wanted::Fields(names),
            (Depth::Labels, Some(Fields { labels: Some(names), .. })) => Wanted::Labels(names),
            _ => Wanted::All,
        };
        // Made at once: every row has about the same fields, and growing costs more than they do.
        let mut places = if let Wanted::Fields(names) = wanted { names.len() } else { 0 };
        if places > 0 {
            self.room.take(2 * places * (ENTRY + 2 * PLACE) + 2 * ALLOCATION)?;
        }
        let mut object = Map::with_capacity(places);
        while let Some(key) = entries.next_key_seed(Name(wanted))? {
            let Some(key) = key else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            self.room.text(key.len())?;
            if object.len() == places {
                // As a hash table grows: 3 of 4, 7 of 8, 14 of 16.
                let more = match places {
                    0 => 3,
                    3 => 7,
                    places => 2 * places,
                };
                self.room.take((more - places) * (ENTRY + 2 * PLACE) + 2 * ALLOCATION)?;
                places = more;
            }
            let is_labels = self.depth == Depth::Row && key == "Labels";
            let depth = if is_labels { Depth::Labels } else { Depth::Below };
            let value = entries.next_value_seed(Seed { depth, ..self })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROOM: usize = 1 << 20;

    fn whole(text: &str, room: usize) -> Result<Value, Unread> {
        parse(text.as_bytes(), room, None)
    }

    fn rows(text: &str) -> Option<Value> {
        parse(text.as_bytes(), ROOM, Some(&Fields { names: &["Id", "Labels"], labels: None })).ok()
    }

    #[test]
    fn only_the_named_fields_of_rows_are_there() {
        let listed = r#"[{"Id": "a", "Labels": {"x": "y"}, "Mounts": [{"Id": "b", "n": [1, {}]}], "Size": 1e3}, {}, {"\u0049d": 7}]"#;
        assert_eq!(rows(listed).unwrap(), json!([{"Id": "a", "Labels": {"x": "y"}}, {}, {"Id": 7}]));
        assert_eq!(rows("[]").unwrap(), json!([]));
        // The last of two fields of one name counts, as in a document.
        assert_eq!(rows(r#"[{"Id": 1, "Id": 2}]"#).unwrap(), json!([{"Id": 2}]));
        assert_eq!(rows(r#"{"a": {"Id": 1, "b": 2}}"#).unwrap(), json!({"a": {"Id": 1, "b": 2}}), "no list");
        for text in ["", "[{}", "[{}] x", "[{\"Id\": }]", "[{\"a\": [}]"] {
            assert_eq!(rows(text), None, "{text}");
        }
        let deep = format!("[{{\"Mounts\": {}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(rows(&deep).unwrap(), json!([{}]), "what is stepped over takes no stack");
    }

    #[test]
    fn only_the_named_labels_of_rows_are_there() {
        let listed = r#"[{"Labels": {"a": "1", "b": {"a": "2", "Labels": 3}, "c": "4"}, "Labels\u0032": {"a": 1}}, {"Labels": ["c"]}]"#;
        let fields = Fields { names: &["Labels", "Labels2"], labels: Some(vec!["b".to_owned(), "d".to_owned()]) };
        assert_eq!(
            parse(listed.as_bytes(), ROOM, Some(&fields)).unwrap(),
            json!([{"Labels": {"b": {"a": "2", "Labels": 3}}, "Labels2": {"a": 1}}, {"Labels": ["c"]}])
        );
    }

    #[test]
    fn it_reads_what_serde_reads() {
        for text in [
            "null",
            " true ",
            "[1, -1, 18446744073709551615, -9223372036854775808, 0.1, 1e300, 12345678901234567890123]",
            r#"{"b": {"a": [[], {}, ""]}, "a": "\u0041\n", "b": 2}"#,
            r#"["a", {"k": [1, 2, 3, 4, 5, 6, 7, 8, 9], "l": null}]"#,
        ] {
            let (ours, theirs) = (whole(text, ROOM).unwrap(), serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(ours.to_string(), theirs.to_string());
        }
        let deep = "[".repeat(200);
        assert!(matches!(parse(b"[\"\xff\"]", ROOM, None), Err(Unread::Nonsense(_))), "no text");
        for text in ["", "{", "[1,]", "{} {}", "1e999", "\"", r#"{"a" 1}"#, deep.as_str()] {
            assert!(serde_json::from_str::<Value>(text).is_err());
            assert!(matches!(whole(text, ROOM), Err(Unread::Nonsense(_))), "{text}");
        }
    }

    #[test]
    fn small_text_that_becomes_large_is_refused() {
        for element in ["0", "{}", "[]", "[0]", r#"{"":0}"#, r#""""#] {
            let text = format!("[{}{element}]", format!("{element},").repeat(100_000));
            assert!(matches!(whole(&text, ROOM), Err(Unread::TooMuch)), "{element}");
            assert!(whole(&text, 1 << 30).is_ok(), "{element}");
        }
        // Text itself is what it is.
        let long = serde_json::to_string(&"x".repeat(900_000)).unwrap();
        assert!(whole(&long, ROOM).is_ok());
    }
}
