//! How a body of bytes becomes server-sent events, within limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use sse_stream::SseByteStream;

use crate::{Error, ErrorKind};

/// How much of a stream is taken.
#[derive(Debug, Clone, Copy)]
pub struct SseLimits {
    /// Largest data of one event. While an event is incomplete, one chunk of the transport may
    /// be held beside it.
    pub event_bytes_max: usize,
    /// Largest stream, comments and field names included.
    pub total_bytes_max: usize,
}

impl Default for SseLimits {
    /// 1 MiB for an event and 64 MiB for a stream: vendors send a few bytes per event, and the
    /// frame round them is some ten times as large as what they say.
    fn default() -> Self {
        Self { event_bytes_max: 1 << 20, total_bytes_max: 64 << 20 }
    }
}

/// What a stream of events yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    /// An event that carries data; vendors repeat its name inside the data.
    Data(String),
    /// Bytes came, but no event is whole yet: a comment, or a part.
    Alive,
}

/// The events of `bytes`, ending after the first error.
///
/// Events without data are left out, and so is an event that the end of the body cut. Waits as
/// long as `bytes` does: deadlines are the business of [`ask`](crate::ask).
pub fn sse_events(
    bytes: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    limits: SseLimits,
) -> BoxStream<'static, Result<Sse, Error>> {
    let fed = Arc::new(Fed::default());
    let mut events = Box::pin(SseByteStream::new(counted(bytes, limits, Arc::clone(&fed))));
    let mut ended = false;
    let next = move |cx: &mut Context<'_>| {
        if ended {
            return Poll::Ready(None);
        }
        loop {
            let item = match events.as_mut().poll_next(cx) {
                Poll::Ready(item) => item,
                Poll::Pending if fed.is_new.swap(false, Relaxed) => {
                    return Poll::Ready(Some(Ok(Sse::Alive)));
                }
                Poll::Pending => return Poll::Pending,
            };
            fed.pending.store(0, Relaxed);
            let Some(event) = item else {
                ended = true;
                return Poll::Ready(None);
            };
            let data = match event {
                Ok(sse_stream::Sse { data: None, .. }) => continue,
                Ok(sse_stream::Sse { data: Some(data), .. })
                    if data.len() > limits.event_bytes_max =>
                {
                    Err(event_too_large(limits))
                }
                Ok(sse_stream::Sse { data: Some(data), .. }) => Ok(Sse::Data(data)),
                Err(error) => Err(own(error)),
            };
            ended = data.is_err();
            fed.is_new.store(false, Relaxed);
            return Poll::Ready(Some(data));
        }
    };
    stream::poll_fn(next).boxed()
}

/// What the parser was given; shared between its input and its output.
#[derive(Debug, Default)]
struct Fed {
    /// Bytes since the last whole event.
    pending: AtomicUsize,
    /// Whether bytes came since the last item.
    is_new: AtomicBool,
}

fn counted(
    bytes: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    limits: SseLimits,
    fed: Arc<Fed>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    let mut bytes = Box::pin(bytes);
    let mut total = 0usize;
    stream::poll_fn(move |cx| {
        // The parser asks for more only when all it was given is parsed.
        if fed.pending.load(Relaxed) > limits.event_bytes_max {
            return Poll::Ready(Some(Err(event_too_large(limits))));
        }
        let item = ready!(bytes.as_mut().poll_next(cx));
        if let Some(Ok(chunk)) = &item {
            total = total.saturating_add(chunk.len());
            if total > limits.total_bytes_max {
                let message = format!("the stream is larger than {} bytes", limits.total_bytes_max);
                return Poll::Ready(Some(Err(Error::new(ErrorKind::TooLarge, message))));
            }
            fed.pending.fetch_add(chunk.len(), Relaxed);
            fed.is_new.store(true, Relaxed);
        }
        Poll::Ready(item)
    })
}

fn event_too_large(limits: SseLimits) -> Error {
    let message = format!("an event of the stream is larger than {} bytes", limits.event_bytes_max);
    Error::new(ErrorKind::TooLarge, message)
}

