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
mod commands;
mod config;

mod delivery;
mod error;
mod job;
mod lanes;
mod outbox;
pub mod pairing;
mod reply;
mod route;
mod scribe;
mod shared;

pub use commands::{Command, HELP, StatusCard};
pub use config::{
    Binding, BindingMatch, BindingPeer, DmScope, PeerKind, SessionConfig, SessionScope,
};

pub use delivery::{Delivery, Parts, Submitted};
pub use error::Error;
pub use job::{Begin, Job, Stop, Turns};
pub use outbox::RetrySchedule;
pub use reply::{Quote, ReplyStyle, SILENT_REPLY};
pub use route::{Routed, Router};
pub use scribe::Scribe;
pub use shared::{Account, Listener};
