//! How a command writes its data: on standard output, safe for a terminal.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write as _},
};

use serde::Serialize;

use crate::failure::Failure;

/// Prints `text` and ends its line. Control characters other than line breaks and tabs, which
/// could move the terminal's cursor or worse, are left out.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    raw(&format!("{}\n", plain(text)))
}

/// Prints `value` as JSON with an indentation of two spaces.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).expect("what is printed has string keys");
    raw(&format!("{}\n", escaped(&text)))
}

/// Prints what we wrote ourselves, byte for byte.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).or_else(unless_closed)
}

/// Says `text` beside the data, on standard error.
pub(crate) fn note(text: &str) {
    // Where standard error is closed, nobody wants to know.
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

/// A reader that has seen enough (`| head`) is no failure.
pub(crate) fn unless_closed(error: io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::new("standard output cannot be written").because(&error)),
    }
}

/// `text` without the characters that steer a terminal.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    match text.contains(steers) {
        true => text.replace(steers, "").into(),
        false => text.into(),
    }
}

/// JSON with the control characters escaped that JSON itself would allow (DEL and C1). They can
/// only stand in strings, where the escape means the same.
fn escaped(json: &str) -> Cow<'_, str> {
    let steers = |c: char| ('\u{7f}'..='\u{9f}').contains(&c);
    if !json.contains(steers) {
        return json.into();
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match steers(c) {
            true => write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes it"),
            false => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered_by_what_others_wrote() {
        // SEC-98
        assert_eq!(plain("a\u{1b}]0;x\u{7}b\u{9b}2J\tc\nd\r"), "a]0;xb2J\tc\nd");
        assert_eq!(plain("Grüße, 世界"), "Grüße, 世界");
        assert_eq!(escaped("\"a\u{9b}b\u{7f}\""), r#""a\u009bb\u007f""#);
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({"text": "a\u{9b}b\u{1b}\u{7f}ü"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let read: serde_json::Value = serde_json::from_str(&escaped(&text)).unwrap();
        assert_eq!(read, value);
    }
}
