//! `key=value` words become a tool's arguments, each read as the type that the tool's schema gives it.

use serde_json::{Value, json};

use crate::{
    docker::names::quote,
    error::{Error, Result},
    tool::Json,
};

/// Reads words by a tool's input schema.
///
/// What is of a wrong type or unknown stays text: the tool's own parser names it as it does for an agent.
///
/// # Errors
/// `invalid` for a word that is no `key=value`, and for a second value of what takes one.
pub(super) fn parse(words: &[String], schema: &Json) -> Result<Json> {
    let mut arguments = Json::new();
    for word in words {
        let (key, text) = word.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::invalid(format!("{} is no argument", quote(word)))
                .hint(format!("write it as {}", example(word, schema)))
        })?;
        let property = schema.get("properties").and_then(|properties| properties.get(key)).unwrap_or(&Value::Null);
        match (kind(property), arguments.get_mut(key)) {
            ("array", known) => {
                let items = items(text, property);
                match known {
                    Some(Value::Array(list)) => list.extend(items),
                    _ => drop(arguments.insert(key.to_owned(), items.into())),
                }
            }
            ("object", known) => {
                let fields = fields(key, text, property)?;
                match known {
                    Some(Value::Object(object)) => object.extend(fields),
                    _ => drop(arguments.insert(key.to_owned(), fields.into())),
                }
            }
            (_, Some(_)) => {
                return Err(Error::invalid(format!("argument {} is given twice", quote(key)))
                    .hint("it takes one value; only lists and objects can be repeated"));
            }
            (_, None) => drop(arguments.insert(key.to_owned(), value(text, property))),
        }
    }
    Ok(arguments)
}

fn kind(property: &Value) -> &str {
    property.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// A word that is no pair, as it may have been meant.
fn example(word: &str, schema: &Json) -> String {
    let property = schema.get("properties").and_then(|properties| properties.get(word));
    match property.map(kind) {
        Some("boolean") => format!("{word}=true"),
        Some(_) => format!("{word}=VALUE"),
        None => "key=value".to_owned(),
    }
}

/// One value; what does not read as its type stays text.
fn value(text: &str, property: &Value) -> Value {
    let read = match kind(property) {
        "integer" => text.parse::<i64>().ok().map(Value::from),
        "number" => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    read.unwrap_or_else(|| text.into())
}

/// The entries of a list: those of a JSON array, else the text as one entry.
fn items(text: &str, property: &Value) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        _ => vec![value(text, property.get("items").unwrap_or(&Value::Null))],
    }
}

/// The fields of an object: those of a JSON object, else the one of `name=value`.
fn fields(key: &str, text: &str, property: &Value) -> Result<Json> {
    if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
        return Ok(fields);
    }
    let (name, field) = text.split_once('=').ok_or_else(|| {
        Error::invalid(format!("argument {}: {} is no field of an object", quote(key), quote(text)))
            .hint(format!("write {key}=NAME=VALUE, or {key}={}", json!({"NAME": "VALUE"})))
    })?;
    let value = value(field, property.get("additionalProperties").unwrap_or(&Value::Null));
    Ok([(name.to_owned(), value)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Json {
        let schema = json!({"properties": {
            "name": {"type": "string"}, "tail": {"type": "integer"}, "cpus": {"type": "number"},
            "all": {"type": "boolean"}, "command": {"type": "array", "items": {"type": "string"}},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        schema.as_object().cloned().unwrap()
    }

    fn parsed(words: &[&str]) -> Result<Value> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &schema()).map(Value::from)
    }

    #[test]
    fn values_have_the_type_of_the_schema() {
        for (words, expected) in [
            (
                &["name=a=b", "tail=5", "cpus=1.5", "all=true"][..],
                json!({"name": "a=b", "tail": 5, "cpus": 1.5, "all": true}),
            ),
            (&["name=5", "name2=true"], json!({"name": "5", "name2": "true"})),
            (&["tail=many", "all=yes", "cpus=NaN"], json!({"tail": "many", "all": "yes", "cpus": "NaN"})),
            (&["command=sh", "command=-c", "command=[ -e /x ]"], json!({"command": ["sh", "-c", "[ -e /x ]"]})),
            (&[r#"command=["a", "b c"]"#, "command=d"], json!({"command": ["a", "b c", "d"]})),
            (&["command=5"], json!({"command": ["5"]})),
            (&["env=A=1", "env=B=x=y", r#"env={"C": "{}"}"#], json!({"env": {"A": "1", "B": "x=y", "C": "{}"}})),
            (&["name="], json!({"name": ""})),
            (&[], json!({})),
        ] {
            assert_eq!(parsed(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_with_the_mend() {
        for (words, message, hint) in [
            (&["all"][..], "\"all\" is no argument", "write it as all=true"),
            (&["=x"], "\"=x\" is no argument", "write it as key=value"),
            (
                &["name=a", "name=b"],
                "argument \"name\" is given twice",
                "it takes one value; only lists and objects can be repeated",
            ),
            (
                &["env=A"],
                "argument \"env\": \"A\" is no field of an object",
                "write env=NAME=VALUE, or env={\"NAME\":\"VALUE\"}",
            ),
        ] {
            let error = parsed(words).unwrap_err();
            assert_eq!((error.message(), error.hint_text()), (message, Some(hint)));
        }
    }
}
