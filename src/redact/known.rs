//! The places of an engine's documents where secrets are known to stand, at whatever depth.

mod place;

use serde_json::{Map, Value};

use super::{
    command::{self, Sink, Words},
    instruction, marks,
    masks::Masks,
    names::{self, Reveal},
    options, shapes,
};
use place::Place;

/// Masks every known place of an engine's document, at any depth; once masked it stays as it is.
///
/// Names and ids are handles and are never masked.
pub fn document(document: &mut Value, reveal: &Reveal) {
    Walk { reveal, found: None }.value(document);
}

/// The same, and every value that was masked for its place.
pub(super) fn found(document: &mut Value, reveal: &Reveal) -> Vec<String> {
    let mut found = Vec::new();
    Walk { reveal, found: Some(&mut found) }.value(document);
    found
}

/// A variable's value as it may be shown, where that is another one.
pub(super) fn variable(name: &str, value: &str, reveal: &Reveal, sink: Sink<'_>) -> Option<String> {
    if reveal.shows(name) { free(value) } else { hidden(value, sink) }
}

/// A label's value as it may be shown, where that is another one.
pub(super) fn label(name: &str, value: &str, reveal: &Reveal, sink: Sink<'_>) -> Option<String> {
    if names::hides_value(name) && !reveal.asked(name) && !matches!(value, "true" | "false") {
        return hidden(value, sink);
    }
    // Labels of schedulers and proxies hold commands.
    if name.ends_with("command") || name.ends_with("cmd") || name == "execCommand" {
        return command::line(value, sink);
    }
    free(value)
}

fn hidden(value: &str, sink: Sink<'_>) -> Option<String> {
    if value.is_empty() || marks::end_at(value, 0) == Some(value.len()) {
        return None;
    }
    sink(value);
    Some(marks::mask(value))
}

/// Free text, and values that are shown: what a shape gives away goes.
fn free(text: &str) -> Option<String> {
    match shapes::hide(text) {
        (std::borrow::Cow::Owned(hidden), _) => Some(hidden),
        _ => None,
    }
}

struct Walk<'a> {
    reveal: &'a Reveal,
    found: Option<&'a mut Vec<String>>,
}

