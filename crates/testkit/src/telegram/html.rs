//! Telegram's HTML: which text and entities it makes, or why it is refused.
//!
//! Facts from the Bot API, "HTML style"; error texts as the Bot API server words them.

use serde_json::{Value, json};

/// The tags that Telegram knows.
const TAGS: [&str; 16] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "tg-spoiler",
    "tg-emoji",
    "span",
    "pre",
    "code",
    "blockquote",
];

/// A text without its tags.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Parsed {
    pub(super) text: String,
    /// `MessageEntity` objects; offsets and lengths count UTF-16 units.
    pub(super) entities: Vec<Value>,
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    parsed: Parsed,
    units: usize,
    open: Vec<Open>,
}

struct Open {
    tag: String,
    /// The value of the one attribute that matters for the tag.
    argument: String,
    offset: usize,
}

/// Parses `source` as `parse_mode: "HTML"` does.
pub(super) fn parse(source: &str) -> Result<Parsed, String> {
    let mut parser =
        Parser { source, at: 0, parsed: Parsed::default(), units: 0, open: Vec::new() };
    while let Some(next) = parser.peek() {
        match next {
            '<' if parser.rest().starts_with("</") => parser.end_tag()?,
            '<' => parser.start_tag()?,
            '&' => parser.reference(),
            _ => {
                parser.at += next.len_utf8();
                parser.put(next);
            }
        }
    }
    match parser.open.last() {
        Some(open) => {
            Err(format!("Can't find end tag corresponding to start tag \"{}\"", open.tag))
        }
        None => Ok(parser.finish()),
    }
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn put(&mut self, c: char) {
        self.parsed.text.push(c);
        self.units += c.len_utf16();
    }

    /// Takes characters while `keep` holds.
    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !keep(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn spaces(&mut self) {
        self.take(|c| c.is_ascii_whitespace());
    }

    fn eat(&mut self, c: char) -> bool {
        let here = self.peek() == Some(c);
        if here {
            self.at += c.len_utf8();
        }
        here
    }

    fn reference(&mut self) {
        let (c, length) = decode(self.rest()).unwrap_or(('&', 1));
        self.at += length;
        self.put(c);
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let unclosed = || format!("Unclosed start tag at byte offset {begin}");
        self.at += 1;
        let tag = self.take(|c| !c.is_ascii_whitespace() && c != '>').to_ascii_lowercase();
        if self.peek().is_none() {
            return Err(unclosed());
        }
        if !TAGS.contains(&tag.as_str()) {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let mut argument = String::new();
        loop {
            self.spaces();
            if self.eat('>') {
                break;
            }
            let (name, value) = self.attribute(&tag, begin)?;
            if self.peek().is_none() {
                return Err(unclosed());
            }
            match (tag.as_str(), name) {
                ("a", "href") | ("tg-emoji", "emoji-id") => argument = value,
                ("code", "class") => {
                    argument = value.strip_prefix("language-").unwrap_or_default().to_owned();
                }
                ("span", "class") => argument = value,
                ("blockquote", "expandable") => argument = "expandable".to_owned(),
                _ => {}
            }
        }
        if tag == "span" && argument != "tg-spoiler" {
            let what = "Tag \"span\" must have class \"tg-spoiler\"";
            return Err(format!("{what} at byte offset {begin}"));
        }
        self.open.push(Open { tag, argument, offset: self.units });
        Ok(())
    }

    fn attribute(&mut self, tag: &str, begin: usize) -> Result<(&'a str, String), String> {
        let name = self.take(|c| !c.is_ascii_whitespace() && c != '=' && c != '>');
        if name.is_empty() && self.peek().is_some() {
            let what = format!("Empty attribute name in the tag \"{tag}\"");
            return Err(format!("{what} at byte offset {begin}"));
        }
        self.spaces();
        if !self.eat('=') {
            if (tag, name) == ("blockquote", "expandable") || self.peek().is_none() {
                return Ok((name, String::new()));
            }
            let what = "Expected equal sign in declaration of an attribute of the tag";
            return Err(format!("{what} \"{tag}\" at byte offset {begin}"));
        }
        self.spaces();
        let quote = self.peek().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            let token_begin = self.at;
            let token = self.take(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
            return match self.peek() {
                Some(c) if !c.is_ascii_whitespace() && c != '>' => {
                    Err(format!("Unexpected end of name token at byte offset {token_begin}"))
                }
                _ => Ok((name, token.to_ascii_lowercase())),
            };
        };
        self.eat(quote);
        let mut value = String::new();
        while let Some(c) = self.peek().filter(|c| *c != quote) {
            let (c, length) = match c {
                '&' => decode(self.rest()).unwrap_or(('&', 1)),
                c => (c, c.len_utf8()),
            };
            value.push(c);
            self.at += length;
        }
        self.eat(quote);
        Ok((name, value))
    }

    fn end_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let Some(open) = self.open.pop() else {
            return Err(format!("Unexpected end tag at byte offset {begin}"));
        };
        self.at += 2;
        let tag = self.take(|c| !c.is_ascii_whitespace() && c != '>').to_ascii_lowercase();
        self.spaces();
        if !self.eat('>') {
            return Err(format!("Unclosed end tag at byte offset {begin}"));
        }
        // `</>` closes whatever is open.
        if !tag.is_empty() && tag != open.tag {
            return Err(format!(
                "Unmatched end tag at byte offset {begin}, expected \"</{}>\", found \"</{tag}>\"",
                open.tag
            ));
        }
        self.close(&open);
        Ok(())
    }

    fn close(&mut self, open: &Open) {
        let length = self.units - open.offset;
        if length == 0 {
            return;
        }
        let mut entity = json!({ "type": "", "offset": open.offset, "length": length });
        entity["type"] = match open.tag.as_str() {
            "b" | "strong" => "bold",
            "i" | "em" => "italic",
            "u" | "ins" => "underline",
            "s" | "strike" | "del" => "strikethrough",
            "pre" => "pre",
            "code" => "code",
            "blockquote" if open.argument.is_empty() => "blockquote",
            "blockquote" => "expandable_blockquote",
            "tg-emoji" => "custom_emoji",
            "a" => "text_link",
            _ => "spoiler",
        }
        .into();
        match open.tag.as_str() {
            "a" => entity["url"] = open.argument.as_str().into(),
            "tg-emoji" => entity["custom_emoji_id"] = open.argument.as_str().into(),
            "code" if !open.argument.is_empty() => {
                entity["language"] = open.argument.as_str().into();
            }
            "pre" => {
                // A code block with a language is written as `code` alone inside `pre`.
                let inner = self.parsed.entities.last().filter(|inner| {
                    inner["type"] == "code"
                        && inner["offset"] == open.offset
                        && inner["length"] == length
                        && inner.get("language").is_some()
                });
                if let Some(inner) = inner.map(|inner| inner["language"].clone()) {
                    self.parsed.entities.pop();
                    entity["language"] = inner;
                }
            }
            _ => {}
        }
        self.parsed.entities.push(entity);
    }

    fn finish(mut self) -> Parsed {
        for entity in &mut self.parsed.entities {
            if entity["type"] == "code"
                && let Some(fields) = entity.as_object_mut()
            {
                fields.shift_remove("language");
            }
        }
        // Outer before inner, as the real server lists them.
        self.parsed.entities.sort_by_key(|entity| {
            let length = entity["length"].as_u64().unwrap_or(0);
            (entity["offset"].as_u64(), std::cmp::Reverse(length))
        });
        self.parsed
    }
}

/// The character that a reference at the start of `text` stands for, and the reference's length.
fn decode(text: &str) -> Option<(char, usize)> {
    let body = text.strip_prefix('&')?;
    let (c, length) = if let Some(number) = body.strip_prefix('#') {
        let (digits, radix, skipped) = match number.strip_prefix('x') {
            Some(hex) => (hex, 16, 2),
            None => (number, 10, 1),
        };
        let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let code = u32::from_str_radix(&digits[..end], radix).ok().filter(|code| *code != 0)?;
        (char::from_u32(code)?, skipped + end)
    } else {
        let end = body.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(body.len());
        let c = match &body[..end] {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            _ => return None,
        };
        (c, end)
    };
    let semicolon = usize::from(body[length..].starts_with(';'));
    Some((c, 1 + length + semicolon))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: Result<(&str, Value), &str>) {
        let parsed = parse(source).map(|parsed| (parsed.text, Value::from(parsed.entities)));
        let expected = expected.map(|(text, entities)| (text.to_owned(), entities));
        assert_eq!(parsed, expected.map_err(str::to_owned));
    }

    #[test]
    fn tags_become_entities_that_count_utf16_units() {
        check("1 &lt; 2 &amp; &copy; &#x1F600;", Ok(("1 < 2 & &copy; 😀", json!([]))));
        check(
            "😀<b>a<i>b</i></b>",
            Ok((
                "😀ab",
                json!([
                    { "type": "bold", "offset": 2, "length": 2 },
                    { "type": "italic", "offset": 3, "length": 1 },
                ]),
            )),
        );
        check(
            "<a href=\"http://x/?a=1&amp;b\">x</a>",
            Ok((
                "x",
                json!([
                    { "type": "text_link", "offset": 0, "length": 1, "url": "http://x/?a=1&b" },
                ]),
            )),
        );
        check(
            "<pre><code class=\"language-rust\">fn</code></pre>",
            Ok(("fn", json!([{ "type": "pre", "offset": 0, "length": 2, "language": "rust" }]))),
        );
        check(
            "<blockquote expandable>q</blockquote>",
            Ok(("q", json!([{ "type": "expandable_blockquote", "offset": 0, "length": 1 }]))),
        );
    }

    #[test]
    fn bad_tags_are_refused_in_telegrams_words() {
        let cases = [
            ("a <h1>b</h1>", "Unsupported start tag \"h1\" at byte offset 2"),
            ("1 < 2 >", "Unsupported start tag \"\" at byte offset 2"),
            ("1 <", "Unclosed start tag at byte offset 2"),
            ("<b>a", "Can't find end tag corresponding to start tag \"b\""),
            ("a</b>", "Unexpected end tag at byte offset 1"),
            ("<b>a</i>", "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
            ("<b>a</b", "Unclosed end tag at byte offset 4"),
            ("<span>a</span>", "Tag \"span\" must have class \"tg-spoiler\" at byte offset 0"),
            (
                "<a href>a</a>",
                "Expected equal sign in declaration of an attribute of the tag \"a\" at byte \
                 offset 0",
            ),
            ("<a href=\"x", "Unclosed start tag at byte offset 0"),
        ];
        for (source, refused) in cases {
            check(source, Err(refused));
        }
    }
}
