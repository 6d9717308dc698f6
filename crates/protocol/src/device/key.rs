//! The key pair that a device is known by.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD,
};
use claw_domain::Secret;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{Payload, hex};
use crate::connect::{ConnectParams, DeviceProof};

/// Bytes of an Ed25519 public key, and of the seed of a private one (RFC 8032).
const KEY_BYTES: usize = 32;

/// What stands before the 32 bytes of an Ed25519 public key in DER (RFC 8410, SubjectPublicKeyInfo).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What stands before the 32-byte seed in DER (RFC 8410, PrivateKeyInfo version 1).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Reads base64 with or without padding, once the URL alphabet was translated.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A device's public key. `Display` is base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

/// A device's key pair. It has no `Debug`, so that it cannot be printed.
pub struct DeviceKey {
    private_pem: Secret,
    pair: Ed25519KeyPair,
}

/// A text that is no Ed25519 private key in PKCS#8 PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 private key in PKCS#8 PEM")]
pub struct KeyError;

impl PublicKey {
    /// The device's id: lower-case hex SHA-256 of the key, 64 characters.
    pub fn id(&self) -> String {
        hex(digest(&SHA256, &self.0).as_ref())
    }

    /// The key in SubjectPublicKeyInfo PEM.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI_PREFIX[..], &self.0].concat())
    }

    /// Whether `signature` (base64url or base64) is this key's over `text`.
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        decode_base64(signature)
            .is_some_and(|signature| key.verify(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl TryFrom<Vec<u8>> for PublicKey {
    type Error = Vec<u8>;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        bytes.try_into().map(Self)
    }
}

impl DeviceKey {
    /// A new key.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn generate() -> Self {
        let mut seed = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut seed).expect("the operating system gives random bytes");
        let der = [&PKCS8_PREFIX[..], &seed].concat();
        Self::from_private_pem(Secret::new(pem("PRIVATE KEY", &der)))
            .expect("any 32 bytes are an Ed25519 seed")
    }

    /// Reads a private key in PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError`] when it is something else.
    pub fn from_private_pem(private_pem: Secret) -> Result<Self, KeyError> {
        let der = decode_pem(private_pem.expose()).ok_or(KeyError)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError)?;
        Ok(Self { private_pem, pair })
    }

    /// The private key in PKCS#8 PEM.
    pub fn private_pem(&self) -> &Secret {
        &self.private_pem
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref();
        PublicKey(bytes.try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Signs `connect` as it is, for [`ConnectParams::device`].
    pub fn prove(
        &self,
        payload: Payload,
        connect: &ConnectParams,
        signed_at_ms: i64,
        nonce: &str,
    ) -> DeviceProof {
        let public = self.public();
        let id = public.id();
        let text = payload.text(connect, &id, signed_at_ms, nonce);
        DeviceProof {
            id,
            public_key: public.to_string(),
            signature: URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes())),
            signed_at: signed_at_ms,
            nonce: (payload != Payload::V1).then(|| nonce.to_owned()),
        }
    }
}

/// The bytes of a public key in base64url, base64 or PEM; their number is not checked.
pub(super) fn decode_public(text: &str) -> Option<Vec<u8>> {
    if text.contains("BEGIN") {
        Some(decode_pem(text)?.strip_prefix(&SPKI_PREFIX)?.to_vec())
    } else {
        decode_base64(text)
    }
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok()
}

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    let body: String =
        text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).ok()
}

/// One line of base64: the documents of an Ed25519 key are shorter than PEM's 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector 1 of RFC 8032, section 7.1, in the PEM that OpenSSL writes.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn a_pem_from_elsewhere_is_read_and_written_unchanged() {
        let key = DeviceKey::from_private_pem(Secret::new(PRIVATE)).expect("it is a key");
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(key.private_pem().expose(), PRIVATE);
    }

    #[test]
    fn every_spelling_of_a_public_key_is_the_same_key() {
        let key = DeviceKey::from_private_pem(Secret::new(PRIVATE)).expect("it is a key").public();
        let standard = format!("{}=", PUBLIC.replace('_', "/").replace('-', "+"));
        let windows = key.pem().replace('\n', "\r\n");
        for text in [PUBLIC, &standard, &key.pem(), &windows] {
            let bytes = decode_public(text).expect("it decodes");
            assert_eq!(PublicKey::try_from(bytes), Ok(key), "{text}");
        }
    }

    #[test]
    fn generated_keys_differ_and_survive_being_written_down() {
        let (first, second) = (DeviceKey::generate(), DeviceKey::generate());
        assert_ne!(first.public(), second.public());
        let again = DeviceKey::from_private_pem(first.private_pem().clone()).expect("our own PEM");
        assert_eq!(again.public(), first.public());
    }

    #[test]
    fn what_is_no_private_key_is_refused() {
        let public = DeviceKey::generate().public().pem();
        for text in ["", "-----BEGIN PRIVATE KEY-----", "%%%", &public] {
            assert!(DeviceKey::from_private_pem(Secret::new(text)).is_err(), "{text}");
        }
    }
}
