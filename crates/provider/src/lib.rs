//! The contract of every language model provider: one request in, a stream of events out.
//!
//! A provider turns our [`Request`] into its vendor's words and its stream into [`Event`]s. It
//! classifies its vendor's failures once ([`Error`]) and retries nothing; [`ask`] is the one layer
//! that retries, and that turns a stream into a whole answer or an error, never into half of one.
#![warn(missing_docs)]

mod answer;
pub mod contract;
mod error;
mod provider;
mod request;
mod retry;
mod sse;

pub use answer::{Answer, Assembler};
pub use error::{Error, ErrorKind, Retry};
pub use provider::{Event, EventStream, Provider};
pub use request::{Message, Prefix, Request, Thinking, ToolSpec};
pub use retry::{Limits, RetryPolicy, ask};
pub use sse::{SseLimits, sse_events};
