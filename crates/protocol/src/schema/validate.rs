//! What is wrong with a value, in the words that OpenClaw's clients know.
//!
//! The texts and their order are those of ajv with `allErrors`: for an object first the missing
//! keys, then the unexpected ones, then each known key in the schema's order.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use super::{Bounds, Field, Schema};

/// How many problems one value may be told of; a hostile value could have a million.
const PROBLEMS_MAX: usize = 64;

/// What is wrong with a value. `Display` joins the texts with `; `.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Schema {
    /// Finds everything that is wrong with `value`, each text once, at most 64 of them.
    pub fn validate(&self, value: &Value) -> Problems {
        let mut problems = Problems::default();
        walk(self, value, &mut String::new(), &mut problems);
        problems
    }

    /// Validates `value`, then reads it as a `T`.
    ///
    /// # Errors
    /// The problems found. The words of serde are never among them.
    pub fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, Problems> {
        let problems = self.validate(&value);
        if !problems.is_empty() {
            return Err(problems);
        }
        // A schema and its type differ only in how large a number they can hold.
        serde_json::from_value(value)
            .map_err(|_| Problems(vec!["must be within the supported range".into()]))
    }
}

impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn add(&mut self, path: &str, message: impl fmt::Display) {
        self.push(if path.is_empty() {
            message.to_string()
        } else {
            format!("at {path}: {message}")
        });
    }

    fn add_unexpected(&mut self, path: &str, key: &str) {
        let place = if path.is_empty() { "root" } else { path };
        self.push(format!("at {place}: unexpected property '{key}'"));
    }

    fn push(&mut self, text: String) {
        if self.0.len() < PROBLEMS_MAX && !self.0.contains(&text) {
            self.0.push(text);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Walks `value` along `schema`; `path` is the JSON pointer of `value` and is left as found.
fn walk(schema: &Schema, value: &Value, path: &mut String, problems: &mut Problems) {
    match (schema, value) {
        (Schema::Any, _) | (Schema::Null, Value::Null) | (Schema::Bool, Value::Bool(_)) => {}
        (Schema::Null, _) => problems.add(path, "must be null"),
        (Schema::Bool, _) => problems.add(path, "must be boolean"),
        (Schema::Int(bounds), _) => {
            if !(value.is_i64() || value.is_u64()) {
                problems.add(path, "must be integer");
            }
            if let Value::Number(number) = value {
                let bounds = Bounds {
                    min: bounds.min.map(|min| min as f64),
                    max: bounds.max.map(|max| max as f64),
                };
                number_in(bounds, number, path, problems);
            }
        }
        (Schema::Num(bounds), Value::Number(number)) => {
            number_in(*bounds, number, path, problems);
        }
        (Schema::Num(_), _) => problems.add(path, "must be number"),
        (Schema::Str(bounds), Value::String(text)) => {
            count_in(*bounds, text.chars().count(), "characters", path, problems);
        }
        (Schema::Str(_), _) => problems.add(path, "must be string"),
        (Schema::Const(constant), _) => equal(constant, value, path, problems),
        (Schema::AnyOf(options), _) => any_of(options, value, path, problems),
        (Schema::List(item, bounds), Value::Array(values)) => {
            count_in(*bounds, values.len(), "items", path, problems);
            for (index, value) in values.iter().enumerate() {
                below(path, &index.to_string(), |path| walk(item, value, path, problems));
            }
        }
        (Schema::List(..), _) => problems.add(path, "must be array"),
        (Schema::Map(schema), Value::Object(object)) => {
            for (key, value) in object {
                below(path, key, |path| walk(schema, value, path, problems));
            }
        }
        (Schema::Object { fields, open }, Value::Object(object)) => {
            keys(fields, *open, object, path, problems);
        }
        (Schema::Map(_) | Schema::Object { .. }, _) => problems.add(path, "must be object"),
    }
}

fn keys(
    fields: &[Field],
    open: bool,
    object: &Map<String, Value>,
    path: &mut String,
    problems: &mut Problems,
) {
    for field in fields.iter().filter(|field| field.required) {
        if !object.contains_key(&field.name) {
            problems.add(path, format_args!("must have required property '{}'", field.name));
        }
    }
    for key in object.keys().filter(|_| !open) {
        if !fields.iter().any(|field| field.name == *key) {
            problems.add_unexpected(path, key);
        }
    }
    for field in fields {
        if let Some(value) = object.get(&field.name) {
            below(path, &field.name, |path| walk(&field.schema, value, path, problems));
        }
    }
}

fn any_of(options: &[Schema], value: &Value, path: &mut String, problems: &mut Problems) {
    let mut refused = Vec::new();
    for option in options {
        let mut found = Problems::default();
        walk(option, value, path, &mut found);
        if found.is_empty() {
            return;
        }
        refused.extend(found.0);
    }
    refused.into_iter().for_each(|text| problems.push(text));
    problems.add(path, "must match a schema in anyOf");
}

fn equal(constant: &Value, value: &Value, path: &str, problems: &mut Problems) {
    if constant == value {
        return;
    }
    match (constant, value) {
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) => {}
        (Value::String(_), _) => problems.add(path, "must be string"),
        _ => problems.add(path, "must be number"),
    }
    problems.add(path, "must be equal to constant");
}

fn number_in(bounds: Bounds<f64>, number: &Number, path: &str, problems: &mut Problems) {
    let number = number.as_f64().unwrap_or(f64::NAN);
    if let Some(max) = bounds.max.filter(|max| number > *max) {
        problems.add(path, format_args!("must be <= {max}"));
    }
    if let Some(min) = bounds.min.filter(|min| number < *min) {
        problems.add(path, format_args!("must be >= {min}"));
    }
}

fn count_in(bounds: Bounds<usize>, count: usize, what: &str, path: &str, problems: &mut Problems) {
    if let Some(max) = bounds.max.filter(|max| count > *max) {
        problems.add(path, format_args!("must NOT have more than {max} {what}"));
    }
    if let Some(min) = bounds.min.filter(|min| count < *min) {
        problems.add(path, format_args!("must NOT have fewer than {min} {what}"));
    }
}

/// Runs `inside` with `key` appended to `path` as a JSON pointer (RFC 6901).
fn below(path: &mut String, key: &str, inside: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push('/');
    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
    inside(path);
    path.truncate(length);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(notation: &str, value: Value, problems: &str) {
        let schema = Schema::parse(notation).expect("the test's notation is right");
        assert_eq!(schema.validate(&value).to_string(), problems, "{notation} of {value}");
    }

    #[test]
    fn what_fits_has_no_problems() {
        check("any", json!({"a": [1, null]}), "");
        check("{a?: str, b: int[0..]}", json!({"b": 0}), "");
        check("{a: str, …}", json!({"a": "", "more": 1}), "");
        check("map<str+[]>", json!({"x": ["y"], "z": []}), "");
        check("str+≤64 | null", json!(null), "");
        check("str+≤3", json!("äöü"), "");
        check("num", json!(0.5), "");
    }

    #[test]
    fn each_wrong_kind_is_named() {
        check("str", json!(1), "must be string");
        check("int", json!("1"), "must be integer");
        check("int", json!(1.5), "must be integer");
        check("num", json!(true), "must be number");
        check("bool", json!("true"), "must be boolean");
        check("null", json!(0), "must be null");
        check("any[]", json!({}), "must be array");
        check("map<any>", json!([]), "must be object");
        check("{}", json!(null), "must be object");
    }

    #[test]
    fn bounds_are_named() {
        check("int[1..1000]", json!(5000), "must be <= 1000");
        check("int[0..]", json!(-0.5), "must be integer; must be >= 0");
        check("num[0..1]", json!(1.5), "must be <= 1");
        check("str+", json!(""), "must NOT have fewer than 1 characters");
        check("str≤2", json!("äöü"), "must NOT have more than 2 characters");
        check("any[]{1..2}", json!([]), "must NOT have fewer than 1 items");
        check("any[]{1..2}", json!([1, 2, 3]), "must NOT have more than 2 items");
    }

    #[test]
    fn keys_are_reported_missing_then_unexpected_then_wrong() {
        check(
            "{a: str, b: int, c?: bool}",
            json!({"c": 1, "z": 1, "y": 1}),
            "must have required property 'a'; must have required property 'b'; \
             at root: unexpected property 'z'; at root: unexpected property 'y'; \
             at /c: must be boolean",
        );
        check(
            "{a: {b?: {}[]}}",
            json!({"a": {"b": [{}, {"x": 1}], "c": 2}}),
            "at /a: unexpected property 'c'; at /a/b/1: unexpected property 'x'",
        );
    }

    #[test]
    fn no_matching_option_is_reported_once_per_text() {
        check(
            r#""cli" | "node" | "test""#,
            json!("operator"),
            "must be equal to constant; must match a schema in anyOf",
        );
        check(
            r#""cli" | "node""#,
            json!(5),
            "must be string; must be equal to constant; must match a schema in anyOf",
        );
        check(
            "{a?: str+ | null}",
            json!({"a": ""}),
            "at /a: must NOT have fewer than 1 characters; at /a: must be null; \
             at /a: must match a schema in anyOf",
        );
    }

    #[test]
    fn a_key_in_a_path_is_escaped_as_a_json_pointer() {
        check("map<str>", json!({"a/b~c": 1}), "at /a~1b~0c: must be string");
    }

    #[test]
    fn a_hostile_value_gets_a_bounded_answer() {
        let many: Map<String, Value> = (0..10_000).map(|n| (n.to_string(), json!(n))).collect();
        let schema = Schema::parse("{}").expect("valid");
        assert_eq!(schema.validate(&Value::Object(many)).iter().count(), PROBLEMS_MAX);
    }

    #[test]
    fn a_number_too_large_for_its_type_is_refused_in_our_words() {
        let schema = Schema::parse("int[0..]").expect("valid");
        assert_eq!(schema.read::<u8>(json!(7)), Ok(7));
        let problems = schema.read::<u8>(json!(700)).unwrap_err();
        assert_eq!(problems.to_string(), "must be within the supported range");
    }
}
