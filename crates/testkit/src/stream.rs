//! Sends a reply's events at the pace, and with the faults, that its script asks for.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::script::{FaultKind, Pacing};

/// Lengths, in characters, of the pieces in which tool arguments are sent; small and uneven, so
/// that escapes and numbers are split.
const CUTS: [usize; 5] = [1, 2, 3, 5, 7];

/// The events of one stream in a single buffer.
#[derive(Debug, Default)]
pub struct Frames {
    buf: Vec<u8>,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    end: usize,
    /// Waits at the gate for pieces.
    is_piece: bool,
}

impl Frames {
    pub(crate) fn push(&mut self, frame: &str) {
        self.add(frame, false);
    }

    pub(crate) fn push_piece(&mut self, frame: &str) {
        self.add(frame, true);
    }

    fn add(&mut self, frame: &str, is_piece: bool) {
        self.buf.extend_from_slice(frame.as_bytes());
        self.frames.push(Frame { end: self.buf.len(), is_piece });
    }

    /// The body that sends the frames; `draw_error` draws an error in the vendor's words.
    pub(crate) fn into_body(
        self,
        pacing: Pacing,
        draw_error: impl FnOnce(&str, &str) -> String,
    ) -> Body {
        let whole = Bytes::from(self.buf);
        if pacing.pieces.is_none() && pacing.fault.is_none() {
            return Body::from_stream(stream::iter([Ok::<_, io::Error>(whole)]));
        }
        let error = match &pacing.fault {
            Some(fault) => match &fault.kind {
                FaultKind::Error { kind, message } => Some(draw_error(kind, message).into()),
                FaultKind::Cut | FaultKind::End | FaultKind::Stall(_) => None,
            },
            None => None,
        };
        let play = Play { whole, frames: self.frames, next: 0, pacing, error, ended: false };
        Body::from_stream(stream::unfold(play, Play::step))
    }
}

struct Play {
    whole: Bytes,
    frames: Vec<Frame>,
    next: usize,
    pacing: Pacing,
    error: Option<Bytes>,
    ended: bool,
}

impl Play {
    async fn step(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.ended {
            return None;
        }
        if let Some(fault) = self.due_fault() {
            match fault {
                FaultKind::Stall(gate) => gate.pass().await,
                FaultKind::End => return None,
                FaultKind::Error { .. } => {
                    self.ended = true;
                    let error = self.error.take()?;
                    return Some((Ok(error), self));
                }
                FaultKind::Cut => {
                    // The server writes out what it holds when the body makes it wait; without
                    // this pause an error would also take back the events before it.
                    tokio::task::yield_now().await;
                    self.ended = true;
                    return Some((Err(io::ErrorKind::ConnectionReset.into()), self));
                }
            }
        }
        let frame = *self.frames.get(self.next)?;
        if frame.is_piece
            && let Some(gate) = &self.pacing.pieces
        {
            gate.pass().await;
        }
        let start = self.next.checked_sub(1).map_or(0, |before| self.frames[before].end);
        self.next += 1;
        Some((Ok(self.whole.slice(start..frame.end)), self))
    }

    fn due_fault(&mut self) -> Option<FaultKind> {
        let after = self.pacing.fault.as_ref()?.after.min(self.frames.len());
        if after != self.next {
            return None;
        }
        self.pacing.fault.take().map(|fault| fault.kind)
    }
}

/// Cuts `text` into uneven pieces between characters.
pub(crate) fn odd_cuts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    CUTS.iter().cycle().map_while(move |&chars| {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(chars).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// `text` as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use crate::script::{Fault, Gate};

    use super::*;

    /// What a body of the pieces `a` and `b` yields without waiting, up to its end.
    struct Reader(axum::body::BodyDataStream);

    impl Reader {
        fn start(pacing: Pacing) -> Self {
            let mut frames = Frames::default();
            frames.push_piece("a");
            frames.push_piece("b");
            let body = frames.into_body(pacing, |kind, message| format!("{kind}: {message}"));
            Self(body.into_data_stream())
        }

        fn ready(&mut self) -> String {
            let mut ready = String::new();
            while let Some(next) = self.0.next().now_or_never() {
                match next {
                    Some(Ok(bytes)) => ready.push_str(std::str::from_utf8(&bytes).unwrap()),
                    Some(Err(_)) => ready.push('!'),
                    None => return ready + "$",
                }
            }
            ready
        }
    }

    #[test]
    fn a_piece_waits_for_its_gate() {
        let gate = Gate::new();
        let pacing = Pacing { pieces: Some(gate.clone()), ..Pacing::default() };
        let mut reader = Reader::start(pacing);
        assert_eq!(reader.ready(), "");
        gate.pass_times(1);
        assert_eq!(reader.ready(), "a");
        gate.open();
        assert_eq!(reader.ready(), "b$");
    }

    #[test]
    fn a_fault_comes_after_exactly_its_number_of_events() {
        let check = |after: usize, kind: FaultKind, expected: &str| {
            let pacing = Pacing { fault: Some(Fault { after, kind }), ..Pacing::default() };
            assert_eq!(Reader::start(pacing).ready(), expected);
        };
        check(1, FaultKind::Stall(Gate::new()), "a");
        check(1, FaultKind::End, "a$");
        check(9, FaultKind::End, "ab$");
        let error = FaultKind::Error { kind: "k".to_owned(), message: "m".to_owned() };
        check(1, error, "ak: m$");
    }

    #[test]
    fn odd_cuts_keep_every_character() {
        for text in ["", "a", "{\"command\":\"echo \\\"ä😀\\\"\"}"] {
            assert_eq!(odd_cuts(text).collect::<String>(), text);
        }
        assert_eq!(odd_cuts("abcdef").collect::<Vec<_>>(), ["a", "bc", "def"]);
    }
}
