//! Objects of which only some fields are read: all else is stepped over, and takes neither memory nor time.
//!
//! They are as tolerant as values: what is of another kind than it should be reads as if it were missing.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::values::{self, Room, Unread};

/// An object of which some fields are read.
pub(super) trait Record: Default {
    /// The names of those fields.
    const FIELDS: &'static [&'static str];

    /// Reads the value of one of them.
    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, value: Field<'_, A>) -> Result<(), A::Error>;
}

/// The value of a field, which is read as one of these.
pub(super) struct Field<'a, A> {
    entries: &'a mut A,
    reader: Reader<'a>,
}

impl<'de, A: MapAccess<'de>> Field<'_, A> {
    /// A text.
    pub(super) fn text(self) -> Result<String, A::Error> {
        self.shaped(Text)
    }

    /// The first text of a list.
    pub(super) fn first_text(self) -> Result<String, A::Error> {
        self.shaped(FirstText)
    }

    /// A number that is not negative.
    pub(super) fn number(self) -> Result<Option<u64>, A::Error> {
        self.shaped(Number)
    }

    /// A list of objects.
    pub(super) fn records<R: Record>(self) -> Result<Vec<R>, A::Error> {
        self.shaped(Records(PhantomData)).map(Option::unwrap_or_default)
    }

    /// Those of an object of texts that are wanted; null stands for what is no text.
    pub(super) fn labels(self) -> Result<Vec<(String, Value)>, A::Error> {
        self.shaped(Labels)
    }

    fn shaped<S: Shape<'de>>(self, shape: S) -> Result<S::Out, A::Error> {
        self.entries.next_value_seed(As { shape, reader: self.reader })
    }
}

/// Reads a list of such objects from its text, as `serde_json` does, within a room of so many bytes; nothing
/// where it is no list.
pub(super) fn parse<R: Record>(text: &[u8], room: usize, labels: &[&str]) -> Result<Option<Vec<R>>, Unread> {
    values::within(room, |room| values::read(As { shape: Records(PhantomData), reader: Reader { room, labels } }, text))
}

/// The same of a document that has been read.
pub(super) fn of<R: Record>(document: Value, labels: &[&str]) -> Option<Vec<R>> {
    let room = Room::new(usize::MAX);
    let seed = As { shape: Records(PhantomData), reader: Reader { room: &room, labels } };
    seed.deserialize(document).ok().flatten()
}

/// What all who read have in common.
#[derive(Clone, Copy)]
struct Reader<'a> {
    room: &'a Room,
    /// The labels that are wanted.
    labels: &'a [&'a str],
}

/// What a value is read as. Each way of reading it that is not written anew finds nothing, and steps over it.
trait Shape<'de>: Sized {
    type Out: Default;

    fn of_nothing(self) -> Self::Out {
        Self::Out::default()
    }

    fn of_number(self, _: u64) -> Self::Out {
        Self::Out::default()
    }

    fn of_text<E: Error>(self, _: &str, _: Reader<'_>) -> Result<Self::Out, E> {
        Ok(Self::Out::default())
    }

    fn of_list<A: SeqAccess<'de>>(self, mut items: A, _: Reader<'_>) -> Result<Self::Out, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::Out::default())
    }

    fn of_object<A: MapAccess<'de>>(self, mut entries: A, _: Reader<'_>) -> Result<Self::Out, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::Out::default())
    }
}

