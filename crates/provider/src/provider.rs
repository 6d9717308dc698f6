//! The trait, and what a model says while it answers.

use async_trait::async_trait;
use claw_domain::{ModelInfo, StopReason, Usage};
use futures_util::stream::BoxStream;

use crate::{Error, Request};

/// The events of one answer, ending with [`Event::Done`] or an error.
pub type EventStream = BoxStream<'static, Result<Event, Error>>;

/// A vendor's interface to its models.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The name of the wire interface in OpenClaw's words: `anthropic-messages`.
    fn api(&self) -> &'static str;

    /// Asks a model. Returns once the vendor has accepted the request.
    ///
    /// Dropping the stream ends the call. A stream that ends without [`Event::Done`] was cut.
    /// Neither the call nor the stream has a deadline of its own: [`ask`](crate::ask) sets them.
    ///
    /// # Errors
    /// [`Error::kind`] classifies them; [`Error::retry`] says what may be done next.
    async fn stream(&self, request: &Request) -> Result<EventStream, Error>;

    /// The models that the vendor offers now, or an empty list when it cannot say.
    async fn models(&self) -> Result<Vec<ModelInfo>, Error>;
}

/// One step of an answer. Blocks come one after the other, in the order of their `Start`s.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The text grew.
    Text(String),
    /// The thought grew.
    Thinking(String),
    /// The thought before is over, and this is the vendor's proof of it.
    Signature(String),
    /// A thought that the vendor sent sealed.
    Redacted(String),
    /// A tool call begins. Its index is the vendor's; calls may grow in turns.
    ToolStart {
        /// Which call of this answer.
        index: usize,
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A tool call's arguments grew by a piece of JSON text.
    ToolArguments {
        /// Which call of this answer.
        index: usize,
        /// The piece.
        json: String,
    },
    /// What the call took so far; a later one replaces it.
    Usage(Usage),
    /// Nothing new, but the vendor is still at work.
    Alive,
    /// The answer is whole.
    Done(StopReason),
}
