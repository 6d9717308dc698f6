//! Every "may I": one pure function per question, called by every surface.
//!
//! No decision here has an optional argument, reads a clock, opens a file or keeps state (the
//! [`Throttle`] is handed the time). Each answer names the rule that gave it in one short, stable
//! word, so that the chain of a message can be printed. An empty list is nobody, everywhere.
//!
//! ```
//! use claw_domain::{ChatId, ChatKind, PeerId};
//! use claw_guard::{Attempt, DmGrant, EventKind, Speak, SpeakPolicy, may_speak};
//!
//! let (stranger, chat) = (PeerId::from("42"), ChatId::from("42"));
//! let attempt = Attempt {
//!     event: EventKind::Message,
//!     kind: ChatKind::Direct,
//!     sender: &stranger,
//!     chat: &chat,
//!     thread: None,
//!     mentions_us: false,
//!     command_word: false,
//! };
//! let answer = may_speak(&SpeakPolicy::default(), &attempt, DmGrant::None);
//! assert_eq!(answer, Speak::Pair { rule: "dm-pairing" });
//! ```
#![warn(missing_docs)]

mod allow;
mod call;
mod connect;
mod run;
mod speak;
mod throttle;

pub use allow::{AllowList, IdForm};
pub use call::{
    CallRefusal, Caller, Required, Role, Scope, Scopes, event_scope, may_call, may_hear,
};
pub use connect::{
    Client, Origin, OriginRefusal, Peer, SharedSecret, SilentPairing, is_forwarding_header,
    may_approach, may_pair_silently, peer,
};
pub use run::{ExecAsk, ExecSecurity, Profile, Run, ToolPolicy, ToolRules, may_run, offered};
pub use speak::{
    Attempt, DmGrant, DmPolicy, EventKind, GroupPolicy, GroupRule, PlaceRule, Speak, SpeakPolicy,
    may_speak,
};
pub use throttle::Throttle;
