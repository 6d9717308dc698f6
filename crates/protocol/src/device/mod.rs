//! Whether a device is the one it says it is.

mod key;

use ring::digest::{SHA256, digest};

use crate::connect::{ConnectParams, DeviceProof};
use crate::limits::SIGNATURE_AGE_MS_MAX;

pub use key::{DeviceKey, KeyError, PublicKey};

/// Why a device was not believed. `Display` is the exact text of the protocol.
///
/// A key of the wrong length can sign nothing, so it ends as [`Self::SignatureInvalid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The id is not the hash of the public key.
    #[error("device identity mismatch")]
    IdentityMismatch,
    /// Signed more than ten minutes before or after now.
    #[error("device signature expired")]
    SignatureExpired,
    /// From elsewhere, and without a nonce.
    #[error("device nonce required")]
    NonceRequired,
    /// The nonce is not the one of this connection.
    #[error("device nonce mismatch")]
    NonceMismatch,
    /// The signature does not fit what was sent.
    #[error("device signature invalid")]
    SignatureInvalid,
}

/// What the gateway knows when it checks a device.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The nonce sent on this connection, good for this connection only.
    pub nonce: &'a str,
    /// The gateway's clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// What a signature without a nonce is worth here.
    pub without_nonce: WithoutNonce,
}

/// What a signature without a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutNonce {
    /// Enough: the connection comes from this machine.
    Accepted,
    /// Nothing: it could be a recording.
    Refused,
}

/// The three texts that a device may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Without a nonce.
    V1,
    /// With the nonce.
    V2,
    /// With the nonce, the platform and the device family.
    V3,
}

/// Checks that `device` signed `connect`, in the protocol's order of rules.
///
/// With a nonce the signature may be over [`Payload::V2`] or [`Payload::V3`], without one over
/// [`Payload::V1`].
///
/// # Errors
/// The first rule that does not hold.
pub fn check(
    connect: &ConnectParams,
    device: &DeviceProof,
    challenge: &Challenge<'_>,
) -> Result<PublicKey, DeviceError> {
    let key = key::decode_public(&device.public_key).ok_or(DeviceError::IdentityMismatch)?;
    if hex(digest(&SHA256, &key).as_ref()) != device.id {
        return Err(DeviceError::IdentityMismatch);
    }
    if challenge.now_ms.abs_diff(device.signed_at) > SIGNATURE_AGE_MS_MAX {
        return Err(DeviceError::SignatureExpired);
    }
    let nonce = device.nonce.as_deref().unwrap_or_default();
    let payloads: &[Payload] = match nonce {
        "" if challenge.without_nonce == WithoutNonce::Refused => {
            return Err(DeviceError::NonceRequired);
        }
        "" => &[Payload::V1],
        nonce if nonce != challenge.nonce => return Err(DeviceError::NonceMismatch),
        _ => &[Payload::V2, Payload::V3],
    };
    let key = PublicKey::try_from(key).map_err(|_| DeviceError::SignatureInvalid)?;
    let signed = payloads.iter().any(|payload| {
        let text = payload.text(connect, &device.id, device.signed_at, nonce);
        key.verifies(&text, &device.signature)
    });
    if signed { Ok(key) } else { Err(DeviceError::SignatureInvalid) }
}

