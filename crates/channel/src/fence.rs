//! What counts as a code fence: one definition for the splitter and for every renderer.

/// An open code fence, as CommonMark defines it (spec 0.31, section 4.5), but indented as far as
/// it likes: models indent the code within a list item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence<'a> {
    /// `` ` `` or `~`.
    pub(crate) marker: char,
    /// How many markers opened it: at least three. As many close it.
    pub(crate) run: usize,
    /// What stands behind the markers, usually the language; may be empty.
    pub info: &'a str,
}

impl<'a> Fence<'a> {
    /// The fence that this line opens, if it opens one.
    pub fn open(line: &'a str) -> Option<Self> {
        let (marker, run, rest) = markers(line)?;
        let info = rest.trim();
        (marker == '~' || !info.contains('`')).then_some(Self { marker, run, info })
    }

    /// Whether this line closes the fence.
    pub fn closed_by(&self, line: &str) -> bool {
        markers(line).is_some_and(|(marker, run, rest)| {
            marker == self.marker && run >= self.run && rest.trim().is_empty()
        })
    }

    /// The fence that is open after `line`, when `before` was open in front of it.
    pub fn step(before: Option<Self>, line: &'a str) -> Option<Self> {
        match before {
            Some(fence) => (!fence.closed_by(line)).then_some(fence),
            None => Self::open(line),
        }
    }

    /// The line that opens it, with its line feed.
    pub fn opening(&self) -> String {
        format!("{}{}\n", self.markers(), self.info)
    }

    /// The line that closes it, with the line feed in front of it.
    pub fn closing(&self) -> String {
        format!("\n{}", self.markers())
    }

    fn markers(&self) -> String {
        self.marker.to_string().repeat(self.run)
    }
}

/// How many markers the line begins with, when it begins like a fence, opening or closing.
pub(crate) fn marker_run(line: &str) -> Option<usize> {
    markers(line).map(|(_, run, _)| run)
}

/// Marker, how many of them, and what follows; `None` for any other line.
fn markers(line: &str) -> Option<(char, usize, &str)> {
    let text = line.trim_start_matches([' ', '\t']);
    let marker = text.chars().next().filter(|marker| matches!(marker, '`' | '~'))?;
    let rest = text.trim_start_matches(marker);
    let run = text.len() - rest.len();
    (run >= 3).then_some((marker, run, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_of_three_or_more_markers_opens_a_fence() {
        for (line, info) in [
            ("```", Some("")),
            ("```rust", Some("rust")),
            ("   ~~~~ toml  ", Some("toml")),
            ("~~~ a`b", Some("a`b")),
            ("```a`b", None),
            ("```x```", None),
            ("     ```sh", Some("sh")),
            ("``", None),
            ("text ```", None),
            ("", None),
        ] {
            assert_eq!(Fence::open(line).map(|fence| fence.info), info, "{line:?}");
        }
    }

    #[test]
    fn a_fence_is_closed_by_as_many_of_its_own_markers_and_nothing_else() {
        let fence = Fence::open("````md").unwrap();
        for (line, closes) in [
            ("````", true),
            ("  `````  ", true),
            ("```", false),
            ("~~~~", false),
            ("```` md", false),
        ] {
            assert_eq!(fence.closed_by(line), closes, "{line:?}");
        }
    }
}
