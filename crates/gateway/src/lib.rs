//! HTTP and WebSocket: accept, authenticate, dispatch, broadcast. No business rule lives here.
//!
//! A [`Bus`] is made first and its listener given to delivery and agents; the [`Gateway`] is built
//! over all of them and serves whatever sockets it is given. What a client may do is decided by
//! `claw-guard`, what a message leads to by `claw-delivery`; a method here reads parameters, asks
//! one of those, and writes the answer down in the protocol's words.
#![warn(missing_docs)]

mod gateway;
mod limits;
mod views;

mod bus;
mod hub;
mod mailbox;
mod runs;

mod auth;
mod codes;
mod device;
mod handshake;
mod pending;

mod admission;
mod health;
mod history;
mod http;
mod methods;
mod presence;
mod serve;
mod socket;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use auth::{Auth, AuthMode};
pub use bus::Bus;
pub use gateway::{About, ControlUi, Gateway, Parts, SetupCode};
pub use limits::Limits;
pub use views::{ChannelAccount, ChannelsView, ConfigIssue, ConfigSnapshot, ConfigView};

/// Locks plain data: a panic elsewhere leaves it whole, since every change is made in one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