impl Payload {
    /// The text to sign. `nonce` is not part of [`Payload::V1`].
    pub fn text(
        self,
        connect: &ConnectParams,
        device_id: &str,
        signed_at_ms: i64,
        nonce: &str,
    ) -> String {
        let version = match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        };
        let client = &connect.client;
        let mut text = format!(
            "{version}|{device_id}|{}|{}|{}|{}|{signed_at_ms}|{}",
            client.id,
            client.mode,
            connect.role(),
            connect.scopes.join(","),
            connect.token(),
        );
        if self != Self::V1 {
            text.push('|');
            text.push_str(nonce);
        }
        if self == Self::V3 {
            for part in [Some(&client.platform), client.device_family.as_ref()] {
                text.push('|');
                text.push_str(&part.map_or("", |part| part.trim()).to_ascii_lowercase());
            }
        }
        text
    }
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    /// A recorded handshake of the original's clients.
    #[derive(Deserialize)]
    struct Handshake {
        nonce: String,
        params: Value,
    }

    fn handshakes() -> Vec<(String, ConnectParams, DeviceProof)> {
        let recorded = include_str!("../../tests/fixtures/handshakes.jsonl");
        let read = |line: &str| {
            let shake: Handshake = serde_json::from_str(line).expect("the fixture is JSON");
            let connect = ConnectParams::read(shake.params).expect("it is a connect");
            let device = connect.device.clone().expect("it has a device");
            (shake.nonce, connect, device)
        };
        recorded.lines().map(read).collect()
    }

    fn challenge(nonce: &str, now_ms: i64) -> Challenge<'_> {
        Challenge { nonce, now_ms, without_nonce: WithoutNonce::Refused }
    }

    /// Signs a fresh connect, lets `change` spoil it, and checks it.
    fn check_changed(
        payload: Payload,
        change: impl FnOnce(&mut ConnectParams, &mut DeviceProof, &mut Challenge<'_>),
    ) -> Result<PublicKey, DeviceError> {
        let (_, mut connect, _) = handshakes().remove(0);
        connect.client.platform = " MacOS 15 ".into();
        let key = DeviceKey::generate();
        let mut device = key.prove(payload, &connect, 1_000_000_000, "n-1");
        let mut challenge = challenge("n-1", 1_000_000_000);
        change(&mut connect, &mut device, &mut challenge);
        check(&connect, &device, &challenge)
    }

    #[test]
    fn recorded_handshakes_are_believed() {
        for (nonce, connect, device) in handshakes() {
            let key = check(&connect, &device, &challenge(&nonce, device.signed_at));
            let key = key.expect("the signature is good");
            assert_eq!((key.id(), key.to_string()), (device.id, device.public_key));
        }
    }

    #[test]
    fn a_replayed_handshake_is_refused() {
        // SEC-74: the nonce belongs to one connection.
        let (_, connect, device) = handshakes().remove(0);
        let again = challenge("another-nonce", device.signed_at);
        assert_eq!(check(&connect, &device, &again), Err(DeviceError::NonceMismatch));
    }

    #[test]
    fn every_payload_version_is_believed_where_it_belongs() {
        for payload in [Payload::V2, Payload::V3] {
            check_changed(payload, |_, _, _| {}).expect("signed over the nonce");
        }
        let local =
            |challenge: &mut Challenge<'_>| challenge.without_nonce = WithoutNonce::Accepted;
        check_changed(Payload::V1, |_, _, challenge| local(challenge)).expect("local");
        assert_eq!(check_changed(Payload::V1, |_, _, _| {}), Err(DeviceError::NonceRequired));
    }

    #[test]
    fn the_payload_texts_are_those_of_the_protocol() {
        let (_, mut connect, _) = handshakes().remove(0);
        connect.scopes = vec!["operator.read".into(), "operator.admin".into()];
        connect.client.platform = " MacOS 15 ".into();
        connect.client.device_family = Some("iPhone".into());
        for (payload, text) in [
            (Payload::V1, "v1|dev|cli|cli|operator|operator.read,operator.admin|7|tok-ref-1"),
            (Payload::V2, "v2|dev|cli|cli|operator|operator.read,operator.admin|7|tok-ref-1|n"),
            (
                Payload::V3,
                "v3|dev|cli|cli|operator|operator.read,operator.admin|7|tok-ref-1|n|macos 15|iphone",
            ),
        ] {
            assert_eq!(payload.text(&connect, "dev", 7, "n"), text);
        }
    }

    #[test]
    fn the_first_broken_rule_is_named() {
        let check = |change: fn(&mut ConnectParams, &mut DeviceProof, &mut Challenge<'_>), text| {
            let error = check_changed(Payload::V2, change).unwrap_err();
            assert_eq!(error.to_string(), text);
        };
        check(|_, device, _| device.id = "0".repeat(64), "device identity mismatch");
        check(|_, device, _| device.public_key = "%".into(), "device identity mismatch");
        check(|_, _, challenge| challenge.now_ms += 600_001, "device signature expired");
        check(|_, _, challenge| challenge.now_ms -= 600_001, "device signature expired");
        check(|_, device, _| device.signed_at = i64::MIN, "device signature expired");
        check(|_, device, _| device.nonce = None, "device nonce required");
        check(|_, device, _| device.nonce = Some("n-2".into()), "device nonce mismatch");
        check(|_, device, _| device.signature = "AAAA".into(), "device signature invalid");
        check(|_, device, _| device.signed_at += 1, "device signature invalid");
        // SEC-07: scopes, role and token are bound by the signature.
        check(
            |connect, _, _| connect.scopes.push("operator.admin".into()),
            "device signature invalid",
        );
        check(|connect, _, _| connect.role = Some("node".into()), "device signature invalid");
        check(|connect, _, _| connect.auth = None, "device signature invalid");
    }

    #[test]
    fn a_key_of_the_wrong_length_signs_nothing() {
        let result = check_changed(Payload::V2, |_, device, _| {
            device.public_key = "AAAA".into();
            device.id = hex(digest(&SHA256, &[0, 0, 0]).as_ref());
        });
        assert_eq!(result, Err(DeviceError::SignatureInvalid));
    }

    #[test]
    fn ten_minutes_either_way_are_still_fresh() {
        for shift in [600_000, -600_000] {
            check_changed(Payload::V2, |_, _, challenge| challenge.now_ms += shift)
                .expect("at the limit");
        }
    }
}
