//! Which keys of a file work, which are OpenClaw's but not here yet, and which nobody knows.

use std::path::PathBuf;

use crate::config::Section;
use crate::error::Problem;
use crate::known::{self, Known};
use crate::nearest;
use crate::path::{Path, Segment};
use crate::shape::{Shape, Step};
use crate::tree::{Entry, Node, Origin, Value};

/// What a walk over a file found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Keys that are known but do nothing here yet; what lies below is not listed.
    pub(crate) pending: Vec<(Path, Origin)>,
    pub(crate) problems: Vec<Problem>,
}

/// Sorts every key of `tree` into the three classes.
pub(crate) fn check(tree: &Node, sections: &[Section], files: &[PathBuf]) -> Found {
    let mut walk = Walk { sections, files, found: Found::default() };
    walk.node(tree, &Path::root(), None, Some(known::root()));
    walk.found
}

struct Walk<'a> {
    sections: &'a [Section],
    files: &'a [PathBuf],
    found: Found,
}

impl<'a> Walk<'a> {
    /// Looks at everything below `node`, which has `shape` if a section describes it.
    fn node(&mut self, node: &Node, at: &Path, shape: Option<&Shape<'a>>, known: Option<&Known>) {
        match &node.value {
            Value::Object(entries) if shape.is_none_or(Shape::takes_objects) => {
                for entry in entries {
                    self.entry(entry, at, shape, known);
                }
            }
            Value::Array(items) if shape.is_some_and(Shape::takes_lists) => {
                for (index, item) in items.iter().enumerate() {
                    let segment = Segment::Index(index);
                    let known = known.and_then(|known| known.step(&segment));
                    if let Some(Step::Shape(shape)) = shape.map(|shape| shape.step(&segment)) {
                        self.node(item, &at.index(index), Some(&shape), known);
                    }
                }
            }
            Value::Object(_) | Value::Array(_) if shape.is_some() => {
                // The typed reader says better than a list of unknown keys what is wrong here.
            }
            _ if shape.is_none() => {
                self.problem(at, node.origin, "expected an object", None);
            }
            _ => {}
        }
    }

    fn entry(
        &mut self,
        entry: &Entry,
        at: &Path,
        shape: Option<&Shape<'a>>,
        known: Option<&Known>,
    ) {
        let segment = Segment::Key(entry.key.clone());
        let path = at.key(&entry.key);
        let known_below = known.and_then(|known| known.step(&segment));
        let sections = self.sections;
        let own = sections.iter().find(|section| section.path == path);
        let step = match own {
            Some(section) => Step::Shape(Shape::new(section.schema.as_value())),
            None => shape.map_or(Step::Nothing, |shape| shape.step(&segment)),
        };
        match step {
            Step::Shape(shape) => self.node(&entry.node, &path, Some(&shape), known_below),
            Step::Anything => {}
            Step::Nothing if sections.iter().any(|section| section.path.starts_with(&path)) => {
                self.node(&entry.node, &path, None, known_below);
            }
            Step::Nothing => match known_below {
                Some(below) => {
                    self.known(&entry.node, &path, entry.key_origin, below);
                }
                None => self.unknown(entry, at, shape, known),
            },
        }
    }

    /// Looks at a value that no section describes. Adds it to the pending ones as a whole, unless
    /// some of it is quiet. Says whether all of it is pending.
    fn known(&mut self, node: &Node, path: &Path, origin: Origin, known: &Known) -> bool {
        let before = self.found.pending.len();
        let all = match &node.value {
            Value::Object(entries) if known.has_keys() && !known.is_open() => {
                let mut all = true;
                for entry in entries {
                    match known.step(&Segment::Key(entry.key.clone())) {
                        Some(below) => {
                            let path = path.key(&entry.key);
                            all &= self.known(&entry.node, &path, entry.key_origin, below);
                        }
                        None => self.unknown(entry, path, None, Some(known)),
                    }
                }
                all
            }
            Value::Object(entries) if !known.has_keys() && !entries.is_empty() => {
                self.problem(path, node.origin, "no object may stand here", None);
                true
            }
            Value::Array(items) if known.any_item().is_some() => {
                let below = known.any_item().expect("asked a line above");
                let mut all = true;
                for (index, item) in items.iter().enumerate() {
                    all &= self.known(item, &path.index(index), item.origin, below);
                }
                all
            }
            _ => !known.is_quiet(),
        };
        if all {
            self.found.pending.truncate(before);
            self.found.pending.push((path.clone(), origin));
        }
        all
    }

