//! What a person's message looks like before anything else reads it.

use unicode_normalization::UnicodeNormalization;

/// A message that is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It has a NUL in it.
    #[error("message must not contain null bytes")]
    NullByte,
    /// It is blank and nothing is attached.
    #[error("message or attachment required")]
    Empty,
}

/// Brings a chat message into Unicode NFC and removes control characters other than TAB, LF and CR.
///
/// # Errors
/// [`TextError::NullByte`] when there is a NUL. Whether a blank message is [`TextError::Empty`] is
/// for the caller to say, who knows what is attached.
pub fn normalise(message: &str) -> Result<String, TextError> {
    if message.contains('\0') {
        return Err(TextError::NullByte);
    }
    // Removing first: a control character may stand between a letter and its accent.
    let visible = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    Ok(message.chars().filter(visible).nfc().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn composed_and_decomposed_letters_become_the_same() {
        assert_eq!(normalise("e\u{301}"), Ok("é".into()));
    }

    #[test]
    fn control_characters_go_and_white_space_stays() {
        assert_eq!(normalise("\u{1b}[31mred\u{7f}\u{9b}\ta\r\nb"), Ok("[31mred\ta\r\nb".into()));
    }

    #[test]
    fn a_null_byte_refuses_the_message() {
        let error = normalise("a\0b").unwrap_err();
        assert_eq!(error.to_string(), "message must not contain null bytes");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[\\PC\u{1}-\u{20}e\u{301}]{0,40}") {
            let once = normalise(&text).expect("no NUL");
            prop_assert_eq!(normalise(&once), Ok(once.clone()));
        }
    }
}
