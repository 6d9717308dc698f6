//! Which message an id means.

use claw_domain::{AccountId, ChannelId, ExternalId, InboxId, OutboxId, RunId, TraceId};
use claw_store::{DeliveryState, InboxKey, InboxRow, OutboxRow, RowFilter, Store};
use uuid::Uuid;

use crate::Error;

/// Parts that were sent which are searched for a platform's id, the newest first.
const SENT_MAX: usize = 1_000;

/// The account of an id that names none.
const DEFAULT_ACCOUNT: &str = "default";

/// What an id led to.
pub(super) struct Found {
    pub(super) trace: TraceId,
    /// The message that caused it; `None` for what we sent unasked.
    pub(super) row: Option<InboxRow>,
}

/// Looks for an id of ours, then for a run, then for a platform's.
pub(super) async fn find(store: &dyn Store, id: &str) -> Result<Option<Found>, Error> {
    if let Ok(uuid) = id.parse::<InboxId>()
        && let Some(found) = of_uuid(store, uuid.0).await?
    {
        return Ok(Some(found));
    }
    if let Some(row) = store.inbox_of(&InboxKey::Run(RunId::from(id))).await? {
        return Ok(Some(of_row(row)));
    }
    let Some(place) = Place::parse(id) else { return Ok(None) };
    if let Some(row) = store.inbox_row(&place.channel, &place.account, &place.message).await? {
        return Ok(Some(of_row(row)));
    }
    let sent = RowFilter { states: vec!["sent".into()], limit: SENT_MAX };
    match store.outbox(&sent).await?.iter().find(|part| place.is_of(part)) {
        Some(part) => of_part(store, part).await.map(Some),
        None => Ok(None),
    }
}

async fn of_uuid(store: &dyn Store, id: Uuid) -> Result<Option<Found>, Error> {
    if let Some(row) = store.inbox_of(&InboxKey::Id(InboxId(id))).await? {
        return Ok(Some(of_row(row)));
    }
    let trace = TraceId(id);
    if let Some(row) = store.inbox_of(&InboxKey::Trace(trace)).await? {
        return Ok(Some(of_row(row)));
    }
    if let Some(part) = store.outbox_row(OutboxId(id)).await? {
        return of_part(store, &part).await.map(Some);
    }
    let unasked = !store.outbox_of(trace).await?.is_empty();
    Ok(unasked.then_some(Found { trace, row: None }))
}

fn of_row(row: InboxRow) -> Found {
    Found { trace: row.trace, row: Some(row) }
}

async fn of_part(store: &dyn Store, part: &OutboxRow) -> Result<Found, Error> {
    let row = store.inbox_of(&InboxKey::Trace(part.trace)).await?;
    Ok(Found { trace: part.trace, row })
}

/// A message as its platform names it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    channel: ChannelId,
    account: AccountId,
    message: ExternalId,
}

impl Place {
    fn parse(id: &str) -> Option<Self> {
        let (place, message) = id.split_once(':')?;
        let (channel, account) = place.split_once('/').unwrap_or((place, DEFAULT_ACCOUNT));
        let whole = !channel.is_empty() && !account.is_empty() && !message.is_empty();
        whole.then(|| Self {
            channel: channel.into(),
            account: account.into(),
            message: message.into(),
        })
    }

    fn is_of(&self, part: &OutboxRow) -> bool {
        let target = &part.outbound.target;
        let DeliveryState::Sent { external_id, .. } = &part.state else { return false };
        target.channel == self.channel
            && target.account == self.account
            && external_id.as_ref() == Some(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platforms_id_names_channel_account_and_message() {
        let place = |channel: &str, account: &str, message: &str| {
            Some(Place {
                channel: channel.into(),
                account: account.into(),
                message: message.into(),
            })
        };
        for (id, expected) in [
            ("telegram:-100:5", place("telegram", "default", "-100:5")),
            ("telegram/work:7:5:edit:11", place("telegram", "work", "7:5:edit:11")),
            ("telegram:", None),
            (":5", None),
            ("telegram/:5", None),
            ("idem-1", None),
        ] {
            assert_eq!(Place::parse(id), expected, "{id}");
        }
    }
}
