//! A configuration that was read and found sound, and how its parts are had from it.

use std::fmt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::check::{self, Found};
use crate::edit::{self, EditError};
use crate::env::{self, Variables};
use crate::error::Problem;
use crate::path::Path;
use crate::tree::{Entry, Node, Origin, Value};
use crate::typed::{self, Misfit};
use crate::{alias, include, redact};

/// A part of the configuration that a crate reads.
#[derive(Debug, Clone)]
pub struct Section {
    /// Where it stands. A section below another one is taken out of that one.
    pub path: Path,
    /// Which keys it has. Every other key in it is refused or, if it is OpenClaw's, set aside.
    pub schema: schemars::Schema,
}

impl Section {
    /// The section at `path` that is read as a `T`.
    ///
    /// # Panics
    /// When `path` is no path: it is a constant of the crate that registers the section.
    pub fn of<T: schemars::JsonSchema>(path: &str) -> Self {
        let path = path.parse().expect("a section's path is a constant");
        Self { path, schema: schemars::schema_for!(T) }
    }
}

/// What [`Config::load`] reads, and with what.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The main file; TOML if its name ends so, else JSON5.
    pub path: &'a std::path::Path,
    /// The environment, for `${VAR}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The parts that work.
    pub sections: &'a [Section],
}

/// A key that is OpenClaw's but does nothing here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The key; what lies below it is not listed.
    pub path: Path,
    /// The file that holds it.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
}

/// A configuration without unknown keys. The types are checked when a section is read.
///
/// `Debug` names the files only: the rest may hold secrets.
#[derive(Clone)]
pub struct Config {
    files: Vec<PathBuf>,
    source: String,
    tree: Node,
    variables: Variables,
    pending: Vec<(Path, Origin)>,
    parts: Vec<Part>,
}

/// What is kept of a [`Section`].
#[derive(Debug, Clone)]
struct Part {
    path: Path,
    /// What stands there when the file has nothing.
    absent: Value,
}

impl Part {
    fn of(section: &Section) -> Self {
        let absent = match section.schema.as_value()["type"].as_str() {
            Some("array") => Value::Array(Vec::new()),
            _ => Value::Object(Vec::new()),
        };
        Self { path: section.path.clone(), absent }
    }
}

impl Config {
    /// Reads the file and what it includes, completes `${VAR}`, renames other words, and refuses
    /// keys that nobody knows.
    ///
    /// # Errors
    /// At least one problem, in the order of the files. Reading stops after the step that fails.
    pub fn load(options: &LoadOptions<'_>) -> Result<Self, Vec<Problem>> {
        let include::Loaded { files, source, mut tree } =
            include::load(options.path).map_err(|problem| vec![problem])?;
        let variables = env::substitute(&mut tree, options.env).map_err(|failures| {
            failures.into_iter().map(|failure| env::problem(failure, &files)).collect::<Vec<_>>()
        })?;
        alias::rename(&mut tree, &files)?;
        let Found { pending, mut problems } = check::check(&tree, options.sections, &files);
        if !problems.is_empty() {
            let place = |p: &Problem| (files.iter().position(|f| *f == p.file), p.line, p.column);
            problems.sort_by_key(place);
            return Err(problems);
        }
        let parts = options.sections.iter().map(Part::of).collect();
        Ok(Self { files, source, tree, variables, pending, parts })
    }

    /// The configuration of somebody who has no file: every key has its default.
    ///
    /// Its problems, and edits, are said to be those of `path`.
    pub fn empty(path: impl Into<PathBuf>, sections: &[Section]) -> Self {
        Self {
            files: vec![path.into()],
            source: "{}\n".to_owned(),
            tree: Node::object(Origin { end: 2, line: 1, column: 1, ..Origin::default() }),
            variables: Variables::new(),
            pending: Vec::new(),
            parts: sections.iter().map(Part::of).collect(),
        }
    }

