//! How a stranger's first frame is judged: the protocol's checks, in the protocol's order.
//!
//! Pure: the frame, the time and what the store knows come in; what to do comes out.

use claw_domain::DeviceId;
use claw_guard::{
    Caller, Client, Origin, Role, Scopes, SharedSecret, SilentPairing, may_approach,
    may_pair_silently,
};
use claw_protocol::{
    auth::AuthFailure,
    close,
    connect::{self, ConnectParams},
    device::{self, Challenge, PublicKey, WithoutNonce},
    frame::{ErrorCode, ErrorShape, FrameError, Request, Response},
    limits::PROTOCOL_VERSION,
};
use serde_json::json;

use crate::{
    auth::Auth,
    device::{Mint, Paired},
};

/// What is known of a connection before its first frame.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) nonce: String,
    pub(crate) peer: claw_guard::Peer,
    pub(crate) origin: Option<String>,
    pub(crate) host: Option<String>,
}

/// How a connection is turned away: an answer if there is a request to answer, then the close.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) answer: Option<Box<Response>>,
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// Whether a secret was guessed wrong, so that the answer may have to wait.
    pub(crate) guessed: bool,
}

/// A first frame that holds up so far. Whether it is enough depends on what is known of its device.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The request to answer.
    pub(crate) id: String,
    pub(crate) connect: ConnectParams,
    pub(crate) role: Role,
    /// What it asks for, which without a device is nothing.
    pub(crate) scopes: Scopes,
    pub(crate) shared: SharedSecret,
    failure: AuthFailure,
    origin: Origin,
    peer: claw_guard::Peer,
    /// The device whose signature was good.
    pub(crate) device: Option<(DeviceId, PublicKey)>,
}

