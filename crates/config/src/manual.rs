//! The page that explains every key, made from the sections' doc comments.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value as Json;

use crate::alias::{ALIASES, Rule};
use crate::config::Section;
use crate::known;
use crate::path::{Path, Segment};
use crate::pattern::{Piece, pieces};
use crate::shape::{Shape, Step};

/// The configuration's manual in Markdown: the working keys by section, the other words for keys,
/// and OpenClaw's keys that are accepted without effect.
pub fn reference_markdown(sections: &[Section]) -> String {
    let mut page = String::from("# Configuration\n\nMade from the doc comments of the code.\n");
    for section in sections {
        let schema = section.schema.as_value();
        let _ = write!(page, "\n## {}\n", section.path);
        if let Some(description) = schema["description"].as_str() {
            let _ = write!(page, "\n{description}\n");
        }
        page.push_str("\n| key | type | default | what it does |\n|---|---|---|---|\n");
        Rows { root: schema, page: &mut page, open: Vec::new() }.section(schema);
    }
    other_words(&mut page);
    pending(&mut page, sections);
    page
}

struct Rows<'a> {
    root: &'a Json,
    page: &'a mut String,
    /// The references that are being written out; a type that holds itself is shown once.
    open: Vec<&'a str>,
}

impl<'a> Rows<'a> {
    /// The rows of a whole section, which is an object or a list.
    fn section(&mut self, schema: &'a Json) {
        self.object(schema, "");
        if let Some(items) = schema.get("items").and_then(|items| self.meant(items)) {
            self.object(items, "[]");
        }
    }

    /// A row for each key below `schema`, which stands at `at`.
    fn object(&mut self, schema: &'a Json, at: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            self.row(property, &path);
        }
        if let Some(additional @ Json::Object(_)) = schema.get("additionalProperties") {
            self.row(additional, &format!("{at}.<key>"));
        }
    }

    fn row(&mut self, property: &'a Json, path: &str) {
        let depth = self.open.len();
        if let Some(schema) = self.meant(property) {
            let is_object =
                schema["properties"].is_object() || schema["additionalProperties"].is_object();
            let description = property["description"].as_str().or(schema["description"].as_str());
            if !is_object || description.is_some() {
                let kind = self.kind(schema);
                let default = property.get("default").or(schema.get("default")).map(plain_default);
                let description = description.unwrap_or_default().split_whitespace();
                let description = escaped(&description.collect::<Vec<_>>().join(" "));
                let default = default.unwrap_or_default();
                let _ = writeln!(self.page, "| `{path}` | {kind} | {default} | {description} |");
            }
            self.object(schema, path);
            if let Some(items) = schema["items"].as_object().and(self.meant(&schema["items"])) {
                self.object(items, &format!("{path}[]"));
            }
        }
        self.open.truncate(depth);
    }

    /// Follows references and leaves `null` out; `None` for a type inside itself.
    fn meant(&mut self, schema: &'a Json) -> Option<&'a Json> {
        if let Some(reference) = schema["$ref"].as_str() {
            if self.open.contains(&reference) {
                return None;
            }
            self.open.push(reference);
            return self.meant(self.root.pointer(reference.strip_prefix('#')?)?);
        }
        let choices = schema["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        match choices {
            [only, null] if null["type"] == "null" => self.meant(only),
            _ => Some(schema),
        }
    }

    /// What may stand there, in words.
    fn kind(&self, schema: &'a Json) -> String {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = reference.strip_prefix('#').and_then(|r| self.root.pointer(r));
            return target.map_or_else(String::new, |target| self.kind(target));
        }
        if let Some(words) = words(schema) {
            return words.join(" or ");
        }
        if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            let kinds = choices.iter().map(|choice| self.kind(choice));
            return kinds.filter(|kind| kind != "null").collect::<Vec<_>>().join(" or ");
        }
        let named = match &schema["type"] {
            Json::Array(names) => {
                names.iter().filter_map(Json::as_str).find(|name| *name != "null")
            }
            name => name.as_str(),
        };
        match named.unwrap_or("anything") {
            "array" => format!("list of {}", self.kind(&schema["items"])),
            "object" if schema["additionalProperties"].is_object() => {
                format!("map of {}", self.kind(&schema["additionalProperties"]))
            }
            "integer" => whole_number(schema),
            "boolean" => "true or false".to_owned(),
            other => other.to_owned(),
        }
    }
}

/// The words of an enum, whether its variants have doc comments or not.
fn words(schema: &Json) -> Option<Vec<String>> {
    let quoted = |word: &Json| word.as_str().map(|word| format!("`{word}`"));
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(quoted).collect());
    }
    if let Some(word) = schema.get("const") {
        return quoted(word).map(|word| vec![word]);
    }
    let choices = schema["oneOf"].as_array()?;
    let words: Option<Vec<_>> = choices.iter().map(words).collect();
    words.map(|words| words.concat())
}

fn whole_number(schema: &Json) -> String {
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(low), Some(high)) => format!("whole number, {low} to {high}"),
        (Some(low), None) => format!("whole number, {low} or more"),
        _ => "whole number".to_owned(),
    }
}

