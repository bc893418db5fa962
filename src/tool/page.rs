//! Small answers: the caps of one answer, and the cursor that goes on where it was cut.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, ser::Formatter};

use super::{
    Json,
    cursor::{self, Cursor, Cursors},
    length, text,
};
use crate::{error::Result, redact};

/// The most characters of one channel.
pub const LONGEST_ANSWER: usize = 24_000;
/// The most bytes of one channel, about 1,500 tokens, where the call does not say how much it wants.
pub const USUAL_ANSWER: usize = 6_000;
/// The bytes that rows have in any case, however much stands beside them.
const LEAST_ROOM: usize = 2_000;

/// Makes a structured answer fit: shortens the longest lists and texts step by step, and says so; answers how many
/// bytes it has as compact JSON.
///
/// Tools page their lists themselves; this is for what no page fits, such as an engine's own document.
pub fn fit(fields: &mut Json) -> usize {
    let mut length = length::of(fields);
    // Most answers have fewer bytes than an answer may have characters.
    if length > LONGEST_ANSWER {
        shorten_by_steps(fields);
        length = length::of(fields);
    }
    length
}

fn shorten_by_steps(fields: &mut Json) {
    let is_small =
        |fields: &Json| serde_json::to_string(fields).is_ok_and(|text| text.chars().count() <= LONGEST_ANSWER);
    let steps = [(500, 8_000), (100, 2_000), (40, 600), (15, 200), (5, 80), (1, 20)];
    for (items, characters) in steps {
        if is_small(fields) {
            return;
        }
        for (_, value) in fields.iter_mut().filter(|(name, _)| *name != "cursor") {
            shorten(value, items, items.max(40), characters);
        }
        fields.insert("truncated".into(), true.into());
    }
    // Wide and deep at once: level by level it loses nothing but its leaves.
    for items in [15, 5, 1] {
        if is_small(fields) {
            return;
        }
        fields.values_mut().for_each(|value| shorten(value, items, items, 200));
    }
}

fn shorten(value: &mut Value, items: usize, members: usize, characters: usize) {
    match value {
        Value::String(text) => clip(text, characters),
        Value::Array(list) => {
            list.truncate(items);
            for value in list {
                shorten(value, items, members, characters);
            }
        }
        Value::Object(fields) => {
            let kept = std::mem::take(fields).into_iter().take(members);
            *fields = kept
                .map(|(mut name, mut value)| {
                    clip(&mut name, characters.max(100));
                    shorten(&mut value, items, members, characters);
                    (name, value)
                })
                .collect();
        }
        _ => {}
    }
}

fn clip(text: &mut String, characters: usize) {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.push('…');
    }
}

/// Cuts a text to the most that a channel carries, in the middle, and says so.
#[must_use]
pub fn cut(text: String) -> String {
    const NOTICE: &str = "
[… cut here: the answer is longer than one answer may be; ask for less …]
";
    if text.len() <= LONGEST_ANSWER {
        return text;
    }
    let length = text.chars().count();
    if length <= LONGEST_ANSWER {
        return text;
    }
    // What an answer is about stands in front, how to go on stands at the end.
    let tail = 2_000;
    let head: String = text.chars().take(LONGEST_ANSWER - tail - NOTICE.chars().count()).collect();
    let rest: String = text.chars().skip(length - tail).collect();
    format!("{head}{NOTICE}{rest}")
}

/// What an answer that may be cut says about itself.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Page {
    /// Whether there is more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// How many rows there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// How many are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<usize>,
    /// Goes on after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// How many come after them.
    #[serde(skip)]
    pub more: usize,
}

impl Page {
    /// For a summary: nothing when all is shown, else how much and how to go on.
    #[must_use]
    pub fn rest(&self) -> String {
        match self.more {
            0 => String::new(),
            more => format!(" shown, {more} more: give the cursor or a narrower filter"),
        }
    }
}

/// Which page of its rows a call wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Behind which row it begins.
    pub cursor: Option<&'a Cursor>,
    /// How many rows were asked for; an answer is then as long as one may be.
    pub limit: Option<usize>,
    /// How many rows there are where the call does not say; the answer is then a usual one.
    pub usual: usize,
    /// How many bytes of the answer are taken by what stands beside the rows.
    pub taken: usize,
}

