//! How a long text becomes parts that a channel can send.

use crate::{Fence, TextUnit, fence::marker_run};

/// Smaller limits are taken as this one: below it, the markers of a code fence that is closed
/// and opened again leave no room for the code.
const LIMIT_MIN: usize = 32;

/// How full a part is at least, as a share of its room, before a nicer break is preferred to a
/// later one: one in this many.
const FILL_SHARE: usize = 4;

/// Where parts begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkMode {
    /// Only where the limit asks for it.
    #[default]
    Length,
    /// At every blank line outside of code, then where the limit asks for it.
    Newline,
}

/// Splits Markdown into parts of at most `limit`, counted in `unit`.
///
/// Breaks at a paragraph, else a line, a sentence, a word, and only then within a word, never
/// within a character. White space at a break is dropped. A code fence that is cut is closed in
/// one part and opened again, with its info string, in the next; one that was never closed is
/// closed at the end. Parts are never blank, so a blank text has none.
///
/// A limit below 32 counts as 32. A fence whose markers take more than half of the limit is
/// treated as plain text.
pub fn split(text: &str, limit: usize, unit: TextUnit, mode: ChunkMode) -> Vec<String> {
    let limit = limit.max(LIMIT_MIN);
    let mut parts = Vec::new();
    match mode {
        ChunkMode::Length => split_by_length(text, limit, unit, &mut parts),
        ChunkMode::Newline => {
            for paragraph in paragraphs(text) {
                split_by_length(paragraph, limit, unit, &mut parts);
            }
        }
    }
    parts
}

/// A place to break at. A lower rank is a nicer place.
#[derive(Clone, Copy)]
enum Rank {
    Paragraph,
    Line,
    Sentence,
    Word,
    CodeLine,
    CodeWord,
    Character,
    /// Between the code points of one visible character, when it alone is longer than the limit.
    CodePoint,
}

const RANKS: usize = Rank::CodePoint as usize + 1;

/// Where one part ends.
#[derive(Clone, Copy)]
struct Break<'a> {
    /// The end of the part, as a byte offset.
    end: usize,
    /// Its length up to there.
    used: usize,
    /// The line that holds the end, up to it, and the fence that was open before this line.
    line: &'a str,
    before: Option<Fence<'a>>,
}

fn split_by_length(text: &str, limit: usize, unit: TextUnit, parts: &mut Vec<String>) {
    let mut rest = skip_blank_lines(text).trim_end();
    let mut open: Option<Fence<'_>> = None;
    while !rest.trim().is_empty() {
        let opening = open.map(|fence| fence.opening()).unwrap_or_default();
        let room = limit - unit.measure(&opening);
        let scan = Scan { rest, room, limit, unit };
        let end = scan.best_break(open);
        let fence = step(end.before, end.line, limit);
        let body = &rest[..end.end];
        if !body.trim().is_empty() {
            let closing = fence.map(|fence| fence.closing()).unwrap_or_default();
            parts.push(format!("{opening}{}{closing}", body.trim_end()));
        }
        (rest, open) = resume(&rest[end.end..], fence);
    }
}

/// Drops the white space at a break, and the closing line of a fence that is closed already.
fn resume<'a>(rest: &'a str, fence: Option<Fence<'a>>) -> (&'a str, Option<Fence<'a>>) {
    if !rest.starts_with(['\r', '\n']) {
        let spaces: &[char] = if fence.is_none() { &[' ', '\t'] } else { &[] };
        return (rest.trim_start_matches(spaces), fence);
    }
    let rest = skip_blank_lines(rest);
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    match fence {
        Some(fence) if fence.closed_by(line) => (skip_blank_lines(after), None),
        _ => (rest, fence),
    }
}

/// The search for the end of one part.
struct Scan<'a> {
    rest: &'a str,
    /// How long the part may become, without the opening line of a fence that goes on.
    room: usize,
    limit: usize,
    unit: TextUnit,
}

