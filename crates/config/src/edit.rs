//! How one value of a JSON5 text is changed while every other byte stays as it was written.

use std::ops::Range;
use std::path::PathBuf;

use crate::json5::{self, SyntaxError};
use crate::path::{Path, Segment};
use crate::tree::{Entry, Node, Value};

/// One step of indentation in what is added.
const INDENT: &str = "  ";

/// Why a value was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text to edit is not JSON5.
    #[error("the file is not JSON5")]
    Source(#[source] SyntaxError),
    /// The new value is not JSON5.
    #[error("the new value is not JSON5")]
    Value(#[source] SyntaxError),
    /// A plain value, or a list without that item, stands where the path goes on.
    #[error("`{path}` cannot be made: `{at}` has no place for it")]
    NoPlace {
        /// What should be set.
        path: Path,
        /// What stands in the way.
        at: Path,
    },
    /// The value stands in an included file.
    #[error("`{path}` is written in {}, line {line}", file.display())]
    Included {
        /// What should be set.
        path: Path,
        /// Where it is written.
        file: PathBuf,
        /// Counted from 1.
        line: u32,
    },
    /// The value stands in a TOML file.
    #[error("`{path}` is written in {}, line {line}, and TOML is not edited yet", file.display())]
    Toml {
        /// What should be set.
        path: Path,
        /// Where it is written.
        file: PathBuf,
        /// Counted from 1.
        line: u32,
    },
    /// The value stands under another word for its key.
    #[error("`{path}` is written in another word in {}, line {line}", file.display())]
    OtherWord {
        /// What should be set.
        path: Path,
        /// Where it is written.
        file: PathBuf,
        /// Counted from 1.
        line: u32,
    },
}

impl EditError {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Included { file, .. }
            | Self::Toml { file, .. }
            | Self::OtherWord { file, .. } => {
                Some(format!("change it in {} with an editor", file.display()))
            }
            Self::Source(_) => Some("run `rusty-claw config validate`".to_owned()),
            Self::Value(_) | Self::NoPlace { .. } => None,
        }
    }
}

/// What people type as a value, as JSON5: itself if it is JSON5, else a string.
pub fn value_from_words(text: &str) -> String {
    match json5::parse(text, 0) {
        Ok(_) => text.to_owned(),
        Err(_) => serde_json::Value::from(text).to_string(),
    }
}

/// `source` with `value` at `path`. Objects that are missing on the way are made; a list grows by
/// the item after its last.
///
/// # Errors
/// When `source` or `value` is not JSON5, or something else stands on the way.
pub fn set(source: &str, path: &Path, value: &str) -> Result<String, EditError> {
    let tree = json5::parse(source, 0).map_err(EditError::Source)?;
    let new = json5::parse(value, 0).map_err(EditError::Value)?.origin;
    let value = &value[new.start..new.end];
    let (there, above, missing) = deepest(&tree, path);
    let Some((first, rest)) = missing.split_first() else {
        return Ok(splice(source, &[(span(there), value.to_owned())]));
    };
    let no_place =
        |at: &[Segment]| EditError::NoPlace { path: path.clone(), at: Path::from(at.to_vec()) };
    let is_place = match (&there.value, first) {
        (Value::Object(_), Segment::Key(_)) => true,
        (Value::Array(items), Segment::Index(index)) => *index == items.len(),
        _ => false,
    };
    if !is_place
        || rest.iter().any(|segment| !matches!(segment, Segment::Key(_) | Segment::Index(0)))
    {
        return Err(no_place(above));
    }
    let style = Style::of(source, &tree, there);
    Ok(splice(source, &style.insert(first, rest, value)))
}

/// `source` without what stands at `path`. Where nothing does, the text is unchanged.
///
/// # Errors
/// When `source` is not JSON5, or the path is the whole file.
pub fn unset(source: &str, path: &Path) -> Result<String, EditError> {
    let tree = json5::parse(source, 0).map_err(EditError::Source)?;
    let Some((last, above)) = path.segments().split_last() else {
        return Err(EditError::NoPlace { path: path.clone(), at: Path::root() });
    };
    let Some(holder) = tree.get(&Path::from(above.to_vec())) else { return Ok(source.to_owned()) };
    let Some(gone) = holder.child(last) else { return Ok(source.to_owned()) };
    let members = members(holder);
    let at = members.iter().position(|member| member.end == gone.origin.end);
    let at = at.expect("a child is a member");
    Ok(splice(source, &removals(source, &members, at)))
}

/// The deepest value on the way to `path` that exists, the way to it, and the steps that do not.
fn deepest<'a, 'p>(tree: &'a Node, path: &'p Path) -> (&'a Node, &'p [Segment], &'p [Segment]) {
    let mut node = tree;
    for (depth, segment) in path.segments().iter().enumerate() {
        match node.child(segment) {
            Some(child) => node = child,
            None => return (node, &path.segments()[..depth], &path.segments()[depth..]),
        }
    }
    (node, path.segments(), &[])
}

