//! How one configuration is put together from several files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Problem;
use crate::json5::SyntaxError;
use crate::tree::{Entry, Node, Origin, Value};

/// The key that names the files to put in its object's place.
const INCLUDE: &str = "$include";

/// How many files may include one another in a chain (OpenClaw's `MAX_INCLUDE_DEPTH`).
pub const INCLUDE_DEPTH_MAX: usize = 10;

/// How many files may be read in all; a file that is included twice counts twice.
pub const INCLUDE_FILES_MAX: usize = 256;

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The files that were read, and the tree that they make together.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// As the main file and its includes named them; the position is [`Origin::file`].
    pub(crate) files: Vec<PathBuf>,
    /// The text of the main file.
    pub(crate) source: String,
    pub(crate) tree: Node,
}

/// Reads `main` and everything that it includes.
///
/// # Errors
/// The first file that cannot be read, is not what its ending says, or may not be included.
pub(crate) fn load(main: &Path) -> Result<Loaded, Problem> {
    let folder = main.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unreadable = |error| Problem::file(main, unread(error));
    let mut loader = Loader {
        root: folder.canonicalize().map_err(unreadable)?,
        files: vec![main.to_owned()],
        chain: vec![main.canonicalize().map_err(unreadable)?],
    };
    let source = open(main).and_then(read).map_err(|reason| Problem::file(main, reason))?;
    let tree = loader.parse(&source, 0)?;
    let tree = loader.resolve(tree)?;
    Ok(Loaded { files: loader.files, source, tree })
}

/// Whether a file of this name is read as TOML; every other is read as JSON5.
pub(crate) fn is_toml(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

struct Loader {
    /// The main file's folder, without symlinks: nothing outside it is read.
    root: PathBuf,
    files: Vec<PathBuf>,
    /// The files being read now, each including the next, without symlinks.
    chain: Vec<PathBuf>,
}

impl Loader {
    fn parse(&self, text: &str, file: usize) -> Result<Node, Problem> {
        let parse =
            if is_toml(&self.files[file]) { crate::toml::parse } else { crate::json5::parse };
        parse(text, file).map_err(|SyntaxError { message, at }| self.problem(at, message))
    }

    /// Puts the included files in the place of every `$include` in `node` and below.
    fn resolve(&mut self, mut node: Node) -> Result<Node, Problem> {
        let include = node.remove(INCLUDE);
        let node = Node { value: self.resolve_below(node.value)?, origin: node.origin };
        let Some(include) = include else { return Ok(node) };
        let place = include.key_origin;
        let Some(included) = self.included(include)? else { return Ok(node) };
        if node.entries().is_empty() {
            return Ok(included);
        }
        if !matches!(included.value, Value::Object(_)) {
            let message = "keys stand beside `$include`, but the included file is no object";
            return Err(self.problem(place, message));
        }
        Ok(included.merge(node))
    }

    fn resolve_below(&mut self, value: Value) -> Result<Value, Problem> {
        Ok(match value {
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|i| self.resolve(i)).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let resolve = |entry: Entry| Ok(Entry { node: self.resolve(entry.node)?, ..entry });
                Value::Object(entries.into_iter().map(resolve).collect::<Result<_, Problem>>()?)
            }
            plain => plain,
        })
    }

    /// What an `$include` names, later files over earlier ones; `None` for an empty list.
    fn included(&mut self, include: Entry) -> Result<Option<Node>, Problem> {
        let specs = match include.node.value {
            Value::Array(specs) => specs,
            _ => vec![include.node],
        };
        let mut merged: Option<Node> = None;
        for spec in specs {
            let Some(name) = spec.as_str() else {
                let message = "`$include` is a file name or a list of file names";
                return Err(self.problem(spec.origin, message));
            };
            let node = self.include(name, spec.origin)?;
            merged = Some(match merged {
                Some(below) => below.merge(node),
                None => node,
            });
        }
        Ok(merged)
    }

    fn include(&mut self, name: &str, at: Origin) -> Result<Node, Problem> {
        let beside = self.files[at.file].parent().unwrap_or(Path::new(""));
        let shown = beside.join(name);
        let refuse = |reason: String| self.problem(at, format!("`{name}` {reason}"));
        let path = shown.canonicalize().map_err(|error| refuse(unread(error)))?;
        if !path.starts_with(&self.root) {
            let reason = "lies outside the configuration's folder";
            return Err(refuse(reason.to_owned()).with_hint("move it beside the main file"));
        }
        if self.chain.contains(&path) {
            return Err(refuse(format!("includes itself: {}", self.chain_to(&path))));
        }
        if self.chain.len() > INCLUDE_DEPTH_MAX {
            return Err(refuse(format!("is included more than {INCLUDE_DEPTH_MAX} files deep")));
        }
        if self.files.len() > INCLUDE_FILES_MAX {
            return Err(refuse(format!("is one more than the {INCLUDE_FILES_MAX} files allowed")));
        }
        let text = open(&path).and_then(refuse_hard_link).and_then(read).map_err(refuse)?;
        let file = self.files.len();
        self.files.push(shown);
        self.chain.push(path);
        let parsed = self.parse(&text, file).and_then(|tree| self.resolve(tree));
        self.chain.pop();
        parsed
    }

    /// The cycle as file names, from the file at `path` round to itself.
    fn chain_to(&self, path: &Path) -> String {
        let from = self.chain.iter().position(|file| file == path).unwrap_or(0);
        let cycle = self.chain[from..].iter().map(PathBuf::as_path).chain([path]);
        let names = cycle.map(|file| file.strip_prefix(&self.root).unwrap_or(file));
        names.map(|name| name.display().to_string()).collect::<Vec<_>>().join(" → ")
    }

    fn problem(&self, at: Origin, message: impl Into<String>) -> Problem {
        let problem = Problem::file(&self.files[at.file], message);
        Problem { line: at.line, column: at.column, ..problem }
    }
}

