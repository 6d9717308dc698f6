//! What PostgreSQL can fail with, in the store's words.

use std::{error::Error as _, io};

use claw_store::Error;
use tokio_postgres::error::SqlState;

/// A failure inside, before it is known which server it is about.
#[derive(Debug)]
pub(crate) enum Fault {
    Store(Error),
    /// The connection is gone or never was; on another one, the same may go well.
    Lost(String),
    ReadOnly(String),
    /// The server's own data is broken.
    Broken(String),
    /// A newer program gave the database its schema.
    Newer {
        found: i64,
        known: i64,
        program: Option<String>,
    },
    /// The server's disk is full.
    Full(String),
    Sql(String),
}

/// What the server or the way to it failed with. Holds no secret and no stored text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub(crate) struct Failure {
    pub(crate) place: String,
    pub(crate) what: String,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The one table from PostgreSQL's codes to ours.
impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let what = describe(&error);
        let Some(code) = error.code() else {
            let io = error.source().is_some_and(|source| source.is::<io::Error>());
            return if io || error.is_closed() { Self::Lost(what) } else { Self::Sql(what) };
        };
        match *code {
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            // The server's choice among two transactions; nothing of this one was done.
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::T_R_SERIALIZATION_FAILURE => Self::Lost(what),
            SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::ReadOnly(what)
            }
            SqlState::DISK_FULL => Self::Full(what),
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Self::Broken(what),
            // Class 08 is what happens to connections (PostgreSQL, "Error Codes").
            _ if code.code().starts_with("08") => Self::Lost(what),
            _ => Self::Sql(what),
        }
    }
}

impl Fault {
    /// `place` is the server and its database, for people.
    pub(crate) fn at(self, place: &str) -> Error {
        let failure = |what| Box::new(Failure { place: place.into(), what });
        match self {
            Self::Store(error) => error,
            Self::Lost(what) | Self::Sql(what) => Error::Engine(failure(what)),
            Self::ReadOnly(what) => Error::ReadOnly { path: place.into(), source: failure(what) },
            Self::Newer { found, known, program } => {
                Error::Newer { path: place.into(), found, known, program }
            }
            Self::Full(what) => Error::Full { path: place.into(), source: failure(what) },
            Self::Broken(what) => Error::Corrupt { what: "database".into(), source: failure(what) },
        }
    }

    /// A record that does not read as it should.
    pub(crate) fn corrupt(
        what: &str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Store(Error::Corrupt { what: what.into(), source: Box::new(source) })
    }
}

/// The server's message without its details, which quote rows; otherwise the chain of causes.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