/// How the neighbours of a new entry or item are written.
struct Style<'a> {
    source: &'a str,
    holder: Range<usize>,
    members: Vec<Range<usize>>,
    /// The white space before each member, if each begins a line.
    indent: Option<String>,
    quotes_keys: bool,
}

impl<'a> Style<'a> {
    fn of(source: &'a str, tree: &Node, holder: &Node) -> Self {
        let members = members(holder);
        let before = |at: usize| {
            let line = &source[source[..at].rfind('\n').map_or(0, |n| n + 1)..at];
            let white = line.len() - line.trim_start_matches([' ', '\t']).len();
            (line[..white].to_owned(), white == line.len())
        };
        let indent = match members.first() {
            Some(first) => Some(before(first.start)).filter(|(_, is_first)| *is_first),
            None => Some((before(holder.origin.start).0 + INDENT, true)),
        };
        let first_key = holder.entries().first().or(tree.entries().first());
        Self {
            source,
            holder: span(holder),
            members,
            indent: indent.map(|(white, _)| white),
            quotes_keys: first_key.is_some_and(|e| source[e.key_origin.start..].starts_with('"')),
        }
    }

    /// The pieces of text that put `value` at `first` and, below it, `rest`.
    fn insert(
        &self,
        first: &Segment,
        rest: &[Segment],
        value: &str,
    ) -> Vec<(Range<usize>, String)> {
        let member = self.member(first, &self.nested(rest, value, self.indent.as_deref()));
        let Some(last) = self.members.last() else { return vec![self.insert_first(&member)] };
        let comma = comma_after(self.source, last.end);
        let Some(indent) = &self.indent else {
            let (at, lead) = comma.map_or((last.end, ", "), |comma| (comma + 1, " "));
            let tail = if comma.is_some() { "," } else { "" };
            return vec![(at..at, format!("{lead}{member}{tail}"))];
        };
        // A comment behind the last member stays with it.
        let end = end_of_line(self.source, comma.map_or(last.end, |comma| comma + 1));
        match comma {
            Some(_) => vec![(end..end, format!("\n{indent}{member},"))],
            None => {
                let end = end_of_line(self.source, last.end);
                vec![
                    (last.end..last.end, ",".to_owned()),
                    (end..end, format!("\n{indent}{member}")),
                ]
            }
        }
    }

    /// The first member of an object or list, before any comment that stands in it.
    fn insert_first(&self, member: &str) -> (Range<usize>, String) {
        let indent = self.indent.as_deref().unwrap_or_default();
        let inside = self.holder.start + 1..self.holder.end - 1;
        let is_blank = self.source[inside.clone()].trim().is_empty();
        if is_blank {
            let outer = indent.strip_suffix(INDENT).unwrap_or_default();
            (inside, format!("\n{indent}{member}\n{outer}"))
        } else {
            (inside.start..inside.start, format!("\n{indent}{member},"))
        }
    }

    fn member(&self, segment: &Segment, value: &str) -> String {
        match segment {
            Segment::Index(_) => value.to_owned(),
            Segment::Key(key) if !self.quotes_keys && json5::is_identifier(key) => {
                format!("{key}: {value}")
            }
            Segment::Key(key) => format!("{}: {value}", serde_json::Value::from(key.as_str())),
        }
    }

    /// `value` inside the objects and lists that `segments` lead through.
    fn nested(&self, segments: &[Segment], value: &str, indent: Option<&str>) -> String {
        let Some((first, rest)) = segments.split_first() else { return value.to_owned() };
        let (open, close) = match first {
            Segment::Key(_) => ('{', '}'),
            Segment::Index(_) => ('[', ']'),
        };
        let inner = indent.map(|indent| format!("{indent}{INDENT}"));
        let member = self.member(first, &self.nested(rest, value, inner.as_deref()));
        match (indent, inner) {
            (Some(outer), Some(inner)) => format!("{open}\n{inner}{member}\n{outer}{close}"),
            _ => format!("{open} {member} {close}"),
        }
    }
}

/// What to cut so that the member at `at` is gone, with one comma and, if it was alone, its line.
fn removals(source: &str, members: &[Range<usize>], at: usize) -> Vec<(Range<usize>, String)> {
    let Range { start, end } = members[at].clone();
    let comma = comma_after(source, end);
    let before = match at.checked_sub(1) {
        // The last member leaves no comma behind that was not there.
        Some(before) if comma.is_none() => comma_after(source, members[before].end),
        _ => None,
    };
    let mut cuts: Vec<Range<usize>> = Vec::new();
    cuts.extend(before.map(|comma| comma..comma + 1));
    match comma {
        // Between the value and its comma a comment may stand; it stays.
        Some(comma) if !source[end..comma].trim().is_empty() => {
            cuts.extend([start..end, comma..comma + 1]);
        }
        _ => {
            let end = comma.map_or(end, |comma| comma + 1);
            cuts.push(whole_line(source, start..end));
        }
    }
    cuts.into_iter().map(|cut| (cut, String::new())).collect()
}

