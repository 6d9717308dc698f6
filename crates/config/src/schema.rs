//! The JSON Schema of the whole file, put together from the sections and the list of known keys.

use serde_json::{Map, Value as Json, json};

use crate::config::Section;
use crate::known::{self, Known};
use crate::path::Segment;

/// Says in the schema that a key is accepted without effect.
const PENDING: &str = "OpenClaw's; accepted, but does nothing here yet.";

/// One schema for the whole file, for editors and other people's tools.
///
/// The keys of the sections are exact. Keys that are known but do nothing yet take any value.
pub fn compose(sections: &[Section]) -> Json {
    let mut root = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let mut defs = Map::new();
    let mut sections: Vec<_> = sections.iter().collect();
    sections.sort_by_key(|section| section.path.segments().len());
    for section in sections {
        let schema = hoist(section, &mut defs);
        let place = section.path.segments().iter().fold(&mut root, property);
        *place = schema;
    }
    graft(&mut root, known::root(), &mut defs);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rusty Claw configuration",
    });
    let fields = schema.as_object_mut().expect("written as an object");
    fields.extend(root.as_object().cloned().expect("written as an object"));
    fields.insert("$defs".to_owned(), defs.into());
    schema
}

/// The section's schema, its definitions moved to those of the whole.
fn hoist(section: &Section, defs: &mut Map<String, Json>) -> Json {
    let mut schema = section.schema.as_value().clone();
    let fields = schema.as_object_mut().expect("a section is an object");
    fields.shift_remove("$schema");
    fields.shift_remove("title");
    let Some(Json::Object(own)) = fields.shift_remove("$defs") else { return schema };
    // Two crates may use one name for two things.
    let taken = |name: &str, def: &Json| defs.get(name).is_some_and(|there| there != def);
    let clashes: Vec<_> =
        own.iter().filter(|(n, def)| taken(n, def)).map(|(n, _)| n.clone()).collect();
    let name_of = |name: &str| match clashes.iter().any(|clash| clash == name) {
        true => format!("{}.{name}", section.path),
        false => name.to_owned(),
    };
    for (name, mut def) in own {
        rename_refs(&mut def, &name_of);
        defs.insert(name_of(&name), def);
    }
    rename_refs(&mut schema, &name_of);
    schema
}

fn rename_refs(schema: &mut Json, name_of: &dyn Fn(&str) -> String) {
    match schema {
        Json::Object(fields) => {
            for (word, value) in fields {
                match (word.as_str(), value.as_str().and_then(|r| r.strip_prefix("#/$defs/"))) {
                    ("$ref", Some(name)) => *value = format!("#/$defs/{}", name_of(name)).into(),
                    _ => rename_refs(value, name_of),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| rename_refs(item, name_of)),
        _ => {}
    }
}

/// The schema of `segment`, made as an empty object where there is none.
fn property<'a>(schema: &'a mut Json, segment: &Segment) -> &'a mut Json {
    let Segment::Key(key) = segment else { panic!("a section stands under keys, not in a list") };
    let properties = &mut schema["properties"];
    if properties.get(key).is_none() {
        properties[key] =
            json!({"type": "object", "properties": {}, "additionalProperties": false});
    }
    &mut properties[key]
}

/// Adds the keys that are known below `schema` and not in it.
fn graft(schema: &mut Json, known: &Known, defs: &mut Map<String, Json>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        let name = name.to_owned();
        // While it is out, a type that holds itself does not lead round in a circle.
        if let Some(mut def) = defs.remove(&name) {
            graft(&mut def, known, defs);
            defs.insert(name, def);
        }
        return;
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get_mut(word).and_then(Json::as_array_mut) {
            choices.iter_mut().for_each(|choice| graft(choice, known, defs));
        }
    }
    if let (Some(items), Some(known)) = (schema.get_mut("items"), known.any_item()) {
        graft(items, known, defs);
    }
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(additional @ Json::Object(_)) = fields.get_mut("additionalProperties") {
        if let Some(known) = known.any_key() {
            graft(additional, known, defs);
        }
        return;
    }
    let Some(Json::Object(properties)) = fields.get_mut("properties") else { return };
    for (key, known) in known.keys() {
        match properties.get_mut(key) {
            Some(there) => graft(there, known, defs),
            None => {
                properties.insert(key.to_owned(), pending());
            }
        }
    }
    if known.any_key().is_some() || known.is_open() {
        fields.insert("additionalProperties".to_owned(), pending());
    }
}

fn pending() -> Json {
    json!({"description": PENDING})
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;

    #[derive(JsonSchema)]
    #[schemars(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Telegram {
        /// Who may write.
        allow_from: Vec<String>,
        retry: Option<Retry>,
    }

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Retry {
        attempts: u8,
    }

    mod other {
        #[derive(schemars::JsonSchema)]
        #[allow(dead_code, reason = "only its schema is used")]
        pub(super) struct Retry {
            pub(super) again: bool,
        }
        #[derive(schemars::JsonSchema)]
        #[allow(dead_code, reason = "only its schema is used")]
        pub(super) struct Cron {
            pub(super) retry: Retry,
        }
    }

    fn composed() -> Json {
        compose(&[Section::of::<Telegram>("channels.telegram"), Section::of::<other::Cron>("cron")])
    }

    #[test]
    fn sections_stand_at_their_paths_with_known_keys_beside_their_own() {
        let schema = composed();
        let telegram = &schema["properties"]["channels"]["properties"]["telegram"];
        assert_eq!(telegram["properties"]["allowFrom"]["description"], "Who may write.");
        assert_eq!(telegram["properties"]["dmPolicy"], pending());
        assert_eq!(telegram["additionalProperties"], false);
        assert_eq!(schema["properties"]["channels"]["additionalProperties"], pending());
        assert_eq!(schema["properties"]["gateway"], pending());
        assert_eq!(
            schema["$defs"]["channels.telegram.Retry"]["properties"]["minDelayMs"],
            pending()
        );
    }

    #[test]
    fn two_types_of_one_name_stay_apart() {
        let schema = composed();
        let cron = &schema["properties"]["cron"]["properties"]["retry"];
        let telegram =
            &schema["properties"]["channels"]["properties"]["telegram"]["properties"]["retry"];
        assert_ne!(cron["$ref"], telegram["anyOf"][0]["$ref"]);
        for reference in [&cron["$ref"], &telegram["anyOf"][0]["$ref"]] {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
