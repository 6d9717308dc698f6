//! What can be chosen about the connections.

use std::time::Duration;

/// How a [`Postgres`](crate::Postgres) uses its server. The default suits most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Questions that are answered at the same time, each on a connection of its own; one more
    /// connection writes, and one listens. At least 1. Default: 4.
    pub readers: usize,
    /// How long the server may work on one statement, and wait for its locks. Default: 20 s.
    pub statement_timeout: Duration,
    /// How long a connection may take to come about. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long a call waits for a server that is away, before it fails. Default: 10 s.
    pub retry_for: Duration,
    /// How long a transaction may wait for this program before the server ends it, since everybody
    /// else waits for the lock that it holds: a gateway that is stopped in the middle of a commit
    /// stops no other for longer. Default: 5 s.
    pub stall_max: Duration,
    /// What the server's own lists call this program, unless the URL says so. Default:
    /// `rusty-claw`.
    pub application_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 4,
            statement_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(10),
            stall_max: Duration::from_secs(5),
            application_name: "rusty-claw".into(),
        }
    }
}