/// `span` with its line's indentation and break, if nothing else stands on its lines.
fn whole_line(source: &str, span: Range<usize>) -> Range<usize> {
    let blank = |c: char| matches!(c, ' ' | '\t');
    let start = source[..span.start].trim_end_matches(blank).len();
    let after = source[span.end..].trim_start_matches(blank);
    let line_ends = after.strip_prefix("\r\n").or_else(|| after.strip_prefix('\n'));
    match line_ends {
        Some(rest) if source[..start].ends_with('\n') => start..source.len() - rest.len(),
        _ => span,
    }
}

/// Where the comma after a member that ends at `at` stands.
fn comma_after(source: &str, at: usize) -> Option<usize> {
    let end = json5::trivia_end(source, at);
    source[end..].starts_with(',').then_some(end)
}

/// The end of the comments that follow on the same line.
fn end_of_line(source: &str, at: usize) -> usize {
    let trivia = &source[at..json5::trivia_end(source, at)];
    let mut end = 0;
    loop {
        let rest = trivia[end..].trim_start_matches([' ', '\t']);
        let start = trivia.len() - rest.len();
        if rest.starts_with("//") {
            let breaks = ['\n', '\r', '\u{2028}', '\u{2029}'];
            return at + start + rest.find(breaks).unwrap_or(rest.len());
        }
        match rest.strip_prefix("/*").and_then(|inner| inner.split_once("*/")) {
            Some((inner, _)) if !inner.contains('\n') => end = start + inner.len() + "/**/".len(),
            _ => return at + end,
        }
    }
}

/// The entries of an object, key to value, or the items of a list.
fn members(holder: &Node) -> Vec<Range<usize>> {
    match &holder.value {
        Value::Object(entries) => {
            let whole = |entry: &Entry| entry.key_origin.start..entry.node.origin.end;
            entries.iter().map(whole).collect()
        }
        Value::Array(items) => items.iter().map(span).collect(),
        _ => Vec::new(),
    }
}

fn span(node: &Node) -> Range<usize> {
    node.origin.start..node.origin.end
}