/// Puts rows in the order of their keys and cuts them to a page: those after the cursor, at most as many
/// as are wanted, and no more than fit in either channel.
///
/// # Errors
/// `invalid` for a cursor of anybody else.
pub fn paged<T: Serialize>(
    rows: Vec<T>,
    key: impl Fn(&T) -> String,
    wanted: Wanted<'_>,
    cursors: &Cursors,
) -> Result<(Vec<T>, Page)> {
    let start = wanted.cursor.map(|cursor| cursors.open(cursor)).transpose()?;
    let start = start.as_deref().map(Position::of);
    let total = rows.len();
    let mut rows: Vec<(String, T)> = rows.into_iter().map(|row| (cursor::key(&key(&row)), row)).collect();
    rows.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut rest = numbered(rows);
    if let Some(start) = &start {
        rest.retain(|(position, _)| position > start);
    }
    let (longest, frame) = if wanted.limit.is_some() { (LONGEST_ANSWER, 1_500) } else { (USUAL_ANSWER, 800) };
    let room = longest.saturating_sub(frame + wanted.taken).max(LEAST_ROOM);
    let shown = fitting(rest.iter().map(|(_, row)| row).take(wanted.limit.unwrap_or(wanted.usual)), room);
    let more = rest.len() - shown;
    let last = rest.get(shown.wrapping_sub(1)).filter(|_| more > 0);
    let cursor = last.map(|(position, _)| cursors.seal(&position.to_string()));
    let page = if more > 0 || start.is_some() {
        Page { truncated: more > 0, total: Some(total), shown: Some(shown), cursor, more }
    } else {
        Page::default()
    };
    Ok((rest.into_iter().take(shown).map(|(_, row)| row).collect(), page))
}

/// A row's place among the others: its key, and how many before it have the same one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    key: String,
    number: usize,
}

impl Position {
    fn of(text: &str) -> Self {
        // No key has a control character.
        let (key, number) = text.split_once('\0').unwrap_or((text, ""));
        Self { key: key.to_owned(), number: number.parse().unwrap_or_default() }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.key)?;
        if self.number > 0 { write!(formatter, "\0{}", self.number) } else { Ok(()) }
    }
}

fn numbered<T>(rows: Vec<(String, T)>) -> Vec<(Position, T)> {
    let mut placed: Vec<(Position, T)> = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let before = placed.last().filter(|(last, _)| last.key == key);
        let number = before.map_or(0, |(last, _)| last.number + 1);
        placed.push((Position { key, number }, row));
    }
    placed
}

/// How many of the first rows fit into so many bytes, as data and as a table; one always does.
fn fitting<'a, T: Serialize + 'a>(rows: impl Iterator<Item = &'a T> + Clone, room: usize) -> usize {
    if let Some(all) = all_fit(rows.clone(), room) {
        return all;
    }
    let (mut used, mut values) = (0, Vec::new());
    for row in rows {
        let mut value = serde_json::to_value(row).unwrap_or_default();
        // A mask may be longer than what it hides.
        redact::texts(&mut value);
        used += value.to_string().len() + 1;
        if used > room && !values.is_empty() {
            break;
        }
        values.push(value);
    }
    // Rare: rows that share few of their columns.
    while values.len() > 1 && text::rows(&values).len() > room {
        values.truncate(values.len() - values.len().div_ceil(8));
    }
    values.len()
}

/// How many rows there are, where it is plain that all of them fit: as data they take half of the room, which leaves
/// the other half to masks that are longer than what they hide, and as a table they are not longer. Most lists are
/// so short.
fn all_fit<'a, T: Serialize + 'a>(rows: impl Iterator<Item = &'a T>, room: usize) -> Option<usize> {
    let (mut count, mut measured) = (0, Measured::default());
    for row in rows {
        measured.add(row)?;
        if measured.bytes.0 > room / 2 {
            return None;
        }
        count += 1;
    }
    let between = " | ".len();
    let head: usize = measured.columns.iter().map(|column| column.len() + between).sum();
    // In a table the items of a list are a blank further apart.
    let cells = measured.bytes.0 + measured.separators;
    (head + cells + count * (measured.columns.len() * between + 1) <= room).then_some(count)
}

