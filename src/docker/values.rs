//! JSON as values that take at most so much memory, however small their text is.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

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

/// Reads a document, as `serde_json` does, within a room of so many bytes.
///
/// A value takes 72 bytes where its text takes two, and an object with one entry takes 500: what is harmless
/// as text is a hundred times as large in memory.
pub(super) fn parse(text: &[u8], room: usize) -> Result<Value, Unread> {
    within(room, |room| read(Seed { room }, text))
}

/// Reads something within a room of so many bytes.
pub(super) fn within<T>(room: usize, read: impl FnOnce(&Room) -> serde_json::Result<T>) -> Result<T, Unread> {
    let room = Room::new(room);
    read(&room).map_err(|error| if room.full.get() { Unread::TooMuch } else { Unread::Nonsense(error) })
}

/// Reads a text to its end.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(seed: S, text: &'de [u8]) -> serde_json::Result<S::Value> {
    // To look through the whole for what is no text is soon done, and dear for every string by itself.
    match std::str::from_utf8(text) {
        Ok(text) => whole(seed, serde_json::Deserializer::from_str(text)),
        Err(_) => whole(seed, serde_json::Deserializer::from_slice(text)),
    }
}

fn whole<'de, S: DeserializeSeed<'de>>(
    seed: S,
    mut deserializer: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
) -> serde_json::Result<S::Value> {
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// What may still be taken.
pub(super) struct Room {
    left: Cell<usize>,
    full: Cell<bool>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: Cell::new(bytes), full: Cell::new(false) }
    }

    pub(super) fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        if let Some(left) = self.left.get().checked_sub(bytes) {
            self.left.set(left);
            return Ok(());
        }
        self.full.set(true);
        Err(E::custom("it takes too much memory"))
    }

    /// Takes what one more item of a list needs, and makes the place for it.
    pub(super) fn place_in<T, E: serde::de::Error>(&self, list: &mut Vec<T>) -> Result<(), E> {
        if list.len() == list.capacity() {
            let more = list.len().max(4);
            self.take(more * size_of::<T>() + ALLOCATION)?;
            list.reserve_exact(more);
        }
        Ok(())
    }

    pub(super) fn text<E: serde::de::Error>(&self, length: usize) -> Result<(), E> {
        if length == 0 { Ok(()) } else { self.take(length + ALLOCATION) }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    room: &'a Room,
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
        while let Some(value) = items.next_element_seed(self)? {
            self.room.place_in(&mut list)?;
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut object, mut places) = (Map::new(), 0);
        while let Some(key) = entries.next_key::<String>()? {
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
            let value = entries.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 20;

    fn whole(text: &str, room: usize) -> Result<Value, Unread> {
        parse(text.as_bytes(), room)
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
        assert!(matches!(parse(b"[\"\xff\"]", ROOM), Err(Unread::Nonsense(_))), "no text");
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
