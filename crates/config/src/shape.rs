//! Which keys a JSON Schema allows below a place.

use serde_json::Value as Json;

use crate::path::Segment;

/// The schemas that a value may follow at one place; any of them will do.
#[derive(Debug, Clone)]
pub(crate) struct Shape<'a> {
    root: &'a Json,
    choices: Vec<&'a Json>,
}

/// What lies one step below a [`Shape`].
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Shape(Shape<'a>),
    /// Anything may stand there.
    Anything,
    Nothing,
}

impl<'a> Shape<'a> {
    /// The shape that the whole of `schema` describes.
    pub(crate) fn new(schema: &'a Json) -> Self {
        Self::of(schema, [schema])
    }

    fn of(root: &'a Json, schemas: impl IntoIterator<Item = &'a Json>) -> Self {
        let mut choices = Vec::new();
        for schema in schemas {
            collect(root, schema, &mut choices);
        }
        Self { root, choices }
    }

    /// What the value at `segment` may be.
    pub(crate) fn step(&self, segment: &Segment) -> Step<'a> {
        let mut found = Vec::new();
        let mut anything = false;
        for choice in &self.choices {
            let below = match segment {
                Segment::Key(key) => key_schema(choice, key),
                Segment::Index(_) => item_schema(choice),
            };
            match below {
                Some(Json::Bool(false)) | None => {}
                Some(Json::Bool(true)) => anything = true,
                Some(schema) => found.push(schema),
            }
        }
        match found.is_empty() {
            false => Step::Shape(Self::of(self.root, found)),
            true if anything => Step::Anything,
            true => Step::Nothing,
        }
    }

    /// The keys that are named.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        let properties = self.choices.iter().filter_map(|choice| choice["properties"].as_object());
        properties.flat_map(|properties| properties.keys().map(String::as_str))
    }

    /// Whether an object may stand here at all.
    pub(crate) fn takes_objects(&self) -> bool {
        self.choices.iter().any(|choice| key_schema(choice, "").is_some() || has_properties(choice))
    }

    /// Whether a list may stand here at all.
    pub(crate) fn takes_lists(&self) -> bool {
        self.choices.iter().any(|choice| item_schema(choice).is_some())
    }
}

/// Follows references and alternatives down to schemas that say something themselves.
fn collect<'a>(root: &'a Json, schema: &'a Json, choices: &mut Vec<&'a Json>) {
    if let Some(target) = schema["$ref"].as_str().and_then(|r| root.pointer(r.strip_prefix('#')?)) {
        return collect(root, target, choices);
    }
    let mut is_choice = true;
    for word in ["anyOf", "oneOf", "allOf"] {
        for inner in schema[word].as_array().into_iter().flatten() {
            is_choice = has_properties(schema);
            collect(root, inner, choices);
        }
    }
    if is_choice {
        choices.push(schema);
    }
}

/// The schema of the value under `key`; `true` for anything.
fn key_schema<'a>(schema: &'a Json, key: &str) -> Option<&'a Json> {
    if let Some(schema) = schema["properties"].get(key) {
        return Some(schema);
    }
    match schema.get("additionalProperties") {
        Some(additional) => Some(additional),
        None if has_properties(schema) => None,
        None => is_of_type(schema, "object").then_some(&Json::Bool(true)),
    }
}

fn item_schema(schema: &Json) -> Option<&Json> {
    match schema.get("items") {
        Some(items) => Some(items),
        None => is_of_type(schema, "array").then_some(&Json::Bool(true)),
    }
}

fn has_properties(schema: &Json) -> bool {
    schema["properties"].as_object().is_some_and(|properties| !properties.is_empty())
}

/// Whether a value of this type fits; a schema without a type, `enum` or `const` takes every one.
fn is_of_type(schema: &Json, name: &str) -> bool {
    match &schema["type"] {
        Json::String(one) => one == name,
        Json::Array(several) => several.iter().any(|one| one == name),
        _ => schema.get("enum").is_none() && schema.get("const").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::path::Path;

    #[test]
    fn a_schema_tells_which_keys_may_stand() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "plain": {"type": "string"},
                "maybe": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
                "map": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Inner"}},
                "list": {"type": ["array", "null"], "items": {"$ref": "#/$defs/Inner"}},
                "any": true,
                "free": {"type": "object"},
                "choice": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/Inner"}]},
            },
            "$defs": {"Inner": {"type": "object", "additionalProperties": false, "properties": {"x": {"type": "integer"}}}},
        });
        let check = |path: &str, expected: bool| {
            let path: Path = path.parse().unwrap();
            let mut step = Step::Shape(Shape::new(&schema));
            for segment in path.segments() {
                step = match step {
                    Step::Shape(shape) => shape.step(segment),
                    other => other,
                };
            }
            assert_eq!(!matches!(step, Step::Nothing), expected, "{path}");
        };
        for path in
            ["plain", "maybe.x", "map.k.x", "list[0].x", "any.thing[0]", "free.k.l", "choice.x"]
        {
            check(path, true);
        }
        for path in ["other", "plain.x", "maybe.y", "map.k.y", "list[0].y", "list.x", "choice.y"] {
            check(path, false);
        }
    }
}
