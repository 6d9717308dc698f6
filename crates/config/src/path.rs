//! How a place in the configuration is written: `agents.list[0].id`, `models.providers["my.prov"]`.

use std::fmt;
use std::str::FromStr;

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Into an object, by key.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// A place in the configuration; the empty path is the whole file.
///
/// Keys are joined by dots. A key that holds a dot, bracket, quote or space stands in brackets and
/// quotes, in which `\` takes the next character as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Segment>);

/// The text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no path: {reason}")]
pub struct PathError {
    text: String,
    reason: &'static str,
}

impl Path {
    /// The whole file.
    pub fn root() -> Self {
        Self::default()
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this is the whole file.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The place one key below this one.
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.with(Segment::Key(key.into()))
    }

    /// The place of item `index` of the list at this place.
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Whether `self` is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &Path) -> bool {
        self.0.starts_with(&ancestor.0)
    }

    pub(crate) fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl From<Vec<Segment>> for Path {
    fn from(segments: Vec<Segment>) -> Self {
        Self(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_bare(key) => {
                    write!(f, "{}{key}", if at == 0 { "" } else { "." })?;
                }
                Segment::Key(key) => {
                    let quoted = key.replace('\\', r"\\").replace('"', "\\\"");
                    write!(f, "[\"{quoted}\"]")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        parse(text).map(Self).map_err(|reason| PathError { text: text.to_owned(), reason })
    }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && !key.contains(is_special)
}

fn is_special(c: char) -> bool {
    matches!(c, '.' | '[' | ']' | '"' | '\'' | '\\') || c.is_whitespace() || c.is_control()
}

fn parse(text: &str) -> Result<Vec<Segment>, &'static str> {
    let mut segments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (segment, after) = parse_bracket(inner)?;
            segments.push(segment);
            rest = after;
        } else {
            rest = match rest.strip_prefix('.') {
                Some(after) if !segments.is_empty() => after,
                None if segments.is_empty() => rest,
                Some(_) => return Err("it begins with a dot"),
                None => return Err("a dot or bracket is missing after `]`"),
            };
            let end = rest.find(is_special).unwrap_or(rest.len());
            if end == 0 {
                return Err("a key is missing, or needs brackets and quotes");
            }
            segments.push(Segment::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    Ok(segments)
}

/// Reads what follows `[`: a number or a quoted key, then `]`.
fn parse_bracket(inner: &str) -> Result<(Segment, &str), &'static str> {
    const OPEN: &str = "`]` is missing";
    let Some(quote @ ('"' | '\'')) = inner.chars().next() else {
        let (digits, after) = inner.split_once(']').ok_or(OPEN)?;
        let index =
            digits.parse().map_err(|_| "between brackets stands a number or a quoted key")?;
        return Ok((Segment::Index(index), after));
    };
    let mut key = String::new();
    let mut chars = inner.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.push(chars.next().ok_or("the quote is not closed")?.1),
            c if c == quote => {
                let after = inner[at + 1..].strip_prefix(']').ok_or(OPEN)?;
                return Ok((Segment::Key(key), after));
            }
            c => key.push(c),
        }
    }
    Err("the quote is not closed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Segment {
        Segment::Key(text.to_owned())
    }

    #[test]
    fn paths_are_dots_brackets_and_quotes() {
        let check = |text: &str, expected: &[Segment]| {
            assert_eq!(text.parse::<Path>().unwrap().segments(), expected, "{text}");
        };
        check("", &[]);
        check("a.b[0].c", &[key("a"), key("b"), Segment::Index(0), key("c")]);
        check("models.providers[\"my.prov\"]", &[key("models"), key("providers"), key("my.prov")]);
        check("a['it\\'s'].b", &[key("a"), key("it's"), key("b")]);
        check(
            "agents.models.openai/gpt-4o:free",
            &[key("agents"), key("models"), key("openai/gpt-4o:free")],
        );
    }

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        for text in [".a", "a.", "a..b", "a[", "a[x]", "a[\"x]", "a[0]b", "a b", "a[\"x\"", "a]"] {
            let error = text.parse::<Path>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no path: ")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_written_path_reads_back(segments in prop::collection::vec(
            prop_oneof![any::<String>().prop_map(Segment::Key), any::<usize>().prop_map(Segment::Index)],
            0..6,
        )) {
            let path = Path::from(segments);
            prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }
    }
}
