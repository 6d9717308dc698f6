//! How much and how long: the numbers both ends of a connection count on.

use std::time::Duration;

/// The protocol version spoken here.
pub const PROTOCOL_VERSION: u32 = 3;

/// Largest inbound frame after `hello-ok`, in bytes; announced as `policy.maxPayload`.
pub const PAYLOAD_BYTES_MAX: usize = 25 * 1024 * 1024;

/// Send buffer announced as `policy.maxBufferedBytes`, in bytes. A gateway may hold less.
pub const BUFFERED_BYTES_MAX: usize = 50 * 1024 * 1024;

/// Largest frame before `hello-ok`, in bytes: a stranger gets less than a member.
pub const PRE_AUTH_FRAME_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take to send `connect`.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two `tick` events; announced as `policy.tickIntervalMs`.
pub const TICK_INTERVAL: Duration = Duration::from_secs(30);

/// Time between two unasked `health` events.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(60);

/// How far a device's `signedAt` may lie from our clock, either way, in milliseconds.
pub const SIGNATURE_AGE_MS_MAX: u64 = 10 * 60 * 1000;

/// Least time between two `chat` deltas of one run.
pub const CHAT_DELTA_INTERVAL: Duration = Duration::from_millis(150);

/// How long a response is kept for a repeated `idempotencyKey`.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(5 * 60);

/// How many responses are kept for repeated `idempotencyKey`s.
pub const IDEMPOTENCY_ENTRIES_MAX: usize = 1000;

/// How long a presence entry lives without news.
pub const PRESENCE_TTL: Duration = Duration::from_secs(5 * 60);

/// How many presence entries are kept.
pub const PRESENCE_ENTRIES_MAX: usize = 200;
