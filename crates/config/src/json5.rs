//! JSON5 text as a tree, with the place of every key and value.
//!
//! The grammar is that of <https://spec.json5.org>, with three refusals of our own: a key that
//! stands twice, a number that is not finite, and nesting beyond [`DEPTH_MAX`].

use std::collections::HashMap;

use serde_json::Number;

use crate::tree::{Entry, Lines, Node, Origin, Value};

/// Deepest nesting of objects and lists; the parser recurses once for each.
pub const DEPTH_MAX: usize = 128;

/// The text is not JSON5.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", at.line, at.column)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub at: Origin,
}

/// Parses `text`; origins say that it is file number `file`.
///
/// # Errors
/// The first place where the text is not JSON5.
pub fn parse(text: &str, file: usize) -> Result<Node, SyntaxError> {
    let mut parser = Parser { text, at: 0, depth: 0, lines: Lines::new(text, file) };
    parser.skip_trivia()?;
    let node = parser.value()?;
    parser.skip_trivia()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("the end of the file")),
    }
}

/// The end of the comments and white space that begin at `at`. `text` must be JSON5 throughout.
pub(crate) fn trivia_end(text: &str, at: usize) -> usize {
    let mut parser = Parser { text, at, depth: 0, lines: Lines::new("", 0) };
    // An open comment cannot stand in a text that was parsed before.
    let _ = parser.skip_trivia();
    parser.at
}

