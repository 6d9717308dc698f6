//! How the end of a turn becomes parts that a channel can send.

use claw_channel::{Capability, ChunkMode, TextUnit, split};
use claw_domain::{Ending, StopCause};

/// A reply of exactly this word is not sent (OpenClaw's silent token).
pub const SILENT_REPLY: &str = "NO_REPLY";

/// How replies look on one channel account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyStyle {
    /// The configured longest part (`textChunkLimit`); the channel's own limit holds as well.
    pub chunk_max: usize,
    /// Where to break.
    pub mode: ChunkMode,
    /// Which parts are shown as an answer to the message (`replyToMode`).
    pub quote: Quote,
}

/// Which parts of a reply quote the message that they answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quote {
    /// None.
    #[default]
    Off,
    /// The first.
    First,
    /// Every one.
    All,
}

/// What the sender is told when a turn ends; `None` is silence.
pub(crate) fn text_of(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Replied { text } => speakable(text),
        Ending::Failed { error, .. } => Some(format!("⚠️ {error}")),
        Ending::Stopped { cause: StopCause::Timeout, text } => {
            let said = speakable(text).map_or_else(String::new, |text| format!("{text}\n\n"));
            Some(format!(
                "{said}⚠️ This took too long and was stopped. Send it again, or in smaller steps."
            ))
        }
        // Who asked to stop is told so by the answer to that.
        Ending::Stopped { cause: StopCause::Rpc | StopCause::Command, text } => speakable(text),
    }
}

fn speakable(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != SILENT_REPLY).then(|| text.to_owned())
}

/// The parts of a text, each within both limits.
pub(crate) fn parts(text: &str, capability: &Capability, style: ReplyStyle) -> Vec<String> {
    let max = style.chunk_max.min(capability.text_max);
    let fits = length(text, capability.text_unit) <= max && style.mode == ChunkMode::Length;
    if fits { vec![text.to_owned()] } else { split(text, max, capability.text_unit, style.mode) }
}

fn length(text: &str, unit: TextUnit) -> usize {
    match unit {
        TextUnit::Chars => text.chars().count(),
        TextUnit::Utf16 => text.encode_utf16().count(),
        TextUnit::Bytes => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ending: Ending, said: Option<&str>) {
        assert_eq!(text_of(&ending).as_deref(), said);
    }

    #[test]
    fn silence_is_kept_and_words_are_said() {
        check(Ending::Replied { text: " NO_REPLY\n".into() }, None);
        check(Ending::Replied { text: "  ".into() }, None);
        check(Ending::Replied { text: "NO_REPLY is a word".into() }, Some("NO_REPLY is a word"));
        check(Ending::Replied { text: "hello\n".into() }, Some("hello"));
    }

    #[test]
    fn a_failure_is_told_to_its_sender() {
        check(
            Ending::Failed { error: "the model is overloaded".into(), code: "overloaded".into() },
            Some("⚠️ the model is overloaded"),
        );
    }

    #[test]
    fn what_was_said_before_a_stop_is_sent() {
        check(Ending::Stopped { cause: StopCause::Command, text: "so far".into() }, Some("so far"));
        check(Ending::Stopped { cause: StopCause::Command, text: String::new() }, None);
    }
}
