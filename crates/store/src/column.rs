//! How our values stand in the columns of a database, alike in every store that has columns.

use claw_domain::NodeId;
use serde::Serialize;

/// Databases' integers are signed: the upper half of ours stands below zero.
pub fn node(id: NodeId) -> i64 {
    id.0.cast_signed()
}

/// A count of ours; one that does not fit is beyond anything that can be counted.
pub fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How many rows to read.
pub fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A record.
///
/// # Panics
/// For a type that JSON cannot hold, which none of ours is.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own types have text keys and no maps that fail")
}
