//! A parsed file as a tree in which every key and value knows where it was written.

use std::fmt;

use serde_json::Number;

use crate::path::{Path, Segment};

/// Where a key or value was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// Which of the files that were read; 0 is the main one.
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// What was written, in JSON's terms. `Debug` prints no text, for it may be a secret.
#[derive(Clone, PartialEq)]
#[allow(missing_docs, reason = "these are JSON's own six kinds")]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Node>),
    /// In the order of the file; a key stands once.
    Object(Vec<Entry>),
}

/// A key of an object and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// Where the key stands.
    pub key_origin: Origin,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// An empty object.
    pub(crate) fn object(origin: Origin) -> Self {
        Self { value: Value::Object(Vec::new()), origin }
    }

    pub(crate) fn string(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: Value::String(text.into()), origin }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, none if this is no object.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of `key`, if this is an object that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value one step below. A number written as a key also finds a list's item.
    pub fn child(&self, segment: &Segment) -> Option<&Node> {
        match (&self.value, segment) {
            (Value::Object(_), Segment::Key(key)) => self.entry(key).map(|entry| &entry.node),
            (Value::Array(items), Segment::Index(index)) => items.get(*index),
            (Value::Array(items), Segment::Key(key)) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The value at `path`.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        path.segments().iter().try_fold(self, |node, segment| node.child(segment))
    }

    pub(crate) fn get_mut(&mut self, path: &Path) -> Option<&mut Node> {
        path.segments().iter().try_fold(self, |node, segment| match (&mut node.value, segment) {
            (Value::Object(entries), Segment::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            (Value::Array(items), Segment::Index(index)) => items.get_mut(*index),
            _ => None,
        })
    }

    /// The tree without its origins.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Object(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// Lays `over` on top: objects merge, lists join, anything else is replaced.
    pub(crate) fn merge(self, over: Node) -> Node {
        match (self.value, over.value) {
            (Value::Object(mut below), Value::Object(above)) => {
                for entry in above {
                    match below.iter_mut().find(|there| there.key == entry.key) {
                        Some(there) => {
                            let old = std::mem::replace(
                                &mut there.node,
                                Node { value: Value::Null, origin: over.origin },
                            );
                            there.node = old.merge(entry.node);
                            there.key_origin = entry.key_origin;
                        }
                        None => below.push(entry),
                    }
                }
                Node { value: Value::Object(below), origin: over.origin }
            }
            (Value::Array(mut below), Value::Array(above)) => {
                below.extend(above);
                Node { value: Value::Array(below), origin: over.origin }
            }
            (_, value) => Node { value, origin: over.origin },
        }
    }

    /// Removes and returns the entry of `key`.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let Value::Object(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at))
    }

    /// The place of the first value here or below that was not written in `file`.
    pub(crate) fn first_not_from(&self, file: usize) -> Option<Origin> {
        if self.origin.file != file {
            return Some(self.origin);
        }
        match &self.value {
            Value::Array(items) => items.iter().find_map(|item| item.first_not_from(file)),
            Value::Object(entries) => entries.iter().find_map(|e| e.node.first_not_from(file)),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::String(_) => f.write_str("***"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Object(entries) => f.debug_list().entries(entries).finish(),
        }
    }
}

/// Finds the line and column of a byte.
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    file: usize,
    /// The first byte of each line.
    starts: Vec<usize>,
    /// How many characters begin before each multiple of [`STRIDE`].
    marks: Vec<usize>,
}

/// Bytes between two marks: a file of one long line is still searched in short pieces.
const STRIDE: usize = 1024;

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str, file: usize) -> Self {
        let text = text.as_bytes();
        let breaks = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let sums = text.chunks(STRIDE).scan(0, |sum, chunk| {
            *sum += chars(chunk);
            Some(*sum)
        });
        let marks = std::iter::once(0).chain(sums).collect();
        Self { text, file, starts, marks }
    }

    pub(crate) fn origin(&self, span: std::ops::Range<usize>) -> Origin {
        let line = self.starts.partition_point(|start| *start <= span.start);
        let column = self.chars_before(span.start) - self.chars_before(self.starts[line - 1]) + 1;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Origin {
            file: self.file,
            start: span.start,
            end: span.end,
            line: count(line),
            column: count(column),
        }
    }

    fn chars_before(&self, at: usize) -> usize {
        self.marks[at / STRIDE] + chars(&self.text[at / STRIDE * STRIDE..at])
    }
}

/// How many characters begin in a piece of UTF-8.
fn chars(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn debug_prints_no_text() {
        let tree = crate::json5::parse("{a: ['canary', 1]}", 0).unwrap();
        let shown = format!("{tree:?}");
        assert!(!shown.contains("canary") && shown.contains("***"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_place_is_what_counting_from_the_start_gives(
            text in "[aé\n]{0,3000}", share in 0.0..1.0f64,
        ) {
            let starts: Vec<_> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let at = starts[(share * starts.len() as f64) as usize];
            let origin = Lines::new(&text, 0).origin(at..at);
            let before = &text[..at];
            prop_assert_eq!(origin.line as usize, before.matches('\n').count() + 1);
            let line = before.rsplit('\n').next().unwrap();
            prop_assert_eq!(origin.column as usize, line.chars().count() + 1);
        }
    }
}
