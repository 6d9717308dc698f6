//! Why something could not be sealed or opened.

use crate::key::TEXT_BYTES_MAX;

/// Why something could not be sealed or opened. No variant holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The lock is sound, and this passphrase is not the one that it was made with.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// A passphrase without a character, or one that is too long.
    #[error("a passphrase has 1 to {max} bytes", max = crate::PASSPHRASE_BYTES_MAX)]
    PassphraseLength,
    /// The bytes are not what was written: changed, cut off, put under another name, or sealed
    /// with another key.
    #[error("{name} is damaged")]
    Damaged {
        /// What was to be opened.
        name: String,
    },
    /// The lock asks for more work than this program does for anybody.
    #[error("opening the lock would take {what}, and at most {max} is allowed")]
    TooCostly {
        /// What it asks for.
        what: String,
        /// The limit, in the same unit.
        max: u32,
    },
    /// It was sealed in a way that this program does not know.
    #[error("{name} was sealed by a newer program")]
    Newer {
        /// What was to be opened.
        name: String,
    },
    /// The text is longer than one seal takes.
    #[error("a text of more than {max} bytes cannot be sealed at once", max = TEXT_BYTES_MAX)]
    TooLong,
    /// The memory that the passphrase's stretching takes is not there.
    #[error("the passphrase cannot be stretched: {why}")]
    Stretch {
        /// What is missing.
        why: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl Error {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::WrongPassphrase => Some("check the passphrase; nobody can open this without it"),
            Self::Damaged { .. } => Some("take another copy of it"),
            Self::Newer { .. } => Some("use a newer version of this program"),
            Self::TooCostly { .. } => {
                Some("this program never writes such a lock: do not trust where it came from")
            }
            Self::PassphraseLength | Self::TooLong | Self::Stretch { .. } | Self::NoRandomness => {
                None
            }
        }
    }
}
