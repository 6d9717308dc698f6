//! How our values stand in a column.

use std::borrow::Cow;

use claw_domain::{EventId, NodeId, Target, Timestamp, millis};
use claw_store::Fence;
pub(crate) use claw_store::column::{count, json, limit, node};
use serde::de::DeserializeOwned;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::error::Fault;

/// Sorting these sorts the events: PostgreSQL compares UUIDs byte by byte.
pub(crate) fn event_id(id: EventId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

pub(crate) fn to_event_id(id: Uuid) -> EventId {
    EventId::from_bytes(id.into_bytes())
}

/// Text that may come from outside. PostgreSQL's text holds every character but U+0000, so that one
/// is written with two others; sorting what is written sorts the texts.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}1").replace('\0', "\u{1}0"))
}

pub(crate) fn to_text(column: &str) -> Cow<'_, str> {
    if !column.contains('\u{1}') {
        return Cow::Borrowed(column);
    }
    Cow::Owned(column.replace("\u{1}0", "\0").replace("\u{1}1", "\u{1}"))
}

/// A target as one key, which sorts as targets do, those without a thread first.
pub(crate) fn target(target: &Target) -> String {
    // Lower than every character, and than the two that U+0000 and U+0001 are written with.
    const END: &str = "\u{1}\u{2}";
    let Target { channel, account, chat, thread } = target;
    let [channel, account, chat] = [channel.as_str(), account.as_str(), chat.as_str()].map(text);
    let thread = thread.as_ref().map(|thread| format!(".{}", text(thread.as_str())));
    format!("{channel}{END}{account}{END}{chat}{END}{}", thread.unwrap_or_default())
}

/// Reading one column.
pub(crate) trait Columns {
    fn value<'a, T: FromSql<'a>>(&'a self, column: usize) -> Result<T, Fault>;

    fn text<T: for<'a> From<&'a str>>(&self, column: usize) -> Result<T, Fault> {
        Ok(T::from(&to_text(self.value(column)?)))
    }

    fn text_if<T: for<'a> From<&'a str>>(&self, column: usize) -> Result<Option<T>, Fault> {
        let text: Option<&str> = self.value(column)?;
        Ok(text.map(|text| T::from(&to_text(text))))
    }

    fn time(&self, column: usize) -> Result<Timestamp, Fault> {
        Ok(millis(self.value(column)?))
    }

    fn number(&self, column: usize) -> Result<u64, Fault> {
        let number: i64 = self.value(column)?;
        u64::try_from(number).map_err(|error| Fault::corrupt("count", error))
    }

    fn event_id(&self, column: usize) -> Result<claw_domain::EventId, Fault> {
        Ok(to_event_id(self.value(column)?))
    }

    fn json<T: DeserializeOwned>(&self, column: usize, what: &str) -> Result<T, Fault> {
        let text: &str = self.value(column)?;
        serde_json::from_str(text).map_err(|error| Fault::corrupt(what, error))
    }

    fn fence(&self, owner: usize, epoch: usize) -> Result<Fence, Fault> {
        let owner: i64 = self.value(owner)?;
        Ok(Fence { owner: NodeId(owner.cast_unsigned()), epoch: self.number(epoch)? })
    }
}

impl Columns for Row {
    fn value<'a, T: FromSql<'a>>(&'a self, column: usize) -> Result<T, Fault> {
        self.try_get(column).map_err(|error| Fault::corrupt("row", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_keeps_its_parts_and_its_order() {
        let ids = [(1, 2, u64::MAX), (1, 3, 0), (2, 0, 7), ((1 << 48) - 1, u16::MAX, 1)];
        let ids = ids.map(|(ms, counter, node)| EventId::new(ms, counter, NodeId(node)));
        assert_eq!(ids.map(|id| to_event_id(event_id(id))), ids);
        assert!(ids.map(event_id).is_sorted());
    }

    #[test]
    fn every_text_comes_back_and_keeps_its_order() {
        let texts =
            ["", "\0", "\0\0", "\0\u{1}", "\0z", "\u{1}", "\u{1}\0", "\u{1}1", "\u{2}", "0", "a\0"];
        assert!(texts.is_sorted());
        let written = texts.map(text);
        assert!(written.is_sorted(), "{written:?}");
        assert!(written.iter().all(|text| !text.contains('\0')));
        assert_eq!(written.each_ref().map(|text| to_text(text)), texts);
    }

    #[test]
    fn keys_sort_as_their_targets() {
        let target_of = |channel: &str, chat: &str, thread: Option<&str>| Target {
            channel: channel.into(),
            account: "default".into(),
            chat: chat.into(),
            thread: thread.map(Into::into),
        };
        let keys = [
            target_of("a", "1", None),
            target_of("a", "1", Some("")),
            target_of("a", "1", Some("3")),
            target_of("a", "1\0", None),
            target_of("a", "1\0", Some("3")),
            target_of("a", "1\u{1}", None),
            target_of("a", "10", None),
            target_of("a\0", "1", None),
            target_of("aa", "0", None),
        ];
        let keys = keys.each_ref().map(target);
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }
}
