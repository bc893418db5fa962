//! Schemas that every client can read, and arguments that are refused by name.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Json;
use crate::{
    docker::names::quote,
    error::{Error, Result, nearest},
    redact,
};

/// What writes the schema of a type: its [`schemars::JsonSchema::json_schema`]. What is made of it is compiled once
/// and not for every tool.
pub type Describe = fn(&mut SchemaGenerator) -> Schema;

/// The description and the input schema of a struct: a flat object, everything inlined, one type
/// for each property, no `null`. That unknown properties are refused is not written into every one of them.
#[must_use]
pub fn input(describe: Describe) -> (String, Json) {
    let mut schema = plain(describe);
    let about = schema.remove("description").and_then(|text| text.as_str().map(paragraphs)).unwrap_or_default();
    schema.remove("title");
    schema.entry("properties").or_insert_with(|| Json::new().into());
    schema.remove("additionalProperties");
    (about, schema)
}

/// The output schema of a struct. Nothing is required but `host`, so that a partial answer fits too,
/// and it carries no descriptions: the names are to explain themselves.
#[must_use]
pub fn output(describe: Describe) -> Json {
    let mut schema = plain(describe);
    loosen(&mut schema);
    schema.remove("title");
    schema
}

/// Parses arguments after a check against their [`input`] schema, naming the one that is wrong.
///
/// # Errors
/// `invalid`, with the nearest argument or value.
pub fn parse<T: DeserializeOwned>(arguments: Json, schema: &Json) -> Result<T> {
    T::deserialize(checked(arguments, schema)?).map_err(|error| senseless(&error))
}

fn senseless(error: &serde_json::Error) -> Error {
    Error::invalid(error.to_string()).hint("see the tool's input schema")
}

fn checked(arguments: Json, schema: &Json) -> Result<Value> {
    let none = Json::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, value) in &arguments {
        let Some(property) = properties.get(name) else { return Err(unknown(name, properties)) };
        check(name, value, property)?;
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !arguments.contains_key(name) {
            let about = properties.get(name).and_then(|property| property.get("description")).and_then(Value::as_str);
            return Err(Error::invalid(format!("argument \"{name}\" is missing"))
                .hint(about.map_or_else(|| format!("give \"{name}\""), |about| format!("{name}: {about}"))));
        }
    }
    // An explicit null is the same as nothing: some clients write every property.
    let given: Json = arguments.into_iter().filter(|(_, value)| !value.is_null()).collect();
    Ok(given.into())
}

fn unknown(name: &str, properties: &Json) -> Error {
    let hint = match nearest(name, properties.keys().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if properties.is_empty() => "this tool takes no arguments beside \"host\"".to_owned(),
        None => format!("allowed: {}", properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    Error::invalid(format!("unknown argument {}", quote(name))).hint(hint)
}

/// Whether a value has the type and, for a closed set, one of the values of its property.
fn check(name: &str, value: &Value, property: &Value) -> Result<()> {
    let expected = property.get("type").and_then(Value::as_str).unwrap_or_default();
    let fits = match (expected, value) {
        (_, Value::Null)
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("string", Value::String(_)) => true,
        ("integer", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("array", Value::Array(items)) => {
            if let Some(item) = property.get("items") {
                items.iter().try_for_each(|value| check(name, value, item))?;
            }
            let most = property.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if items.len() as u64 > most {
                return Err(Error::invalid(format!("argument \"{name}\" has {} entries", items.len()))
                    .hint(format!("at most {most} in one call")));
            }
            true
        }
        ("object", Value::Object(fields)) => {
            if let Some(item) = property.get("additionalProperties").filter(|item| item.is_object()) {
                fields.values().try_for_each(|value| check(name, value, item))?;
            }
            true
        }
        _ => expected.is_empty(),
    };
    if !fits {
        let given = match (name, value) {
            // Its values are nobody's business, also where they came in the wrong shape.
            ("env" | "build_args", Value::Array(_)) => "a list".to_owned(),
            ("env" | "build_args", _) => "a value of another type".to_owned(),
            _ => quote(&redact::shown(&value.to_string())),
        };
        return Err(Error::invalid(format!("argument \"{name}\" must be {}, not {given}", article(expected)))
            .hint(hint_of(expected, property)));
    }
    if let (Some(allowed), Some(given)) = (property.get("enum").and_then(Value::as_array), value.as_str()) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&given) {
            let hint = match nearest(given, allowed.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"? allowed: {}", allowed.join(", ")),
                None => format!("allowed: {}", allowed.join(", ")),
            };
            return Err(Error::invalid(format!("argument \"{name}\": {} is not allowed", quote(given))).hint(hint));
        }
    }
    if let (Some(number), Some(least)) = (value.as_f64(), property.get("minimum").and_then(Value::as_f64))
        && number < least
    {
        return Err(Error::invalid(format!("argument \"{name}\" is {value}")).hint(format!("at least {least}")));
    }
    if let (Some(number), Some(most)) = (value.as_f64(), property.get("maximum").and_then(Value::as_f64))
        && number > most
    {
        return Err(Error::invalid(format!("argument \"{name}\" is {value}")).hint(format!("at most {most}")));
    }
    Ok(())
}

fn article(expected: &str) -> String {
    let article = if expected.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {expected}")
}