/// Reads any value as one of a shape.
struct As<'a, S> {
    shape: S,
    reader: Reader<'a>,
}

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for As<'_, S> {
    type Value = S::Out;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Out, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for As<'_, S> {
    type Value = S::Out;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<S::Out, E> {
        Ok(self.shape.of_nothing())
    }

    fn visit_bool<E>(self, _: bool) -> Result<S::Out, E> {
        Ok(S::Out::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<S::Out, E> {
        Ok(S::Out::default())
    }

    fn visit_u64<E>(self, number: u64) -> Result<S::Out, E> {
        Ok(self.shape.of_number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<S::Out, E> {
        Ok(S::Out::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<S::Out, E> {
        self.shape.of_text(text, self.reader)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<S::Out, A::Error> {
        self.shape.of_list(items, self.reader)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<S::Out, A::Error> {
        self.shape.of_object(entries, self.reader)
    }
}

struct Text;

impl Shape<'_> for Text {
    type Out = String;

    fn of_text<E: Error>(self, text: &str, reader: Reader<'_>) -> Result<String, E> {
        reader.room.text(text.len())?;
        Ok(text.to_owned())
    }
}

/// A text, or null.
struct Label;

impl Shape<'_> for Label {
    type Out = Value;

    fn of_text<E: Error>(self, text: &str, reader: Reader<'_>) -> Result<Value, E> {
        Text.of_text(text, reader).map(Value::String)
    }
}

struct FirstText;

impl<'de> Shape<'de> for FirstText {
    type Out = String;

    fn of_list<A: SeqAccess<'de>>(self, mut items: A, reader: Reader<'_>) -> Result<String, A::Error> {
        let first = items.next_element_seed(As { shape: Text, reader })?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.unwrap_or_default())
    }
}

struct Number;

impl Shape<'_> for Number {
    type Out = Option<u64>;

    fn of_number(self, number: u64) -> Option<u64> {
        Some(number)
    }
}

struct Records<R>(PhantomData<R>);

impl<'de, R: Record> Shape<'de> for Records<R> {
    type Out = Option<Vec<R>>;

    /// Go writes a list that was never made as `null`.
    fn of_nothing(self) -> Option<Vec<R>> {
        Some(Vec::new())
    }

    fn of_list<A: SeqAccess<'de>>(self, mut items: A, reader: Reader<'_>) -> Result<Option<Vec<R>>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(As { shape: One(PhantomData), reader })? {
            reader.room.place_in(&mut list)?;
            list.push(item);
        }
        Ok(Some(list))
    }
}

struct One<R>(PhantomData<R>);

impl<'de, R: Record> Shape<'de> for One<R> {
    type Out = R;

    fn of_object<A: MapAccess<'de>>(self, mut entries: A, reader: Reader<'_>) -> Result<R, A::Error> {
        let mut record = R::default();
        while let Some(name) = entries.next_key_seed(Name(R::FIELDS))? {
            match name {
                Some(name) => record.read(name, Field { entries: &mut entries, reader })?,
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(record)
    }
}

struct Labels;

impl<'de> Shape<'de> for Labels {
    type Out = Vec<(String, Value)>;

    fn of_object<A: MapAccess<'de>>(self, mut entries: A, reader: Reader<'_>) -> Result<Self::Out, A::Error> {
        let mut labels = Vec::new();
        while let Some(name) = entries.next_key_seed(Name(reader.labels))? {
            let Some(name) = name else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            // As often as there is room for: one name may stand there again and again.
            reader.room.place_in(&mut labels)?;
            reader.room.text(name.len())?;
            labels.push((name.to_owned(), entries.next_value_seed(As { shape: Label, reader })?));
        }
        Ok(labels)
    }
}

