//! What the owner sees of inbox and outbox, and may do to a reply: send it again, or drop it.

use claw_domain::{AccountId, ChannelId, ChatId, Origin, Outbound, OutboxId, ThreadId};
use claw_store::{Change, DeliveryState, Fence, InboxRow, InboxState, OutboxRow, RowFilter};
use serde::Serialize;

use crate::{Delivery, Error, outbox::later};

/// Most rows of one list, and most replies that are sent again at one time.
pub const ROWS_MAX: usize = 1_000;

/// How a row begins to say that a copy of it was sent; the copy's id follows.
const SENT_AGAIN: &str = "sent again as ";

/// Why a row is dead that its owner dropped.
const DROPPED: &str = "dropped by its owner";

/// Which rows of the outbox to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outgoing {
    /// Those that somebody may have to care for: pending and dead.
    #[default]
    Open,
    /// Those that wait.
    Pending,
    /// Those that were given up; neither those that were sent again since nor those that were
    /// dropped.
    Dead,
    /// Those that were sent.
    Sent,
    /// Every row.
    All,
}

/// Which rows of the inbox to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Incoming {
    /// Those that are not done.
    #[default]
    Open,
    /// Those that are done.
    Closed,
    /// Every row.
    All,
}

impl Outgoing {
    /// The view of this name: `open`, `pending`, `dead`, `sent`, `all`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "open" => Self::Open,
            "pending" => Self::Pending,
            "dead" => Self::Dead,
            "sent" => Self::Sent,
            "all" => Self::All,
            _ => return None,
        })
    }

    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["pending", "dead"],
            Self::Pending => &["pending"],
            Self::Dead => &["dead"],
            Self::Sent => &["sent"],
            Self::All => &[],
        }
    }
}

impl Incoming {
    /// The view of this name: `open`, `closed`, `all`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "open" => Self::Open,
            "closed" => Self::Closed,
            "all" => Self::All,
            _ => return None,
        })
    }

    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["received", "admitted"],
            Self::Closed => &["closed"],
            Self::All => &[],
        }
    }
}

/// One row of the inbox or outbox, for people and scripts. Holds nothing that anybody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The row's id.
    pub id: String,
    /// Where it goes or came from: `<channel>[/<account>]:<chat>[:<thread>]`, without an account
    /// when that is `default`; of a gateway client `<channel>:<session>`.
    pub target: String,
    /// `pending`, `sent`, `dead`; of the inbox `received`, `admitted`, `closed`.
    pub state: &'static str,
    /// How often it was tried; of the inbox, 1 once its turn has begun.
    pub attempts: u32,
    /// When: for what waits the time of the next try, for the inbox when it came, else when it came
    /// into its state. Unit: milliseconds since 1970.
    pub at: i64,
    /// Why it waits or was given up, or what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How many replies are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsent {
    /// Those that wait.
    pub pending: u64,
    /// Those that were given up, up to [`ROWS_MAX`].
    pub dead: u64,
}

