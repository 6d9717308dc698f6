//! How our Markdown becomes Telegram's HTML.
//!
//! Two laws hold for every text: the tags are balanced and known to Telegram, and the text that a
//! reader sees is never longer than the Markdown. Markup that is not closed stays as written.

use claw_channel::Fence;

use crate::span::{Span, literal_length};

/// How deep markup may stand in markup. Deeper, it stays as written.
const DEPTH_MAX: usize = 6;

/// A text in Telegram's HTML.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Html {
    /// With tags, everything else escaped.
    pub(crate) text: String,
    /// Whether a reader sees nothing.
    pub(crate) is_blank: bool,
}

/// Renders Markdown.
pub(crate) fn html(markdown: &str) -> Html {
    let mut writer = Writer { html: String::with_capacity(markdown.len() * 2), visible: false };
    let mut lines = markdown
        .trim_end()
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .peekable();
    let mut is_first = true;
    while let Some(line) = lines.next() {
        if !std::mem::take(&mut is_first) {
            writer.text("\n");
        }
        let mut taken = vec![line];
        match Block::of(line) {
            Block::Code(fence) => {
                taken.clear();
                for line in lines.by_ref().take_while(|line| !fence.closed_by(line)) {
                    taken.push(line);
                }
                writer.code_block(fence.info, &taken.join("\n"));
            }
            Block::Quote => {
                while let Some(line) = lines.next_if(|line| line.starts_with('>')) {
                    taken.push(line);
                }
                let quoted: Vec<_> = taken.iter().map(|line| unquoted(line)).collect();
                writer.tagged("blockquote", |writer| writer.spans(&quoted.join("\n"), 1));
            }
            Block::Table => {
                while let Some(line) = lines.next_if(|line| is_table_row(line)) {
                    taken.push(line);
                }
                writer.tagged("pre", |writer| writer.text(&taken.join("\n")));
            }
            Block::Heading(title) => writer.tagged("b", |writer| writer.spans(title, 1)),
            Block::Item { indent, text } => {
                writer.text(indent);
                writer.text("• ");
                writer.spans(text, 0);
            }
            Block::Plain => {
                while let Some(line) = lines
                    .next_if(|line| matches!(Block::of(line), Block::Plain) && !line.is_empty())
                {
                    taken.push(line);
                }
                writer.spans(&taken.join("\n"), 0);
            }
        }
    }
    Html { is_blank: !writer.visible, text: writer.html }
}