fn replace(text: &mut String, shown: Option<String>) {
    if let Some(shown) = shown {
        *text = shown;
    }
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            _ => {}
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>) {
        // The values of a container's variables are hidden in what the same document says elsewhere.
        let own = self.found.is_none().then(|| own_values(fields, self.reveal)).flatten();
        let mut commands = false;
        for (name, value) in fields.iter_mut() {
            match Place::of(name) {
                None => self.value(value),
                Some(Place::Command(_)) => commands = true,
                Some(place) => self.place(place, value),
            }
        }
        if commands {
            self.commands(fields);
        }
        if let Some(own) = own {
            for name in ["Path", "Args", "Config", "State"] {
                if let Some(value) = fields.get_mut(name) {
                    hide_own(value, name, &own);
                }
            }
        }
    }

    fn place(&mut self, place: Place, value: &mut Value) {
        match place {
            Place::Variables => self.variables(value),
            Place::Labels => self.named(value, label),
            Place::Options => self.options(value),
            Place::LogConfig => {
                if let Some(config) = value.get_mut("Config") {
                    self.options(config);
                }
            }
            Place::Settings => {
                self.value(value);
                if let Some(Value::Array(items)) = value.get_mut("Args") {
                    for item in items {
                        self.setting(item);
                    }
                }
            }
            Place::Health => {
                for entry in value.get_mut("Log").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(Value::String(text)) = entry.get_mut("Output") {
                        replace(text, free(text));
                    }
                }
            }
            Place::Test => self.test(value),
            Place::Processes => self.texts(value, command::line),
            Place::Script => match value {
                Value::Array(_) => {}
                value => self.texts(value, command::line),
            },
            Place::Instruction => {
                let reveal = self.reveal;
                self.texts(value, |text, sink| instruction::shown(text, reveal, sink));
            }
            Place::Action => match value {
                Value::String(text) if text.starts_with("exec_") => {
                    let shown = self.told(|sink| command::line(text, sink));
                    replace(text, shown);
                }
                Value::String(_) => {}
                value => self.value(value),
            },
            Place::Address => self.texts(value, |text, _| address(text).or_else(|| free(text))),
            Place::Free => self.texts(value, |text, _| free(text)),
            Place::Secret => match value {
                Value::String(text) => replace(text, self.told(|sink| hidden(text, sink))),
                value => self.value(value),
            },
            Place::Command(_) => {}
        }
    }

    /// Tells what was masked to whoever collects it.
    fn told<T>(&mut self, work: impl FnOnce(Sink<'_>) -> T) -> T {
        match &mut self.found {
            Some(found) => work(&mut |value| found.push(value.to_owned())),
            None => work(&mut |_| {}),
        }
    }

    /// `NAME=value` in a list, `{name: value}`, or a plugin's `{Name, Value}`.
    fn variables(&mut self, value: &mut Value) {
        let reveal = self.reveal;
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.variables(item)),
            Value::String(text) => {
                if let Some((name, value)) = assignment(text)
                    && let Some(shown) = self.told(|sink| variable(name, value, reveal, sink))
                {
                    *text = format!("{name}={shown}");
                }
            }
            Value::Object(fields) if fields.contains_key("Value") && fields.contains_key("Name") => {
                let name = fields.get("Name").and_then(Value::as_str).unwrap_or_default().to_owned();
                if let Some(Value::String(text)) = fields.get_mut("Value") {
                    let shown = self.told(|sink| variable(&name, text, reveal, sink));
                    replace(text, shown);
                }
            }
            value @ Value::Object(_) => self.named(value, variable),
            _ => {}
        }
    }

    /// `{name: value}`; a list holds `name=value`.
    fn named(&mut self, value: &mut Value, judge: fn(&str, &str, &Reveal, Sink<'_>) -> Option<String>) {
        let reveal = self.reveal;
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    match value {
                        Value::String(text) => {
                            let shown = self.told(|sink| judge(name, text, reveal, sink));
                            replace(text, shown);
                        }
                        value => self.value(value),
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::String(text) => {
                            let shown = match assignment(text) {
                                Some((name, value)) => self
                                    .told(|sink| judge(name, value, reveal, sink))
                                    .map(|shown| format!("{name}={shown}")),
                                None => free(text),
                            };
                            replace(text, shown);
                        }
                        item => self.value(item),
                    }
                }
            }
            Value::String(text) => replace(text, free(text)),
            _ => {}
        }
    }

    fn options(&mut self, value: &mut Value) {
        self.named(value, |name, value, reveal, sink| options::shown(name, value, reveal.asked(name), sink));
    }

    /// What a plugin is started with: names stay.
    fn setting(&mut self, item: &mut Value) {
        let Value::String(text) = item else { return };
        let shown = match assignment(text) {
            Some((name, value)) => self.told(|sink| hidden(value, sink)).map(|shown| format!("{name}={shown}")),
            None if text.starts_with('-') => None,
            None => self.told(|sink| hidden(text, sink)),
        };
        replace(text, shown);
    }

    fn texts(&mut self, value: &mut Value, judge: impl Fn(&str, Sink<'_>) -> Option<String> + Copy) {
        match value {
            Value::String(text) => {
                let shown = self.told(|sink| judge(text, sink));
                replace(text, shown);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.texts(item, judge)),
            value => self.value(value),
        }
    }

    fn test(&mut self, value: &mut Value) {
        let reveal = self.reveal;
        let mut own = |sink: Sink<'_>| {
            let mut words = Words::new(sink);
            feed(&mut words, value, reveal);
        };
        self.told(|sink| own(sink));
        self.value(value);
    }

    /// An entrypoint and its arguments are one command line, whose parts stand in several fields.
    fn commands(&mut self, fields: &mut Map<String, Value>) {
        let mut parts: Vec<(u8, &mut Value)> = fields
            .iter_mut()
            .filter_map(|(name, value)| match Place::of(name) {
                Some(Place::Command(rank)) => Some((rank, value)),
                _ => None,
            })
            .collect();
        parts.sort_by_key(|(rank, _)| *rank);
        let is_alone = parts.len() == 1;
        let reveal = self.reveal;
        self.told(|sink| {
            let mut words = Words::new(sink);
            for (rank, part) in &mut parts {
                match part {
                    // The path of a program, or of anything else.
                    Value::String(text) if *rank == 0 => words.note(text),
                    Value::String(text) if is_alone => replace(text, words.whole(text)),
                    part => feed(&mut words, part, reveal),
                }
            }
        });
        for (_, part) in parts {
            // A plugin's `Args` is an object with a `Value`.
            match part {
                Value::Object(object) if object.contains_key("Name") => {
                    for item in object.get_mut("Value").and_then(Value::as_array_mut).into_iter().flatten() {
                        self.setting(item);
                    }
                }
                Value::Object(object) if object.values().all(Value::is_string) && !object.is_empty() => {
                    // Build arguments of a compose file.
                    self.named(part, variable);
                }
                part => self.value(part),
            }
        }
    }
}

fn feed(words: &mut Words<'_>, value: &mut Value, reveal: &Reveal) {
    match value {
        Value::String(text) => {
            // The classic builder leaves its instructions in the command of the image.
            let is_instruction = ["ENV ", "ARG ", "LABEL "].iter().any(|keyword| text.starts_with(keyword));
            let shown = if is_instruction { words.instruction(text, reveal) } else { words.next(text) };
            replace(text, shown);
        }
        Value::Array(items) => {
            for item in items.iter_mut().filter(|item| item.is_string()) {
                feed(words, item, reveal);
            }
        }
        _ => {}
    }
}

/// `name=value`; a mark is none.
fn assignment(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.ends_with(marks::OPENING.trim_end_matches('=')))
}

/// A proxy or mirror whose credentials stand there without a scheme.
fn address(text: &str) -> Option<String> {
    let (credentials, host) =
        text.rsplit_once('@').filter(|_| !text.contains("://") && !text.contains(char::is_whitespace))?;
    let (user, password) = credentials.split_once(':')?;
    Some(format!("{user}:{}@{host}", marks::cover(password)?))
}

/// The values to hide in the rest of a container's document.
fn own_values(fields: &Map<String, Value>, reveal: &Reveal) -> Option<Masks> {
    if fields.len() < 5 || !fields.get("State").is_some_and(Value::is_object) || !fields.contains_key("Config") {
        return None;
    }
    let mut copy = fields.clone();
    let mut found = Vec::new();
    Walk { reveal, found: Some(&mut found) }.object(&mut copy);
    Some(Masks::default().with(found))
}

/// Hides them in command lines, errors and the output of health checks; `Config` has more than that.
fn hide_own(value: &mut Value, name: &str, own: &Masks) {
    match value {
        Value::String(text) if own.meet(text) => *text = own.hide(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_own(item, name, own)),
        Value::Object(fields) => {
            for (field, value) in fields.iter_mut() {
                if name != "Config" || matches!(field.as_str(), "Cmd" | "Entrypoint" | "Healthcheck" | "Labels") {
                    hide_own(value, field, own);
                }
            }
        }
        _ => {}
    }
}