impl Delivery {
    /// Rows of the outbox, the newest first, at most `limit` and [`ROWS_MAX`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn outgoing(&self, view: Outgoing, limit: usize) -> Result<Vec<Line>, Error> {
        let rows = self.core.store.outbox(&filter(view.states())).await?;
        let shown = rows.iter().filter(|row| view == Outgoing::All || !is_settled(row));
        Ok(shown.take(limit).map(outbox_line).collect())
    }

    /// Rows of the inbox, the newest first, at most `limit` and [`ROWS_MAX`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn incoming(&self, view: Incoming, limit: usize) -> Result<Vec<Line>, Error> {
        let filter = RowFilter { limit: limit.min(ROWS_MAX), ..filter(view.states()) };
        Ok(self.core.store.inbox(&filter).await?.iter().map(inbox_line).collect())
    }

    /// How many replies wait and how many were given up.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unsent(&self) -> Result<Unsent, Error> {
        let totals = self.core.store.totals().await?;
        let dead = match totals.outbox_dead {
            0 => 0,
            _ => self.outgoing(Outgoing::Dead, ROWS_MAX).await?.len() as u64,
        };
        Ok(Unsent { pending: totals.outbox_pending, dead })
    }

    /// Sends a reply again that was given up: a copy joins the end of its target's waiting parts,
    /// with a new age limit. Returns the copy's id.
    ///
    /// # Errors
    /// [`Error::NoSuchPart`], [`Error::WrongState`] when it was not given up or is settled already,
    /// [`Error::Busy`] when somebody else decides about it now.
    pub async fn retry(&self, id: OutboxId) -> Result<OutboxId, Error> {
        if !self.core.outbox.hands.reserve(id) {
            return Err(Error::Busy { id });
        }
        let sent = self.retry_reserved(id).await;
        self.core.outbox.hands.let_go(id);
        sent
    }

    /// Sends every reply again that was given up, each target's in their order, at most
    /// [`ROWS_MAX`]. Returns their ids, each with its copy's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retry_all(&self) -> Result<Vec<(OutboxId, OutboxId)>, Error> {
        let hands = &self.core.outbox.hands;
        let dead = self.given_up().await?;
        let ids: Vec<OutboxId> =
            dead.iter().map(|row| row.id).filter(|id| hands.reserve(*id)).collect();
        let sent = self.retry_all_reserved(&ids).await;
        ids.into_iter().for_each(|id| hands.let_go(id));
        sent
    }

    /// Gives up a reply that waits.
    ///
    /// # Errors
    /// [`Error::NoSuchPart`], [`Error::WrongState`] when it does not wait, [`Error::Busy`] when it
    /// is being sent, [`Error::Elsewhere`] when another gateway has it.
    pub async fn drop_part(&self, id: OutboxId) -> Result<(), Error> {
        let hands = &self.core.outbox.hands;
        if !hands.reserve(id) {
            return Err(Error::Busy { id });
        }
        match self.give_up(id).await {
            // Whoever would send it must hear of it; where nobody would, nobody is told.
            Ok(row) if self.core.outbox.has(&row.outbound.target, id) => hands.drop_it(id),
            Ok(_) => hands.let_go(id),
            Err(error) => {
                hands.let_go(id);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Marks a reserved row as dropped.
    async fn give_up(&self, id: OutboxId) -> Result<OutboxRow, Error> {
        let core = &self.core;
        let row = core.store.outbox_row(id).await?.ok_or(Error::NoSuchPart { id })?;
        let DeliveryState::Pending { attempts, .. } = row.state else {
            return Err(Error::WrongState { id, state: row.state.word(), wanted: "pending" });
        };
        // Without others on the store, what an earlier process left is this one's.
        let nobodys = [core.fence, Fence::NOBODY].contains(&row.fence);
        if core.sharing.is_some() && !nobodys {
            return Err(Error::Elsewhere { id });
        }
        let dead = dead(DROPPED.into(), attempts, core.scribe.now());
        core.store.commit(&core.fence, vec![Change::Deliver(id, dead, None)]).await?;
        Ok(row)
    }

    async fn retry_reserved(&self, id: OutboxId) -> Result<OutboxId, Error> {
        let row = self.core.store.outbox_row(id).await?.ok_or(Error::NoSuchPart { id })?;
        if word_of(&row) != "dead" {
            return Err(Error::WrongState { id, state: word_of(&row), wanted: "dead" });
        }
        let sent = self.send_again(vec![row]).await?;
        Ok(sent[0].1)
    }

    /// Looks again, since somebody may have settled a row before it was reserved.
    async fn retry_all_reserved(
        &self,
        ids: &[OutboxId],
    ) -> Result<Vec<(OutboxId, OutboxId)>, Error> {
        let mut rows = self.given_up().await?;
        rows.retain(|row| ids.contains(&row.id));
        rows.sort_by_key(|row| (row.outbound.target.clone(), row.order, row.part));
        self.send_again(rows).await
    }

    /// The rows that were given up and are not settled.
    async fn given_up(&self) -> Result<Vec<OutboxRow>, Error> {
        let mut rows = self.core.store.outbox(&filter(Outgoing::Dead.states())).await?;
        rows.retain(|row| !is_settled(row));
        Ok(rows)
    }

    /// Queues copies of dead rows, and settles these.
    async fn send_again(&self, rows: Vec<OutboxRow>) -> Result<Vec<(OutboxId, OutboxId)>, Error> {
        let core = &self.core;
        let now = core.scribe.now();
        let expires_at = later(now, core.outbox.config.load().longest());
        let (mut sent, mut here, mut elsewhere) = (Vec::new(), Batch::default(), Batch::default());
        for row in rows {
            let id = OutboxId::generate();
            let DeliveryState::Dead { attempts, .. } = row.state else { continue };
            let Outbound { target, action, .. } = row.outbound;
            let sent_here = core.sharing.is_some()
                || core.outbox.channel(&target.channel, &target.account).is_some();
            let batch = if sent_here { &mut here } else { &mut elsewhere };
            let settled = dead(format!("{SENT_AGAIN}{id}"), attempts, now);
            batch.changes.push(Change::Deliver(row.id, settled, None));
            sent.push((row.id, id));
            batch.rows.push(OutboxRow {
                id,
                trace: row.trace,
                outbound: Outbound { target, action, idempotency_key: id.to_string() },
                order: 0,
                part: 0,
                not_before: now,
                expires_at,
                state: DeliveryState::Pending { attempts: 0, error: None },
                fence: core.fence,
            });
        }
        if !here.rows.is_empty() {
            core.outbox.commit_and_send(here.changes, here.rows).await?;
        }
        if !elsewhere.rows.is_empty() {
            // Whoever runs the account takes them up from the store.
            let Batch { mut changes, rows } = elsewhere;
            changes.extend(rows.into_iter().map(|row| Change::Enqueue(Box::new(row))));
            core.store.commit(&core.fence, changes).await?;
        }
        Ok(sent)
    }
}

/// Dead rows and their copies.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    rows: Vec<OutboxRow>,
}

fn filter(states: &[&str]) -> RowFilter {
    RowFilter { states: states.iter().map(|state| (*state).to_owned()).collect(), limit: ROWS_MAX }
}

fn dead(reason: String, attempts: u32, at: claw_domain::Timestamp) -> DeliveryState {
    DeliveryState::Dead { reason, attempts, at }
}

/// Whether a dead row needs nobody's care any more.
fn is_settled(row: &OutboxRow) -> bool {
    let DeliveryState::Dead { reason, .. } = &row.state else { return false };
    reason == DROPPED || reason.starts_with(SENT_AGAIN)
}

/// The row's state, the settled ones told apart.
fn word_of(row: &OutboxRow) -> &'static str {
    match &row.state {
        DeliveryState::Dead { reason, .. } if reason == DROPPED => "dropped",
        DeliveryState::Dead { reason, .. } if reason.starts_with(SENT_AGAIN) => "sent again",
        state => state.word(),
    }
}

