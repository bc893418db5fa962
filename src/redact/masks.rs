//! The values of one container that must not be seen wherever its text is shown.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock},
};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{known, marks, names::Reveal, plain};

/// A shorter value would be found in every other word.
const SHORTEST: usize = 8;
/// A longer value is looked for in pieces of this size.
const LONGEST: usize = 1024;
/// So many values of one container, and so many bytes of patterns.
const MOST_VALUES: usize = 1024;
const MOST_BYTES: usize = 256 << 10;

/// What a form leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The values of one container that must not be seen where its text is shown.
#[derive(Clone, Default)]
pub struct Masks {
    known: Option<Arc<Known>>,
}

struct Known {
    values: Vec<String>,
    /// Built when it is first needed: most containers are looked up for something else.
    finder: OnceLock<Option<Finder>>,
}

struct Finder {
    automaton: AhoCorasick,
    /// The mark of every pattern: that of the value, in whatever form it is found.
    marks: Vec<Arc<str>>,
}

impl fmt::Debug for Masks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Masks").field("values", &self.len()).finish()
    }
}

impl Masks {
    /// The values of an inspected container's redacted variables, flags and labels, as the engine sent them.
    #[must_use]
    pub fn of(inspected: &Value, reveal: &Reveal) -> Self {
        let mut copy = inspected.clone();
        Self::default().with(known::found(&mut copy, reveal))
    }

    /// These, and more: the variables of an exec of its own.
    #[must_use]
    pub fn with<T: AsRef<str>>(&self, values: impl IntoIterator<Item = T>) -> Self {
        let mut all: Vec<String> = self.known.iter().flat_map(|known| known.values.iter().cloned()).collect();
        let mut seen: HashSet<String> = all.iter().cloned().collect();
        for value in values {
            let value = value.as_ref();
            let mut add = |part: &str| {
                if is_worth(part) && all.len() < MOST_VALUES && seen.insert(part.to_owned()) {
                    all.push(part.to_owned());
                }
            };
            add(value);
            add(value.trim());
            add(&plain::stripped(value));
            value.lines().map(str::trim).filter(|line| !line.starts_with("-----")).for_each(&mut add);
            // The password in an address is also seen without the address.
            if let Some((_, rest)) = value.split_once("://")
                && let Some((credentials, _)) = rest.rsplit_once('@')
                && let Some((_, password)) = credentials.split_once(':')
            {
                add(password);
                add(&percent_encoding::percent_decode_str(password).decode_utf8_lossy());
            }
        }
        if all.is_empty() {
            return Self::default();
        }
        Self { known: Some(Arc::new(Known { values: all, finder: OnceLock::new() })) }
    }

    /// How many values they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.as_ref().map_or(0, |known| known.values.len())
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of them stands in a text as it is: for short texts cheaper than to build what finds all forms.
    pub(super) fn meet(&self, text: &str) -> bool {
        self.known.iter().any(|known| known.values.iter().any(|value| text.contains(value.as_str())))
    }

    /// Masks them in a text, also where they are written in base64, in an address or in JSON.
    #[must_use]
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let spans = self.spans(text);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len() + spans.len() * 16);
        let mut done = 0;
        for (start, end, mark) in &spans {
            shown.push_str(text.get(done..*start).unwrap_or_default());
            shown.push_str(mark);
            done = *end;
        }
        shown.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(shown)
    }

    /// Where they stand; nothing of a mark counts.
    pub(super) fn spans<'s>(&'s self, text: &str) -> Vec<(usize, usize, &'s str)> {
        let Some(finder) = self.known.as_deref().and_then(Known::finder) else { return Vec::new() };
        let mut found = finder.automaton.find_iter(text).peekable();
        if found.peek().is_none() {
            return Vec::new();
        }
        let mut spans = Vec::new();
        let mut start = 0;
        // Between the marks: a value may be a word of a mark.
        for (mark, next) in marks::all(text).chain([(text.len(), text.len())]) {
            for hit in finder.automaton.find_iter(text.get(start..mark).unwrap_or_default()) {
                let shown = finder.marks.get(hit.pattern().as_usize()).map_or("<redacted>", |mark| &**mark);
                spans.push((start + hit.start(), start + hit.end(), shown));
            }
            start = next;
        }
        spans
    }
}

impl Known {
    fn finder(&self) -> Option<&Finder> {
        self.finder.get_or_init(|| Finder::new(&self.values)).as_ref()
    }
}

impl Finder {
    fn new(values: &[String]) -> Option<Self> {
        let mut patterns: Vec<String> = Vec::new();
        let mut shown = Vec::new();
        let mut seen = HashSet::new();
        let mut bytes = 0;
        // Every value as it is comes before any other form, should the room end.
        let plain = values.iter().map(|value| (value, pieces(value)));
        let others = values.iter().map(|value| (value, forms(value)));
        for (value, forms) in plain.chain(others) {
            let mark: Arc<str> = marks::mask(value).into();
            for form in forms {
                if bytes + form.len() <= MOST_BYTES && seen.insert(form.clone()) {
                    bytes += form.len();
                    patterns.push(form);
                    shown.push(mark.clone());
                }
            }
        }
        // Within these limits no automaton is too large.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns).ok()?;
        Some(Self { automaton, marks: shown })
    }
}