    /// Refuses a key below `at`, with the known key that it was most likely meant to be.
    fn unknown(
        &mut self,
        entry: &Entry,
        at: &Path,
        shape: Option<&Shape<'a>>,
        known: Option<&Known>,
    ) {
        let typed = shape.into_iter().flat_map(Shape::keys);
        let known = known.into_iter().flat_map(Known::keys).map(|(key, _)| key);
        let sections = self.sections.iter().filter(|section| section.path.starts_with(at));
        let sections = sections.filter_map(|section| {
            match section.path.segments().get(at.segments().len())? {
                Segment::Key(key) => Some(key.as_str()),
                Segment::Index(_) => None,
            }
        });
        let near = nearest::nearest(&entry.key, typed.chain(known).chain(sections));
        let meant = match near {
            Some(key) => Some(at.key(key)),
            None => nearest::elsewhere(&entry.key),
        };
        self.problem(&at.key(&entry.key), entry.key_origin, "unknown key", meant);
    }

    fn problem(&mut self, path: &Path, at: Origin, message: &str, meant: Option<Path>) {
        self.found.problems.push(Problem {
            line: at.line,
            column: at.column,
            path: path.to_string(),
            hint: meant.map(|path| format!("did you mean `{path}`?")),
            ..Problem::file(&self.files[at.file], message)
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn sections() -> Vec<Section> {
        let section = |path: &str, schema: Json| Section {
            path: path.parse().unwrap(),
            schema: schema.try_into().unwrap(),
        };
        let object = |properties: Json| json!({"type": "object", "additionalProperties": false, "properties": properties});
        vec![
            section("gateway", object(json!({"port": {"type": "integer"}}))),
            section("gateway.auth", object(json!({"token": {"type": "string"}}))),
            section(
                "agents.defaults",
                object(json!({"workspace": {"type": "string"}, "own": true})),
            ),
        ]
    }

    #[track_caller]
    fn check_file(text: &str, pending: &[&str], problems: &[&str]) {
        let tree = crate::json5::parse(text, 0).unwrap();
        let found = check(&tree, &sections(), &["f".into()]);
        let found_pending: Vec<_> =
            found.pending.iter().map(|(path, _)| path.to_string()).collect();
        let found_problems: Vec<_> = found.problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            (found_pending, found_problems),
            (
                pending.iter().map(ToString::to_string).collect(),
                problems.iter().map(ToString::to_string).collect(),
            )
        );
    }

    #[test]
    fn keys_of_a_section_work() {
        check_file(
            "{gateway: {port: 1, auth: {token: 't'}}, agents: {defaults: {workspace: 'w', own: {a: 1}}}}",
            &[],
            &[],
        );
    }

    #[test]
    fn known_keys_that_do_nothing_yet_are_named_once() {
        check_file(
            "{gateway: {port: 1, reload: {mode: 'hot'}, auth: {mode: 'token'}},
              channels: {discord: {token: 't', guilds: {}}, matrix: {x: [1]}},
              agents: {defaults: {sandbox: {mode: 'off', docker: {image: 'i'}}}, list: [{id: 'a'}]}}",
            &["gateway.reload", "gateway.auth.mode", "channels", "agents.defaults.sandbox", "agents.list"],
            &[],
        );
    }

    #[test]
    fn what_the_engine_itself_uses_is_not_named() {
        check_file(
            "{$schema: 's', meta: {lastTouchedVersion: 'v'}, env: {A: 'a', vars: {B: 'b'}, shellEnv: {enabled: true}}}",
            &["env.shellEnv"],
            &[],
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_known_one() {
        check_file(
            "{gateway: {prot: 1}}",
            &[],
            &["f:1:12: gateway.prot: unknown key (did you mean `gateway.port`?)"],
        );
        check_file("{gatway: {}}", &[], &["f:1:2: gatway: unknown key (did you mean `gateway`?)"]);
        check_file(
            "{gateway: {auth: {tokn: 1}}}",
            &[],
            &["f:1:19: gateway.auth.tokn: unknown key (did you mean `gateway.auth.token`?)"],
        );
        check_file(
            "{channels: {telegram: {groups: {'-1': {requiremention: true}}}}}",
            &["channels"],
            &[
                "f:1:40: channels.telegram.groups.-1.requiremention: unknown key (did you mean `channels.telegram.groups.-1.requireMention`?)",
            ],
        );
        check_file(
            "{agents: {list: [{id: 'a', idd: 1}]}}",
            &["agents.list"],
            &["f:1:28: agents.list[0].idd: unknown key (did you mean `agents.list[0].id`?)"],
        );
        check_file(
            "{citations: 'on'}",
            &[],
            &["f:1:2: citations: unknown key (did you mean `memory.citations`?)"],
        );
        check_file("{zzz: 1}", &[], &["f:1:2: zzz: unknown key"]);
    }

    #[test]
    fn a_plain_value_where_a_section_is_expected_is_refused() {
        check_file("{agents: 5}", &[], &["f:1:10: agents: expected an object"]);
        check_file("{gateway: 5}", &[], &[]);
        check_file(
            "{memory: {backend: {x: 1}}}",
            &["memory"],
            &["f:1:20: memory.backend: no object may stand here"],
        );
        check_file("[]", &[], &["f:1:1: expected an object"]);
    }
}