/// Whether `key` may stand without quotes.
pub(crate) fn is_identifier(key: &str) -> bool {
    key.starts_with(is_identifier_start) && key.chars().all(is_identifier_part)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    lines: Lines<'a>,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Parser<'_> {
    fn value(&mut self) -> Parsed<Node> {
        let start = self.at;
        let value = match self.peek() {
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::array)?,
            Some('"' | '\'') => Value::String(self.string()?),
            Some('+' | '-' | '.' | '0'..='9') => Value::Number(self.number()?),
            Some(c) if is_identifier_start(c) => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { value, origin: self.lines.origin(start..self.at) })
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Parsed<Value>) -> Parsed<Value> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(self.at, format!("nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        self.bump();
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Parsed<Value> {
        let mut entries = Vec::new();
        let mut places: HashMap<String, Origin> = HashMap::new();
        loop {
            self.skip_trivia()?;
            if self.eat('}') {
                return Ok(Value::Object(entries));
            }
            let start = self.at;
            let key = match self.peek() {
                Some('"' | '\'') => self.string()?,
                Some(c) if is_identifier_start(c) || c == '\\' => self.identifier()?,
                _ => return Err(self.unexpected("a key or `}`")),
            };
            let key_origin = self.lines.origin(start..self.at);
            if let Some(Origin { line, column, .. }) = places.insert(key.clone(), key_origin) {
                let message = format!("`{key}` stands here again; first at {line}:{column}");
                return Err(self.error(start, message));
            }
            self.skip_trivia()?;
            if !self.eat(':') {
                return Err(self.unexpected("`:`"));
            }
            self.skip_trivia()?;
            let node = self.value()?;
            entries.push(Entry { key, key_origin, node });
            self.skip_trivia()?;
            if !self.eat(',') && self.peek() != Some('}') {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn array(&mut self) -> Parsed<Value> {
        let mut items = Vec::new();
        loop {
            self.skip_trivia()?;
            if self.eat(']') {
                return Ok(Value::Array(items));
            }
            items.push(self.value()?);
            self.skip_trivia()?;
            if !self.eat(',') && self.peek() != Some(']') {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
    }

    fn word(&mut self) -> Parsed<Value> {
        let start = self.at;
        match self.identifier()?.as_str() {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "NaN" | "Infinity" => Err(self.error(start, "the number is not finite")),
            _ => Err(self.error(start, "a string needs quotes")),
        }
    }

    fn number(&mut self) -> Parsed<Number> {
        let start = self.at;
        self.skip_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        let text = &self.text[start..self.at];
        match number(text) {
            Some(number) => Ok(number),
            None if text.ends_with("Infinity") || text.ends_with("NaN") => {
                Err(self.error(start, "the number is not finite"))
            }
            None => Err(self.error(start, format!("`{text}` is no number"))),
        }
    }

    fn identifier(&mut self) -> Parsed<String> {
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let at = self.at;
            let c = match c {
                '\\' => {
                    self.bump();
                    if !self.eat('u') {
                        return Err(self.error(at, "this escape cannot stand in a key"));
                    }
                    self.unicode(at)?
                }
                c if is_identifier_part(c) => {
                    self.bump();
                    c
                }
                _ => break,
            };
            if !is_identifier_part(c) || (at == start && !is_identifier_start(c)) {
                return Err(self.error(at, "a key with this character needs quotes"));
            }
            name.push(c);
        }
        Ok(name)
    }

    fn string(&mut self) -> Parsed<String> {
        let start = self.at;
        let quote = self.bump();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.bump() {
                None => return Err(self.error(start, "the string is not closed")),
                c if c == quote => return Ok(text),
                Some('\n' | '\r') => return Err(self.error(start, "the string is not closed")),
                Some('\\') => text.extend(self.escape(at)?),
                Some(c) => text.push(c),
            }
        }
    }

    /// Reads what follows a backslash at `at`; a line break there stands for nothing.
    fn escape(&mut self, at: usize) -> Parsed<Option<char>> {
        Ok(Some(match self.bump() {
            None => return Err(self.error(at, "the escape is not finished")),
            Some('\r') => {
                self.eat('\n');
                return Ok(None);
            }
            Some('\n' | '\u{2028}' | '\u{2029}') => return Ok(None),
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('v') => '\u{b}',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some('0') if !self.peek().is_some_and(|c| c.is_ascii_digit()) => '\0',
            Some('0'..='9') => return Err(self.error(at, "an octal escape is not allowed")),
            Some('x') => char::from_u32(self.hex(at, 2)?).expect("two hex digits are a character"),
            Some('u') => self.unicode(at)?,
            Some(c) => c,
        }))
    }

    /// Reads what follows `\u`: four digits, or a pair of surrogates.
    fn unicode(&mut self, at: usize) -> Parsed<char> {
        let high = self.hex(at, 4)?;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        let pair = if self.eat('\\') && self.eat('u') { Some(self.hex(at, 4)?) } else { None };
        let low = pair.filter(|low| (0xdc00..0xe000).contains(low) && high < 0xdc00);
        low.and_then(|low| char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)))
            .ok_or_else(|| self.error(at, "half a surrogate pair"))
    }

    fn hex(&mut self, at: usize, digits: usize) -> Parsed<u32> {
        (0..digits).try_fold(0, |value, _| match self.bump().and_then(|c| c.to_digit(16)) {
            Some(digit) => Ok(value * 16 + digit),
            None => Err(self.error(at, format!("{digits} hex digits are needed"))),
        })
    }

    fn skip_trivia(&mut self) -> Parsed<()> {
        loop {
            self.skip_while(is_white);
            let rest = &self.text[self.at..];
            if rest.starts_with("//") {
                self.skip_while(|c| !matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}'));
            } else if let Some(inner) = rest.strip_prefix("/*") {
                let Some(end) = inner.find("*/") else {
                    return Err(self.error(self.at, "the comment is not closed"));
                };
                self.at += "/*".len() + end + "*/".len();
            } else {
                return Ok(());
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|c| !keep(c)).unwrap_or(rest.len());
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.bump();
        }
        found
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        let found = match self.peek() {
            Some(c) => format!("found `{c}`"),
            None => "the file ends".to_owned(),
        };
        self.error(self.at, format!("expected {expected}, but {found}"))
    }

    fn error(&self, at: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { message: message.into(), at: self.lines.origin(at..at) }
    }
}

/// Whole numbers that fit stay whole; what does not fit becomes a float, as in JavaScript.
fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    let whole = match hex {
        Some(hex) => Some(u128::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with('+'))?),
        None if !digits.bytes().all(|b| b.is_ascii_digit()) => None,
        None if leading_zero => return None,
        None => digits.parse::<u128>().ok(),
    };
    if let Some(whole) = whole {
        let signed = i128::try_from(whole).ok().map(|n| if negative { -n } else { n });
        if let Some(number) = signed.and_then(Number::from_i128) {
            return Some(number);
        }
    }
    let well_formed = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && !(leading_zero && digits.as_bytes()[1].is_ascii_digit());
    let float = match whole {
        #[allow(clippy::cast_precision_loss, reason = "the nearest float is what is meant")]
        Some(whole) => whole as f64,
        None => digits.parse().ok().filter(|_| well_formed)?,
    };
    Number::from_f64(if negative { -float } else { float })
}

fn is_white(c: char) -> bool {
    // The byte order mark counts as white space; of Rust's white space, U+0085 does not.
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

fn is_identifier_start(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '$' | '_')
}

fn is_identifier_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '$' | '_' | '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test::json5_document;

    fn check(text: &str, expected: serde_json::Value) {
        assert_eq!(parse(text, 0).unwrap().to_json(), expected, "{text}");
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(parse(text, 0).unwrap_err().to_string(), expected, "{text}");
    }

    #[test]
    fn everything_that_json5_adds_is_read() {
        check(
            "\u{feff}// head\n{a: 1, 'b': [.5, +2, -0x1F, 1e3,], /* c */ \"d\\x41\\\nz\": '\\u{}',}\r\n"
                .replace("\\u{}", "\\ud83d\\ude00")
                .as_str(),
            serde_json::json!({"a": 1, "b": [0.5, 2, -31, 1000.0], "dAz": "😀"}),
        );
        check("{$x_1: null, über: true}", serde_json::json!({"$x_1": null, "über": true}));
        check("18446744073709551615", serde_json::json!(u64::MAX));
        check("18446744073709551616", serde_json::json!(18_446_744_073_709_551_616.0));
    }

    #[test]
    fn every_value_knows_its_place() {
        let tree = parse("{\n  a: {é: 'x'}, // one\n  b: [1,  22]\n}", 3).unwrap();
        let place = |path: &str| {
            let o = tree.get(&path.parse().unwrap()).unwrap().origin;
            (o.file, o.start..o.end, o.line, o.column)
        };
        assert_eq!(place("a.é"), (3, 12..15, 2, 10));
        assert_eq!(place("b[1]"), (3, 35..37, 3, 11));
        assert_eq!(tree.entry("b").unwrap().key_origin.line, 3);
    }

    #[test]
    fn what_is_not_json5_is_refused_at_its_place() {
        check_error("", "1:1: expected a value, but the file ends");
        check_error("{a: 1\n b: 2}", "2:2: expected `,` or `}`, but found `b`");
        check_error("{a 1}", "1:4: expected `:`, but found `1`");
        check_error("[1 2]", "1:4: expected `,` or `]`, but found `2`");
        check_error("{a: 1, a: 2}", "1:8: `a` stands here again; first at 1:2");
        check_error("{a: yes}", "1:5: a string needs quotes");
        check_error("'abc\n'", "1:1: the string is not closed");
        check_error("/* x", "1:1: the comment is not closed");
        check_error("[-Infinity]", "1:2: the number is not finite");
        check_error("[01]", "1:2: `01` is no number");
        check_error("'\\ud83d'", "1:2: half a surrogate pair");
        check_error("{} {}", "1:4: expected the end of the file, but found `{`");
        check_error(&"[".repeat(200), "1:129: nested deeper than 128");
    }

    proptest! {
        #[test]
        fn the_json5_crate_reads_the_same(text in json5_document()) {
            let theirs: serde_json::Value = ::json5::from_str(&text).unwrap();
            prop_assert_eq!(parse(&text, 0).unwrap().to_json(), theirs);
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in any::<String>()) {
            let _ = parse(&text, 0);
        }

        /// Near misses: pieces of the grammar in any order. Where both parsers agree that the text
        /// is JSON5, they agree about its value; ours takes nothing that the other refuses.
        #[test]
        fn nothing_is_read_that_the_json5_crate_refuses(pieces in prop::collection::vec(
            prop::sample::select(&["{", "}", "[", "]", ",", ":", "a", "'x'", "\"y\"", "1", "0", "0x", "f",
                "-", "+", ".", "e", "5", "null", "true", "/*", "*/", "//", "\n", " ", "\\", "\\u0041"][..]),
            0..9,
        )) {
            let text = pieces.concat();
            if let Ok(ours) = parse(&text, 0) {
                let theirs: serde_json::Value = ::json5::from_str(&text).unwrap();
                prop_assert_eq!(ours.to_json(), theirs);
            }
        }
    }
}