/// Whether a value says enough to be looked for.
fn is_worth(value: &str) -> bool {
    value.len() >= SHORTEST && value.chars().any(char::is_alphanumeric) && marks::all(value).next().is_none()
}

/// A value as it is; a long one in pieces.
fn pieces(value: &str) -> Vec<String> {
    if value.len() <= LONGEST {
        return vec![value.to_owned()];
    }
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for character in value.chars() {
        piece.push(character);
        if piece.len() >= LONGEST {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    pieces.extend((piece.len() >= SHORTEST).then_some(piece));
    pieces
}

/// The other forms in which a value is met: in an address, in a form, in JSON, in base64.
fn forms(value: &str) -> Vec<String> {
    if value.len() > LONGEST {
        return Vec::new();
    }
    let percent = utf8_percent_encode(value, UNRESERVED).to_string();
    let form = percent.replace("%20", "+");
    let small = lower_hex(&percent);
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let mut forms = vec![percent, small, form, json];
    // In base64 a value has three forms, by where in the text it begins; their ends depend on its neighbours.
    for shift in 0..3usize {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(value.as_bytes());
        let whole = shifted.len() / 3 * 3;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let own = engine.encode(&shifted);
            let inner = own.get(if shift == 0 { 0 } else { 4 }..whole / 3 * 4).unwrap_or_default();
            forms.push(inner.to_owned());
            if shift == 0 {
                forms.push(own);
            }
        }
    }
    forms.retain(|form| form.len() >= SHORTEST && form != value);
    forms
}

fn lower_hex(percent: &str) -> String {
    let mut left = 0;
    percent
        .chars()
        .map(|character| {
            if character == '%' {
                left = 2;
                return character;
            }
            if left > 0 {
                left -= 1;
                return character.to_ascii_lowercase();
            }
            character
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(variables: &[&str]) -> Masks {
        Masks::of(&json!({"Config": {"Env": variables}}), &Reveal::default())
    }

    #[test]
    fn values_are_hidden_in_every_form() {
        let value = "c0rrect horse/battery+1";
        let masks = of(&[&format!("DB_PASSWORD={value}"), "PATH=/usr/local/bin", "SHORT=1234567"]);
        assert_eq!(masks.len(), 1);
        let mark = marks::mask(value);
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        for text in [
            value.to_owned(),
            "c0rrect%20horse%2Fbattery%2B1".to_owned(),
            "c0rrect%20horse%2fbattery%2b1".to_owned(),
            "c0rrect+horse%2Fbattery%2B1".to_owned(),
            base64(value),
            base64(&format!("x{value}")),
            base64(&format!("me:{value}")),
            base64(&format!("you:{value}!")),
        ] {
            let shown = masks.hide(&text).into_owned();
            assert!(shown.contains(&mark), "{text}: {shown}");
            assert_eq!(masks.hide(&shown), shown, "twice");
        }
        for text in ["/usr/local/bin", "1234567", "c0rrect horse", ""] {
            assert!(matches!(masks.hide(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn lines_and_parts_of_a_value_are_values() {
        let masks = of(&[
            "KEY=first line 1\nsecond line 2\nshort",
            "URL=postgres://me:p%40ssw0rd1@db/x",
            "J={\"a\":\"bcdefgh\"}",
        ]);
        for text in ["second line 2", "p%40ssw0rd1", "p@ssw0rd1", r#"{\"a\":\"bcdefgh\"}"#] {
            assert!(masks.hide(text).starts_with("<redacted"), "{text}");
        }
        assert_eq!(masks.hide("short"), "short");
    }

    #[test]
    fn a_value_may_be_a_word_of_a_mark() {
        let masks = of(&["A=redacted", "B=redacted len="]);
        let text = format!("redacted {}", marks::mask("something"));
        let shown = masks.hide(&text).into_owned();
        assert_eq!(shown, format!("{} {}", marks::mask("redacted"), marks::mask("something")));
        assert_eq!(masks.hide(&shown), shown);
    }

    #[test]
    fn there_are_not_too_many_and_none_is_too_long() {
        let long = (0..20_000).map(|number| format!("{number:05}")).collect::<Vec<_>>().concat();
        let masks = of(&[&format!("LONG={long}")]);
        assert!(!masks.hide(&long).contains("00123"), "in pieces");
        let many: Vec<String> = (0..5_000).map(|number| format!("V=value-{number:05}")).collect();
        let many = of(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(many.len(), MOST_VALUES);
        assert!(many.hide("value-00007").starts_with("<redacted"));
        assert!(Masks::default().is_empty() && Masks::default().with(["x"]).is_empty());
        assert_eq!(format!("{:?}", of(&["A=hunter2hunter2"])), "Masks { values: 1 }");
    }

    #[test]
    fn flags_and_labels_count_and_more_can_be_added() {
        let inspected = json!({
            "Path": "redis-server", "Args": ["--requirepass", "flag-secret-1"],
            "Config": {"Labels": {"app.token": "label-secret-1", "plain": "label-plain-1"}, "Env": ["TZ=Europe/Berlin"]},
        });
        let masks = Masks::of(&inspected, &Reveal::default()).with(["exec-secret-1"]);
        for text in ["flag-secret-1", "label-secret-1", "exec-secret-1"] {
            assert!(masks.hide(text).starts_with("<redacted"), "{text}");
        }
        for text in ["label-plain-1", "Europe/Berlin", "redis-server"] {
            assert_eq!(masks.hide(text), text);
        }
    }
}
