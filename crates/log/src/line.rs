//! What stands on a line of an exported log.

use claw_domain::{Event, EventBody, EventHeader};
use serde::{Deserialize, Serialize};

/// The word by which an exported log is known.
pub(crate) const FORMAT: &str = "rusty-claw-log";
/// The newest version of the format that this program reads, and the one that it writes.
pub(crate) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `rusty-claw-log`.
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// The installation that exported it, as 16 hex digits.
    pub node: String,
    /// How many events follow.
    pub events: u64,
}

/// Every other line, as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct EventLine<'a> {
    header: &'a EventHeader,
    body: &'a EventBody,
}

/// Every other line, as it is read. A field that this program does not know may mean something that
/// it would get wrong, so there may be none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadLine {
    pub(crate) header: EventHeader,
    pub(crate) body: EventBody,
}

impl<'a> From<&'a Event> for EventLine<'a> {
    fn from(event: &'a Event) -> Self {
        Self { header: &event.header, body: &event.body }
    }
}
