//! The configuration's files as they go into a backup: as written, or without their secrets.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use claw_config::{
    Config, FILE_BYTES_MAX, Node, REDACTED, json5, toml,
    tree::{Origin, Value},
};

use crate::{Configuration, Error, LeftOut, disk, snapshot::MODE_BITS};

/// What stands where a secret was. It counts as not given, in JSON5 and in TOML.
const BLANK: &str = "\"\"";

/// Whether the backup may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// It is encrypted.
    Kept,
    /// It lies in the clear.
    LeftOut,
}

/// A file of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigFile {
    /// Where it is, without links.
    pub(crate) from: PathBuf,
    /// Its path in the backup.
    pub(crate) to: String,
    pub(crate) text: Vec<u8>,
    pub(crate) mode: u32,
}

/// What goes into the backup, and what is missing in it.
#[derive(Debug, Default)]
pub(crate) struct ConfigFiles {
    pub(crate) files: Vec<ConfigFile>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Reads every file of the configuration. The main one gets the name under which a gateway looks
/// for it, the others lie beside it as before.
pub(crate) fn read(configuration: &Configuration, secrets: Secrets) -> Result<ConfigFiles, Error> {
    match (configuration, secrets) {
        (Configuration::Absent, _) => Ok(ConfigFiles::default()),
        (Configuration::Sound(config), _) => sound(config, secrets),
        (Configuration::Broken(path), Secrets::Kept) => {
            let limit = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX);
            let text = disk::read(path, limit).map_err(Error::disk(path, "read"))?;
            let file = file(path, main_name(path).into(), text)?;
            Ok(ConfigFiles { files: vec![file], left_out: Vec::new() })
        }
        (Configuration::Broken(path), Secrets::LeftOut) => {
            let why = "it does not read as a configuration, so what is secret in it is not known";
            let left_out = LeftOut { what: path.display().to_string(), why: why.into() };
            Ok(ConfigFiles { files: Vec::new(), left_out: vec![left_out] })
        }
    }
}

fn sound(config: &Config, secrets: Secrets) -> Result<ConfigFiles, Error> {
    let paths = config.files();
    let folder = paths[0].parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = canonical(folder.unwrap_or(Path::new(".")))?;
    let mut blanks = Blanks::default();
    // By name: a file may be included more than once.
    let mut files = BTreeMap::new();
    for (index, path) in paths.iter().enumerate() {
        let from = canonical(path)?;
        let to = match index {
            0 => main_name(path).to_owned(),
            _ => relative(&from, &folder)?,
        };
        let text = match index {
            0 => config.source().to_owned(),
            _ => text_of(path)?,
        };
        if secrets == Secrets::LeftOut {
            blanks.find(config, index, path, &text, &to)?;
        }
        files.insert(to.clone(), file(&from, to, text.into_bytes())?);
    }
    for (to, ranges) in &blanks.ranges {
        let file = files.get_mut(to).expect("it was read above");
        for range in ranges.iter().rev() {
            file.text.splice(range.0..range.1, BLANK.bytes());
        }
    }
    Ok(ConfigFiles { files: files.into_values().collect(), left_out: blanks.left_out })
}

/// The values that are taken out.
#[derive(Default)]
struct Blanks {
    /// By file, in order.
    ranges: BTreeMap<String, BTreeSet<(usize, usize)>>,
    left_out: Vec<LeftOut>,
}

impl Blanks {
    /// Finds the secrets that stand literally in one file. So that no secret hides in a value that
    /// another file overrides, everything that is not in force counts as one.
    fn find(
        &mut self,
        config: &Config,
        index: usize,
        path: &Path,
        text: &str,
        to: &str,
    ) -> Result<(), Error> {
        let is_toml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        let parse = if is_toml { toml::parse } else { json5::parse };
        let written = parse(text, index).map_err(|_syntax| Error::ConfigurationChanged)?;
        let mut in_force = in_force(config, index);
        let mut leaves = Vec::new();
        written_leaves(&written, &mut leaves);
        for leaf in leaves {
            let secret = in_force.remove(&leaf.start);
            let raw = text.get(range(leaf)).unwrap_or_default();
            let why = match secret {
                Some(false) => continue,
                _ if refers(raw) => continue,
                Some(true) => "a secret, written into the configuration",
                None => "a value that is not in force, which may be a secret",
            };
            if self.ranges.entry(to.into()).or_default().insert((leaf.start, leaf.end)) {
                let what = format!("{}:{}:{}", path.display(), leaf.line, leaf.column);
                self.left_out.push(LeftOut { what, why: why.into() });
            }
        }
        // What is in force and not in the text was there when the configuration was loaded.
        if in_force.is_empty() { Ok(()) } else { Err(Error::ConfigurationChanged) }
    }
}

