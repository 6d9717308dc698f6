//! One-use codes that a browser trades for a device token.

use std::collections::VecDeque;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use claw_domain::Secret;
use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes of a code: 192 bits.
const CODE_BYTES: usize = 24;

/// How long a code works. Unit: milliseconds.
const AGE_MS_MAX: i64 = 10 * 60 * 1000;

/// How many codes work at one time. A further one ends the oldest.
const CODES_MAX: usize = 8;

/// The codes that work now. Times come in, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Codes(VecDeque<(Secret, i64)>);

impl Codes {
    /// A new code, and when it stops working.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub(crate) fn issue(&mut self, now: i64) -> (Secret, i64) {
        let mut bytes = [0; CODE_BYTES];
        SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
        let (code, expires_at) = (Secret::new(URL_SAFE_NO_PAD.encode(bytes)), now + AGE_MS_MAX);
        if self.0.len() >= CODES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((code.clone(), expires_at));
        (code, expires_at)
    }

    /// Uses a code up. Whether it worked.
    pub(crate) fn spend(&mut self, offered: &str, now: i64) -> bool {
        self.0.retain(|(_, expires_at)| *expires_at > now);
        // All are compared, so that the time does not tell which one came close.
        let mut found = None;
        for (place, (code, _)) in self.0.iter().enumerate() {
            if code.matches(offered) {
                found = Some(place);
            }
        }
        found.is_some_and(|place| self.0.remove(place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_works_once() {
        // SEC-13
        let mut codes = Codes::default();
        let (code, _) = codes.issue(0);
        assert!(!codes.spend("guess", 1));
        assert!(codes.spend(code.expose(), 1));
        assert!(!codes.spend(code.expose(), 1));
    }

    #[test]
    fn a_code_works_for_ten_minutes() {
        // SEC-13
        let mut codes = Codes::default();
        let (code, expires_at) = codes.issue(0);
        assert_eq!(expires_at, 600_000);
        assert!(!codes.spend(code.expose(), expires_at));
    }

    #[test]
    fn codes_have_192_bits_and_only_the_newest_work() {
        let mut codes = Codes::default();
        let first = codes.issue(0).0;
        assert_eq!(first.expose().len(), CODE_BYTES * 4 / 3);
        for _ in 0..CODES_MAX {
            codes.issue(0);
        }
        assert!(!codes.spend(first.expose(), 0));
    }
}
