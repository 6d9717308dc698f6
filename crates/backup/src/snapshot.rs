//! What a snapshot lists, and which lists are refused.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path},
    str::FromStr,
};

use claw_domain::{Timestamp, millis};
use jiff::{civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::chunk::{CHUNK_BYTES, ChunkId};

/// Most files, folders and links of a snapshot.
pub(crate) const ENTRIES_MAX: usize = 500_000;
/// Longest path in a snapshot. Unit: bytes. Linux takes no longer one (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;
/// Mode bits that are kept: no snapshot brings back a program that runs as somebody else.
pub(crate) const MODE_BITS: u32 = 0o777;

/// The list of what a state folder held. Its serde form lies in backups: fields are only added,
/// with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// When it was begun.
    pub(crate) created_at: Timestamp,
    /// The version of the program that made it.
    pub(crate) program: String,
    /// The path of the database among the entries.
    pub(crate) database: Option<String>,
    /// By path below the state folder, with `/` between names. A folder stands before what it
    /// holds.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// What came from outside the state folder, or from another name in it.
    pub(crate) moved: Vec<Moved>,
    /// What is missing, and why.
    pub(crate) left_out: Vec<LeftOut>,
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Entry {
    Folder { mode: u32 },
    File { mode: u32, bytes: u64, chunks: Vec<ChunkId> },
    Link { target: String },
}

/// What lies elsewhere in the backup than it lay before, and so after a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    /// The absolute path that it had.
    pub from: String,
    /// The path below the state folder that it has now.
    pub to: String,
}

/// What is not in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// A path, or a place in a configuration.
    pub what: String,
    /// Why it was left out.
    pub why: String,
}

/// One snapshot, as a list of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: SnapshotName,
    /// When it was begun.
    pub created_at: Timestamp,
    /// The version of the program that made it.
    pub program: String,
    /// How many files it holds.
    pub files: usize,
    /// How long they are together. Unit: bytes.
    pub bytes: u64,
}

/// The name of a snapshot: its time, as in `20261121T144300.123Z`. Names ascend with time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName(String);

const NAME_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";

impl SnapshotName {
    /// The name for a snapshot at `now` after `newest`, also when the clock was set back.
    pub(crate) fn after(newest: Option<&Self>, now: Timestamp) -> Self {
        let earliest = newest.map_or(0, |newest| newest.millis() + 1);
        let at = millis(now.as_millisecond().max(earliest));
        Self(at.strftime(NAME_FORMAT).to_string())
    }

    /// The name as it stands in a folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn millis(&self) -> i64 {
        millis_of(&self.0).expect("a name is a time: checked when it was made")
    }
}

