//! Fakes that behave: platform servers, model servers, clock.
//!
//! Each fake speaks its vendor's real protocol over HTTP on loopback, checks what it is sent as
//! the real server would, answers by a script, and writes down what happened. It stops when it
//! is dropped.
//!
//! ```
//! use claw_testkit::{FakeAnthropic, FakeTelegram, Reply};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let telegram = FakeTelegram::start().await;
//! let model = FakeAnthropic::start().await;
//! model.answer(Reply::text("hello").and_tool("exec", serde_json::json!({ "command": "ls" })));
//! telegram.user_says(7, 7, "hi");
//! assert_eq!(telegram.updates_pending(), 1);
//! // Point a gateway at `telegram.url()` and `model.url()`, then `telegram.wait_for_sent(1)`.
//! # }
//! ```
#![warn(missing_docs)]

pub mod anthropic;
mod asked;
mod book;
mod clock;
mod control;
mod disk;
mod model;
mod needs;
pub mod openai;
mod postgres;
mod process;
mod proxy;
pub mod script;
mod server;
mod stream;
pub mod telegram;

pub use anthropic::FakeAnthropic;
pub use asked::{Asked, Last};
pub use clock::MockClock;
pub use disk::SmallDisk;
pub use model::FakeModel;
pub use needs::{REQUIRE, needs};
pub use openai::FakeOpenAi;
pub use postgres::PgServer;
pub use process::{Kind, Served, serve};
pub use proxy::Proxy;
pub use script::{Answer, Gate, Refusal, Reply, Stop, Usage};
pub use server::Network;
pub use telegram::FakeTelegram;

/// Makes the process ready for HTTP clients: chooses the TLS library's cryptography. May be
/// called any number of times.
pub fn init() {
    // An error says that it was chosen before, by an earlier call or by the program.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
