//! How a text is sealed with a key: AES-256-GCM, under a key that no other text ever has.
//!
//! AES-GCM breaks when a nonce comes twice under one key, and 96 random bits are too few to rule
//! that out for many texts. So no two texts share a key: each has its own, derived (HKDF-SHA256)
//! from the long-lived key and 256 random bits that stand before the sealed text. Such a key is
//! used once, with the nonce zero. A counter would have to survive crashes and copies of the
//! folder; this needs no state.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use crate::Error;

/// Longest text that is sealed at once. It is held in memory whole.
pub const TEXT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How much longer a sealed text is: version, random bits, tag.
pub const OVERHEAD_BYTES: usize = 1 + RANDOM_BYTES + TAG_BYTES;

/// The first byte of a sealed text: how the rest is to be read.
const VERSION: u8 = 1;

const KEY_BYTES: usize = 32;
const RANDOM_BYTES: usize = 32;
/// The tag of AES-GCM, unshortened (NIST SP 800-38D, section 5.2.1.2).
const TAG_BYTES: usize = 16;

/// A 256-bit key. Its memory is wiped when it is dropped; `Debug` prints `***`.
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    pub(crate) fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    /// A key for one purpose. Keys of different purposes tell nothing of each other.
    pub fn derive(&self, purpose: &str) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let prk = Prk::new_less_safe(HKDF_SHA256, &*self.0);
        prk.expand(&[purpose.as_bytes()], Length)
            .and_then(|key| key.fill(&mut *bytes))
            .expect("32 bytes are within what HKDF gives");
        Self(bytes)
    }

    /// A name for `content` that only holders of this key can make or compare (HMAC-SHA256).
    pub fn name(&self, content: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.mac(), content);
        tag.as_ref().try_into().expect("a tag of HMAC-SHA256 has 32 bytes")
    }

    /// Whether `name` is this content's, in a time that does not tell where they differ.
    pub fn is_name(&self, name: &[u8], content: &[u8]) -> bool {
        hmac::verify(&self.mac(), content, name).is_ok()
    }

    /// Seals `text`. It opens under the same key and `name` only.
    ///
    /// # Errors
    /// When it is longer than [`TEXT_BYTES_MAX`], or there is no randomness.
    pub fn seal(&self, name: &str, text: &[u8]) -> Result<Vec<u8>, Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let random: [u8; RANDOM_BYTES] = random()?;
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&random);
        let mut body = text.to_vec();
        self.of_text(&random)
            .seal_in_place_append_tag(nonce(), bound_to(name), &mut body)
            .expect("the length is within what AES-GCM takes: checked above");
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`Key::seal`] gave for the same name.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a byte differs, the name differs, or another key sealed it.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let damaged = || Error::Damaged { name: name.into() };
        let (version, rest) = sealed.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(Error::Newer { name: name.into() });
        }
        let (random, body) = rest.split_first_chunk::<RANDOM_BYTES>().ok_or_else(damaged)?;
        let mut body = body.to_vec();
        let opened = self.of_text(random).open_in_place(nonce(), bound_to(name), &mut body);
        let length = opened.map_err(|_unspecified| damaged())?.len();
        body.truncate(length);
        Ok(body)
    }

    /// The key of one text.
    fn of_text(&self, random: &[u8; RANDOM_BYTES]) -> LessSafeKey {
        let prk = Salt::new(HKDF_SHA256, random).extract(&*self.0);
        let key = prk.expand(&[b"one sealed text"], &AES_256_GCM);
        LessSafeKey::new(UnboundKey::from(key.expect("a key is within what HKDF gives")))
    }

    fn mac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &*self.0)
    }
}

/// The nonce of a key that is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// The version cannot be changed and the text not be put under another name unnoticed.
fn bound_to(name: &str) -> Aad<Vec<u8>> {
    Aad::from([&[VERSION], name.as_bytes()].concat())
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| Error::NoRandomness)?;
    Ok(bytes)
}

/// The length of a derived [`Key`], for ring.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(Zeroizing::new([byte; KEY_BYTES]))
    }

    fn damaged(name: &str) -> Error {
        Error::Damaged { name: name.into() }
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_as_it_was(text: Vec<u8>, name: String) {
            let sealed = key(1).seal(&name, &text).unwrap();
            prop_assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
            prop_assert_eq!(key(1).open(&name, &sealed).unwrap(), text);
        }

        #[test]
        fn a_strangers_bytes_open_as_nothing(bytes: Vec<u8>) {
            prop_assert!(key(1).open("n", &bytes).is_err());
        }
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let sealed = key(1).seal("n", b"a small text").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                let expected =
                    if at == 0 { Error::Newer { name: "n".into() } } else { damaged("n") };
                assert_eq!(key(1).open("n", &changed), Err(expected), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_text_that_was_cut_or_added_to_does_not_open() {
        let sealed = key(1).seal("n", b"a small text").unwrap();
        for length in 0..sealed.len() {
            assert_eq!(key(1).open("n", &sealed[..length]), Err(damaged("n")), "{length}");
        }
        assert_eq!(key(1).open("n", &[&sealed[..], &[0]].concat()), Err(damaged("n")));
    }

    #[test]
    fn a_text_opens_under_its_own_name_and_key_only() {
        let sealed = key(1).seal("n", b"text").unwrap();
        assert_eq!(key(1).open("m", &sealed), Err(damaged("m")));
        assert_eq!(key(2).open("n", &sealed), Err(damaged("n")));
        assert_eq!(key(1).derive("other").open("n", &sealed), Err(damaged("n")));
    }

    #[test]
    fn one_text_sealed_twice_has_nothing_in_common() {
        let (one, two) = (key(1).seal("n", b"text").unwrap(), key(1).seal("n", b"text").unwrap());
        assert_ne!(one[1..1 + RANDOM_BYTES], two[1..1 + RANDOM_BYTES]);
        assert_ne!(one[1 + RANDOM_BYTES..], two[1 + RANDOM_BYTES..]);
    }

    #[test]
    fn a_name_is_made_of_key_and_content() {
        let name = key(1).name(b"content");
        assert!(key(1).is_name(&name, b"content"));
        assert!(!key(1).is_name(&name, b"contend") && !key(2).is_name(&name, b"content"));
        assert!(!key(1).is_name(&name[..31], b"content"));
    }

    #[test]
    fn nothing_prints_a_key() {
        // SEC-96
        assert_eq!(format!("{:?}", key(7)), "***");
    }
}
