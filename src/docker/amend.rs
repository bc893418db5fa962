//! Changes to what callers know with its secrets masked only: made here, to the document as the engine has it.

use serde_json::{Map, Value};

/// What can be made to what is shown of a document and to what it really is alike.
pub trait Change {
    /// Makes the change.
    fn apply(&self, document: &mut Value);
}

/// A change of a document in steps.
///
/// A tool never holds the document: what it does not name goes back to the engine as it was.
#[derive(Clone, Default)]
pub struct Amendment(Vec<Step>);

#[derive(Clone)]
enum Step {
    /// Replaces whatever is there; `null` removes it.
    Set(Vec<String>, Value),
    /// Sets it where nothing is.
    Preset(Vec<String>, Value),
    /// Replaces the lines of a list that begin with the same `NAME=`, and adds the others.
    Variables(Vec<String>, Vec<String>),
    /// Removes the lines of a list with these names, and the fields of an object.
    Remove(Vec<String>, Vec<String>),
}

impl Amendment {
    /// Puts a value at a path, whatever was there.
    #[must_use]
    pub fn set(self, path: &[&str], value: impl Into<Value>) -> Self {
        self.step(Step::Set(owned(path), value.into()))
    }

    /// Puts a value at a path where nothing is.
    #[must_use]
    pub fn preset(self, path: &[&str], value: impl Into<Value>) -> Self {
        self.step(Step::Preset(owned(path), value.into()))
    }

    /// Sets variables in a list of `NAME=value`; the others stay.
    #[must_use]
    pub fn variables(self, path: &[&str], variables: Vec<String>) -> Self {
        self.step(Step::Variables(owned(path), variables))
    }

    /// Removes by their names variables of a list, or fields of an object.
    #[must_use]
    pub fn remove(self, path: &[&str], names: &[String]) -> Self {
        self.step(Step::Remove(owned(path), names.to_vec()))
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn step(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

impl Change for Amendment {
    fn apply(&self, document: &mut Value) {
        for step in &self.0 {
            match step {
                Step::Set(path, Value::Null) => {
                    if let Some((name, parents)) = path.split_last()
                        && let Some(Value::Object(fields)) = existing(document, parents)
                    {
                        fields.remove(name);
                    }
                }
                Step::Set(path, value) => *place(document, path) = value.clone(),
                Step::Preset(path, value) => {
                    let place = place(document, path);
                    if place.is_null() {
                        *place = value.clone();
                    }
                }
                Step::Variables(path, variables) => {
                    let place = place(document, path);
                    let mut lines = std::mem::take(place).as_array().cloned().unwrap_or_default();
                    for variable in variables {
                        let same = lines
                            .iter_mut()
                            .find(|line| line.as_str().is_some_and(|line| name(line) == name(variable)));
                        match same {
                            Some(line) => *line = variable.as_str().into(),
                            None => lines.push(variable.as_str().into()),
                        }
                    }
                    *place = lines.into();
                }
                Step::Remove(path, names) => match existing(document, path) {
                    Some(Value::Array(lines)) => {
                        let goes = |line: &str| names.iter().any(|gone| gone == name(line));
                        lines.retain(|line| !line.as_str().is_some_and(goes));
                    }
                    Some(Value::Object(fields)) => fields.retain(|name, _| !names.contains(name)),
                    _ => {}
                },
            }
        }
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|part| (*part).to_owned()).collect()
}

fn name(line: &str) -> &str {
    line.split('=').next().unwrap_or(line)
}

fn existing<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, part| value.get_mut(part))
}

/// The place at a path, with everything on the way there.
fn place<'a>(document: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(document, |value, part| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(fields) => fields.entry(part.as_str()).or_insert(Value::Null),
            // It was made one.
            other => other,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(amendment: &Amendment, mut document: Value) -> Value {
        amendment.apply(&mut document);
        document
    }

    #[test]
    fn what_is_not_named_stays() {
        let document = json!({"Name": "a", "Task": {"Env": ["A=1", "B=secret", "C"], "Image": "x"}, "Labels": {"k": "v", "l": "w"}});
        let amendment = Amendment::default()
            .set(&["Task", "Image"], "y")
            .variables(&["Task", "Env"], vec!["A=2".into(), "D=4".into()])
            .remove(&["Task", "Env"], &["C".into()])
            .remove(&["Labels"], &["k".into()])
            .set(&["Task", "Limits", "Memory"], 5)
            .preset(&["Task", "Image"], "z")
            .preset(&["Task", "Order"], "first");
        assert_eq!(
            after(&amendment, document),
            json!({"Name": "a", "Labels": {"l": "w"}, "Task": {
                "Env": ["A=2", "B=secret", "D=4"], "Image": "y", "Limits": {"Memory": 5}, "Order": "first",
            }})
        );
    }

    #[test]
    fn nothing_is_made_to_be_removed() {
        let amendment = Amendment::default().set(&["A", "B"], Value::Null).remove(&["C", "D"], &["x".into()]);
        assert_eq!(after(&amendment, json!({"E": 1})), json!({"E": 1}));
        assert_eq!(after(&amendment, json!({"A": {"B": 1, "C": 2}})), json!({"A": {"C": 2}}));
        assert!(Amendment::default().is_empty() && !amendment.is_empty());
    }

    #[test]
    fn what_is_null_is_no_hindrance() {
        let amendment = Amendment::default().variables(&["Env"], vec!["A=1".into()]).set(&["Labels", "a.b/c"], "d");
        assert_eq!(
            after(&amendment, json!({"Env": null, "Labels": null})),
            json!({"Env": ["A=1"], "Labels": {"a.b/c": "d"}})
        );
    }
}
