//! How a vendor's events become ours, one after the other.

use std::collections::VecDeque;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use crate::{Error, Event, EventStream, Sse};

/// One vendor's way to read its events: a plain machine without a clock or a socket.
pub trait Decode: Send + 'static {
    /// The events that one event of the vendor's is.
    ///
    /// # Errors
    /// What the vendor reports, or that the data cannot be read. Nothing is read after it.
    fn take(&mut self, data: &str) -> Result<Vec<Event>, Error>;

    /// What the end of the body means, where it means anything.
    fn end(&mut self) -> Option<Event> {
        None
    }
}

/// Reads `said` with `decoder`, and ends after the first error.
pub fn decoded(said: BoxStream<'static, Result<Sse, Error>>, decoder: impl Decode) -> EventStream {
    let reading = Reading { said, decoder, ready: VecDeque::new(), is_over: false };
    stream::unfold(reading, Reading::next).boxed()
}

struct Reading<D> {
    said: BoxStream<'static, Result<Sse, Error>>,
    decoder: D,
    /// The events of one event of the vendor's, so their number is bound by its size.
    ready: VecDeque<Result<Event, Error>>,
    is_over: bool,
}

impl<D: Decode> Reading<D> {
    async fn next(mut self) -> Option<(Result<Event, Error>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if self.is_over {
                return None;
            }
            let events = match self.said.next().await {
                Some(Ok(Sse::Alive)) => Ok(vec![Event::Alive]),
                Some(Ok(Sse::Data(data))) => self.decoder.take(&data),
                Some(Err(error)) => Err(error),
                None => {
                    self.is_over = true;
                    Ok(self.decoder.end().into_iter().collect())
                }
            };
            match events {
                Ok(events) => self.ready.extend(events.into_iter().map(Ok)),
                Err(error) => {
                    self.is_over = true;
                    self.ready.push_back(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use claw_domain::StopReason;
    use futures_util::FutureExt;

    use super::*;
    use crate::ErrorKind;

    /// Says each letter, refuses `!`, and is done at the end.
    struct Letters;

    impl Decode for Letters {
        fn take(&mut self, data: &str) -> Result<Vec<Event>, Error> {
            let letter = |c| match c {
                '!' => Err(Error::new(ErrorKind::Server, "!")),
                c => Ok(Event::Text(String::from(c))),
            };
            data.chars().map(letter).collect()
        }

        fn end(&mut self) -> Option<Event> {
            Some(Event::Done(StopReason::Stop))
        }
    }

    fn check(said: Vec<Result<Sse, Error>>, expected: Vec<Result<Event, Error>>) {
        let events = decoded(stream::iter(said).boxed(), Letters);
        assert_eq!(events.collect::<Vec<_>>().now_or_never(), Some(expected));
    }

    fn data(data: &str) -> Result<Sse, Error> {
        Ok(Sse::Data(data.into()))
    }

    fn text(text: &str) -> Result<Event, Error> {
        Ok(Event::Text(text.into()))
    }

    #[test]
    fn each_event_is_read_and_the_end_too() {
        check(
            vec![data("ab"), Ok(Sse::Alive), data(""), data("c")],
            vec![
                text("a"),
                text("b"),
                Ok(Event::Alive),
                text("c"),
                Ok(Event::Done(StopReason::Stop)),
            ],
        );
    }

    #[test]
    fn nothing_follows_an_error() {
        let server = Error::new(ErrorKind::Server, "!");
        check(vec![data("a"), data("!"), data("b")], vec![text("a"), Err(server)]);
        let network = Error::new(ErrorKind::Network, "cut");
        check(vec![Err(network.clone())], vec![Err(network)]);
    }
}