/// Our own error comes back out of the parser; what it adds itself is foreign bytes.
fn own(error: sse_stream::Error) -> Error {
    match error {
        sse_stream::Error::Body(source) => match source.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::new(ErrorKind::Network, format!("the stream broke: {other}")),
        },
        other => Error::new(ErrorKind::Network, format!("the stream is no event stream: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: SseLimits = SseLimits { event_bytes_max: 40, total_bytes_max: 400 };

    const STREAM: &str = "\u{feff}: hello\n\nevent: a\r\ndata: {\"ä\":1}\r\n\r\ndata: x\ndata:y\n\n\
                          id: 7\n\nretry: 5\ndata\n\rdata: [DONE]\n\ndata: never whole";

    fn decode(pieces: Vec<Vec<u8>>) -> (Vec<String>, Option<Error>) {
        let bytes = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
        let items: Vec<_> = sse_events(bytes, LIMITS).collect().now_or_never().unwrap();
        let mut said = Vec::new();
        for item in items {
            match item {
                Ok(Sse::Data(data)) => said.push(data),
                Ok(Sse::Alive) => {}
                Err(error) => return (said, Some(error)),
            }
        }
        (said, None)
    }

    #[test]
    fn events_with_data_come_out_in_order() {
        let (said, error) = decode(vec![STREAM.into()]);
        assert_eq!(said, ["{\"ä\":1}", "x\ny", "", "[DONE]"]);
        assert_eq!(error, None);
    }

    #[test]
    fn bytes_that_are_no_event_show_that_the_vendor_lives() {
        for sign in [": wait\n\n", "event: ping\n\n", "data: par"] {
            let sign = stream::iter([Ok(Bytes::from_static(sign.as_bytes()))]);
            let mut events = sse_events(sign.chain(stream::pending()), LIMITS);
            assert_eq!(events.next().now_or_never(), Some(Some(Ok(Sse::Alive))));
            assert_eq!(events.next().now_or_never(), None);
        }
    }

    #[test]
    fn an_event_beyond_the_limit_ends_the_stream() {
        let fits = format!("data: {}\n\n", "x".repeat(40)).into_bytes();
        let large = format!("data: {}\n\n", "x".repeat(41)).into_bytes();
        let endless = vec![b"data: x".to_vec(); 20];
        assert_eq!(decode(vec![fits.clone()]).1, None);
        for pieces in [vec![fits.clone(), large], [vec![fits], endless].concat()] {
            let (said, error) = decode(pieces);
            assert_eq!(said.len(), 1);
            assert_eq!(error.unwrap().kind, ErrorKind::TooLarge);
        }
    }

    #[test]
    fn a_stream_beyond_the_limit_ends() {
        let (said, error) = decode(vec![b"data: x\n\n".to_vec(); 100]);
        assert_eq!(said.len(), 400 / 9);
        assert_eq!(error.unwrap().kind, ErrorKind::TooLarge);
    }

    #[test]
    fn a_broken_connection_keeps_its_own_error() {
        let broken = Error::new(ErrorKind::Network, "the connection broke");
        let bytes = stream::iter([Ok(Bytes::from_static(b"data: a\n\n")), Err(broken.clone())]);
        let items: Vec<_> = sse_events(bytes, LIMITS).collect().now_or_never().unwrap();
        assert_eq!(items, [Ok(Sse::Data("a".into())), Err(broken)]);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let (said, error) = decode(vec![b"data: \xff\xfe\n\n".to_vec()]);
        assert_eq!((said.len(), error.unwrap().kind), (0, ErrorKind::Network));
    }

    proptest! {
        #[test]
        fn cutting_the_stream_differently_changes_nothing(
            mut cuts in proptest::collection::vec(0..=STREAM.len(), 0..30),
        ) {
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| STREAM.as_bytes()[pair[0]..pair[1]].to_vec());
            prop_assert_eq!(decode(pieces.collect()), decode(vec![STREAM.into()]));
        }

        #[test]
        fn no_bytes_make_it_panic(pieces: Vec<Vec<u8>>) {
            decode(pieces);
        }
    }
}