fn hint_of(expected: &str, property: &Value) -> String {
    let items = property.pointer("/items/type").and_then(Value::as_str);
    match (expected, items) {
        ("array", Some(items)) => format!("an array of {items}s, such as [\"one\"]"),
        ("object", _) => "an object of strings, such as {\"name\": \"value\"}".to_owned(),
        _ => property.get("description").and_then(Value::as_str).unwrap_or("see the tool's input schema").to_owned(),
    }
}

fn plain(describe: Describe) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let Value::Object(mut schema) = describe(&mut SchemaGenerator::new(settings)).to_value() else {
        return Json::new();
    };
    simplify(&mut schema);
    schema
}

/// Makes one type of `["string", "null"]`, an enum of `oneOf` constants, and drops what only Rust means.
fn simplify(schema: &mut Json) {
    if let Some(Value::Array(types)) = schema.get("type")
        && let Some(only) = types.iter().find(|kind| *kind != "null").cloned()
    {
        schema.insert("type".into(), only);
    }
    for key in ["oneOf", "anyOf"] {
        let Some(Value::Array(mut variants)) = schema.remove(key) else { continue };
        for variant in &mut variants {
            if let Value::Object(variant) = variant {
                simplify(variant);
            }
        }
        let constants: Vec<Value> = variants
            .iter()
            .flat_map(|variant| {
                let constant = variant.get("const").cloned();
                let listed = variant.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
                constant.into_iter().chain(listed)
            })
            .filter(|value| !value.is_null())
            .collect();
        if !constants.is_empty() {
            schema.insert("type".into(), "string".into());
            schema.insert("enum".into(), constants.into());
        } else if let Some(Value::Object(real)) =
            variants.into_iter().find(|variant| variant.get("type").is_some_and(|kind| kind != "null"))
        {
            for (key, value) in real {
                schema.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    schema.remove("format");
    schema.remove("default");
    if schema.get("minimum").and_then(Value::as_f64) == Some(0.0) && schema.get("maximum").is_none() {
        schema.remove("minimum");
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = paragraphs(text);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            simplify(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            if let Value::Object(property) = property {
                simplify(property);
            }
        }
    }
}

fn loosen(schema: &mut Json) {
    schema.remove("description");
    schema
        .remove("additionalProperties")
        .filter(Value::is_object)
        .map(|inner| schema.insert("additionalProperties".into(), inner));
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name == "host");
        if required.is_empty() {
            schema.remove("required");
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            loosen(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            if let Value::Object(property) = property {
                loosen(property);
            }
        }
    }
}

/// Doc comments are wrapped for the screen; a description is not.
fn paragraphs(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    /// Does a thing.
    ///
    /// And says
    /// how.
    #[derive(Deserialize, JsonSchema, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its parsing are looked at")]
    struct Example {
        /// A name.
        container: String,
        /// How many. Default: 3.
        #[serde(default)]
        limit: Option<u32>,
        /// Which.
        #[serde(default)]
        which: Option<Which>,
        /// Variables.
        #[serde(default)]
        env: std::collections::BTreeMap<String, String>,
        /// Names.
        #[serde(default)]
        names: Vec<String>,
    }

    /// Either; the variants' own words make `oneOf` of them, inside the `anyOf` of an option.
    #[derive(Deserialize, JsonSchema, Debug)]
    #[serde(rename_all = "snake_case")]
    enum Which {
        /// The left one.
        Left,
        /// The right one.
        Right,
    }

    #[test]
    fn schemas_are_flat() {
        let (about, schema) = input(Example::json_schema);
        assert_eq!(about, "Does a thing.\n\nAnd says how.");
        assert_eq!(
            Value::from(schema),
            json!({
                "type": "object",
                "required": ["container"],
                "properties": {
                    "container": {"type": "string", "description": "A name."},
                    "limit": {"type": "integer", "description": "How many. Default: 3."},
                    "which": {"type": "string", "description": "Which.", "enum": ["left", "right"]},
                    "env": {"type": "object", "description": "Variables.", "additionalProperties": {"type": "string"}},
                    "names": {"type": "array", "description": "Names.", "items": {"type": "string"}},
                }
            })
        );
    }

    #[test]
    fn wrong_arguments_are_named() {
        let refusal = |arguments: Value| {
            let Value::Object(arguments) = arguments else { panic!("no object") };
            let error = parse::<Example>(arguments, &input(Example::json_schema).1).unwrap_err();
            format!("{error} | {}", error.hint_text().unwrap_or_default())
        };
        assert_eq!(refusal(json!({"contaner": "x"})), "unknown argument \"contaner\" | did you mean \"container\"?");
        assert_eq!(refusal(json!({})), "argument \"container\" is missing | container: A name.");
        assert_eq!(
            refusal(json!({"container": "x", "which": "lef"})),
            "argument \"which\": \"lef\" is not allowed | did you mean \"left\"? allowed: left, right"
        );
        assert_eq!(
            refusal(json!({"container": ["x"]})),
            "argument \"container\" must be a string, not \"[\\\"x\\\"]\" | A name."
        );
        assert_eq!(
            refusal(json!({"container": "x", "limit": -1})),
            "invalid value: integer `-1`, expected u32 | see the tool's input schema"
        );
    }

    #[test]
    fn null_is_nothing() {
        let arguments = json!({"container": "x", "limit": null}).as_object().cloned().unwrap();
        assert!(parse::<Example>(arguments, &input(Example::json_schema).1).unwrap().limit.is_none());
    }
}
