//! The bytes below a WebSocket: whole frames in, never a large one from a stranger.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A client's stream. Until it is [trusted](Wire::trust), the payloads that its frames announce
/// are counted, and reading fails before anything is reserved for one that goes beyond the limit.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What upgrading had read beyond the request's head.
    early: Vec<u8>,
    gate: Option<Gate>,
}

/// Reads the lengths out of a stream of frames (RFC 6455, section 5.2).
#[derive(Debug)]
struct Gate {
    left: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In a frame's header, of which so many bytes are known.
    Header([u8; 10], usize),
    /// In a frame's mask and payload, so many bytes before its end.
    Body(u64),
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, early: Vec<u8>, payload_bytes_max: usize) -> Self {
        let gate = Gate { left: payload_bytes_max as u64, place: Place::Header([0; 10], 0) };
        Self { stream, early, gate: Some(gate) }
    }

    /// Lets frames of any size through from now on.
    pub(crate) fn trust(&mut self) {
        self.gate = None;
    }
}

impl Gate {
    /// Follows the stream over `bytes`; `Err` when a frame announces more than is left.
    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), io::Error> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.place {
                Place::Header(header, known) => {
                    header[*known] = *first;
                    *known += 1;
                    bytes = rest;
                    if let Some((payload, mask)) = lengths(&header[..*known]) {
                        let Some(left) = self.left.checked_sub(payload) else {
                            return Err(io::Error::new(
                                io::ErrorKind::FileTooLarge,
                                "a frame before the handshake is too large",
                            ));
                        };
                        self.left = left;
                        self.place = match payload + mask {
                            0 => Place::Header([0; 10], 0),
                            body => Place::Body(body),
                        };
                    }
                }
                Place::Body(body) => {
                    let step = (bytes.len() as u64).min(*body);
                    *body -= step;
                    bytes = &bytes[step as usize..];
                    if *body == 0 {
                        self.place = Place::Header([0; 10], 0);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Bytes of payload and of mask, once enough of the header is known.
fn lengths(header: &[u8]) -> Option<(u64, u64)> {
    let short = header.get(1)?;
    let mask = if short & 0x80 == 0 { 0 } else { 4 };
    let payload = match short & 0x7f {
        126 => u64::from(u16::from_be_bytes(header.get(2..4)?.try_into().ok()?)),
        127 => u64::from_be_bytes(header.get(2..10)?.try_into().ok()?),
        short => u64::from(short),
    };
    Some((payload, mask))
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let some = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..some]);
            self.early.drain(..some);
        }
        let Self { gate, .. } = &mut *self;
        Poll::Ready(gate.as_mut().map_or(Ok(()), |gate| gate.pass(&buffer.filled()[before..])))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 64 * 1024;

    /// A masked text frame's header and its `payload` bytes.
    fn frame(payload: u64) -> Vec<u8> {
        let mut frame = vec![0x81];
        match payload {
            0..126 => frame.push(0x80 | payload as u8),
            126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend(payload.to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(0, 4 + payload.min(LIMIT) as usize));
        frame
    }

    /// Whether these frames pass, however the stream is cut.
    #[track_caller]
    fn check(payloads: &[u64], passes: bool) {
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(*payload)).collect();
        for piece in [1, 3, 4096, bytes.len()] {
            let mut gate = Gate { left: LIMIT, place: Place::Header([0; 10], 0) };
            let passed = bytes.chunks(piece).try_for_each(|bytes| gate.pass(bytes));
            assert_eq!(passed.is_ok(), passes, "{payloads:?} in pieces of {piece}");
        }
    }

    #[test]
    fn a_strangers_frames_are_bounded_each_and_together() {
        // SEC-22
        check(&[0, 125, 126, 60_000], true);
        check(&[LIMIT], true);
        check(&[LIMIT + 1], false);
        check(&[u64::MAX], false);
        check(&[40_000, 40_000], false);
    }

    #[test]
    fn a_frame_is_refused_at_its_header_before_any_payload() {
        let mut gate = Gate { left: LIMIT, place: Place::Header([0; 10], 0) };
        let header = [0x81, 0x80 | 127, 0, 0, 0, 0, 1, 0x90, 0, 0];
        gate.pass(&header).expect_err("25 MiB are announced");
    }
}
