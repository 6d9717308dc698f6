//! How a model call fails, classified once, and what may be done next.

use std::time::Duration;

/// Why a model did not answer. The text holds no secrets.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What happened, with the vendor's own words cut to what helps.
    pub message: String,
    /// How long the vendor asked us to wait.
    pub retry_after: Option<Duration>,
}

/// The kinds that are told apart by what can be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Too many requests.
    Rate,
    /// The vendor has too much to do.
    Overloaded,
    /// The account cannot pay.
    Billing,
    /// The key is missing or not accepted.
    Auth,
    /// The prompt does not fit the model's window.
    ContextTooLong,
    /// The vendor does not understand what we sent, or the model does not exist.
    BadRequest,
    /// The vendor could not be reached, or the connection broke, or its answer was no answer.
    Network,
    /// The stream ended before the answer was whole.
    Cut,
    /// Nothing came for longer than the limit.
    Stalled,
    /// The vendor failed on its own side.
    Server,
    /// The answer is larger than we take.
    TooLarge,
}

/// What the caller may do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same will fail again.
    Never,
    /// Again, with back-off.
    Later,
    /// Not before this long.
    After(Duration),
}

impl Error {
    /// A failure without an asked wait.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// What the caller may do next. The retry layer reads this and nothing else.
    pub fn retry(&self) -> Retry {
        match self.kind {
            ErrorKind::Rate
            | ErrorKind::Overloaded
            | ErrorKind::Network
            | ErrorKind::Cut
            | ErrorKind::Stalled
            | ErrorKind::Server => self.retry_after.map_or(Retry::Later, Retry::After),
            ErrorKind::Billing
            | ErrorKind::Auth
            | ErrorKind::ContextTooLong
            | ErrorKind::BadRequest
            | ErrorKind::TooLarge => Retry::Never,
        }
    }

    /// The stable code for machines.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Rate => "rate",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Billing => "billing",
            ErrorKind::Auth => "auth",
            ErrorKind::ContextTooLong => "context-too-long",
            ErrorKind::BadRequest => "bad-request",
            ErrorKind::Network => "network",
            ErrorKind::Cut => "cut",
            ErrorKind::Stalled => "stalled",
            ErrorKind::Server => "server",
            ErrorKind::TooLarge => "too-large",
        }
    }

    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Auth => {
                Some("check the provider's apiKey under models.providers in the configuration")
            }
            ErrorKind::Billing => Some("add credit at the provider, or choose another model"),
            ErrorKind::ContextTooLong => Some("send /new to begin a new session"),
            ErrorKind::BadRequest => {
                Some("check the model's name and the provider's baseUrl and api")
            }
            ErrorKind::TooLarge => Some("ask for less at once, or choose another model"),
            ErrorKind::Network => Some("check the provider's baseUrl and this machine's network"),
            ErrorKind::Rate
            | ErrorKind::Overloaded
            | ErrorKind::Cut
            | ErrorKind::Stalled
            | ErrorKind::Server => Some("try again in a while"),
        }
    }
}
