//! Runs one fake for other processes, on a port that they know.

use std::{io, str::FromStr};

use crate::{FakeAnthropic, FakeOpenAi, FakeTelegram};

/// Which fake to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`FakeAnthropic`]
    Anthropic,
    /// [`FakeOpenAi`]
    OpenAi,
    /// [`FakeTelegram`]
    Telegram,
}

/// A running fake; it stops when dropped.
#[derive(Debug)]
pub enum Served {
    /// See [`Kind::Anthropic`].
    Anthropic(FakeAnthropic),
    /// See [`Kind::OpenAi`].
    OpenAi(FakeOpenAi),
    /// See [`Kind::Telegram`].
    Telegram(FakeTelegram),
}

/// Starts a fake on `port` of 127.0.0.1; 0 takes a free one.
///
/// Other processes read its book at `GET /_book?since=N` and give orders at `POST /_say`: to a
/// model `{"text"}`, `{"tool", "arguments"}` or `{"status", "kind", "message", "retry_after"}`,
/// to Telegram `[{"chat", "from", "text"}, …]`. A model's book lists answered requests
/// (`asked_us`, `answered_us`, `model`, `bytes`, `user`), Telegram's the sent messages
/// (`chat_id`, `message_id`, `text`, `shown`, `reply_to`, `at_us`) or, with `list=handed`, the
/// updates that the bot was given (`update_id`, `chat_id`, `message_id`, `at_us`). All times are
/// microseconds since the Unix epoch.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn serve(kind: Kind, port: u16) -> io::Result<Served> {
    Ok(match kind {
        Kind::Anthropic => Served::Anthropic(FakeAnthropic::start_on(port).await?),
        Kind::OpenAi => Served::OpenAi(FakeOpenAi::start_on(port).await?),
        Kind::Telegram => Served::Telegram(FakeTelegram::start_on(port).await?),
    })
}

impl Served {
    /// The base URL, as the gateway's configuration wants it.
    pub fn url(&self) -> String {
        match self {
            Self::Anthropic(fake) => fake.url(),
            Self::OpenAi(fake) => fake.url(),
            Self::Telegram(fake) => fake.url(),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "anthropic" => Ok(Self::Anthropic),
            "openai" => Ok(Self::OpenAi),
            "telegram" => Ok(Self::Telegram),
            _ => Err(format!("no fake named {name}: anthropic, openai and telegram are known")),
        }
    }
}
