//! What is kept of a command's output, whatever its length: the beginning and the end.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once. Unit: bytes.
const CHUNK: usize = 16 * 1024;
/// Room kept for the notice of what was left out. Unit: bytes.
const NOTICE_MAX: usize = 96;

/// The first 60 % and the last 40 % of what fits; what lies between is counted and forgotten.
#[derive(Debug)]
pub(crate) struct Capture {
    head: Vec<u8>,
    head_max: usize,
    tail: VecDeque<u8>,
    tail_max: usize,
    total: u64,
}

impl Capture {
    /// Keeps at most `max` bytes, notice included.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.saturating_sub(NOTICE_MAX);
        let head_max = max / 5 * 3;
        Self {
            head: Vec::new(),
            head_max,
            tail: VecDeque::new(),
            tail_max: max - head_max,
            total: 0,
        }
    }

    /// Takes everything until the end or the first failure, which for a pipe is an end too.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was taken stays.
    pub(crate) async fn fill(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            self.push(&chunk[..length]);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, tail) = bytes.split_at(bytes.len().min(self.head_max - self.head.len()));
        self.head.extend_from_slice(head);
        let tail = &tail[tail.len().saturating_sub(self.tail_max)..];
        let surplus = (self.tail.len() + tail.len()).saturating_sub(self.tail_max);
        self.tail.drain(..surplus);
        self.tail.extend(tail);
    }

    /// The text, with a notice where something was left out.
    pub(crate) fn into_text(self) -> String {
        let kept = self.head.len() + self.tail.len();
        let left_out = self.total - kept as u64;
        let mut bytes = self.head;
        if left_out == 0 {
            bytes.extend(self.tail);
            return readable(&bytes);
        }
        let tail: Vec<u8> = self.tail.into();
        format!(
            "{}\n[{left_out} of {} bytes left out here]\n{}",
            readable(whole_at_end(&bytes)),
            self.total,
            readable(whole_at_start(&tail))
        )
    }
}

/// Bytes as text: what is not UTF-8 becomes `?`, so that the text is never longer than the bytes.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    text
}

/// Without the first part of a character that was cut off at the end.
fn whole_at_end(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Err(error) if error.error_len().is_none() => {
            let cut = bytes.len().min(4) - error.valid_up_to();
            &bytes[..bytes.len() - cut]
        }
        _ => bytes,
    }
}

/// Without the last part of a character that was cut off at the start.
fn whole_at_start(bytes: &[u8]) -> &[u8] {
    let continued = bytes.iter().take(3).take_while(|byte| (0x80..0xC0).contains(*byte)).count();
    &bytes[continued..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], max: usize, expected: &str) {
        let mut capture = Capture::new(NOTICE_MAX + max);
        for piece in pieces {
            capture.push(piece);
        }
        assert_eq!(capture.into_text(), expected);
    }

    #[test]
    fn what_fits_is_kept_as_it_came() {
        check(&[b"abc", b"", b"defghij"], 10, "abcdefghij");
        check(&[], 10, "");
        check(&["zażółć".as_bytes()], 10, "zażółć");
    }

    #[test]
    fn what_does_not_fit_leaves_its_middle_out() {
        check(&[b"abcdefghijk"], 10, "abcdef\n[1 of 11 bytes left out here]\nhijk");
        check(
            &[b"abc", b"defgh", b"ijklmnop", b"q"],
            10,
            "abcdef\n[7 of 17 bytes left out here]\nnopq",
        );
    }

    #[test]
    fn a_character_that_is_cut_is_left_out_whole() {
        check(&["abcdeżxxxxxżabc".as_bytes()], 10, "abcde\n[7 of 17 bytes left out here]\nabc");
    }

    #[test]
    fn what_is_no_text_grows_no_longer() {
        check(&[b"a\xff\xfe\x80b"], 10, "a???b");
    }

    #[test]
    fn ten_megabytes_take_no_more_room_than_the_limit() {
        let mut capture = Capture::new(1000);
        for _ in 0..640 {
            capture.push(&[b'x'; CHUNK]);
        }
        assert!(capture.head.capacity() + capture.tail.capacity() < 4 * 1000);
        assert!(capture.into_text().len() <= 1000);
    }
}
