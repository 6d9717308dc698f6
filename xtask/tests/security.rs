//! Whether `docs/security.md` tells the truth: its tests exist, and no marked test is missing in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Where tests are.
const FOLDERS: [&str; 5] = ["crates", "channels", "providers", "stores", "ui/src"];

/// Lines of the catalogue: 1 to 110, and two that came between.
const LINES_MAX: usize = 110;
const BETWEEN: [&str; 2] = ["28a", "48a"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

/// The table: a line's number, and the tests that it names.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("docs/security.md")).expect("the page reads");
    let mut table = BTreeMap::new();
    for row in text.lines().filter(|row| row.starts_with("| ")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, number, _, tests, _, _] = cells[..] else { panic!("not four cells: {row}") };
        if !number.starts_with(|letter: char| letter.is_ascii_digit()) {
            continue;
        }
        assert!(!tests.is_empty(), "line {number} says nothing");
        // A snake-case word or a sentence with spaces; `exec` and its like are no tests.
        let names = tests.split('`').skip(1).step_by(2).filter(|name| name.contains(['_', ' ']));
        let before = table.insert(number.to_owned(), names.map(str::to_owned).collect());
        assert_eq!(before, None, "line {number} stands twice");
    }
    table
}

/// The text of every source file.
fn sources() -> Vec<String> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder reads") {
            let path = entry.expect("the entry reads").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "ts") {
                texts.push(fs::read_to_string(&path).expect("the file reads"));
            }
        }
    }
    texts
}

/// The numbers of `SEC-nn` in a text, without leading zeros.
fn marks(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("SEC-").skip(1).filter_map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let end = digits + usize::from(rest[digits..].starts_with('a'));
        let number = rest[..end].trim_start_matches('0');
        (digits > 0).then(|| number.to_owned())
    })
}

#[test]
fn every_line_of_the_catalogue_stands_once() {
    let between = BETWEEN.map(str::to_owned);
    let expected: BTreeSet<_> =
        (1..=LINES_MAX).map(|line| line.to_string()).chain(between).collect();
    assert_eq!(table().into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn every_test_that_is_named_exists() {
    let sources = sources();
    let exists = |name: &str| {
        let (function, sentence) = (format!("fn {name}("), format!("'{name}'"));
        sources.iter().any(|text| text.contains(&function) || text.contains(&sentence))
    };
    let table = table();
    let missing: Vec<_> = table.values().flatten().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "named in docs/security.md and nowhere else: {missing:#?}");
}

#[test]
fn every_mark_in_the_code_has_a_line_with_tests() {
    let table = table();
    let marks: BTreeSet<_> =
        sources().iter().flat_map(|text| marks(text).collect::<Vec<_>>()).collect();
    let untold: Vec<_> =
        marks.iter().filter(|mark| table.get(*mark).is_none_or(Vec::is_empty)).collect();
    assert!(
        untold.is_empty(),
        "marked in the code, but without a test in docs/security.md: {untold:?}"
    );
}

#[test]
fn marks_are_found_in_every_form() {
    let text = "// SEC-7, SEC-09: why\n\"SEC-28a\" SEC-nn";
    assert_eq!(marks(text).collect::<Vec<_>>(), ["7", "9", "28a"]);
}
