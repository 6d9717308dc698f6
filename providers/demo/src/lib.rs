//! A model that needs nothing and says so: it shows that a gateway works before a key is there.
//!
//! It streams its answers, calls `exec` when a message begins with `run: `, and tells what the
//! tool said. It understands nothing.
//!
//! ```
//! use claw_provider::Provider;
//! use claw_provider_demo::Demo;
//!
//! assert_eq!(Demo.api(), "demo");
//! assert_eq!(Demo::model().reference.to_string(), "demo/demo");
//! ```
#![warn(missing_docs)]

mod provider;
mod reply;

pub use provider::Demo;
