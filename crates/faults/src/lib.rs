//! The fault layer: wraps the traits and can fail, delay or kill before and after every call.
//!
//! A [`Plan`] is asked at each point that a call passes. The wrappers delegate every method of
//! their trait, so a method that joins a trait does not compile here until it has its points. What
//! only gives back something from memory (an id, a capability, a health card) passes none.
//!
//! Nothing that is shipped uses this crate. Its binary is a gateway with the layer built in, for
//! tests that kill a real process.
//!
//! ```
//! use std::sync::Arc;
//!
//! use claw_domain::{Clock, SystemClock};
//! use claw_faults::{Action, FaultyClock, Phase, Point, Points};
//!
//! let points = Points::new(|point: &Point<'_>| {
//!     assert_eq!(point.name, "clock.now");
//!     Action::GoOn
//! });
//! FaultyClock::new(Arc::new(SystemClock), points.clone()).now();
//! assert_eq!(points.passed("clock.now", Phase::After), 1);
//! ```
#![warn(missing_docs)]

mod channel;
mod clock;
mod digest;
mod layers;
mod plan;
mod points;
mod provider;
mod store;
mod tool;
mod trace;

pub use channel::FaultyChannel;
pub use clock::FaultyClock;
pub use digest::digest;
pub use layers::layers;
pub use plan::{BadPlan, FAULT_FAIL, FAULT_KILL, FAULT_TRACE, from_env};
pub use points::{Action, Phase, Plan, Point, Points};
pub use provider::FaultyProvider;
pub use store::FaultyStore;
pub use tool::FaultyTool;
pub use trace::{Passed, Trace};
