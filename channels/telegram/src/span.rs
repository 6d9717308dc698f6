//! Where emphasis, code and links begin and end within a line or paragraph.

/// Markup within a line or paragraph.
pub(crate) enum Span<'a> {
    Escaped(&'a str),
    Code(&'a str),
    Marked { tag: &'static str, inner: &'a str },
    Link { text: &'a str, address: &'a str },
}

impl<'a> Span<'a> {
    /// The markup that begins at `at`, and where it ends.
    pub(crate) fn at(text: &'a str, at: usize) -> Option<(Self, usize)> {
        let rest = &text[at..];
        match rest.as_bytes()[0] {
            b'\\' => {
                let escaped =
                    rest.get(1..2).filter(|next| next.as_bytes()[0].is_ascii_punctuation())?;
                Some((Self::Escaped(escaped), at + 2))
            }
            b'`' => {
                let (code, length) = code_span(rest)?;
                Some((Self::Code(code), at + length))
            }
            b'!' if rest.starts_with("![") => {
                link(rest, 1).map(|(link, length)| (link, at + length))
            }
            b'[' => link(rest, 0).map(|(link, length)| (link, at + length)),
            b'*' | b'_' | b'~' | b'|' => marked(text, at),
            _ => None,
        }
    }
}

/// How far to go when nothing begins here: a whole run of markers, else one character.
pub(crate) fn literal_length(text: &str, at: usize) -> usize {
    let character = text[at..].chars().next().map_or(1, char::len_utf8);
    if matches!(text.as_bytes()[at], b'*' | b'_' | b'~' | b'|' | b'`') {
        run(text, at)
    } else {
        character
    }
}

/// How many times the byte at `at` stands there in a row.
fn run(text: &str, at: usize) -> usize {
    let bytes = &text.as_bytes()[at..];
    bytes.iter().take_while(|byte| **byte == bytes[0]).count()
}

/// The code between two equal runs of backticks at the start of `rest`, and the length of all.
fn code_span(rest: &str) -> Option<(&str, usize)> {
    let ticks = run(rest, 0);
    let mut at = ticks;
    while let Some(next) = rest[at..].find('`') {
        let (start, length) = (at + next, run(rest, at + next));
        if length == ticks {
            let code = &rest[ticks..start];
            let padded = code.strip_prefix(' ').and_then(|code| code.strip_suffix(' '));
            let code = padded.filter(|code| !code.trim().is_empty()).unwrap_or(code);
            return (!code.trim().is_empty()).then_some((code, start + length));
        }
        at = start + length;
    }
    None
}

/// Emphasis that begins at `at`.
fn marked(text: &str, at: usize) -> Option<(Span<'_>, usize)> {
    let marker = text.as_bytes()[at];
    let (tag, width) = match (marker, run(text, at)) {
        (b'*' | b'_', 2 | 3) => ("b", 2),
        (b'*' | b'_', 1) => ("i", 1),
        (b'~', 2) => ("s", 2),
        (b'|', 2) => ("tg-spoiler", 2),
        _ => return None,
    };
    let before = text[..at].chars().next_back();
    if marker == b'_' && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let start = at + width;
    let end = closing(text, start, marker, width)?;
    let inner = &text[start..end];
    let is_tight = !inner.starts_with(char::is_whitespace) && !inner.is_empty();
    is_tight.then_some((Span::Marked { tag, inner }, end + width))
}

/// Where the closing markers of emphasis begin whose text starts at `start`.
fn closing(text: &str, start: usize, marker: u8, width: usize) -> Option<usize> {
    let mut at = start;
    while at < text.len() {
        let byte = text.as_bytes()[at];
        if byte == b'\\' {
            at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
            continue;
        }
        if byte == b'`' {
            at += code_span(&text[at..]).map_or_else(|| run(text, at), |(_, length)| length);
            continue;
        }
        if byte != marker {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let length = run(text, at);
        let end = at + length;
        let closes = (length == width || length == 3)
            && at > start
            && !text[..at].ends_with(char::is_whitespace);
        let within_word = marker == b'_' && text[end..].starts_with(char::is_alphanumeric);
        if closes && !within_word {
            return Some(end - width);
        }
        at = end;
    }
    None
}

/// `[text](address)` at the start of `rest`, behind `skipped` bytes (the `!` of a picture).
fn link(rest: &str, skipped: usize) -> Option<(Span<'_>, usize)> {
    let body = &rest[skipped + 1..];
    let close = body.find(']')?;
    let target = body[close + 1..].strip_prefix('(')?;
    let mut depth = 0_usize;
    let end = target.find(|character| match character {
        '(' => {
            depth += 1;
            false
        }
        ')' if depth == 0 => true,
        ')' => {
            depth -= 1;
            false
        }
        other => other.is_whitespace(),
    })?;
    let (text, address) = (&body[..close], &target[..end]);
    let known = ["http://", "https://", "tg://", "mailto:"]
        .iter()
        .any(|scheme| address.starts_with(scheme));
    let is_link =
        known && target[end..].starts_with(')') && !text.trim().is_empty() && !text.contains('[');
    let length = skipped + 1 + close + 1 + 1 + end + 1;
    is_link.then_some((Span::Link { text, address }, length))
}