fn millis_of(name: &str) -> Option<i64> {
    let time = DateTime::strptime(NAME_FORMAT, name).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// The text is no name of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoName;

impl FromStr for SnapshotName {
    type Err = NoName;

    fn from_str(name: &str) -> Result<Self, NoName> {
        // Only the one spelling is a name, so that none can lead out of the folder.
        let time = millis_of(name).filter(|at| *at >= 0).ok_or(NoName)?;
        let spelled = millis(time).strftime(NAME_FORMAT).to_string();
        if spelled == name { Ok(Self(spelled)) } else { Err(NoName) }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Snapshot {
    /// How many files there are.
    pub(crate) fn files(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry, Entry::File { .. })).count()
    }

    /// How long all files are together. Unit: bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let length = |entry: &Entry| match entry {
            Entry::File { bytes, .. } => *bytes,
            _ => 0,
        };
        self.entries.values().map(length).fold(0, u64::saturating_add)
    }

    /// Refuses what an honest snapshot does not hold: names that lead out of the folder, things in
    /// what is no folder, lengths that their pieces cannot have.
    ///
    /// # Errors
    /// What is wrong with the first such entry.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.entries.len() > ENTRIES_MAX {
            return Err(format!("it lists more than {ENTRIES_MAX} things"));
        }
        for (path, entry) in &self.entries {
            let told = path.escape_debug();
            if !is_plain(path) {
                return Err(format!("`{told}` is no path below the state folder"));
            }
            if let Some((parent, _)) = path.rsplit_once('/')
                && !matches!(self.entries.get(parent), Some(Entry::Folder { .. }))
            {
                return Err(format!("`{told}` lies in what is no folder"));
            }
            if let Entry::File { bytes, chunks, .. } = entry
                && chunks.len() as u64 != bytes.div_ceil(CHUNK_BYTES as u64)
            {
                return Err(format!("`{told}` cannot be {bytes} bytes long"));
            }
        }
        match &self.database {
            Some(path) if !matches!(self.entries.get(path), Some(Entry::File { .. })) => {
                Err(format!("its database `{}` is no file", path.escape_debug()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether every step of the path is a name.
fn is_plain(path: &str) -> bool {
    let steps = || path.split('/');
    path.len() <= PATH_BYTES_MAX
        && !path.contains('\0')
        && steps().all(|step| !step.is_empty() && step != "." && step != "..")
        // The same, by the eyes of the system.
        && Path::new(path).components().all(|step| matches!(step, Component::Normal(_)))
}

/// Whether a link at `path` leads to a place below the state folder, whatever other links there
/// are: steps up come first, and no more than there are folders above it. Those are real folders,
/// as [`Snapshot::check`] saw to, so after them it can only go down, through links that are kept
/// likewise.
pub(crate) fn stays_below(path: &str, target: &str) -> bool {
    let depth = path.split('/').count() - 1;
    let up = target.split('/').take_while(|step| *step == "..").count();
    let down: Vec<_> = target.split('/').skip(up).collect();
    up <= depth && (down.is_empty() || is_plain(&down.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn snapshot(entries: &[(&str, Entry)]) -> Snapshot {
        let entries = entries.iter().map(|(path, entry)| ((*path).to_owned(), entry.clone()));
        Snapshot {
            created_at: at("2026-11-21T14:43:00Z"),
            program: "0".into(),
            database: None,
            entries: entries.collect(),
            moved: Vec::new(),
            left_out: Vec::new(),
        }
    }

    fn file() -> Entry {
        Entry::File { mode: 0o600, bytes: 0, chunks: Vec::new() }
    }

    fn folder() -> Entry {
        Entry::Folder { mode: 0o700 }
    }

    #[test]
    fn names_ascend_when_the_clock_is_set_back() {
        let first = SnapshotName::after(None, at("2026-11-21T14:43:00.123456Z"));
        assert_eq!(first.as_str(), "20261121T144300.123Z");
        let second = SnapshotName::after(Some(&first), at("2026-11-21T13:43:00Z"));
        assert_eq!(second.as_str(), "20261121T144300.124Z");
        assert_eq!(second.as_str().parse(), Ok(second.clone()));
        assert!(second > first);
    }

    #[test]
    fn only_a_time_is_a_name() {
        // SEC-56
        for name in ["", ".", "../x", "20261121T144300Z", "20261121T144300.123Z/..", "newest"] {
            assert_eq!(name.parse::<SnapshotName>(), Err(NoName), "{name:?}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        // SEC-55
        for path in
            ["/etc/passwd", "../x", "a/../../x", "..", ".", "", "a//b", "a/", "a/./b", "a\0"]
        {
            let refused = snapshot(&[("a", folder()), (path, file())]).check().unwrap_err();
            assert!(refused.ends_with("is no path below the state folder"), "{path:?}: {refused}");
        }
        assert_eq!(snapshot(&[("a", folder()), ("a/..b", file())]).check(), Ok(()));
        assert!(snapshot(&[(&"a".repeat(PATH_BYTES_MAX + 1), file())]).check().is_err());
    }

    #[test]
    fn nothing_lies_in_a_link_or_a_file() {
        // SEC-55
        let link = Entry::Link { target: "/etc".into() };
        for parent in [link, file()] {
            let refused = snapshot(&[("a", parent), ("a/passwd", file())]).check();
            assert_eq!(refused, Err("`a/passwd` lies in what is no folder".into()));
        }
        assert!(snapshot(&[("a/passwd", file())]).check().is_err());
        assert_eq!(snapshot(&[("a", folder()), ("a/b", file())]).check(), Ok(()));
    }

    #[test]
    fn a_length_that_the_pieces_cannot_have_is_refused() {
        // SEC-55
        for bytes in [1, u64::MAX] {
            let huge = Entry::File { mode: 0o600, bytes, chunks: Vec::new() };
            assert!(snapshot(&[("a", huge)]).check().is_err());
        }
    }

    #[test]
    fn the_database_is_a_file_of_the_snapshot() {
        let mut snapshot = snapshot(&[("a", folder()), ("b", file())]);
        for (path, good) in [("a", false), ("b", true), ("c", false), ("/etc/passwd", false)] {
            snapshot.database = Some(path.into());
            assert_eq!(snapshot.check().is_ok(), good, "{path}");
        }
    }

    #[test]
    fn a_link_stays_below_or_is_not_made() {
        // SEC-53, SEC-55
        for (path, target, expected) in [
            ("a", "b", true),
            ("a/b", "../c", true),
            ("a/b/c", "../../d/e", true),
            ("a/b", "..", true),
            ("a", "..", false),
            ("a", "../x", false),
            ("a/b", "../../x", false),
            ("a", "/etc", false),
            ("a/b", "c/../../..", false),
            ("a", "", false),
            ("a", "b/../c", false),
        ] {
            assert_eq!(stays_below(path, target), expected, "{path} → {target}");
        }
    }
}