impl<'a> Scan<'a> {
    fn best_break(&self, open: Option<Fence<'a>>) -> Break<'a> {
        let mut found: [Option<Break<'a>>; RANKS] = [None; RANKS];
        let (mut start, mut used, mut before) = (0, 0, open);
        while start < self.rest.len() {
            let (line, _) =
                self.rest[start..].split_once('\n').unwrap_or((&self.rest[start..], ""));
            let Some(line_end) = self.breaks_within(line, start, used, before, &mut found) else {
                break;
            };
            let after = step(before, line, self.limit);
            let end = start + line.len();
            used = line_end;
            if used + self.closing(after) <= self.room {
                let here = Break { end, used, line, before };
                if end == self.rest.len() {
                    return here;
                }
                if let Some(rank) = self.rank_of_line_end(end, before, after) {
                    found[rank as usize] = Some(here);
                }
            }
            (start, used, before) = (end + 1, used + 1, after);
        }
        let nice = found[..Rank::Character as usize].iter().flatten();
        nice.clone()
            .find(|found| found.used >= self.room / FILL_SHARE && self.has_words(found))
            .or_else(|| nice.clone().find(|found| self.has_words(found)))
            .or(found[Rank::Character as usize].as_ref())
            .or(found[Rank::CodePoint as usize].as_ref())
            .copied()
            .expect("one character fits: the markers of a fence take at most half of the limit")
    }

    /// Notes the last break of each rank within one line. Returns what is used at its end, or
    /// `None` when the room ends before the line does.
    fn breaks_within(
        &self,
        line: &'a str,
        start: usize,
        mut used: usize,
        before: Option<Fence<'a>>,
        found: &mut [Option<Break<'a>>; RANKS],
    ) -> Option<usize> {
        let markers = marker_run(line);
        let closing = match (before, markers) {
            // A piece of a marker line may open a fence of its own, at most as long as this.
            (None, Some(run)) => (run + 1).min(self.limit / 4),
            (before, _) => self.closing(before),
        };
        let mut previous = ' ';
        for (at, character) in line.char_indices() {
            if used > self.room {
                return None;
            }
            if used + closing > self.room {
                // Nothing may end here, but the line itself may close the fence.
                used += self.unit.measure_char(character);
                continue;
            }
            if at > 0 {
                let here = Break { end: start + at, used, line: &line[..at], before };
                found[Rank::CodePoint as usize] = Some(here);
                if !joined(previous, character) {
                    found[Rank::Character as usize] = Some(here);
                }
                if markers.is_none()
                    && let Some(rank) = rank_within(previous, character, before)
                    && marker_run(&line[at..]).is_none()
                {
                    found[rank as usize] = Some(here);
                }
            }
            used += self.unit.measure_char(character);
            previous = character;
        }
        (used <= self.room).then_some(used)
    }

    fn rank_of_line_end(
        &self,
        end: usize,
        before: Option<Fence<'_>>,
        after: Option<Fence<'_>>,
    ) -> Option<Rank> {
        let (next, _) =
            self.rest[end + 1..].split_once('\n').unwrap_or((&self.rest[end + 1..], ""));
        match (before, after) {
            (_, None) if next.trim().is_empty() => Some(Rank::Paragraph),
            (_, None) => Some(Rank::Line),
            (Some(_), Some(_)) => Some(Rank::CodeLine),
            // Right behind an opening line there is no code yet.
            (None, Some(_)) => None,
        }
    }

    fn has_words(&self, found: &Break<'_>) -> bool {
        !self.rest[..found.end].trim().is_empty()
    }

    fn closing(&self, fence: Option<Fence<'_>>) -> usize {
        fence.map_or(0, |fence| fence.closing().len())
    }
}

/// [`Fence::step`], but a fence that would eat up the room loses its info string, or is no fence.
fn step<'a>(before: Option<Fence<'a>>, line: &'a str, limit: usize) -> Option<Fence<'a>> {
    let fits = |fence: &Fence<'_>| fence.opening().len() + fence.closing().len() <= limit / 2;
    let fence = Fence::step(before, line)?;
    [fence, Fence { info: "", ..fence }].into_iter().find(fits)
}

fn rank_within(left: char, right: char, fence: Option<Fence<'_>>) -> Option<Rank> {
    // A break stands in front of the first of several spaces.
    match (left, !left.is_whitespace() && right.is_whitespace(), fence) {
        (_, true, Some(_)) => Some(Rank::CodeWord),
        ('.' | '!' | '?' | '…', true, None) | ('。' | '！' | '？', _, None) => {
            Some(Rank::Sentence)
        }
        (_, true, None) => Some(Rank::Word),
        (_, false, _) => None,
    }
}

/// Whether two code points belong to one visible character, in the common cases: combining
/// marks, variation selectors, skin tones, zero-width joiners.
fn joined(left: char, right: char) -> bool {
    let continues = matches!(right, '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{20e3}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}');
    continues || left == '\u{200d}'
}

fn skip_blank_lines(text: &str) -> &str {
    let indented = text.trim_start();
    let blank = text.len() - indented.len();
    text[..blank].rfind('\n').map_or(text, |line_end| &text[line_end + 1..])
}

/// The text between blank lines; blank lines within code do not count.
fn paragraphs(text: &str) -> Vec<&str> {
    let (mut paragraphs, mut start, mut at, mut fence) = (Vec::new(), 0, 0, None);
    for line in text.split_inclusive('\n') {
        fence = Fence::step(fence, line);
        if fence.is_none() && line.trim().is_empty() {
            paragraphs.push(&text[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    paragraphs.push(&text[start..]);
    paragraphs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, limit: usize, expected: &[&str]) {
        assert_eq!(split(text, limit, TextUnit::Chars, ChunkMode::Length), expected);
    }

    #[test]
    fn a_short_text_stays_whole_and_a_blank_one_has_no_parts() {
        check("one\n\ntwo", 40, &["one\n\ntwo"]);
        check(" \n\t\n", 40, &[]);
    }

    #[test]
    fn the_nicest_place_wins_over_a_later_one() {
        for (text, first, second) in [
            (
                "One. Two of it.\n\nThe next\nfew. Words go on here",
                "One. Two of it.",
                "The next\nfew. Words go on here",
            ),
            (
                "A line of words\nand one more. It goes on and on",
                "A line of words",
                "and one more. It goes on and on",
            ),
            (
                "A whole sentence. And another one that goes on",
                "A whole sentence.",
                "And another one that goes on",
            ),
            (
                "only words and words and words and more here",
                "only words and words and words and more",
                "here",
            ),
            (
                "これは文です。これも文です。そしてもう一つの長い文がここにありますよね。はい、そうです",
                "これは文です。これも文です。そしてもう一つの長い文がここにありますよね。",
                "はい、そうです",
            ),
        ] {
            check(text, 40, &[first, second]);
        }
    }

    #[test]
    fn a_nice_place_close_to_the_start_does_not_make_a_tiny_part() {
        check(
            "Hi.\n\nonly words and words and words and words",
            40,
            &["Hi.\n\nonly words and words and words and", "words"],
        );
    }

    #[test]
    fn a_word_is_cut_only_when_nothing_else_is_left() {
        let long = "x".repeat(50);
        check(&format!("see {long}"), 40, &["see", &long[..40], &long[40..]]);
    }

    #[test]
    fn a_megabyte_without_a_break_becomes_full_parts() {
        let parts = split(&"x".repeat(1_000_000), 4000, TextUnit::Utf16, ChunkMode::Length);
        assert_eq!(parts.len(), 250);
    }

    #[test]
    fn the_indentation_of_a_line_survives_a_break_in_front_of_it() {
        check(
            "- a list of some words\n  - and one below it",
            32,
            &["- a list of some words", "  - and one below it"],
        );
    }

    #[test]
    fn code_that_is_cut_is_closed_and_opened_again_in_its_language() {
        check(
            "Look:\n```rust\nlet first = 1;\nlet second = 2;\nlet third = 3;\n```\nDone.",
            40,
            &[
                "Look:\n```rust\nlet first = 1;\n```",
                "```rust\nlet second = 2;\n```",
                "```rust\nlet third = 3;\n```\nDone.",
            ],
        );
    }

    #[test]
    fn code_moves_to_the_next_part_when_a_text_stands_before_it() {
        check(
            "Some words of prose before\n```\nlet first = 1;\n```",
            40,
            &["Some words of prose before", "```\nlet first = 1;\n```"],
        );
    }

    #[test]
    fn a_cut_right_before_the_closing_line_leaves_no_empty_fence() {
        check(
            "```\nline one of code\nline two of\n```\nafter it all",
            40,
            &["```\nline one of code\nline two of\n```", "after it all"],
        );
    }

    #[test]
    fn code_that_was_never_closed_is_closed() {
        check("```sh\nls", 40, &["```sh\nls\n```"]);
    }

    #[test]
    fn newline_mode_makes_a_part_of_every_paragraph_but_not_of_code() {
        let text = "one\n\n\ntwo\nlines\n\n```\na\n\nb\n```\n";
        let parts = split(text, 100, TextUnit::Chars, ChunkMode::Newline);
        assert_eq!(parts, ["one", "two\nlines", "```\na\n\nb\n```"]);
    }

    #[test]
    fn the_limit_counts_in_the_units_of_the_platform() {
        let text = "😀".repeat(40);
        let lengths = |unit| {
            split(&text, 40, unit, ChunkMode::Length)
                .iter()
                .map(|part| part.chars().count())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(TextUnit::Chars), [40]);
        assert_eq!(lengths(TextUnit::Utf16), [20, 20]);
        assert_eq!(lengths(TextUnit::Bytes), [10, 10, 10, 10]);
    }

    #[test]
    fn a_visible_character_of_several_code_points_is_not_cut() {
        let family = "👩\u{200d}👧";
        check(&family.repeat(11), 32, &[&family.repeat(10), family]);
    }

    fn any_text() -> impl Strategy<Value = String> {
        let prose = "[a-zé😀.。!~` \n]{0,120}";
        let code = ("[`]{3,5}", "[a-z]{0,6}", "[a-z \n]{0,120}")
            .prop_map(|(fence, info, body)| format!("\n{fence}{info}\n{body}\n{fence}\n"));
        let block = prop_oneof![prose.prop_map(String::from), code];
        prop::collection::vec(block, 0..5).prop_map(|blocks| blocks.concat())
    }

    fn any_unit() -> impl Strategy<Value = TextUnit> {
        prop::sample::select(vec![TextUnit::Chars, TextUnit::Utf16, TextUnit::Bytes])
    }

    fn any_mode() -> impl Strategy<Value = ChunkMode> {
        prop::sample::select(vec![ChunkMode::Length, ChunkMode::Newline])
    }

    fn is_balanced(part: &str) -> bool {
        part.lines().fold(None, Fence::step).is_none()
    }

    fn without_space(text: &str) -> String {
        text.split_whitespace().collect()
    }

    /// The text without lines that begin like a fence and without white space.
    fn words(text: &str) -> String {
        text.lines().filter(|line| marker_run(line).is_none()).map(without_space).collect()
    }

    proptest! {
        #[test]
        fn every_part_fits_says_something_and_closes_its_fences(
            text in any_text(), limit in 64..200_usize, unit in any_unit(), mode in any_mode(),
        ) {
            for part in split(&text, limit, unit, mode) {
                prop_assert!(unit.measure(&part) <= limit, "{part:?}");
                prop_assert!(!part.trim().is_empty());
                prop_assert!(is_balanced(&part), "{part:?}");
            }
        }

        #[test]
        fn no_text_makes_it_fail(text in "(?s)(.|[`~ \\n]{1,9}){0,200}", limit in 0..100_usize, unit in any_unit(), mode in any_mode()) {
            for part in split(&text, limit, unit, mode) {
                prop_assert!(unit.measure(&part) <= limit.max(LIMIT_MIN), "{part:?}");
            }
        }

        #[test]
        fn prose_keeps_its_words_in_order(
            text in "[a-zé😀.。! \n-]{0,400}", limit in 32..100_usize, unit in any_unit(), mode in any_mode(),
        ) {
            prop_assert_eq!(without_space(&split(&text, limit, unit, mode).concat()), without_space(&text));
        }

        #[test]
        fn code_keeps_its_words_in_order(
            info in "[a-z]{0,8}", body in "[a-z (){}\n]{0,400}", limit in 64..100_usize, unit in any_unit(),
        ) {
            let text = format!("before\n```{info}\n{body}\n```\nafter");
            let parts = split(&text, limit, unit, ChunkMode::Length);
            prop_assert_eq!(parts.iter().map(|part| words(part)).collect::<String>(), words(&text));
        }
    }
}
