//! How much and how long a gateway allows: every bound of this crate under one name.

use std::time::Duration;

/// Largest body of a POST of ours, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Most headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;

/// Largest head of a request, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a request's head may take to arrive, and a connection may idle between two requests.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request's body may take to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may speak plain HTTP in all.
pub(crate) const HTTP_LIFE_MAX: Duration = Duration::from_secs(5 * 60);

/// How long the store may take to answer `/ready`.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls of one socket that run at one time. At this limit nothing more is read from it.
pub(crate) const CALLS_MAX: usize = 32;

/// How long a socket may take one frame before it counts as a slow consumer.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a plain HTTP exchange may take to end when the gateway stops.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long open sockets and calls may take to end when the gateway stops.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Least time between two broadcasts of `presence`, and of `health`.
pub(crate) const NEWS_INTERVAL: Duration = Duration::from_secs(1);

/// Buffers of a socket for reading and for writing small frames, in bytes each. Larger frames are
/// written past the buffer, so it never grows.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 4096;

/// Sessions per socket whose tool events it hears; beyond, the one it wrote to longest ago is
/// forgotten.
pub(crate) const FOLLOWED_SESSIONS_MAX: usize = 16;

/// Longest message to the agent, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Longest session key, in characters (protocol 4 has the same bound).
pub(crate) const SESSION_KEY_CHARS_MAX: usize = 512;

/// Longest idempotency key, in characters.
pub(crate) const IDEMPOTENCY_KEY_CHARS_MAX: usize = 256;

/// How long `sessions.reset` and `sessions.delete` wait for a run that they stopped.
pub(crate) const RESET_WAIT_MAX: Duration = Duration::from_secs(15);

/// The wait of an `agent.wait` that names none, and the longest that is honoured.
pub(crate) const WAIT_DEFAULT: Duration = Duration::from_secs(30);
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// The bounds that a small machine or a test may want to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. At this limit the next one waits to be accepted.
    pub connections_max: usize,
    /// Sockets that have not said who they are. At this limit an upgrade is answered 503.
    pub strangers_max: usize,
    /// How long a socket may take to send `connect`.
    pub handshake: Duration,
    /// How long a client may take to accept our last frame and to answer our close.
    pub goodbye: Duration,
    /// Events that wait for one socket. While more wait, droppable ones are dropped and any other
    /// closes it as a slow consumer. Unit: bytes.
    pub socket_bytes_max: usize,
    /// Frames that wait for all sockets together, shared ones counted per socket. While more
    /// wait, a socket that lags behind at all is treated as if it had reached its own limit.
    /// Unit: bytes.
    pub sockets_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 25_000,
            strangers_max: 1024,
            handshake: claw_protocol::limits::HANDSHAKE_TIMEOUT,
            goodbye: Duration::from_secs(2),
            socket_bytes_max: 4 << 20,
            sockets_bytes_max: 256 << 20,
        }
    }
}
