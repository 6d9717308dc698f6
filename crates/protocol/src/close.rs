//! Why a socket was closed: the codes, and the reasons that go with them.

/// Normal end; also a handshake that took too long or began with something that is not JSON.
pub const NORMAL: u16 = 1000;
/// No protocol version in common.
pub const PROTOCOL_ERROR: u16 = 1002;
/// No close frame arrived (never sent, only reported).
pub const ABNORMAL: u16 = 1006;
/// Any other refusal of a handshake, and slow consumers.
pub const POLICY_VIOLATION: u16 = 1008;
/// A frame above the size limit.
pub const TOO_LARGE: u16 = 1009;
/// The gateway stops or restarts.
pub const SERVICE_RESTART: u16 = 1012;
/// The client heard no `tick` for two intervals.
pub const TICK_TIMEOUT: u16 = 4000;

/// Reason sent with [`SERVICE_RESTART`].
pub const REASON_RESTART: &str = "service restart";
/// Reason sent with [`POLICY_VIOLATION`] to a socket whose send buffer is full.
pub const REASON_SLOW_CONSUMER: &str = "slow consumer";
/// Reason sent with [`POLICY_VIOLATION`] when the first frame is JSON but not a request.
pub const REASON_INVALID_FRAME: &str = "invalid request frame";
/// Reason a client sends with [`TICK_TIMEOUT`].
pub const REASON_TICK_TIMEOUT: &str = "tick timeout";

/// Longest close reason, in bytes of UTF-8 (RFC 6455 allows 123; the protocol uses 120).
pub const REASON_BYTES_MAX: usize = 120;

/// Cuts `reason` to [`REASON_BYTES_MAX`] without splitting a character.
pub fn reason(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(reason("short"), "short");
        assert_eq!(reason(&"x".repeat(121)), "x".repeat(120));
        assert_eq!(reason(&format!("{}é", "x".repeat(119))), "x".repeat(119));
    }
}