/// Opens a file. Anything else is refused before it is opened, since a pipe would make us wait.
fn open(path: &Path) -> Result<File, String> {
    if !path.metadata().map_err(unread)?.is_file() {
        return Err("is not a file".to_owned());
    }
    File::open(path).map_err(unread)
}

/// A second name for a file could stand for one outside the folder, which its path cannot show.
fn refuse_hard_link(file: File) -> Result<File, String> {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&file.metadata().map_err(unread)?) > 1 {
        return Err("has a second name (a hard link), which is not allowed".to_owned());
    }
    Ok(file)
}

fn read(file: File) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

fn unread(error: std::io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test::Folder;

    fn check(folder: &Folder, expected: serde_json::Value) {
        assert_eq!(load(&folder.main()).unwrap().tree.to_json(), expected);
    }

    fn check_error(folder: &Folder, expected: &str) {
        assert_eq!(folder.relative(&load(&folder.main()).unwrap_err().to_string()), expected);
    }

    #[test]
    fn an_included_file_takes_the_place_of_its_object_and_siblings_lie_over_it() {
        let folder =
            Folder::new("{ a: { $include: 'sub/a.json5', y: 2 }, l: {$include: 'l.json'} }")
                .with("sub/a.json5", "{ x: 1, y: 1, deep: { $include: './b.toml' } }")
                .with("sub/b.toml", "k = 'from toml'")
                .with("l.json", "[1, 2]");
        check(&folder, json!({"a": {"x": 1, "y": 2, "deep": {"k": "from toml"}}, "l": [1, 2]}));
    }

    #[test]
    fn a_list_of_includes_is_merged_in_order_and_lists_join() {
        let folder = Folder::new("{ $include: ['a.json', 'b.json'], o: {z: 3} }")
            .with("a.json", "{ o: {x: 1, y: 1}, l: [1] }")
            .with("b.json", "{ o: {y: 2}, l: [2] }");
        check(&folder, json!({"o": {"x": 1, "y": 2, "z": 3}, "l": [1, 2]}));
    }

    #[test]
    fn every_value_knows_the_file_that_it_came_from() {
        let folder = Folder::new("{ $include: 'a.json' }").with("a.json", "{\n o: 1 }");
        let loaded = load(&folder.main()).unwrap();
        let origin = loaded.tree.entry("o").unwrap().node.origin;
        assert_eq!((origin.file, origin.line), (1, 2));
        assert_eq!(loaded.files[1], folder.path("a.json"));
    }

    #[test]
    fn a_cycle_is_refused_with_its_chain() {
        let folder = Folder::new("{ a: {$include: 'a.json'} }")
            .with("a.json", "{ b: {$include: 'b.json'} }")
            .with("b.json", "{\n $include: 'a.json' }");
        check_error(&folder, "b.json:2:12: `a.json` includes itself: a.json → b.json → a.json");
        let own = Folder::new("{$include: 'config.json'}");
        check_error(
            &own,
            "config.json:1:12: `config.json` includes itself: config.json → config.json",
        );
    }

    #[test]
    fn the_eleventh_level_is_refused() {
        let chain = |length: usize| {
            (1..=length).fold(Folder::new("{$include: '1.json'}"), |folder, n| {
                let next = format!("{{$include: '{}.json'}}", n + 1);
                folder.with(&format!("{n}.json"), if n < length { &next } else { "{ok: 1}" })
            })
        };
        check(&chain(10), json!({"ok": 1}));
        check_error(&chain(11), "10.json:1:12: `11.json` is included more than 10 files deep");
    }

    /// SEC-54
    #[test]
    fn no_way_leads_out_of_the_configurations_folder() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret.json");
        std::fs::write(&secret, "{}").unwrap();
        let check = |name: &str, prepare: &dyn Fn(&Path)| {
            let folder = Folder::new(&format!("{{$include: '{name}'}}"));
            prepare(folder.main().parent().unwrap());
            let problem = load(&folder.main()).unwrap_err();
            let message = format!("`{name}` lies outside the configuration's folder");
            assert_eq!(problem.message, message);
        };
        check(secret.to_str().unwrap(), &|_| ());
        check("up/../../outside.json", &|folder| {
            std::fs::create_dir(folder.join("up")).unwrap();
            std::fs::write(folder.parent().unwrap().join("outside.json"), "{}").unwrap();
        });
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            check("link.json", &|folder| symlink(&secret, folder.join("link.json")).unwrap());
            check("dir/secret.json", &|folder| {
                symlink(outside.path(), folder.join("dir")).unwrap();
            });
        }
    }

    /// SEC-54
    #[cfg(unix)]
    #[test]
    fn a_hard_link_is_refused() {
        let folder = Folder::new("{$include: 'a.json'}").with("b.json", "{}");
        std::fs::hard_link(folder.path("b.json"), folder.path("a.json")).unwrap();
        let expected =
            "config.json:1:12: `a.json` has a second name (a hard link), which is not allowed";
        check_error(&folder, expected);
    }

    #[test]
    fn what_cannot_be_included_is_said_at_the_include() {
        check_error(
            &Folder::new("{$include: 5}"),
            "config.json:1:12: `$include` is a file name or a list of file names",
        );
        check_error(
            &Folder::new("{$include: 'a.json', b: 1}").with("a.json", "[]"),
            "config.json:1:2: keys stand beside `$include`, but the included file is no object",
        );
        check_error(
            &Folder::new("{$include: 'none.json'}"),
            "config.json:1:12: `none.json` cannot be read: No such file or directory (os error 2)",
        );
        check_error(
            &Folder::new("{$include: 'sub'}").with("sub/a.json", "{}"),
            "config.json:1:12: `sub` is not a file",
        );
        check_error(
            &Folder::new("{$include: 'a.json'}").with("a.json", "{a 1}"),
            "a.json:1:4: expected `:`, but found `1`",
        );
    }

    #[test]
    fn too_many_files_are_refused_before_they_multiply() {
        let four = |next: &str| format!("{{$include: ['{next}', '{next}', '{next}', '{next}']}}");
        let folder = (1..=6).fold(Folder::new(&four("1.json")), |folder, n| {
            folder.with(&format!("{n}.json"), &four(&format!("{}.json", n + 1)))
        });
        let problem = load(&folder.with("7.json", "{}").main()).unwrap_err();
        assert_eq!(problem.message, "`7.json` is one more than the 256 files allowed");
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let bytes = usize::try_from(FILE_BYTES_MAX).unwrap();
        check_error(
            &Folder::new(&" ".repeat(bytes + 1)),
            "config.json: is larger than 1048576 bytes",
        );
    }
}
