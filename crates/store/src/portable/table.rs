//! What every store keeps, table by table.

use std::fmt;

use super::{Cell, Row};

/// A table that travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The log.
    Events,
    /// The tree of transcripts.
    Entries,
    /// Sessions as they are.
    Sessions,
    /// How far sessions were folded that are gone.
    Gone,
    /// What came in.
    Inbox,
    /// What goes out.
    Outbox,
    /// Who asked to be let in.
    Pairings,
    /// Who was let in.
    Grants,
    /// Devices.
    Devices,
    /// Sessions as far as old events were folded.
    Bases,
    /// Lives that are over.
    Ended,
    /// Tokens of all model calls: one row.
    Usage,
    /// How far the log was folded: one row.
    Snapshot,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name, which most stores use as it is.
    pub name: &'static str,
    /// What its cells hold, when they hold something.
    pub kind: Kind,
}

/// What cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Cell::Number`].
    Number,
    /// [`Cell::Text`].
    Text,
    /// [`Cell::Id`].
    Id,
    /// [`Cell::Flag`].
    Flag,
}

impl Table {
    /// All of them, in the order in which they are written: events before what is made of them.
    pub const ALL: [Self; 13] = [
        Self::Events,
        Self::Entries,
        Self::Sessions,
        Self::Gone,
        Self::Inbox,
        Self::Outbox,
        Self::Pairings,
        Self::Grants,
        Self::Devices,
        Self::Bases,
        Self::Ended,
        Self::Usage,
        Self::Snapshot,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Entries => "entries",
            Self::Sessions => "sessions",
            Self::Gone => "gone",
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
            Self::Pairings => "pairings",
            Self::Grants => "grants",
            Self::Devices => "devices",
            Self::Bases => "bases",
            Self::Ended => "ended",
            Self::Usage => "usage",
            Self::Snapshot => "snapshot",
        }
    }

    /// Its columns, those of the key first.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Events => EVENTS,
            Self::Entries => ENTRIES,
            Self::Sessions => SESSIONS,
            Self::Gone => GONE,
            Self::Inbox => INBOX,
            Self::Outbox => OUTBOX,
            Self::Pairings => PAIRINGS,
            Self::Grants => GRANTS,
            Self::Devices => DEVICES,
            Self::Bases => BASES,
            Self::Ended => ENDED,
            Self::Usage => USAGE,
            Self::Snapshot => SNAPSHOT,
        }
    }

    /// The columns by which rows are told apart, and in whose order they are read; none for a table
    /// of one row.
    pub fn key(self) -> &'static [Column] {
        let columns = match self {
            Self::Usage | Self::Snapshot => 0,
            Self::Pairings | Self::Grants => 3,
            _ => 1,
        };
        &self.columns()[..columns]
    }

    /// Whether there is always one row, which is all zeros in a new store.
    pub fn is_single(self) -> bool {
        self.key().is_empty()
    }

    /// Where a column stands in a row.
    pub fn position(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }

    /// Whether a gateway has its rows: they have an owner and an epoch besides.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Inbox | Self::Outbox)
    }

    /// Whether these rows are those of a new store.
    pub(crate) fn is_blank(self, rows: &[Row]) -> bool {
        let zero = |cell: &Cell| *cell == Cell::Number(0) || *cell == Cell::Id([0; 16]);
        rows.is_empty() || (self.is_single() && rows.iter().flatten().all(zero))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Number }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn id(name: &'static str) -> Column {
    Column { name, kind: Kind::Id }
}

const fn flag(name: &'static str) -> Column {
    Column { name, kind: Kind::Flag }
}

const EVENTS: &[Column] = &[
    number("seq"),
    id("id"),
    id("trace"),
    id("cause"),
    text("session"),
    text("kind"),
    number("at"),
    text("run"),
    flag("imported"),
    text("body"),
];
const ENTRIES: &[Column] =
    &[id("id"), id("session"), id("parent"), number("tokens"), number("seq")];
const SESSIONS: &[Column] = &[text("key"), text("agent"), number("updated_at"), text("record")];
const GONE: &[Column] = &[text("key"), id("newest")];
const INBOX: &[Column] = &[
    id("id"),
    text("channel"),
    text("account"),
    text("external_id"),
    text("run"),
    id("trace"),
    number("received_at"),
    text("state"),
    text("progress"),
    text("inbound"),
];
/// `queued` is the order of queueing.
const OUTBOX: &[Column] = &[
    number("queued"),
    id("id"),
    id("trace"),
    text("channel"),
    text("account"),
    text("chat"),
    text("thread"),
    number("place"),
    number("part"),
    number("not_before"),
    number("expires_at"),
    text("idempotency_key"),
    text("state"),
    text("progress"),
    text("action"),
];
const PAIRINGS: &[Column] = &[
    text("channel"),
    text("account"),
    text("peer"),
    text("name"),
    text("code"),
    number("created_at"),
    number("expires_at"),
];
const GRANTS: &[Column] = &[text("channel"), text("account"), text("peer"), number("at")];
const DEVICES: &[Column] = &[text("id"), id("event"), text("record")];
const BASES: &[Column] = &[text("key"), text("record")];
const ENDED: &[Column] = &[id("life"), id("until"), number("seq")];
const USAGE: &[Column] =
    &[number("input"), number("output"), number("cache_read"), number("cache_write")];
const SNAPSHOT: &[Column] = &[
    id("looked"),
    id("until"),
    number("events"),
    number("input"),
    number("output"),
    number("cache_read"),
    number("cache_write"),
];
