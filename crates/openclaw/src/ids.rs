//! How their names become our ids: always the same one, so that reading twice adds nothing.

use claw_domain::{EntryId, NodeId, SessionId, TraceId};
use ring::digest::{Context, SHA256};
use uuid::{Builder, Uuid, Version};

/// The life of a session that a text names: the UUID that it is, or one made of it.
pub(crate) fn session_id(text: &str) -> SessionId {
    SessionId(text.parse().unwrap_or_else(|_other| made(&["session", text])))
}

/// An entry. `nth` counts the lines of the session that bear the same id, from 0.
pub(crate) fn entry_id(session: &str, id: &str, nth: u32) -> EntryId {
    EntryId(made(&["entry", session, id, &nth.to_string()]))
}

/// The entry of what has no id of theirs: the file's `header`, a `line`, the session's `record`.
pub(crate) fn nameless_id(kind: &str, session: &str, which: &str) -> EntryId {
    EntryId(made(&[kind, session, which]))
}

/// What joins all that was read of one session.
pub(crate) fn trace_id(session: &str) -> TraceId {
    TraceId(made(&["trace", session]))
}

/// The installation that stands in for theirs in event ids: one per session and part of it.
pub(crate) fn node_id(session: &str, part: &str) -> NodeId {
    let digest = digest(&["node", session, part]);
    NodeId(u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes")))
}

/// Whether an entry was written by a Rusty Claw, whose lines bear the entry's own id.
pub(crate) fn is_own(id: EntryId) -> bool {
    id.0.get_version() == Some(Version::SortRand)
}

/// The id of an entry that a Rusty Claw once wrote into their files.
pub(crate) fn own_entry(text: &str) -> Option<EntryId> {
    let id = EntryId(text.parse::<Uuid>().ok()?);
    (is_own(id) && id.to_string() == text).then_some(id)
}

/// A UUID of version 8, which is for ids that are made of something else.
fn made(parts: &[&str]) -> Uuid {
    let digest = digest(parts);
    Builder::from_custom_bytes(*digest.first_chunk().expect("a digest has 32 bytes")).into_uuid()
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_every_part_and_on_nothing_else() {
        assert_eq!(entry_id("s", "1", 0), entry_id("s", "1", 0));
        for other in [entry_id("t", "1", 0), entry_id("s", "2", 0), entry_id("s", "1", 1)] {
            assert_ne!(entry_id("s", "1", 0), other);
        }
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }

    #[test]
    fn a_uuid_stays_itself_and_other_names_get_one() {
        let id = Uuid::from_u128(7);
        assert_eq!(session_id(&id.to_string()), SessionId(id));
        assert_eq!(session_id("work"), session_id("work"));
        let own = EntryId::generate();
        assert_eq!(own_entry(&own.to_string()), Some(own));
        assert_eq!(own_entry(&Uuid::new_v4().to_string()), None);
        assert_eq!(own_entry("b482f75f"), None);
    }
}
