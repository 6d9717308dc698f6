//! How a passphrase becomes a key: Argon2id, with what it takes written down beside the salt.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use claw_domain::Secret;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Error, Key, key::random};

/// Longest passphrase. Unit: bytes of UTF-8.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// Most memory that a lock which was read may ask for. Unit: KiB.
pub const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most passes over that memory.
pub const PASSES_MAX: u32 = 16;
/// Most lanes of it.
pub const LANES_MAX: u32 = 16;

/// What a new lock asks for: the second recommended option of RFC 9106, section 4 (64 MiB, three
/// passes, four lanes). The first takes 2 GiB, which a Raspberry Pi does not have to spare.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// 128 bits, as the same section recommends.
const SALT_BYTES: usize = 16;

/// What turns a passphrase into a [`Key`], and tells whether it was the right one. Holds no secret.
///
/// Its serde form lies in files: fields are only added, with a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    /// A name that only the right key gives.
    check: String,
    /// Digest of the other fields, so that a damaged lock is not taken for a wrong passphrase.
    /// It proves nothing against somebody who means harm, and need not: `check` does.
    sum: String,
}

impl Lock {
    /// Makes a lock with a salt of its own. Takes 64 MiB and some tenths of a second.
    ///
    /// # Errors
    /// When the passphrase is empty or too long, or memory or randomness is missing.
    pub fn new(passphrase: &Secret) -> Result<(Self, Key), Error> {
        Self::with_cost(passphrase, MEMORY_KIB, PASSES, LANES)
    }

    fn with_cost(
        passphrase: &Secret,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    ) -> Result<(Self, Key), Error> {
        let salt = URL_SAFE_NO_PAD.encode(random::<SALT_BYTES>()?);
        let (check, sum) = (String::new(), String::new());
        let mut lock = Self { memory_kib, passes, lanes, salt, check, sum };
        let key = lock.stretch(passphrase)?;
        lock.check = URL_SAFE_NO_PAD.encode(check_key(&key).name(CHECKED));
        lock.sum = lock.digest();
        Ok((lock, key))
    }

    /// The key that this lock was made with.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`]; [`Error::Damaged`] when the lock is not as it was written;
    /// [`Error::TooCostly`] when it asks for more than this program gives, before any is spent.
    pub fn open(&self, passphrase: &Secret) -> Result<Key, Error> {
        if self.sum != self.digest() {
            return Err(damaged());
        }
        let check = URL_SAFE_NO_PAD.decode(&self.check).map_err(|_not_base64| damaged())?;
        let key = self.stretch(passphrase)?;
        match check_key(&key).is_name(&check, CHECKED) {
            true => Ok(key),
            false => Err(Error::WrongPassphrase),
        }
    }

    fn stretch(&self, passphrase: &Secret) -> Result<Key, Error> {
        let passphrase = passphrase.expose().as_bytes();
        if passphrase.is_empty() || passphrase.len() > PASSPHRASE_BYTES_MAX {
            return Err(Error::PassphraseLength);
        }
        for (asked, max, what) in [
            (self.memory_kib, MEMORY_KIB_MAX, "KiB of memory"),
            (self.passes, PASSES_MAX, "passes"),
            (self.lanes, LANES_MAX, "lanes"),
        ] {
            if asked > max {
                return Err(Error::TooCostly { what: format!("{asked} {what}"), max });
            }
        }
        let salt = URL_SAFE_NO_PAD.decode(&self.salt).map_err(|_not_base64| damaged())?;
        if salt.len() != SALT_BYTES {
            return Err(damaged());
        }
        let mut bytes = Zeroizing::new([0; 32]);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(bytes.len()))
            .map_err(|_beyond_argon2s_own_limits| damaged())?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, &salt, &mut *bytes)
            .map_err(|error| Error::Stretch { why: error.to_string() })?;
        Ok(Key::new(bytes))
    }

    fn digest(&self) -> String {
        let Self { memory_kib, passes, lanes, salt, check, sum: _ } = self;
        let text = format!("{memory_kib} {passes} {lanes} {salt} {check}");
        URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
    }
}

