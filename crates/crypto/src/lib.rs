//! Secrets at rest: texts sealed with a key, and keys made from passphrases.
//!
//! A [`Lock`] lies in the clear beside what it locks, and tells with the passphrase which [`Key`]
//! opens it. A key seals texts under names: a text that was put in another's place does not open.
//!
//! ```
//! use claw_crypto::Lock;
//! use claw_domain::Secret;
//!
//! let passphrase = Secret::new("correct horse battery staple");
//! let (lock, key) = Lock::new(&passphrase)?;
//! let sealed = key.seal("greeting", b"hello")?;
//!
//! let key = lock.open(&passphrase)?;
//! assert_eq!(key.open("greeting", &sealed)?, b"hello");
//! assert!(key.open("farewell", &sealed).is_err());
//! # Ok::<(), claw_crypto::Error>(())
//! ```
#![warn(missing_docs)]

mod error;
mod key;
mod lock;

pub use error::Error;
pub use key::{Key, OVERHEAD_BYTES, TEXT_BYTES_MAX};
pub use lock::{LANES_MAX, Lock, MEMORY_KIB_MAX, PASSES_MAX, PASSPHRASE_BYTES_MAX};