/// What a claim comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Let it in.
    Enter,
    /// Pair the device at once, then let it in.
    PairSilently { rule: &'static str },
    /// The owner decides.
    Ask { rule: &'static str },
}

impl Refusal {
    /// A close without an answer.
    pub(crate) fn silent(code: u16, reason: &str) -> Self {
        Self { answer: None, code, reason: reason.into(), guessed: false }
    }

    /// An answer, and a close with the same words.
    pub(crate) fn answered(id: &str, code: u16, error: ErrorShape) -> Self {
        let reason = close::reason(&error.message).to_owned();
        Self { answer: Some(Response::error(id, error).into()), code, reason, guessed: false }
    }

    fn invalid(id: &str, message: impl Into<String>) -> Self {
        Self::answered(id, close::POLICY_VIOLATION, ErrorShape::invalid_request(message))
    }

    fn guessed(self) -> Self {
        Self { guessed: true, ..self }
    }
}

impl Handshake {
    /// Reads the first frame as far as the device's signature.
    pub(crate) fn read(
        &self,
        text: &str,
        now_ms: i64,
        auth: &Auth,
        allowed_origins: &[String],
    ) -> Result<Claim, Refusal> {
        let Request { id, method, params } = Request::parse(text).map_err(|error| match error {
            FrameError::NotJson => Refusal::silent(close::NORMAL, ""),
            FrameError::NotRequest { .. } => {
                Refusal::silent(close::POLICY_VIOLATION, close::REASON_INVALID_FRAME)
            }
        })?;
        if method != connect::METHOD {
            return Err(Refusal::invalid(&id, "invalid handshake: first request must be connect"));
        }
        let connect = ConnectParams::read(params).map_err(|problems| {
            Refusal::invalid(&id, format!("invalid connect params: {problems}"))
        })?;
        if !connect.speaks(PROTOCOL_VERSION) {
            let error = ErrorShape::invalid_request("protocol mismatch")
                .with_details(json!({"expectedProtocol": PROTOCOL_VERSION}));
            return Err(Refusal::answered(&id, close::PROTOCOL_ERROR, error));
        }
        let role =
            Role::parse(connect.role()).ok_or_else(|| Refusal::invalid(&id, "invalid role"))?;
        let client = if connect.client.is_browser() { Client::Browser } else { Client::Native };
        let (page, host) = (self.origin.as_deref(), self.host.as_deref());
        let origin = may_approach(client, page, host, allowed_origins)
            .map_err(|refusal| Refusal::invalid(&id, refusal.to_string()))?;
        let (shared, failure) = auth.judge(&connect);
        let device = self.device(&id, &connect, shared, failure, now_ms)?;
        // Scopes are bound to a device: without one there are none.
        let scopes = device.as_ref().map(|_| Scopes::parse(&connect.scopes)).unwrap_or_default();
        let peer = self.peer;
        Ok(Claim { id, connect, role, scopes, shared, failure, origin, peer, device })
    }

    /// The device whose signature is good; `None` where none is needed.
    fn device(
        &self,
        id: &str,
        connect: &ConnectParams,
        shared: SharedSecret,
        failure: AuthFailure,
        now_ms: i64,
    ) -> Result<Option<(DeviceId, PublicKey)>, Refusal> {
        let Some(device) = &connect.device else {
            return if connect.client.is_control_ui() {
                Err(Refusal::invalid(id, "control ui requires HTTPS or localhost (secure context)"))
            } else if shared == SharedSecret::Valid {
                Ok(None)
            } else if connect.token().is_empty() && connect.password().is_empty() {
                let error = ErrorShape::new(ErrorCode::NotPaired, "device identity required");
                Err(Refusal::answered(id, close::POLICY_VIOLATION, error))
            } else {
                Err(Refusal::invalid(id, failure.message(&connect.client)).guessed())
            };
        };
        let without_nonce = match self.peer {
            claw_guard::Peer::LocalDirect => WithoutNonce::Accepted,
            claw_guard::Peer::Remote => WithoutNonce::Refused,
        };
        let challenge = Challenge { nonce: &self.nonce, now_ms, without_nonce };
        let key = device::check(connect, device, &challenge)
            .map_err(|error| Refusal::invalid(id, error.to_string()))?;
        Ok(Some((DeviceId::from(device.id.as_str()), key)))
    }
}

impl Claim {
    /// Judges the claim by what is known of its device, which is nothing for a new one.
    pub(crate) fn judge(&self, known: Option<&Paired>, mint: &Mint) -> Result<Verdict, Refusal> {
        if self.device.is_none() {
            return Ok(Verdict::Enter);
        }
        if self.shared != SharedSecret::Valid {
            return self.judge_device_token(known, mint).map(|()| Verdict::Enter);
        }
        if known.is_some_and(|device| device.covers(self.role, &self.scopes)) {
            return Ok(Verdict::Enter);
        }
        Ok(match may_pair_silently(self.shared, self.peer, self.origin) {
            SilentPairing::Pair { rule } => Verdict::PairSilently { rule },
            SilentPairing::Ask { rule } => Verdict::Ask { rule },
        })
    }

    /// A token that is not the shared one may be the device's own.
    fn judge_device_token(&self, known: Option<&Paired>, mint: &Mint) -> Result<(), Refusal> {
        let offered = self.connect.token();
        let refuse = |failure: AuthFailure| {
            Refusal::invalid(&self.id, failure.message(&self.connect.client))
        };
        if offered.is_empty() {
            let refusal = refuse(self.failure);
            let guessed = self.shared == SharedSecret::Wrong;
            return Err(if guessed { refusal.guessed() } else { refusal });
        }
        let admits = |device: &Paired| mint.admits(device, self.role, &self.scopes, offered);
        if known.is_some_and(admits) {
            return Ok(());
        }
        Err(refuse(AuthFailure::DeviceTokenMismatch).guessed())
    }

    /// What the connection may do once it is in.
    pub(crate) fn caller(&self) -> Caller {
        Caller { role: self.role, scopes: self.scopes.clone() }
    }
}

#[cfg(test)]
mod tests;