/// The name of a field as it stands among the wanted ones; nothing where it is none of them.
struct Name<'a>(&'a [&'a str]);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<&'a str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<&'a str>, E> {
        Ok(self.0.iter().find(|wanted| **wanted == name).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{Container, Port};

    const ROOM: usize = 1 << 20;

    /// What is read of a list, which is the same from its text and from its values.
    fn listed(text: &str, labels: &[&str]) -> Option<Vec<Container>> {
        let read = parse::<Container>(text.as_bytes(), ROOM, labels).unwrap();
        assert_eq!(read, of(serde_json::from_str(text).unwrap(), labels), "{text}");
        read
    }

    #[test]
    fn only_what_is_named_is_read() {
        let text = r#"[
            {"Id": "a", "Names": ["/web", "/db/alias"], "Image": "nginx", "ImageID": "sha256:b", "State": "running",
             "Status": "Up", "SizeRw": 7, "SizeRootFs": 9, "Command": "sh -c x", "Mounts": [{"Id": "c", "n": [1, {}]}],
             "Ports": [{"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "More": [0]}, {}],
             "Labels": {"x": "1", "y": {"x": "2"}, "z": "3"}},
            {"\u0049d": "d"}
        ]"#;
        let rows = listed(text, &["x", "y", "absent"]).unwrap();
        let [web, other] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!([&web.id, &web.name, &web.image, &web.image_id], ["a", "web", "nginx", "sha256:b"]);
        assert_eq!((web.state.as_str(), web.status.as_str(), web.written), ("running", "Up", Some(7)));
        let published =
            Port { address: "::".to_owned(), private: Some(80), public: Some(8080), protocol: "tcp".to_owned() };
        assert_eq!(web.ports, [published, Port::default()]);
        assert_eq!(["x", "y", "z", "absent"].map(|name| web.label(name)), [Some("1"), None, None, None]);
        assert_eq!(["x", "y", "z"].map(|name| web.label_value(name).is_some()), [true, true, false]);
        assert_eq!((other.id.as_str(), other.name.as_str(), other.ports.len()), ("d", "", 0));
    }

    #[test]
    fn what_is_of_another_kind_is_missing() {
        for row in [
            r#"{"Id": 1, "Names": "web", "Image": null, "State": ["running"], "Status": {"a": "b"}, "SizeRw": -1}"#,
            r#"{"Names": [], "Ports": {"80/tcp": []}, "Labels": ["x"], "SizeRw": 1.5, "ImageID": true}"#,
            r#"{"Names": [{"a": "b"}, "web"], "Ports": null, "Labels": null, "SizeRw": "7"}"#,
            "[]",
            "null",
            "7",
            "-7",
            "0.5",
            "true",
            "\"web\"",
        ] {
            assert_eq!(listed(&format!("[{row}, {row}]"), &["x"]).unwrap(), vec![Container::default(); 2], "{row}");
        }
        let ports = listed(r#"[{"Ports": [7, {"IP": 1, "PrivatePort": "80", "PublicPort": -1}]}]"#, &[]).unwrap();
        assert_eq!(ports[0].ports, vec![Port::default(); 2]);
    }

    #[test]
    fn the_last_of_two_of_one_name_counts() {
        let read = |text: &str| parse::<Container>(text.as_bytes(), ROOM, &["x"]).unwrap().unwrap().remove(0);
        assert_eq!(read(r#"[{"Id": "a", "Id": "b"}]"#).id, "b");
        assert_eq!(read(r#"[{"Labels": {"x": "1", "x": "2"}}]"#).label("x"), Some("2"));
    }

    #[test]
    fn what_is_no_list_is_none() {
        assert_eq!(listed("[]", &[]).unwrap(), []);
        // Go writes a list that was never made as `null`.
        assert_eq!(listed("null", &[]).unwrap(), []);
        for text in ["{}", r#"{"a": [{"Id": "b"}]}"#, "7", "-7", "0.5", "true", "\"[]\""] {
            assert_eq!(listed(text, &[]), None, "{text}");
        }
        for text in ["", "[", "[{}", "[{}] x", "[{},]", r#"[{"Id": }]"#, r#"[{"a": [}]"#, r#"[{"Id" "a"}]"#] {
            let read = parse::<Container>(text.as_bytes(), ROOM, &[]);
            assert!(matches!(read, Err(Unread::Nonsense(_))), "{text}");
        }
        assert!(matches!(parse::<Container>(b"[{\"Id\": \"\xff\"}]", ROOM, &[]), Err(Unread::Nonsense(_))));
    }

    #[test]
    fn what_is_stepped_over_takes_neither_stack_nor_room() {
        let deep = format!("[{{\"Mounts\": {}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
        let long = format!("[{{\"Command\": \"{}\"}}]", "x".repeat(2 * ROOM));
        for text in [deep, long] {
            assert_eq!(parse::<Container>(text.as_bytes(), ROOM, &[]).unwrap().unwrap(), [Container::default()]);
        }
    }

    #[test]
    fn small_text_that_becomes_large_is_refused() {
        for row in ["0", "{}", r#"{"Ports":[{}]}"#, r#"{"Labels":{"x":0,"x":0}}"#, r#"{"Id":"a","Status":"b"}"#] {
            let text = format!("[{}{row}]", format!("{row},").repeat(100_000));
            let read = |room| parse::<Container>(text.as_bytes(), room, &["x"]);
            assert!(matches!(read(ROOM), Err(Unread::TooMuch)), "{row}");
            assert!(read(1 << 30).is_ok(), "{row}");
        }
        let many = format!(r#"[{{"Labels": {{{}"x": 1}}}}]"#, r#""x": 1, "#.repeat(100_000));
        assert!(matches!(parse::<Container>(many.as_bytes(), ROOM, &["x"]), Err(Unread::TooMuch)));
    }
}
