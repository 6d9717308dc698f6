//! What goes over the wire: frames, schemas and device signatures of the gateway protocol.
//!
//! Pure values only: no socket is opened here, no clock is read, no business rule is decided. The
//! server and the client share these types, so neither can drift from the other.
//!
//! ```
//! use claw_protocol::frame::Request;
//! use claw_protocol::schema::Schema;
//!
//! let request = Request::parse(
//!     r#"{"type":"req","id":"1","method":"chat.history","params":{"limit":5000}}"#,
//! )?;
//! let schema = Schema::parse("{sessionKey: str+, limit?: int[1..1000]}")?;
//! let problems = schema.validate(&request.params);
//! assert_eq!(
//!     problems.to_string(),
//!     "must have required property 'sessionKey'; at /limit: must be <= 1000"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

pub mod limits;

pub mod close;
pub mod frame;
pub mod schema;

pub mod auth;
pub mod connect;
pub mod device;
pub mod hello;
pub mod scope;

pub mod agent;
pub mod chat;
pub mod health;
pub mod history;
pub mod session;
pub mod text;