/// What rows take as compact JSON, a comma behind each, and which columns they have: they are written to nowhere.
#[derive(Default)]
struct Measured {
    bytes: Bytes,
    /// Between the items of their lists and the fields of their objects.
    separators: usize,
    columns: Vec<String>,
    /// How deep in a row the writing is.
    depth: usize,
    /// The number of the field of the row itself that is being written.
    field: usize,
    /// Its name, as far as it has been written.
    name: Option<String>,
}

/// How many bytes were written.
#[derive(Default)]
struct Bytes(usize);

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Measured {
    fn add(&mut self, row: &impl Serialize) -> Option<()> {
        self.field = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        let written = row.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, &mut *self));
        self.bytes = Bytes(bytes.0 + 1);
        written.ok()
    }
}

impl Formatter for &mut Measured {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"}")
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if is_first {
            return Ok(());
        }
        self.separators += 1;
        writer.write_all(b",")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if self.depth == 1 {
            self.name = Some(String::new());
        }
        if is_first {
            return Ok(());
        }
        self.separators += 1;
        writer.write_all(b",")
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(name) = self.name.take() {
            // Mostly every row has the columns of the first one, in their order.
            let is_known = self.columns.get(self.field).is_some_and(|column| *column == name);
            if !is_known && !self.columns.contains(&name) {
                self.columns.push(name);
            }
            self.field += 1;
        }
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if let Some(name) = &mut self.name {
            name.push_str(fragment);
        }
        writer.write_all(fragment.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn wanted(cursor: Option<&Cursor>, limit: usize) -> Wanted<'_> {
        Wanted { cursor, limit: Some(limit), ..Wanted::default() }
    }

    proptest! {
        #[test]
        fn no_row_twice_and_none_missed_that_was_always_there(
            always in prop::collection::btree_set("[a-c]{1,4}", 0..60),
            pages in prop::collection::vec((prop::collection::btree_set("[a-c]{1,5}", 0..40), 1_usize..9), 1..12),
        ) {
            let cursors = Cursors::new().unwrap();
            let (mut seen, mut cursor): (Vec<String>, _) = (Vec::new(), None);
            // What comes and goes is another set on every page.
            for (others, limit) in pages.iter().chain(std::iter::repeat(&(BTreeSet::new(), 5))) {
                let rows: Vec<String> = others.union(&always).cloned().collect::<Vec<_>>().into_iter().rev().collect();
                let (shown, page) = paged(rows, Clone::clone, wanted(cursor.as_ref(), *limit), &cursors).unwrap();
                prop_assert_eq!(page.truncated, page.cursor.is_some());
                prop_assert!(!page.truncated || page.shown == Some(shown.len()));
                seen.extend(shown);
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let distinct: BTreeSet<String> = seen.iter().cloned().collect();
            prop_assert_eq!(distinct.len(), seen.len());
            prop_assert!(always.is_subset(&distinct), "{:?} lacks some of {:?}", seen, always);
        }

        #[test]
        fn rows_that_nothing_tells_apart_are_all_shown(copies in 1_usize..40, limit in 1_usize..9, long in any::<bool>()) {
            let cursors = Cursors::new().unwrap();
            let key = if long { "x".repeat(1_000) } else { String::new() };
            let (mut seen, mut cursor) = (0, None);
            loop {
                let rows = vec![7; copies];
                let (shown, page) = paged(rows, |_| key.clone(), wanted(cursor.as_ref(), limit), &cursors).unwrap();
                seen += shown.len();
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            prop_assert_eq!(seen, copies);
        }
    }

    #[test]
    fn the_columns_are_the_names_of_the_rows_own_fields() {
        let row = serde_json::json!({"a": "c\":", "d": {"e": 1}, "f": ["g", {"h": "i", "k": 2}], "j": "\\"});
        let mut measured = Measured::default();
        measured.add(&row).unwrap();
        measured.add(&serde_json::json!({"a": 1, "j": 2, "l": {}})).unwrap();
        assert_eq!(measured.columns, ["a", "d", "f", "j", "l"]);
        assert_eq!(measured.bytes.0, row.to_string().len() + 1 + "{'a':1,'j':2,'l':{}}".len() + 1);
        assert_eq!(measured.separators, 3 + 1 + 1 + 2);
        assert!(Measured::default().add(&[7]).is_some());
    }

    proptest! {
        #[test]
        fn what_is_said_to_fit_does(
            rows in prop::collection::vec(prop::collection::btree_map("[a-f]{1,3}", "[a-z,\\\\\" ]{0,12}|[0-9]{1,3}", 0..6), 1..20),
            room in 0_usize..2_000,
        ) {
            if let Some(all) = all_fit(rows.iter(), room) {
                prop_assert_eq!(all, rows.len());
                let values: Vec<Value> = rows.iter().map(|row| serde_json::json!(row)).collect();
                prop_assert!(values.iter().map(|value| value.to_string().len() + 1).sum::<usize>() <= room);
                prop_assert!(text::rows(&values).len() <= room + 4, "{} in {room}", text::rows(&values));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_document_fits(document in deep()) {
            let mut fields = Json::from_iter([("raw".to_owned(), document)]);
            fit(&mut fields);
            prop_assert!(serde_json::to_string(&fields).unwrap().chars().count() <= LONGEST_ANSWER);
        }
    }

    /// A document that is wide, deep, or both.
    fn deep() -> impl Strategy<Value = Value> {
        (1_usize..50, 1_usize..4, 1_usize..400).prop_map(|(width, depth, length)| {
            let text = Value::from("x".repeat(length));
            (0..depth).fold(text, |inner, level| {
                let named = |number: usize| (format!("{number}{}", "k".repeat(length / 10)), inner.clone());
                let width = width >> (level * 2);
                if level == 1 {
                    vec![inner.clone(); width].into()
                } else {
                    Value::Object((0..width).map(named).collect())
                }
            })
        })
    }

    #[test]
    fn a_page_says_how_much_there_is() {
        let cursors = Cursors::new().unwrap();
        let page = |cursor: Option<&Cursor>| {
            paged(vec!["c", "a", "b"], |row| (*row).to_owned(), wanted(cursor, 2), &cursors).unwrap()
        };
        let (rows, first) = page(None);
        assert_eq!((rows, first.total, first.shown), (vec!["a", "b"], Some(3), Some(2)));
        assert_eq!(first.rest(), " shown, 1 more: give the cursor or a narrower filter");
        let (rows, last) = page(first.cursor.as_ref());
        assert_eq!((rows, last.truncated, last.total, last.shown), (vec!["c"], false, Some(3), Some(1)));
        assert!(last.cursor.is_none() && last.rest().is_empty());
    }

    #[test]
    fn nothing_is_longer_than_an_answer() {
        let mut fields = serde_json::json!({
            "raw": {"labels": (0..3000).map(|number| format!("label-{number}={}", "x".repeat(50))).collect::<Vec<_>>()},
            "text": "y".repeat(100_000),
        });
        let fields = fields.as_object_mut().unwrap();
        fit(fields);
        assert!(serde_json::to_string(fields).unwrap().len() <= LONGEST_ANSWER);
        assert_eq!(fields["truncated"], true);
        let text = cut(format!("begin{}end", "z".repeat(100_000)));
        assert_eq!(text.chars().count(), LONGEST_ANSWER);
        assert!(text.starts_with("begin") && text.ends_with("end"));
    }

    #[test]
    fn an_answer_has_an_end() {
        let cursors = Cursors::new().unwrap();
        let rows = || (0..100).map(|number| format!("{number:03}{}", "x".repeat(1000))).collect::<Vec<_>>();
        let (shown, page) = paged(rows(), Clone::clone, wanted(None, 100), &cursors).unwrap();
        assert!((20..24).contains(&shown.len()) && page.cursor.is_some());
        let usual = Wanted { usual: 50, ..Wanted::default() };
        assert_eq!(paged(rows(), Clone::clone, usual, &cursors).unwrap().0.len(), 5);
        // A table has a column for what only one row has.
        let odd = |number: usize| Json::from_iter([(format!("{number:03}"), Value::from(1))]);
        let (shown, _) =
            paged((0..120).map(odd).collect(), |row| row.keys().cloned().collect(), wanted(None, 500), &cursors)
                .unwrap();
        let values: Vec<Value> = shown.into_iter().map(Value::Object).collect();
        assert!(text::rows(&values).len() <= LONGEST_ANSWER, "{}", values.len());
    }
}
