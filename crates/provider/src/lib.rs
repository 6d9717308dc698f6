//! The contract of every language model provider: one request in, a stream of events out.
//!
//! A provider turns our [`Request`] into its vendor's words and its stream into [`Event`]s. It
//! classifies its vendor's failures once ([`Error`]) and retries nothing; [`ask`] is the one layer
//! that retries, and that turns a stream into a whole answer or an error, never into half of one.
#![warn(missing_docs)]

mod answer;
pub mod contract;
mod decode;
mod error;
mod http;
mod provider;
mod request;
mod retry;
mod sse;

pub use answer::Assembler;
pub use decode::{Decode, decoded};
pub use error::{Error, ErrorKind, Retry};
pub use http::{Http, quote};
pub use provider::{Event, EventStream, Provider};
pub use request::{Message, Prefix, Request, Thinking, ToolSpec};
pub use retry::{Limits, Progress, RetryPolicy, ask};
pub use sse::{Sse, SseLimits, sse_events};
