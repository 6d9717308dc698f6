//! What a fake model was asked, in words that all vendors share.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// A request that a fake model received.
pub struct Asked {
    /// The model's name.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The names of the tools that were offered.
    pub tools: Vec<String>,
    /// What the model has to answer.
    pub last: Last,
    /// The HTTP headers; they hold the key.
    pub headers: HeaderMap,
    /// The body, parsed.
    pub body: Value,
    /// The body exactly as received.
    pub bytes: Bytes,
    /// When it was received, in microseconds since the Unix epoch.
    pub at_us: u64,
}

/// The end of the conversation that a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    /// The user's text; its text parts joined by line breaks.
    User(String),
    /// The texts of the tool results, in order.
    ToolResults(Vec<String>),
    /// Something else, such as the start of an answer to go on with.
    Other,
}

/// Without body and headers, which may be as large as a conversation.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("model", &self.model)
            .field("stream", &self.stream)
            .field("tools", &self.tools)
            .field("last", &self.last)
            .field("bytes", &self.bytes.len())
            .field("at_us", &self.at_us)
            .finish_non_exhaustive()
    }
}
