//! How our values stand in a column.

use claw_domain::{EventId, NodeId, Timestamp, millis};
use claw_store::Fence;
pub(crate) use claw_store::column::{count, json, limit, node};
use rusqlite::{Row, RowIndex, types::ValueRef};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::Fault;

/// Sorting the bytes sorts the events.
pub(crate) fn event_id(id: EventId) -> [u8; 16] {
    id.to_bytes()
}

pub(crate) fn to_event_id(bytes: [u8; 16]) -> EventId {
    EventId::from_bytes(bytes)
}

/// Reading one column; the name in an error says which.
pub(crate) trait Columns {
    fn uuid(&self, column: impl RowIndex) -> Result<Uuid, Fault>;
    fn text<T: for<'a> From<&'a str>>(&self, column: impl RowIndex) -> Result<T, Fault>;
    fn text_if<T: for<'a> From<&'a str>>(&self, column: impl RowIndex) -> Result<Option<T>, Fault>;
    fn time(&self, column: impl RowIndex) -> Result<Timestamp, Fault>;
    fn number(&self, column: impl RowIndex) -> Result<u64, Fault>;
    fn json<T: DeserializeOwned>(&self, column: impl RowIndex, what: &str) -> Result<T, Fault>;
    fn fence(&self, owner: impl RowIndex, epoch: impl RowIndex) -> Result<Fence, Fault>;
}

impl Columns for Row<'_> {
    fn uuid(&self, column: impl RowIndex) -> Result<Uuid, Fault> {
        Ok(Uuid::from_bytes(self.get(column)?))
    }

    fn text<T: for<'a> From<&'a str>>(&self, column: impl RowIndex) -> Result<T, Fault> {
        let text = self.get_ref(column)?.as_str().map_err(|error| Fault::corrupt("text", error))?;
        Ok(T::from(text))
    }

    fn text_if<T: for<'a> From<&'a str>>(&self, column: impl RowIndex) -> Result<Option<T>, Fault> {
        match self.get_ref(column)? {
            ValueRef::Null => Ok(None),
            value => {
                Ok(Some(T::from(value.as_str().map_err(|error| Fault::corrupt("text", error))?)))
            }
        }
    }

    fn time(&self, column: impl RowIndex) -> Result<Timestamp, Fault> {
        Ok(millis(self.get(column)?))
    }

    fn number(&self, column: impl RowIndex) -> Result<u64, Fault> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|error| Fault::corrupt("count", error))
    }

    fn json<T: DeserializeOwned>(&self, column: impl RowIndex, what: &str) -> Result<T, Fault> {
        let value = self.get_ref(column)?;
        let bytes = value.as_bytes().map_err(|error| Fault::corrupt(what, error))?;
        serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(what, error))
    }

    fn fence(&self, owner: impl RowIndex, epoch: impl RowIndex) -> Result<Fence, Fault> {
        let owner: i64 = self.get(owner)?;
        Ok(Fence { owner: NodeId(owner.cast_unsigned()), epoch: self.number(epoch)? })
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
}