fn outbox_line(row: &OutboxRow) -> Line {
    let target = &row.outbound.target;
    let (attempts, at, detail) = match &row.state {
        DeliveryState::Pending { attempts, error } => (*attempts, row.not_before, error.clone()),
        DeliveryState::Sent { attempts, at, .. } => (*attempts, *at, None),
        DeliveryState::Dead { reason, attempts, at } => (*attempts, *at, Some(reason.clone())),
    };
    Line {
        id: row.id.to_string(),
        target: place(&target.channel, &target.account, &target.chat, target.thread.as_ref()),
        state: row.state.word(),
        attempts,
        at: at.as_millisecond(),
        detail,
    }
}

fn inbox_line(row: &InboxRow) -> Line {
    let inbound = &row.inbound;
    let target = match &inbound.origin {
        Origin::Operator(operator) => format!("{}:{}", inbound.channel, operator.session),
        Origin::Person { address, .. } => {
            place(&inbound.channel, &inbound.account, &address.chat, address.thread.as_ref())
        }
    };
    let (attempts, detail) = match &row.state {
        InboxState::Received => (0, None),
        InboxState::Admitted { .. } => (1, None),
        InboxState::Closed { outcome, .. } => {
            let answered = matches!(outcome.as_str(), "replied" | "stopped" | "failed");
            (u32::from(answered), Some(outcome.clone()))
        }
    };
    Line {
        id: row.id.to_string(),
        target,
        state: row.state.word(),
        attempts,
        at: row.received_at.as_millisecond(),
        detail,
    }
}

/// A place in one word.
fn place(
    channel: &ChannelId,
    account: &AccountId,
    chat: &ChatId,
    thread: Option<&ThreadId>,
) -> String {
    let account = match account.as_str() {
        "default" => String::new(),
        account => format!("/{account}"),
    };
    let thread = thread.map_or_else(String::new, |thread| format!(":{thread}"));
    format!("{channel}{account}:{chat}{thread}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_in_one_word() {
        let place = |account: &str, thread: Option<&str>| {
            let thread = thread.map(ThreadId::from);
            super::place(&"telegram".into(), &account.into(), &"-100".into(), thread.as_ref())
        };
        assert_eq!(place("default", None), "telegram:-100");
        assert_eq!(place("work", Some("3")), "telegram/work:-100:3");
    }
}