fn plain_default(default: &Json) -> String {
    match default {
        Json::Null | Json::Object(_) => String::new(),
        Json::Array(items) if items.is_empty() => String::new(),
        value => format!("`{}`", escaped(&value.to_string())),
    }
}

/// `text` inside a table's cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn other_words(page: &mut String) {
    page.push_str(
        "\n## Other words\n\nAccepted everywhere a file is read; the key on the right is meant.\n",
    );
    page.push_str("\n| other word | key | value |\n|---|---|---|\n");
    for alias in ALIASES {
        let value = match alias.rule {
            Rule::Words(words) => {
                let pairs = words.iter().map(|(word, ours)| format!("`{word}` is `{ours}`"));
                pairs.collect::<Vec<_>>().join(", ")
            }
            Rule::Bind => "an address or `localhost` becomes OpenClaw's word for it".to_owned(),
            Rule::Model => "without a provider, the name tells it".to_owned(),
            Rule::Text(text) => format!("`{text}`"),
            Rule::Emptied => "an empty object".to_owned(),
            Rule::Keep => String::new(),
            Rule::Used { .. } => "used by the lines above".to_owned(),
        };
        let _ = writeln!(page, "| `{}` | `{}` | {value} |", alias.from, alias.to);
    }
}

/// How many keys under each part of the file do nothing yet.
fn pending(page: &mut String, sections: &[Section]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (line, flags) in known::lines() {
        if flags.contains("quiet") || works(&pieces(&line), sections) {
            continue;
        }
        let part: Vec<_> = line.split('.').take(2).collect();
        *counts.entry(part.join(".")).or_default() += 1;
    }
    page.push_str("\n## Accepted, without effect yet\n\nOpenClaw's keys that are read over. `rusty-claw config validate` names those in a file.\n");
    page.push_str("\n| keys | how many |\n|---|---|\n");
    for (part, count) in counts {
        let _ = writeln!(page, "| `{part}` | {count} |");
    }
}

/// Whether a section describes what the pattern means.
fn works(pieces: &[Piece], sections: &[Section]) -> bool {
    let segments: Vec<_> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Key(key) => Segment::Key(key.clone()),
            Piece::AnyItem => Segment::Index(0),
            Piece::AnyKey | Piece::Rest => Segment::Key("*".to_owned()),
        })
        .collect();
    let path = Path::from(segments);
    let above = sections.iter().filter(|section| path.starts_with(&section.path));
    let Some(section) = above.max_by_key(|section| section.path.segments().len()) else {
        return false;
    };
    let mut step = Step::Shape(Shape::new(section.schema.as_value()));
    for segment in &path.segments()[section.path.segments().len()..] {
        step = match step {
            Step::Shape(shape) => shape.step(segment),
            other => other,
        };
    }
    !matches!(step, Step::Nothing)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    /// How the gateway listens.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Gateway {
        /// The port | both families.
        port: u16,
        /// Where it listens.
        bind: Bind,
        auth: Auth,
        /// Names and what they mean.
        names: BTreeMap<String, Auth>,
        /// Rules, the first that fits counts.
        rules: Vec<Auth>,
        /// A text or nothing.
        note: Option<String>,
    }

    impl Default for Gateway {
        fn default() -> Self {
            Self {
                port: 18789,
                bind: Bind::Loopback,
                auth: Auth::default(),
                names: BTreeMap::new(),
                rules: Vec::new(),
                note: None,
            }
        }
    }

    #[derive(Deserialize, serde::Serialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code, reason = "only its schema is used")]
    enum Bind {
        /// This machine.
        Loopback,
        Lan,
    }

    #[derive(Default, Deserialize, serde::Serialize, JsonSchema)]
    struct Auth {
        /// Who is let in.
        ///
        /// On two lines.
        who: Vec<String>,
    }

    #[test]
    fn the_page_tells_what_people_need() {
        let page = reference_markdown(&[
            Section::of::<Gateway>("gateway"),
            Section::of::<Vec<Auth>>("bindings"),
        ]);
        let working = page.split("\n## Other words").next().unwrap();
        insta::assert_snapshot!(working, @r#"
        # Configuration

        Made from the doc comments of the code.

        ## gateway

        How the gateway listens.

        | key | type | default | what it does |
        |---|---|---|---|
        | `port` | whole number, 0 to 65535 | `18789` | The port \| both families. |
        | `bind` | `lan` or `loopback` | `"loopback"` | Where it listens. |
        | `auth.who` | list of string |  | Who is let in. On two lines. |
        | `names` | map of object |  | Names and what they mean. |
        | `names.<key>.who` | list of string |  | Who is let in. On two lines. |
        | `rules` | list of object |  | Rules, the first that fits counts. |
        | `rules[].who` | list of string |  | Who is let in. On two lines. |
        | `note` | string |  | A text or nothing. |

        ## bindings

        | key | type | default | what it does |
        |---|---|---|---|
        | `[].who` | list of string |  | Who is let in. On two lines. |
        "#);
        assert!(page.contains("| `server` | `gateway` |  |\n"));
        assert!(page.contains("| `channels.discord` | "));
        assert!(!page.contains("| `gateway.port` |"));
    }
}
