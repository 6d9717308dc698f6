//! How a secret travels: a string that no format, log or serialiser can print.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A key, token or password. `Debug` prints `***`; there is no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the plain text; the memory is wiped when the secret is dropped.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The plain text, for the one place that must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the secret is the empty string, which counts as not given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares without telling by time where, or whether by length, the two differ.
    pub fn matches(&self, candidate: &str) -> bool {
        // Equal digests mean equal texts; the time depends on the candidate's length alone.
        let ours = ring::digest::digest(&ring::digest::SHA256, self.0.as_bytes());
        let theirs = ring::digest::digest(&ring::digest::SHA256, candidate.as_bytes());
        let difference = ours.as_ref().iter().zip(theirs.as_ref()).fold(0, |d, (a, b)| d | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_text() {
        assert_eq!(format!("{:?}", Secret::new("canary-7261")), "***");
    }

    #[test]
    fn only_the_same_text_matches() {
        let secret = Secret::new("right");
        assert!(secret.matches("right"));
        for wrong in ["", "righ", "right ", "wrong", "RIGHT"] {
            assert!(!secret.matches(wrong), "{wrong:?}");
        }
    }
}