    /// The section at `path` as a `T`. A section that is not there is read as an empty object
    /// or, if its schema is that of a list, as an empty list.
    ///
    /// # Errors
    /// The first value that is not what its key needs.
    ///
    /// # Panics
    /// When `path` is no path: it is a constant.
    pub fn section<T: DeserializeOwned>(&self, path: &str) -> Result<T, Vec<Problem>> {
        let path: Path = path.parse().expect("a section's path is a constant");
        let node = match self.tree.get(&path) {
            Some(node) => self.working(node, &path),
            None => Node { value: self.absent(&path), origin: self.tree.origin },
        };
        typed::read(&node, &path).map_err(|Misfit { message, place }| {
            let (path, origin) = place.unwrap_or((path, node.origin));
            vec![self.problem_at(&path, origin, message)]
        })
    }

    /// The value at `path`, in OpenClaw's words, with variables put in.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        self.tree.get(path)
    }

    /// The value at `path` as it may be shown; the root path gives everything.
    pub fn shown(&self, path: &Path) -> Option<serde_json::Value> {
        Some(redact::redact(self.tree.get(path)?, path))
    }

    /// The keys that are OpenClaw's but do nothing here yet, in the file's order.
    pub fn pending(&self) -> impl Iterator<Item = Pending> {
        self.pending.iter().map(|(path, at)| Pending {
            path: path.clone(),
            file: self.files[at.file].clone(),
            line: at.line,
            column: at.column,
        })
    }

    /// Every file that was read, the main one first. A change of any of them changes this.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The main file's text, byte for byte.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the file itself gives the variable `name`, under `env.vars` or `env`. The environment
    /// goes first; ask here when it has nothing.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A problem that a reader found with the value at `path`, shown where the nearest part of it
    /// was written.
    pub fn problem(&self, path: &Path, message: impl Into<String>) -> Problem {
        let mut node = &self.tree;
        for segment in path.segments() {
            match node.child(segment) {
                Some(child) => node = child,
                None => break,
            }
        }
        self.problem_at(path, node.origin, message)
    }

    /// The main file's text with the value at `path` replaced by `value` (JSON5), and every other
    /// byte as it was. The result is not read again: load it before you keep it.
    ///
    /// # Errors
    /// When the value was written elsewhere than in the main file or under another word, when the
    /// file is TOML, and as [`edit::set`].
    pub fn set(&self, path: &Path, value: &str) -> Result<String, EditError> {
        self.refuse_foreign(path)?;
        edit::set(&self.source, path, value)
    }

    /// As [`Config::set`], but takes the key out. A key that is not there is no error.
    ///
    /// # Errors
    /// As [`Config::set`].
    pub fn unset(&self, path: &Path) -> Result<String, EditError> {
        self.refuse_foreign(path)?;
        edit::unset(&self.source, path)
    }

    /// Refuses to edit what the main file's text does not hold at `path`.
    fn refuse_foreign(&self, path: &Path) -> Result<(), EditError> {
        let found = self.tree.get(path);
        let above = || {
            let ways = (0..path.segments().len()).rev();
            let mut above = ways.map(|n| Path::from(path.segments()[..n].to_vec()));
            above.find_map(|path| self.tree.get(&path)).unwrap_or(&self.tree)
        };
        let origin = match found {
            Some(node) => node.first_not_from(0).unwrap_or(node.origin),
            None => above().origin,
        };
        let (file, line) = (self.files[origin.file].clone(), origin.line);
        if include::is_toml(&self.files[0]) {
            return Err(EditError::Toml { path: path.clone(), file, line });
        }
        if origin.file != 0 {
            return Err(EditError::Included { path: path.clone(), file, line });
        }
        let Some(node) = found else { return Ok(()) };
        let written = crate::json5::parse(&self.source, 0).map_err(EditError::Source)?;
        match written.get(path) {
            Some(there) if there.origin == node.origin => Ok(()),
            _ => Err(EditError::OtherWord { path: path.clone(), file, line }),
        }
    }

    fn absent(&self, path: &Path) -> Value {
        let part = self.parts.iter().find(|part| part.path == *path);
        part.map_or(Value::Object(Vec::new()), |part| part.absent.clone())
    }

    /// `node` without what belongs to other sections or does nothing here yet.
    fn working(&self, node: &Node, at: &Path) -> Node {
        let is_aside = |path: &Path| {
            self.parts.iter().any(|part| part.path == *path)
                || self.pending.iter().any(|(pending, _)| pending == path)
        };
        let value = match &node.value {
            Value::Object(entries) => {
                let kept = entries.iter().map(|entry| (entry, at.key(&entry.key)));
                let kept = kept.filter(|(_, path)| !is_aside(path));
                let working = |(entry, path): (&Entry, Path)| Entry {
                    node: self.working(&entry.node, &path),
                    ..entry.clone()
                };
                Value::Object(kept.map(working).collect())
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Value::Array(items.map(|(n, item)| self.working(item, &at.index(n))).collect())
            }
            plain => plain.clone(),
        };
        Node { value, origin: node.origin }
    }

    fn problem_at(&self, path: &Path, at: Origin, message: impl Into<String>) -> Problem {
        let problem = Problem::file(&self.files[at.file], message);
        Problem { line: at.line, column: at.column, path: path.to_string(), ..problem }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::test::Folder;

    #[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Gateway {
        port: Option<u16>,
        bind: Option<String>,
        custom_bind_host: Option<String>,
        max_connections: Option<u32>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Telegram {
        enabled: bool,
        bot_token: Option<String>,
        allow_from: Vec<String>,
    }

    fn sections() -> Vec<Section> {
        vec![
            Section::of::<Gateway>("gateway"),
            Section::of::<Telegram>("channels.telegram"),
            Section::of::<Vec<String>>("plugins.allow"),
        ]
    }

    fn load(folder: &Folder) -> Result<Config, Vec<String>> {
        load_file(folder, "config.json")
    }

    fn load_file(folder: &Folder, name: &str) -> Result<Config, Vec<String>> {
        let env = |name: &str| name.ends_with("BOT_TOKEN").then(|| format!("value of {name}"));
        let path = folder.path(name);
        Config::load(&LoadOptions { path: &path, env: &env, sections: &sections() })
            .map_err(|problems| problems.iter().map(|p| folder.relative(&p.to_string())).collect())
    }

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn a_section_is_read_without_what_does_nothing_yet() {
        let folder = Folder::new(
            "{gateway: {port: 1, reload: {mode: 'off'}}, channels: {telegram: {enabled: true}}}",
        );
        let config = load(&folder).unwrap();
        assert_eq!(config.section("gateway"), Ok(Gateway { port: Some(1), ..Gateway::default() }));
        assert_eq!(
            config.section("channels.telegram"),
            Ok(Telegram { enabled: true, ..Telegram::default() })
        );
        let pending: Vec<_> =
            config.pending().map(|p| (p.path.to_string(), p.line, p.column)).collect();
        assert_eq!(pending, [("gateway.reload".to_owned(), 1, 21)]);
    }

    #[test]
    fn a_section_that_is_not_there_has_its_defaults() {
        let config = Config::empty("config.json", &sections());
        assert_eq!(config.section("channels.telegram"), Ok(Telegram::default()));
        assert_eq!(config.section("plugins.allow"), Ok(Vec::<String>::new()));
        assert_eq!(
            config.set(&path("gateway.port"), "1").unwrap(),
            "{\n  gateway: {\n    port: 1\n  }\n}\n"
        );
    }

    #[test]
    fn a_wrong_type_is_shown_in_the_file_that_holds_it() {
        let folder =
            Folder::new("{$include: 'a.json'}").with("a.json", "{\n  gateway: {port: 'x'} }");
        let problems = load(&folder).unwrap().section::<Gateway>("gateway").unwrap_err();
        assert_eq!(
            folder.relative(&problems[0].to_string()),
            "a.json:2:19: gateway.port: expected a whole number from 0 to 65535, found a string"
        );
    }

    #[test]
    fn every_unknown_key_is_named_in_the_files_order() {
        let folder = Folder::new("{gateway: {prot: 1},\n chanels: {}}");
        assert_eq!(
            load(&folder).unwrap_err(),
            [
                "config.json:1:12: gateway.prot: unknown key (did you mean `gateway.port`?)",
                "config.json:2:2: chanels: unknown key (did you mean `channels`?)",
            ]
        );
    }

    #[test]
    fn a_missing_file_or_variable_is_said() {
        let folder = Folder::new("{gateway: {bind: '${NONE}'}}");
        assert_eq!(
            load(&folder).unwrap_err(),
            [
                "config.json:1:18: gateway.bind: the variable `NONE` is not set, or empty (set it in the environment or under `env.vars`)",
            ]
        );
        assert_eq!(
            load_file(&folder, "other.json").unwrap_err(),
            ["other.json: cannot be read: No such file or directory (os error 2)",]
        );
    }

    #[test]
    fn the_files_own_variables_can_be_asked_for() {
        let config = load(&Folder::new("{env: {A: '1', vars: {B: '2'}}}")).unwrap();
        assert_eq!(["A", "B", "C"].map(|name| config.variable(name)), [Some("1"), Some("2"), None]);
    }

    /// SEC-96
    #[test]
    fn what_is_shown_holds_no_secret_however_it_is_asked_for() {
        let config = load(&Folder::new(
            "{channels: {telegram: {botToken: 'canary', enabled: true}}, plugins: {entries: {x: {config: {deep: {a: 'canary'}}}}}}",
        ))
        .unwrap();
        let shown = |text: &str| config.shown(&path(text)).unwrap().to_string();
        let redacted = format!("\"{}\"", redact::REDACTED);
        assert!(!shown("").contains("canary"));
        assert_eq!(shown("channels.telegram.botToken"), redacted);
        assert_eq!(shown("plugins.entries.x.config.deep.a"), redacted);
        assert_eq!(shown("channels.telegram.enabled"), "true");
    }

    #[test]
    fn a_value_is_changed_in_the_file_alone() {
        let folder = Folder::new("{ // mine\n  gateway: { port: 1 }, // ${X}\n}\n");
        let config = load(&folder).unwrap();
        assert_eq!(
            config.set(&path("gateway.port"), "2").unwrap(),
            "{ // mine\n  gateway: { port: 2 }, // ${X}\n}\n"
        );
        assert_eq!(config.unset(&path("gateway")).unwrap(), "{ // mine\n   // ${X}\n}\n");
    }

    #[test]
    fn what_the_main_file_does_not_hold_is_not_edited() {
        let check = |folder: &Folder, file: &str, key: &str, expected: &str| {
            let config = load_file(folder, file).unwrap();
            let error = config.set(&path(key), "1").unwrap_err();
            assert_eq!(folder.relative(&error.to_string()), expected);
            assert_eq!(config.unset(&path(key)).unwrap_err().to_string(), error.to_string());
        };
        let folder = Folder::new(
            "{gateway: {$include: 'a.json', bind: 'lan'}, server: {maxConnections: 1}}",
        )
        .with("a.json", "{\n port: 1, tls: {} }")
        .with("b.toml", "[gateway]\nport = 1");
        check(
            &folder,
            "config.json",
            "gateway.port",
            "`gateway.port` is written in a.json, line 2",
        );
        check(&folder, "config.json", "gateway", "`gateway` is written in a.json, line 2");
        check(
            &folder,
            "config.json",
            "gateway.tls.enabled",
            "`gateway.tls.enabled` is written in a.json, line 2",
        );
        check(
            &folder,
            "config.json",
            "gateway.maxConnections",
            "`gateway.maxConnections` is written in another word in config.json, line 1",
        );
        check(
            &folder,
            "b.toml",
            "gateway.port",
            "`gateway.port` is written in b.toml, line 2, and TOML is not edited yet",
        );
    }

    #[test]
    fn a_readers_own_problem_is_shown_at_the_nearest_key() {
        let config = load(&Folder::new("{gateway: {\n bind: 'lan'}}")).unwrap();
        let problem = config.problem(&path("gateway.bind"), "no such word");
        assert_eq!((problem.line, problem.column), (2, 8));
        assert_eq!(config.problem(&path("gateway.tls.x"), "").line, 1);
    }
}