/// What `check` is the name of.
const CHECKED: &[u8] = b"the passphrase is right";

fn check_key(key: &Key) -> Key {
    key.derive("check of a lock")
}

fn damaged() -> Error {
    Error::Damaged { name: "the lock".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase() -> Secret {
        Secret::new("correct horse")
    }

    /// A lock at the least cost that Argon2 has.
    fn cheap() -> Lock {
        Lock::with_cost(&passphrase(), 8, 1, 1).unwrap().0
    }

    fn sealed_again(mut lock: Lock) -> Lock {
        lock.sum = lock.digest();
        lock
    }

    #[test]
    fn a_new_lock_costs_what_rfc_9106_recommends_and_opens() {
        let (lock, key) = Lock::new(&passphrase()).unwrap();
        assert_eq!((lock.memory_kib, lock.passes, lock.lanes), (65_536, 3, 4));
        let sealed = key.seal("n", b"text").unwrap();
        let text = serde_json::to_string(&lock).unwrap();
        let lock: Lock = serde_json::from_str(&text).unwrap();
        assert_eq!(lock.open(&passphrase()).unwrap().open("n", &sealed).unwrap(), b"text");
    }

    #[test]
    fn argon2_gives_what_rfc_9106_says() {
        // The reference tag for Argon2id needs a key and associated data, which we do not use; this
        // one is from the reference implementation's own tests (version 0x13, m = 65536 KiB).
        let params = Params::new(65_536, 2, 1, Some(32)).unwrap();
        let mut tag = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(b"password", b"somesalt", &mut tag).unwrap();
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn a_wrong_passphrase_is_told_from_a_damaged_lock() {
        let lock = cheap();
        for wrong in ["correct hors", "Correct horse", "correct horse "] {
            let opened = lock.open(&Secret::new(wrong)).map(drop);
            assert_eq!(opened, Err(Error::WrongPassphrase), "{wrong:?}");
        }
        let text = serde_json::to_string(&lock).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'2' { b'3' } else { b'2' };
            // A byte of the frame makes it no lock at all.
            let Ok(changed) = serde_json::from_slice::<Lock>(&bytes) else { continue };
            assert_eq!(changed.open(&passphrase()).map(drop), Err(damaged()), "byte {at}");
        }
    }

    #[test]
    fn a_hostile_lock_spends_nothing() {
        let costs: [(u32, u32, u32); 3] =
            [(u32::MAX, 1, 1), (8, u32::MAX, 1), (MEMORY_KIB_MAX, 1, LANES_MAX + 1)];
        for (memory_kib, passes, lanes) in costs {
            let lock = sealed_again(Lock { memory_kib, passes, lanes, ..cheap() });
            let opened = lock.open(&passphrase()).map(drop);
            assert!(matches!(opened, Err(Error::TooCostly { .. })), "{opened:?}");
        }
        for (memory_kib, passes, lanes) in [(0, 1, 1), (8, 0, 1), (8, 1, 0), (8, 1, 16)] {
            let lock = sealed_again(Lock { memory_kib, passes, lanes, ..cheap() });
            assert_eq!(lock.open(&passphrase()).map(drop), Err(damaged()));
        }
        for salt in ["", "!", "AAAA"] {
            let lock = sealed_again(Lock { salt: salt.into(), ..cheap() });
            assert_eq!(lock.open(&passphrase()).map(drop), Err(damaged()), "{salt:?}");
        }
    }

    #[test]
    fn every_lock_has_a_salt_of_its_own() {
        assert_ne!(cheap().salt, cheap().salt);
    }

    #[test]
    fn a_passphrase_has_something_in_it_and_an_end() {
        for text in [String::new(), "x".repeat(PASSPHRASE_BYTES_MAX + 1)] {
            let made = Lock::with_cost(&Secret::new(text), 8, 1, 1).map(drop);
            assert_eq!(made, Err(Error::PassphraseLength));
        }
    }
}
