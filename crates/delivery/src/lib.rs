//! From an update received to a turn, and from a reply to its parts delivered.
//!
//! ```text
//! Inbound ─▶ inbox ─▶ access ─▶ route ─▶ lane ─▶ (a turn, by whoever implements Turns) ─▶ outbox ─▶ Outbound
//! ```
//! The inbox is durable before anything else happens, one turn at a time runs per session, and the
//! commit that ends a turn closes its inbox row and fills the outbox. What runs a turn is not known
//! here: it is a [`Turns`].
#![warn(missing_docs)]

mod admit;
mod age;
mod arrivals;
mod claims;
mod commands;
mod config;

mod delivery;
mod error;
mod follow;
mod hands;
mod in_flight;
mod job;
mod lanes;
mod letters;
mod membership;
mod neighbours;
mod outbox;
pub mod pairing;
mod pulse;
mod reply;
mod route;
mod scribe;
mod shared;
mod sharing;
mod unsure;
mod watchdog;
mod why;

pub use age::{MaxAge, OutboxConfig};
pub use commands::{Command, HELP, StatusCard};
pub use config::{
    Binding, BindingMatch, BindingPeer, DmScope, PeerKind, SessionConfig, SessionScope,
};

pub use delivery::{Delivery, Parts, Submitted};
pub use error::Error;
pub use job::{Begin, Job, Stop, Turns};
pub use letters::{Incoming, Line, Outgoing, ROWS_MAX, Unsent};
pub use membership::Membership;
pub use outbox::RetrySchedule;
pub use reply::{Quote, ReplyStyle, SILENT_REPLY};
pub use route::{Routed, Router};
pub use scribe::Scribe;
pub use shared::{Account, Listener};
pub use watchdog::PATIENCE;
pub use why::{OUTCOME_UNKNOWN, Step, Story};
