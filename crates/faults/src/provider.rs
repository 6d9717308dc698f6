//! A provider with points around asking, at each event of the answer, and at its end.

use std::sync::Arc;

use async_trait::async_trait;
use claw_domain::ModelInfo;
use claw_provider::{Error, ErrorKind, Event, EventStream, Provider, Request};
use futures_util::{StreamExt, stream};

use crate::{Phase, Points};

/// Passes `provider.stream`, `provider.models`, and for each answer `provider.event` as an event
/// comes in and `provider.end` as the last one does.
///
/// Asking fails as overloaded, a stream as a broken connection.
pub struct FaultyProvider {
    inner: Arc<dyn Provider>,
    points: Points,
}

impl FaultyProvider {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Provider>, points: Points) -> Self {
        Self { inner, points }
    }
}

#[async_trait]
impl Provider for FaultyProvider {
    fn api(&self) -> &'static str {
        self.inner.api()
    }

    async fn stream(&self, request: &Request) -> Result<EventStream, Error> {
        let call = self.inner.stream(request);
        let events = self.points.around("provider.stream", String::new(), overloaded, call).await?;
        Ok(watched(events, self.points.clone()))
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        let call = self.inner.models();
        self.points.around("provider.models", String::new(), overloaded, call).await
    }
}

/// A stream whose events pass a point before their reader has them, and which ends where one fails.
fn watched(events: EventStream, points: Points) -> EventStream {
    stream::unfold(Some(events), move |events| {
        let points = points.clone();
        async move {
            let mut events = events?;
            let event = events.next().await;
            let (name, detail) = match &event {
                Some(Ok(Event::Done(_))) => ("provider.end", "Done"),
                Some(Ok(event)) => ("provider.event", word(event)),
                Some(Err(_)) => ("provider.end", "Error"),
                None => ("provider.end", "Cut"),
            };
            if points.fails(name, Phase::After, detail).await {
                let broken = Error::new(ErrorKind::Network, "a fault in the stream");
                return Some((Err(broken), None));
            }
            event.map(|event| (event, Some(events)))
        }
    })
    .boxed()
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::Text(_) => "Text",
        Event::Thinking(_) => "Thinking",
        Event::Signature(_) => "Signature",
        Event::Redacted(_) => "Redacted",
        Event::ToolStart { .. } => "ToolStart",
        Event::ToolArguments { .. } => "ToolArguments",
        Event::Usage(_) => "Usage",
        Event::Alive => "Alive",
        Event::Done(_) => "Done",
    }
}

fn overloaded(phase: Phase) -> Error {
    Error::new(ErrorKind::Overloaded, format!("a fault {phase} the call"))
}

#[cfg(test)]
mod tests {
    use claw_domain::StopReason;

    use super::*;
    use crate::{Action, Point};

    async fn heard(plan: fn(&Point<'_>) -> Action) -> Vec<String> {
        let events = ["a", "b"].map(|text| Ok(Event::Text(text.into())));
        let events = stream::iter(events.into_iter().chain([Ok(Event::Done(StopReason::Stop))]));
        let heard = watched(events.boxed(), Points::new(plan));
        heard
            .map(|event| event.map_or_else(|_| "failed".into(), |event| word(&event).into()))
            .collect()
            .await
    }

    #[tokio::test]
    async fn every_event_passes_a_point_and_the_last_one_passes_the_end() {
        assert_eq!(heard(|_| Action::GoOn).await, ["Text", "Text", "Done"]);
    }

    #[tokio::test]
    async fn a_stream_that_fails_at_an_event_ends_there() {
        let second = |point: &Point<'_>| match (point.name, point.occurrence) {
            ("provider.event", 2) => Action::Fail,
            _ => Action::GoOn,
        };
        assert_eq!(heard(second).await, ["Text", "failed"]);
        let end = |point: &Point<'_>| match point.name {
            "provider.end" => Action::Fail,
            _ => Action::GoOn,
        };
        assert_eq!(heard(end).await, ["Text", "Text", "failed"]);
    }
}