/// Replaces each range; they are in order and do not touch.
fn splice(source: &str, changes: &[(Range<usize>, String)]) -> String {
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    for (range, new) in changes {
        text.push_str(&source[at..range.start]);
        text.push_str(new);
        at = range.end;
    }
    text + &source[at..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test::{json5_document, value};

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check_set(source: &str, at: &str, value: &str, expected: &str) {
        assert_eq!(set(source, &path(at), value).unwrap(), expected);
    }

    #[track_caller]
    fn check_unset(source: &str, at: &str, expected: &str) {
        assert_eq!(unset(source, &path(at)).unwrap(), expected);
    }

    #[test]
    fn a_value_is_replaced_in_its_place() {
        check_set(
            "{ a: 1, /* b */ 'b' : [ 2, 3 ] } // end",
            "b[1]",
            " 'x' // no",
            "{ a: 1, /* b */ 'b' : [ 2, 'x' ] } // end",
        );
        check_set("1", "", "{}", "{}");
    }

    #[test]
    fn a_new_key_is_written_like_its_neighbours() {
        check_set("{}", "a.b", "1", "{\n  a: {\n    b: 1\n  }\n}");
        check_set("{a: 1}", "b.c", "2", "{a: 1, b: { c: 2 }}");
        check_set("{ a: 1, }", "b", "2", "{ a: 1, b: 2, }");
        check_set("{\n    \"a\": 1\n}\n", "b", "2", "{\n    \"a\": 1,\n    \"b\": 2\n}\n");
        check_set("{\n  a: 1, // one\n}", "b", "2", "{\n  a: 1, // one\n  b: 2,\n}");
        check_set("{\n  a: 1 // one\n}", "b", "2", "{\n  a: 1, // one\n  b: 2\n}");
        check_set("{\n  a: {},\n}", "a[\"x.y\"]", "2", "{\n  a: {\n    \"x.y\": 2\n  },\n}");
        check_set("{\n  // nothing yet\n}", "a", "1", "{\n  a: 1,\n  // nothing yet\n}");
        check_set("{\n  l: [\n    1,\n  ],\n}", "l[1]", "2", "{\n  l: [\n    1,\n    2,\n  ],\n}");
        check_set("{}", "l[0].x", "1", "{\n  l: [\n    {\n      x: 1\n    }\n  ]\n}");
    }

    #[test]
    fn a_key_is_taken_out_with_its_line_and_comma() {
        check_unset("{\n  a: 1,\n  b: 2,\n}", "a", "{\n  b: 2,\n}");
        check_unset("{\n  \"a\": 1,\n  \"b\": 2\n}", "b", "{\n  \"a\": 1\n}");
        check_unset("{a: 1, b: 2, c: 3}", "b", "{a: 1,  c: 3}");
        check_unset("{a: [1, 2]}", "a[1]", "{a: [1 ]}");
        check_unset("{a: 1 /* why */, b: 2}", "a", "{ /* why */ b: 2}");
        check_unset("{a: 1}", "b.c", "{a: 1}");
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let check = |source: &str, at: &str, expected: &str| {
            assert_eq!(set(source, &path(at), "1").unwrap_err().to_string(), expected);
        };
        check("{a: 1}", "a.b", "`a.b` cannot be made: `a` has no place for it");
        check("{a: []}", "a[1]", "`a[1]` cannot be made: `a` has no place for it");
        check("{a: []}", "a.b", "`a.b` cannot be made: `a` has no place for it");
        check("{}", "a[1]", "`a[1]` cannot be made: `` has no place for it");
        check("{a", "a", "the file is not JSON5");
        assert!(matches!(set("{}", &path("a"), "{"), Err(EditError::Value(_))));
    }

    #[test]
    fn words_that_are_not_json5_are_a_string() {
        for (words, expected) in [
            ("5", "5"),
            ("true", "true"),
            ("[1]", "[1]"),
            ("lan", "\"lan\""),
            ("'x'", "'x'"),
            ("a \"b\"", "\"a \\\"b\\\"\""),
        ] {
            assert_eq!(value_from_words(words), expected);
        }
    }

    /// A path of a few keys that random documents have too.
    fn keys() -> impl Strategy<Value = Path> {
        prop::collection::vec("[a-e]", 1..4)
            .prop_map(|keys| keys.into_iter().map(Segment::Key).collect::<Vec<_>>().into())
    }

    /// `tree` as JSON with the value at `path` replaced, or taken out.
    fn changed(tree: &Node, path: &Path, value: Option<serde_json::Value>) -> serde_json::Value {
        let mut json = tree.to_json();
        let (last, above) = path.segments().split_last().unwrap();
        let mut at = &mut json;
        for segment in above {
            let Segment::Key(key) = segment else { unreachable!("only keys are made") };
            let object = at.as_object_mut().unwrap();
            at = object.entry(key).or_insert_with(|| serde_json::json!({}));
        }
        let Segment::Key(key) = last else { unreachable!("only keys are made") };
        match value {
            Some(value) => at.as_object_mut().unwrap().insert(key.clone(), value),
            None => at.as_object_mut().unwrap().shift_remove(key),
        };
        json
    }

    /// Whether `part` comes from `whole` by leaving bytes out.
    fn is_within(part: &str, whole: &str) -> bool {
        let mut whole = whole.chars();
        part.chars().all(|c| whole.any(|w| w == c))
    }

    proptest! {
        #[test]
        fn what_was_set_is_read_back_and_all_else_stays(
            source in json5_document(), path in keys(), value in value(),
        ) {
            let before = json5::parse(&source, 0).unwrap();
            let new = json5::parse(&value, 0).unwrap().to_json();
            let Ok(text) = set(&source, &path, &value) else {
                // Only a plain value on the way is refused.
                let (there, ..) = deepest(&before, &path);
                prop_assert!(!matches!(there.value, Value::Object(_)));
                return Ok(());
            };
            let after = json5::parse(&text, 0).unwrap();
            prop_assert_eq!(after.to_json(), changed(&before, &path, Some(new)));
            prop_assert_eq!(set(&text, &path, &value).unwrap(), text.clone());
            match before.get(&path) {
                Some(old) => {
                    let Range { start, end } = span(old);
                    prop_assert!(text.starts_with(&source[..start]) && text.ends_with(&source[end..]));
                }
                None if source.contains('{') => {
                    let kept = source.replace(|c: char| c.is_whitespace(), "");
                    prop_assert!(is_within(&kept, &text), "{}", text);
                }
                None => {}
            }
        }

        #[test]
        fn what_was_unset_is_gone_and_all_else_stays(source in json5_document(), path in keys()) {
            let before = json5::parse(&source, 0).unwrap();
            let text = unset(&source, &path).unwrap();
            if before.get(&path).is_some() && !matches!(path.segments(), []) {
                let after = json5::parse(&text, 0).unwrap();
                prop_assert_eq!(after.to_json(), changed(&before, &path, None));
                prop_assert!(is_within(&text, &source));
            } else {
                prop_assert_eq!(text, source);
            }
        }
    }
}
