//! Why a message was answered, or was not: its way through the rooms, step by step.
//!
//! The story is read from what is stored (inbox row, log, outbox rows) and is meant to be pasted
//! into a report of a bug: it names ids, rules, codes, counts and times, and never what anybody
//! wrote, what a tool was asked or gave back, a person's name, or a secret. A refusal of a platform
//! is given in that platform's own words.

mod find;
mod rules;
mod tell;

use claw_domain::{Event, InboundKind, Origin, Seq, SessionKey, Timestamp};
use claw_store::{Fence, InboxRow, InboxState, OutboxRow};
use serde::Serialize;

use crate::{Delivery, Error, Router};

/// What `details.outcome` of a tool's result says when nobody knows whether the tool took effect.
pub const OUTCOME_UNKNOWN: &str = "unknown";

/// Events before a turn's beginning that are searched for the turns that it waited for.
const LOOK_BACK: u64 = 300;

/// Open rows that are searched for what a message waits behind, the oldest first.
const OPEN_MAX: usize = 1_000;

/// The way of one message, oldest step first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The inbox row's id or, where a message was not caused by one, the trace's.
    pub id: String,
    /// What happened.
    pub steps: Vec<Step>,
}

/// One thing that happened to a message, or that it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When; of a part that waits, when it may be tried. Unit: milliseconds since 1970.
    pub at: i64,
    /// Which kind of step: `received`, `admitted`, `refused`, `queued`, `turn`, `model`, `tool`,
    /// `stop`, `ended`, `part`, `waiting`.
    pub step: &'static str,
    /// Whether it went as it should; what still waits has not gone wrong.
    pub ok: bool,
    /// The name of the rule that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// In plain words.
    pub detail: String,
}

/// All that is known of one message. Telling it is a pure function of this.
#[derive(Debug, Default)]
struct Facts {
    row: Option<InboxRow>,
    session: Option<SessionKey>,
    holder: Holder,
    /// Of its run or, without a row, of its trace.
    events: Vec<Event>,
    ahead: Ahead,
    parts: Vec<OutboxRow>,
    pairing: Pairing,
}

/// Who has an open message in hand.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// Nobody that is known here.
    #[default]
    Nobody,
    /// This process: its turn runs, or waits in its lane.
    Here,
    /// Another gateway on the same store.
    Elsewhere,
}

/// What was before a message in its conversation when it came.
#[derive(Debug, Default)]
struct Ahead {
    /// The runs that had to end first.
    runs: Vec<String>,
    /// How many messages wait before it now.
    waiting: usize,
}

/// How far a stranger's pairing has come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Pairing {
    #[default]
    None,
    /// A code works until then.
    Pending(Timestamp),
    /// The owner has let them in since.
    Granted,
}

impl Delivery {
    /// The story of the message that `id` names: an inbox, outbox or trace id of ours, a run's id,
    /// or `<channel>[/<account>]:<the platform's id>`, which is `telegram:<chat>:<message>` for
    /// Telegram, of a message that came or of one that we sent. `None` when nothing is known of it.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn why(&self, id: &str) -> Result<Option<Story>, Error> {
        let store = &*self.core.store;
        let Some(found) = find::find(store, id.trim()).await? else { return Ok(None) };
        let parts = store.outbox_of(found.trace).await?;
        let Some(row) = found.row else {
            let events = store.trace_events(found.trace).await?;
            let facts = Facts { events, parts, ..Facts::default() };
            return Ok(Some(Story { id: found.trace.to_string(), steps: tell::steps(&facts) }));
        };
        let events = store.run_events(&row.run).await?;
        let session = session_of(&row, &events, &self.router());
        let holder = self.holder(&row, session.as_ref());
        let ahead = match &session {
            Some(session) => self.ahead(&row, session, &events).await?,
            None => Ahead::default(),
        };
        let pairing = self.pairing_of(&row).await?;
        let id = row.id.to_string();
        let facts = Facts { row: Some(row), session, holder, events, ahead, parts, pairing };
        Ok(Some(Story { id, steps: tell::steps(&facts) }))
    }

    fn holder(&self, row: &InboxRow, session: Option<&SessionKey>) -> Holder {
        let strange = ![self.core.fence, Fence::NOBODY].contains(&row.fence);
        if session.is_some_and(|session| self.knows(session, &row.run)) {
            Holder::Here
        } else if strange && self.core.sharing.is_some() {
            Holder::Elsewhere
        } else {
            Holder::Nobody
        }
    }

    /// What the message had, or has, to wait for.
    async fn ahead(
        &self,
        row: &InboxRow,
        session: &SessionKey,
        events: &[Event],
    ) -> Result<Ahead, Error> {
        let store = &*self.core.store;
        if let Some(begun) = tell::begun(events) {
            let after = Seq(begun.seq.0.saturating_sub(LOOK_BACK));
            let before = store.events(after, LOOK_BACK as usize).await?;
            return Ok(Ahead {
                runs: tell::ended_between(&before, row, session, begun),
                waiting: 0,
            });
        }
        if matches!(row.state, InboxState::Closed { .. }) {
            return Ok(Ahead::default());
        }
        let open = store.open_inbox(None, OPEN_MAX).await?;
        let router = self.router();
        let earlier = open.iter().filter(|other| {
            other.id < row.id
                && matches!(other.inbound.kind, InboundKind::Message(_))
                && session_of(other, &[], &router).as_ref() == Some(session)
        });
        Ok(Ahead { runs: Vec::new(), waiting: earlier.count() })
    }

    /// How far the pairing of a refused stranger has come.
    async fn pairing_of(&self, row: &InboxRow) -> Result<Pairing, Error> {
        let InboxState::Closed { outcome, detail, .. } = &row.state else {
            return Ok(Pairing::None);
        };
        let Origin::Person { sender, .. } = &row.inbound.origin else { return Ok(Pairing::None) };
        if outcome != "refused" || !rules::is_about_pairing(detail) {
            return Ok(Pairing::None);
        }
        let (core, inbound) = (&self.core, &row.inbound);
        if core.store.granted(&inbound.channel, &inbound.account, &sender.id).await? {
            return Ok(Pairing::Granted);
        }
        let now = core.scribe.now();
        let waiting = crate::pairing::pending(&*core.store, now, Some(&inbound.channel)).await?;
        let theirs = waiting
            .into_iter()
            .find(|request| request.account == inbound.account && request.peer == sender.id);
        Ok(theirs.map_or(Pairing::None, |request| Pairing::Pending(request.expires_at)))
    }
}

/// The conversation of a row: as it was decided or, before that, as it would be now.
fn session_of(row: &InboxRow, events: &[Event], router: &Router) -> Option<SessionKey> {
    if let InboxState::Admitted { session, .. } = &row.state {
        return Some(session.clone());
    }
    if let Some(session) = events.iter().find_map(|event| event.header.session.clone()) {
        return Some(session);
    }
    match (&row.inbound.origin, &row.state) {
        (_, InboxState::Closed { .. }) => None,
        (Origin::Operator(operator), _) => Some(operator.session.clone()),
        (Origin::Person { sender, address }, _) => {
            let inbound = &row.inbound;
            Some(router.route(&inbound.channel, &inbound.account, sender, address).session)
        }
    }
}
