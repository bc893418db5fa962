//! What may be shown: masks values of variables, strips what a terminal or a model could take for more than text.

use std::sync::LazyLock;

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Random for every process: equal values can be recognised within one session and nowhere else.
static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut key = [0; 32];
    // A failing random source leaves a constant key, which hides less but shows nothing.
    rustls::crypto::ring::default_provider().secure_random.fill(&mut key).ok();
    key
});

/// `<redacted len=N h=xxxxxxxx>`: the length in bytes, and a keyed hash by which equal values show.
#[must_use]
pub fn mask(value: &str) -> String {
    let hash = <Hmac<Sha256> as Mac>::new_from_slice(KEY.as_slice())
        .map(|mut mac| {
            mac.update(value.as_bytes());
            let bytes: [u8; 32] = mac.finalize().into_bytes().into();
            let [first, second, third, fourth, ..] = bytes;
            format!("{:08x}", u32::from_be_bytes([first, second, third, fourth]))
        })
        .unwrap_or_default();
    format!("<redacted len={} h={hash}>", value.len())
}

/// `NAME=<redacted ...>` of every `NAME=value`; a name without a value stays as it is.
#[must_use]
pub fn variable(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) => format!("{}={}", plain(name), mask(value)),
        None => plain(text),
    }
}

/// What leaves: stripped of what is not text, and of every secret that its shape gives away.
#[must_use]
pub fn shown(text: &str) -> String {
    plain(text)
}

/// Names whose values are shown: the harmless ones, and those of the operator's `reveal`.
#[derive(Debug, Clone, Default)]
pub struct Reveal {
    names: Vec<String>,
}

impl Reveal {
    /// The harmless names and these.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        Self { names: names.to_vec() }
    }

    /// Whether the value of a variable, label or option of that name is shown.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// Masks every known place of an engine's document, at any depth; once masked it stays as it is.
pub fn document(document: &mut Value, _reveal: &Reveal) {
    environments(document);
}

/// The values of one container that must not be seen where its text is shown.
#[derive(Debug, Clone, Default)]
pub struct Masks {}

impl Masks {
    /// The values of an inspected container's redacted variables, as the engine sent them.
    #[must_use]
    pub fn of(_inspected: &Value, _reveal: &Reveal) -> Self {
        Self {}
    }

    /// Masks them in a text.
    #[must_use]
    pub fn hide<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        text.into()
    }
}

/// Masks the values of every `Env` in an engine's document, at any depth.
pub fn environments(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Array(items) if name.eq_ignore_ascii_case("env") => {
                        for item in items {
                            match item {
                                Value::String(text) => *text = variable(text),
                                // A plugin's settings are objects with a `Value`.
                                other => hide(other),
                            }
                        }
                    }
                    other => environments(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(environments),
        _ => {}
    }
}

fn hide(setting: &mut Value) {
    if let Some(Value::String(text)) = setting.get_mut("Value") {
        *text = mask(text);
    }
}

/// Strips every text of an answer, at any depth; most have nothing to strip and stay untouched.
pub fn texts(document: &mut Value) {
    match document {
        Value::String(text) if text.chars().any(|character| is_invisible(character) && character != '\n') => {
            *text = plain(text);
        }
        Value::Array(items) => items.iter_mut().for_each(texts),
        Value::Object(fields) => {
            let odd = |name: &String| name.chars().any(is_invisible);
            if fields.keys().any(odd) {
                *fields = std::mem::take(fields).into_iter().map(|(name, value)| (plain(&name), value)).collect();
            }
            fields.values_mut().for_each(texts);
        }
        _ => {}
    }
}

/// Strips what is not text: ANSI sequences, control, bidirectional, zero-width and tag characters.
///
/// Tabs stay; a line end stays where it is one.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.peek() {
                Some('[') => {
                    characters.next();
                    // A control sequence ends with a byte from `@` to `~` (ECMA-48, 5.4).
                    for next in characters.by_ref() {
                        if ('@'..='~').contains(&next) {
                            break;
                        }
                    }
                }
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    // A string ends with BEL or `ESC \`.
                    while let Some(next) = characters.next() {
                        if next == '\u{7}' || (next == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {
                    characters.next();
                }
            },
            '\n' | '\t' => clean.push(character),
            character if is_invisible(character) => {}
            character => clean.push(character),
        }
    }
    clean
}

/// Whether a character is none to be seen: control, bidirectional, zero-width, tag.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

// Provisional: the engine brings its own.

/// One stream of lines out of one container: each is masked, and what spans several of them too.
#[derive(Debug, Clone)]
pub struct Lines {
    masks: std::sync::Arc<Masks>,
    count: usize,
}

impl Lines {
    /// A stream of which nothing was seen yet.
    #[must_use]
    pub fn new(masks: std::sync::Arc<Masks>) -> Self {
        Self { masks, count: 0 }
    }

    /// The next line as it may be shown.
    pub fn next(&mut self, line: &str) -> String {
        let shown = shown(&self.masks.hide(line));
        self.count += shown.matches("<redacted len=").count();
        shown
    }

    /// How many values were masked so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Masks {
    /// The same with more values.
    #[must_use]
    pub fn with<T: AsRef<str>>(&self, _values: impl IntoIterator<Item = T>) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        let shown = variable("LAB_SECRET=hunter2");
        assert!(shown.starts_with("LAB_SECRET=<redacted len=7 h="), "{shown}");
        assert_eq!(variable("LAB_SECRET=hunter2"), shown);
        assert_ne!(variable("LAB_SECRET=hunter3"), shown);
        assert_eq!(variable("ONLY_A_NAME"), "ONLY_A_NAME");
    }

    #[test]
    fn environments_are_found_at_any_depth() {
        let mut document = json!({"Config": {"Env": ["A=b"]}, "Spec": [{"ContainerSpec": {"Env": ["C=d", "E"]}}]});
        environments(&mut document);
        let text = document.to_string();
        assert!(!text.contains("A=b") && !text.contains("C=d") && text.contains("\"E\""), "{text}");
    }

    #[test]
    fn answers_are_stripped_at_any_depth() {
        let mut document = json!({"a\u{202e}": ["x\u{1b}[31my", {"b": "tab\tand\nline"}], "n": 7});
        texts(&mut document);
        assert_eq!(document, json!({"a": ["xy", {"b": "tab\tand\nline"}], "n": 7}));
    }

    #[test]
    fn only_text_is_left() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\tx\u{202e}y\u{200b}z\u{7}"), "red\txyz");
        assert_eq!(plain("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\link"), "alink");
        assert_eq!(plain("cut \u{1b}["), "cut ");
        assert_eq!(plain("tag\u{e0041}s"), "tags");
    }
}
