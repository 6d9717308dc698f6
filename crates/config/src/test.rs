//! What several tests of this crate need: a folder with files, and random JSON5.

use std::path::PathBuf;

use proptest::prelude::*;

/// A folder of its own with a `config.json` in it.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new(main: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }.with("config.json", main)
    }

    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn main(&self) -> PathBuf {
        self.path("config.json")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("home").join(name)
    }

    /// A message with this folder's own path taken out.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().join("home").display()), "")
    }
}

/// A random JSON5 document: an object, written in every style that the grammar allows.
pub(crate) fn json5_document() -> impl Strategy<Value = String> {
    (white(), object(value().boxed()), white()).prop_map(|(a, b, c)| a + &b + &c)
}

/// A random JSON5 value.
pub(crate) fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        let list = prop::collection::vec(spaced(inner.clone()), 0..4);
        let list = (list, any::<bool>()).prop_map(|(items, comma)| {
            let comma = if comma && !items.is_empty() { "," } else { "" };
            format!("[{}{comma}]", items.join(","))
        });
        prop_oneof![list, object(inner.boxed())]
    })
}

fn object(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let entries = prop::collection::btree_map("[a-d]", (0..3u8, spaced(inner), white()), 0..4);
    (entries, any::<bool>(), white()).prop_map(|(entries, comma, end)| {
        let written = entries.iter().map(|(key, (quotes, value, before))| match quotes {
            0 => format!("{before}{key}:{value}"),
            1 => format!("{before}'{key}' :{value}"),
            _ => format!("{before}\"{key}\": {value}"),
        });
        let comma = if comma && !entries.is_empty() { "," } else { "" };
        format!("{{{}{comma}{end}}}", written.collect::<Vec<_>>().join(","))
    })
}

fn spaced(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (white(), inner, white()).prop_map(|(a, b, c)| a + &b + &c)
}

fn white() -> impl Strategy<Value = String> {
    prop::sample::select(
        &["", "", " ", "\n  ", "\t", "/* , } */", " // ] '\n", "\r\n", "\u{a0}"][..],
    )
    .prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = String> {
    let words =
        &["null", "true", "false", "0", "-0", "+1", "0x1F", "-0Xff", ".5", "5.", "1e3", "-2.5E-3"];
    let escapes =
        &["'\\x41\\u00e9'", "'\\ud83d\\ude00'", "\"a\\\nb\"", "'\\'\\\"\\q\\0'", "'\u{2028}'"];
    prop_oneof![
        prop::sample::select(&words[..]).prop_map(str::to_owned),
        prop::sample::select(&escapes[..]).prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u128>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |f| f.is_finite())
            .prop_map(|f| format!("{f:?}")),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ]
}