/// What a line begins.
enum Block<'a> {
    Code(Fence<'a>),
    Quote,
    Table,
    Heading(&'a str),
    Item { indent: &'a str, text: &'a str },
    Plain,
}

impl<'a> Block<'a> {
    fn of(line: &'a str) -> Self {
        if let Some(fence) = Fence::open(line) {
            return Self::Code(fence);
        }
        if line.starts_with('>') {
            return Self::Quote;
        }
        if is_table_row(line) {
            return Self::Table;
        }
        let title = line.trim_start_matches('#');
        if (1..=6).contains(&(line.len() - title.len()))
            && title.starts_with(' ')
            && !title.trim().is_empty()
        {
            return Self::Heading(title.trim());
        }
        let text = line.trim_start_matches([' ', '\t']);
        let indent = &line[..line.len() - text.len()];
        match text.strip_prefix(['-', '*', '+']).and_then(|text| text.strip_prefix(' ')) {
            Some(text) if !text.trim().is_empty() => Self::Item { indent, text },
            _ => Self::Plain,
        }
    }
}

fn is_table_row(line: &str) -> bool {
    let row = line.trim();
    row.len() > 2 && row.starts_with('|') && row.ends_with('|') && !row.starts_with("||")
}

fn unquoted(line: &str) -> &str {
    line.trim_start_matches('>').trim_start()
}

struct Writer {
    html: String,
    /// Whether something other than white space was written.
    visible: bool,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.visible |= !text.trim().is_empty();
        for character in text.chars() {
            match character {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                other => self.html.push(other),
            }
        }
    }

    fn tagged(&mut self, tag: &str, inner: impl FnOnce(&mut Self)) {
        self.html.push_str(&format!("<{tag}>"));
        inner(self);
        self.html.push_str(&format!("</{tag}>"));
    }

    fn code_block(&mut self, info: &str, code: &str) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "+-#._".contains(c);
        if info.is_empty() || !info.chars().all(is_name) {
            // What is no language's name is text that somebody meant to be read.
            let lines = if info.is_empty() { code.to_owned() } else { format!("{info}\n{code}") };
            return self.tagged("pre", |writer| writer.text(&lines));
        }
        self.html.push_str(&format!("<pre><code class=\"language-{info}\">"));
        self.text(code);
        self.html.push_str("</code></pre>");
    }

    fn link(&mut self, address: &str, text: &str, depth: usize) {
        let address = address
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        self.html.push_str(&format!("<a href=\"{address}\">"));
        self.spans(text, depth);
        self.html.push_str("</a>");
    }

    /// Writes text with its emphasis, code and links.
    fn spans(&mut self, text: &str, depth: usize) {
        if depth > DEPTH_MAX {
            return self.text(text);
        }
        let mut at = 0;
        let mut plain = 0;
        while at < text.len() {
            match Span::at(text, at) {
                Some((span, end)) => {
                    self.text(&text[plain..at]);
                    self.span(span, depth + 1);
                    (at, plain) = (end, end);
                }
                None => at += literal_length(text, at),
            }
        }
        self.text(&text[plain..]);
    }

    fn span(&mut self, span: Span<'_>, depth: usize) {
        match span {
            Span::Escaped(character) => self.text(character),
            Span::Code(code) => self.tagged("code", |writer| writer.text(code)),
            Span::Marked { tag, inner } => self.tagged(tag, |writer| writer.spans(inner, depth)),
            Span::Link { text, address } => self.link(address, text, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use claw_channel::TextUnit;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(markdown: &str, expected: &str) {
        assert_eq!(html(markdown).text, expected, "{markdown:?}");
    }

    #[test]
    fn emphasis_becomes_tags() {
        check(
            "**bold** *italic* __bold__ _italic_ ~~gone~~ ||hidden||",
            "<b>bold</b> <i>italic</i> <b>bold</b> <i>italic</i> <s>gone</s> <tg-spoiler>hidden</tg-spoiler>",
        );
        check("***both***", "<b><i>both</i></b>");
        check("*a **b** c*", "<i>a <b>b</b> c</i>");
        check("**over\ntwo lines**", "<b>over\ntwo lines</b>");
    }

    #[test]
    fn markup_that_is_not_closed_stays_as_written() {
        for text in [
            "**open",
            "2 * 3 * 4",
            "*",
            "** **",
            "snake_case_name",
            "a || b",
            "[text](",
            "[text](nowhere)",
            "`tick",
            "~~",
            "****",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn code_is_left_alone() {
        check("`a*b*` and ``a`b``", "<code>a*b*</code> and <code>a`b</code>");
        check("**see `x**` there**", "<b>see <code>x**</code> there</b>");
        check(
            "```rust\nlet a = b && c<d>;\n**x**\n```\nafter",
            "<pre><code class=\"language-rust\">let a = b &amp;&amp; c&lt;d&gt;;\n**x**</code></pre>\nafter",
        );
        check("```\nplain\n```", "<pre>plain</pre>");
        check(
            "```c++\nnever closed",
            "<pre><code class=\"language-c++\">never closed</code></pre>",
        );
        check("``` a note\nx\n```", "<pre>a note\nx</pre>");
    }

    #[test]
    fn html_of_others_is_text() {
        check("<b>x</b> & \"y\"", "&lt;b&gt;x&lt;/b&gt; &amp; \"y\"");
    }

    #[test]
    fn links_are_links_only_with_an_address_that_telegram_opens() {
        check(
            "[a *b*](https://x.y/?q=1&r=\"2\")",
            "<a href=\"https://x.y/?q=1&amp;r=&quot;2&quot;\">a <i>b</i></a>",
        );
        check("[wiki](https://x.y/A_(b))", "<a href=\"https://x.y/A_(b)\">wiki</a>");
        check("![a cat](https://x.y/cat.png)", "<a href=\"https://x.y/cat.png\">a cat</a>");
        check("[x](javascript:alert)", "[x](javascript:alert)");
        check("[[1]](https://x.y)", "[[1]](https://x.y)");
    }

    #[test]
    fn blocks_become_what_telegram_has() {
        check("# Title *here*\ntext", "<b>Title <i>here</i></b>\ntext");
        check("- one\n  * two\n+ **three**\n1. four", "• one\n  • two\n• <b>three</b>\n1. four");
        check("> a\n> **b**\nc", "<blockquote>a\n<b>b</b></blockquote>\nc");
        check("| a | b |\n|---|---|\n| 1 | 2 |", "<pre>| a | b |\n|---|---|\n| 1 | 2 |</pre>");
        check("one\n\ntwo", "one\n\ntwo");
        check("#hashtag\n---", "#hashtag\n---");
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_a_marker() {
        check(r"\*not italic\* \n \\", r"*not italic* \n \");
    }

    #[test]
    fn a_text_of_which_nothing_would_be_seen_is_known() {
        assert!(html("```\n```").is_blank);
        assert!(!html("x").is_blank);
    }

    /// What a reader sees, if every tag is closed in order.
    fn visible(html: &str) -> Option<String> {
        let (mut seen, mut open, mut rest) = (String::new(), Vec::new(), html);
        while let Some((text, tag)) = rest.split_once('<') {
            seen.push_str(text);
            let (tag, after) = tag.split_once('>')?;
            rest = after;
            match tag.strip_prefix('/') {
                Some(closed) => (open.pop()? == closed).then_some(())?,
                None => open.push(tag.split(' ').next()?),
            }
        }
        seen.push_str(rest);
        let plain = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        open.is_empty().then_some(plain)
    }

    proptest! {
        #[test]
        fn tags_are_always_balanced_and_nothing_grows(
            markdown in r#"([*_~|`#>\\\[\]()!<&"a-c é😀\n-]|```|\*\*|https://x|\| )*"#,
        ) {
            let html = html(&markdown);
            let visible = visible(&html.text);
            prop_assert!(visible.is_some(), "{}", html.text);
            let visible = visible.unwrap();
            let length = |text| TextUnit::Utf16.measure(text);
            prop_assert!(length(&visible) <= length(&markdown), "{:?}", visible);
            prop_assert_eq!(visible.trim().is_empty(), html.is_blank);
        }

        #[test]
        fn words_survive_any_markup(words in prop::collection::vec("[a-z]{1,8}", 1..20), markers in prop::collection::vec("[*_~|`#> -]{0,3}", 20)) {
            let said = words.iter().zip(&markers).map(|(word, marker)| format!(" {marker}{word}"));
            let markdown = format!("so{}", said.collect::<String>());
            let visible = visible(&html(&markdown).text).expect("balanced");
            let kept: String = visible.chars().filter(char::is_ascii_lowercase).collect();
            prop_assert_eq!(kept, format!("so{}", words.concat()));
        }
    }
}
