//! Entries that are no lines: the header of a file, and the session's record in the list.
//!
//! Both are kept in the transcript, as the root and as leaves beside the path, so that no turn
//! carries them. Their mark stands among an entry's other fields, where the pointers of a line's
//! fields begin with a slash.

use claw_domain::{Entry, EntryBody};
use serde_json::{Map, Value};

use crate::{difference::is_absent, layout::is_file_name};

const IS: &str = "is";

/// What an entry is that is no line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The header, with the name of its file.
    Header {
        /// `<session>.jsonl` as a rule.
        file: String,
    },
    /// The record.
    Record,
}

impl Mark {
    pub(crate) fn write(&self) -> Map<String, Value> {
        let field = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        match self {
            Self::Header { file } => Map::from_iter([field(IS, "header"), field("file", file)]),
            Self::Record => Map::from_iter([field(IS, "record")]),
        }
    }

    /// What an entry is, when it is no line. A log can come from elsewhere, so a name that leads
    /// out of the folder is none.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        if !matches!(entry.body, EntryBody::Foreign { .. }) {
            return None;
        }
        let field = |name| entry.other.get(name).and_then(Value::as_str);
        match field(IS)? {
            "header" => {
                let file = field("file").filter(|name| is_file_name(name)).unwrap_or_default();
                Some(Self::Header { file: file.into() })
            }
            "record" => Some(Self::Record),
            _ => None,
        }
    }
}

/// What the file calls the line of an entry: their id where it was read, else our own; `None` when
/// it has no id, so that no line can follow it.
pub(crate) fn line_id(entry: &Entry) -> Option<String> {
    let theirs = match &entry.body {
        EntryBody::Foreign { kind, .. } if kind == "session" => None,
        EntryBody::Foreign { record, .. } => record.get("id"),
        _ if is_absent(&entry.other, "/id") => None,
        _ => match entry.other.get("/id") {
            None => return Some(entry.id.to_string()),
            theirs => theirs,
        },
    };
    theirs.and_then(Value::as_str).map(str::to_owned)
}