fn range(origin: Origin) -> Range<usize> {
    origin.start..origin.end
}

/// By its first byte, each text and number of file `index` that is in force, and whether it is
/// secret.
fn in_force(config: &Config, index: usize) -> HashMap<usize, bool> {
    let root = claw_config::Path::root();
    let mut found = HashMap::new();
    if let (Some(tree), Some(shown)) = (config.get(&root), config.shown(&root)) {
        mark(tree, Some(&shown), index, &mut found);
    }
    found
}

/// `shown` is the same part of the tree with its secrets taken out; `None` below a secret.
fn mark(
    node: &Node,
    shown: Option<&serde_json::Value>,
    index: usize,
    found: &mut HashMap<usize, bool>,
) {
    let shown = shown.filter(|shown| *shown != REDACTED);
    match &node.value {
        Value::Object(entries) => {
            for entry in entries {
                mark(&entry.node, shown.and_then(|shown| shown.get(&entry.key)), index, found);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                mark(item, shown.and_then(|shown| shown.get(at)), index, found);
            }
        }
        Value::String(_) | Value::Number(_) if node.origin.file == index => {
            // A file that is included in two places may be secret in one of them.
            *found.entry(node.origin.start).or_default() |= shown.is_none();
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Where each text and number of a file stands, but for the names of included files.
fn written_leaves(node: &Node, leaves: &mut Vec<Origin>) {
    match &node.value {
        Value::Object(entries) => {
            for entry in entries.iter().filter(|entry| entry.key != "$include") {
                written_leaves(&entry.node, leaves);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| written_leaves(item, leaves)),
        Value::String(_) | Value::Number(_) => leaves.push(node.origin),
        Value::Bool(_) | Value::Null => {}
    }
}

/// Whether a value takes what is secret in it from the environment: it holds `${NAME}`, which
/// `$${NAME}` is not.
fn refers(raw: &str) -> bool {
    raw.match_indices("${").any(|(at, _)| {
        let name = raw[at + 2..].split_once('}').map_or("", |(name, _)| name);
        let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
        is_name && name.chars().all(part) && !raw[..at].ends_with('$')
    })
}

/// The name under which a gateway looks for the main file in the state folder.
pub(crate) fn main_name(path: &Path) -> &'static str {
    match path.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("toml") => "config.toml",
        _ => "config.json",
    }
}

fn file(path: &Path, to: String, text: Vec<u8>) -> Result<ConfigFile, Error> {
    let from = canonical(path)?;
    let mode = fs::metadata(&from).map_err(Error::disk(path, "read"))?.mode() & MODE_BITS;
    Ok(ConfigFile { from, to, text, mode })
}

fn text_of(path: &Path) -> Result<String, Error> {
    let limit = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = disk::read(path, limit).map_err(Error::disk(path, "read"))?;
    String::from_utf8(bytes).map_err(|_not_utf8| Error::ConfigurationChanged)
}

fn relative(file: &Path, folder: &Path) -> Result<String, Error> {
    let below = file.strip_prefix(folder).ok().and_then(Path::to_str);
    // An included file lies in the folder when it is loaded; then it was exchanged for a link.
    below.map(str::to_owned).ok_or(Error::ConfigurationChanged)
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error: io::Error| Error::disk(path, "read")(error))
}

#[cfg(test)]
mod tests {
    use claw_config::{LoadOptions, Section};
    use tempfile::TempDir;

    use super::*;

    fn load(folder: &TempDir, main: &str, files: &[(&str, &str)]) -> Configuration {
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let path = folder.path().join(main);
        let env = |_: &str| Some("from the environment".to_owned());
        let sections: [Section; 0] = [];
        let options = LoadOptions { path: &path, env: &env, sections: &sections };
        Configuration::Sound(Box::new(Config::load(&options).unwrap()))
    }

    #[track_caller]
    fn check(main: &str, files: &[(&str, &str)], expected: &[(&str, &str)]) -> Vec<String> {
        let folder = TempDir::new().unwrap();
        let configuration = load(&folder, main, files);
        let kept = read(&configuration, Secrets::Kept).unwrap();
        assert!(kept.left_out.is_empty());
        let texts = |read: &ConfigFiles| -> Vec<(String, String)> {
            let text = |file: &ConfigFile| String::from_utf8(file.text.clone()).unwrap();
            read.files.iter().map(|file| (file.to.clone(), text(file))).collect()
        };
        let mut whole: Vec<_> = files.iter().map(|(_, text)| (*text).to_owned()).collect();
        let mut got: Vec<_> = texts(&kept).into_iter().map(|(_, text)| text).collect();
        whole.sort();
        got.sort();
        assert_eq!(got, whole, "an encrypted backup has every byte");

        let read = read(&configuration, Secrets::LeftOut).unwrap();
        let expected: Vec<_> =
            expected.iter().map(|(to, text)| ((*to).to_owned(), (*text).to_owned())).collect();
        assert_eq!(texts(&read), expected);
        let root = folder.path().display().to_string() + "/";
        read.left_out.iter().map(|left| left.what.replace(&root, "")).collect()
    }

    #[test]
    fn literal_secrets_are_taken_out_and_every_other_byte_stays() {
        let text = "// mine\n{ gateway: { port: 1, auth: { token: 'canary', password: \"${PASS}\" } },\n\
                    channels: { telegram: { botToken: 'can\\'ary', enabled: true } },\n\
                    env: { A: 'canary', N: 5 }, models: { providers: { x: { headers: {\n\
                    Authorization: 'Bearer ${KEY}', Other: '$${KEY}canary' } } } } }\n";
        let expected = "// mine\n{ gateway: { port: 1, auth: { token: \"\", password: \"${PASS}\" } },\n\
                    channels: { telegram: { botToken: \"\", enabled: true } },\n\
                    env: { A: \"\", N: \"\" }, models: { providers: { x: { headers: {\n\
                    Authorization: 'Bearer ${KEY}', Other: \"\" } } } } }\n";
        let left = check("config.json", &[("config.json", text)], &[("config.json", expected)]);
        let places = ["2:38", "3:35", "4:11", "4:24", "5:40"];
        assert_eq!(left, places.map(|place| format!("config.json:{place}")));
    }

    #[test]
    fn toml_loses_its_secrets_too() {
        let text =
            "[gateway]\nport = 1\n[gateway.auth]\ntoken = '''\ncanary'''\npassword = '${P}'\n";
        let expected = "[gateway]\nport = 1\n[gateway.auth]\ntoken = \"\"\npassword = '${P}'\n";
        let left = check("mine.toml", &[("mine.toml", text)], &[("config.toml", expected)]);
        assert_eq!(left, ["mine.toml:4:9"]);
    }

    #[test]
    fn a_secret_hides_neither_in_an_included_file_nor_under_another_value() {
        let files = [
            ("own.json", "{ gateway: { auth: { $include: 'sub/auth.json', token: '${T}' } } }"),
            ("sub/auth.json", "{ token: 'canary', password: 'canary', mode: 'token' }"),
        ];
        let expected = [
            ("config.json", files[0].1),
            ("sub/auth.json", "{ token: \"\", password: \"\", mode: 'token' }"),
        ];
        let left = check("own.json", &files, &expected);
        assert_eq!(left, ["sub/auth.json:1:10", "sub/auth.json:1:30"]);
    }

    #[test]
    fn another_projects_words_hide_no_secret() {
        let text = "{ server: { auth: { token: 'canary' } } }";
        let expected = "{ server: { auth: { token: \"\" } } }";
        check("config.json", &[("config.json", text)], &[("config.json", expected)]);
    }

    #[test]
    fn a_file_that_is_included_twice_is_one_file() {
        let files = [
            (
                "config.json",
                "{ gateway: { auth: {$include: 'a.json'} }, logging: {$include: 'b.json'}, session: {$include: 'b.json'} }",
            ),
            ("a.json", "{ token: 'canary' }"),
            ("b.json", "{ }"),
        ];
        let expected =
            [("a.json", "{ token: \"\" }"), ("b.json", "{ }"), ("config.json", files[0].1)];
        check("config.json", &files, &expected);
    }

    #[test]
    fn a_file_that_changed_since_it_was_loaded_is_not_guessed_at() {
        let folder = TempDir::new().unwrap();
        let files = [
            ("config.json", "{ gateway: {$include: 'a.json'} }"),
            ("a.json", "{ auth: { token: 'canary' } }"),
        ];
        let configuration = load(&folder, "config.json", &files);
        fs::write(folder.path().join("a.json"), "{ port: 5, auth: { token: 'canary' } }").unwrap();
        let read = read(&configuration, Secrets::LeftOut);
        assert!(matches!(read, Err(Error::ConfigurationChanged)), "{read:?}");
    }

    #[test]
    fn a_broken_file_is_kept_under_a_passphrase_only() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, "{ token: ").unwrap();
        let broken = Configuration::Broken(path.clone());
        assert_eq!(read(&broken, Secrets::Kept).unwrap().files[0].text, b"{ token: ");
        let read = read(&broken, Secrets::LeftOut).unwrap();
        assert_eq!((read.files.len(), read.left_out.len()), (0, 1));
    }
}
