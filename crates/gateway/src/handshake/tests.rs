use claw_domain::Secret;
use claw_guard::Peer;
use claw_protocol::device::{DeviceKey, Payload};
use serde_json::Value;

use super::*;
use crate::{auth::AuthMode, device::About};

const NOW: i64 = 1_795_252_604_847;
const NONCE: &str = "n-1";
const ADMIN: &[&str] = &["operator.admin"];

/// One attempt, right in everything that a test does not change.
struct Attempt {
    peer: Peer,
    origin: Option<&'static str>,
    client: (&'static str, &'static str),
    role: &'static str,
    auth: Value,
    scopes: Vec<&'static str>,
    with_device: bool,
    payload: Payload,
    known: Option<&'static [&'static str]>,
    spoil: fn(&mut Value),
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            peer: Peer::LocalDirect,
            origin: None,
            client: ("cli", "cli"),
            role: "operator",
            auth: json!({"token": "right"}),
            scopes: vec!["operator.admin"],
            with_device: true,
            payload: Payload::V2,
            known: None,
            spoil: |_| {},
        }
    }
}

fn auth() -> Auth {
    Auth { mode: AuthMode::Token, token: Some(Secret::new("right")), password: None }
}

fn mint() -> Mint {
    Mint::new(&Secret::new("a key of this gateway"))
}

impl Attempt {
    /// What comes of it: the verdict and the scopes, or the refusal's text.
    fn judged(&self) -> Result<(Verdict, Scopes), Refusal> {
        let (id, mode) = self.client;
        let mut params = json!({
            "minProtocol": 3, "maxProtocol": 3,
            "client": {"id": id, "version": "1", "platform": "linux", "mode": mode},
            "role": self.role, "scopes": self.scopes, "auth": self.auth,
        });
        let key = DeviceKey::generate();
        if self.auth["token"] == "device" {
            let token = mint().token(&key.public().id(), self.role, 1);
            params["auth"]["token"] = token.expose().into();
        }
        if self.with_device {
            let connect = ConnectParams::read(params.clone()).expect("valid");
            let nonce = if self.payload == Payload::V1 { "" } else { NONCE };
            params["device"] = json!(key.prove(self.payload, &connect, NOW, nonce));
            if nonce.is_empty() {
                params["device"].as_object_mut().expect("an object").remove("nonce");
            }
        }
        (self.spoil)(&mut params);
        let handshake = Handshake {
            nonce: NONCE.into(),
            peer: self.peer,
            origin: self.origin.map(Into::into),
            host: Some("127.0.0.1:18789".into()),
        };
        let request = Request { id: "r1".into(), method: "connect".into(), params };
        let claim = handshake.read(&request.encode(), NOW, &auth(), &[])?;
        let known = self.known.map(|scopes| {
            let scopes = Scopes::parse(scopes);
            let mut known = Paired::new(&key.public().id().into(), key.public().to_string(), 1);
            known.let_in(Role::Operator, &scopes, About::default(), 1);
            known.ensure_token(Role::Operator, &scopes, 1);
            known
        });
        claim.judge(known.as_ref(), &mint()).map(|verdict| (verdict, claim.scopes))
    }

    #[track_caller]
    fn enters_with(self, scopes: &[&str]) {
        assert_eq!(self.judged(), Ok((Verdict::Enter, Scopes::parse(scopes))));
    }

    #[track_caller]
    fn comes_to(self, verdict: Verdict) {
        assert_eq!(self.judged().map(|(verdict, _)| verdict), Ok(verdict));
    }

    /// Refused with this text in the answer and in the close.
    #[track_caller]
    fn refused_with(self, message: &str) -> Refusal {
        let refusal = self.judged().expect_err("refused");
        let error = refusal.answer.as_ref().and_then(|answer| answer.error.clone());
        assert_eq!(error.expect("an error").message, message);
        assert_eq!(refusal.reason, close::reason(message));
        refusal
    }
}

#[test]
fn a_first_frame_that_is_no_connect_is_refused_as_captured() {
    let handshake =
        Handshake { nonce: NONCE.into(), peer: Peer::LocalDirect, origin: None, host: None };
    for (text, code, reason) in [
        ("not json", 1000, ""),
        (r#"{"type":"hello"}"#, 1008, "invalid request frame"),
        ("[]", 1008, "invalid request frame"),
        (
            r#"{"type":"req","id":"1","method":"health"}"#,
            1008,
            "invalid handshake: first request must be connect",
        ),
        (
            r#"{"type":"req","id":"1","method":"connect"}"#,
            1008,
            "invalid connect params: must be object",
        ),
    ] {
        let refusal = handshake.read(text, NOW, &auth(), &[]).expect_err(text);
        assert_eq!((refusal.code, refusal.reason.as_str()), (code, reason), "{text}");
    }
}

#[test]
fn versions_and_roles_that_are_not_spoken_here_are_refused() {
    let refusal =
        Attempt { spoil: |params| params["minProtocol"] = 4.into(), ..Attempt::default() }
            .refused_with("protocol mismatch");
    assert_eq!(refusal.code, close::PROTOCOL_ERROR);
    Attempt { role: "worker", ..Attempt::default() }.refused_with("invalid role");
}

#[test]
fn a_new_device_with_the_shared_secret_is_paired_from_here_and_asked_about_from_elsewhere() {
    Attempt::default().comes_to(Verdict::PairSilently { rule: "pair-local-secret" });
    // SEC-28a: loopback alone is not enough, and elsewhere the secret alone is not.
    let remote = Attempt { peer: Peer::Remote, ..Attempt::default() };
    remote.comes_to(Verdict::Ask { rule: "pair-remote" });
}

#[test]
fn a_page_on_another_loopback_port_is_asked_about() {
    // SEC-04
    let page = ("openclaw-control-ui", "webchat");
    let own = Some("http://127.0.0.1:18789");
    let other = Some("http://localhost:3000");
    Attempt { client: page, origin: own, ..Attempt::default() }
        .comes_to(Verdict::PairSilently { rule: "pair-local-secret" });
    Attempt { client: page, origin: other, ..Attempt::default() }
        .comes_to(Verdict::Ask { rule: "pair-foreign-origin" });
    // SEC-05: whatever it says that it is.
    for client in [page, ("cli", "cli")] {
        Attempt { client, origin: Some("https://evil.example"), ..Attempt::default() }.refused_with(
            "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)",
        );
    }
}

#[test]
fn without_a_device_the_shared_secret_gives_a_connection_and_no_scope() {
    // SEC-06
    Attempt { with_device: false, ..Attempt::default() }.enters_with(&[]);
    Attempt {
        with_device: false,
        client: ("openclaw-control-ui", "webchat"),
        origin: Some("http://127.0.0.1:18789"),
        ..Attempt::default()
    }
    .refused_with("control ui requires HTTPS or localhost (secure context)");
}

#[test]
fn without_device_and_secret_there_is_no_way_in() {
    // SEC-03
    let refusal = Attempt { with_device: false, auth: json!({}), ..Attempt::default() }
        .refused_with("device identity required");
    assert_eq!(
        refusal.answer.expect("answered").error.expect("an error").code,
        ErrorCode::NotPaired
    );
    let guess = Attempt { with_device: false, auth: json!({"token": "wrong"}), ..Attempt::default() }
        .refused_with("unauthorized: gateway token mismatch (set gateway.remote.token to match gateway.auth.token)");
    assert!(guess.guessed);
    Attempt { with_device: false, auth: json!({"password": "right"}), ..Attempt::default() }
        .refused_with("unauthorized: gateway token missing (set gateway.remote.token to match gateway.auth.token)");
}

#[test]
fn a_paired_device_enters_by_its_own_token_with_no_more_than_that_token_covers() {
    let device = json!({"token": "device"});
    let attempt = |known, scopes| Attempt {
        auth: device.clone(),
        peer: Peer::Remote,
        known,
        scopes,
        ..Attempt::default()
    };
    attempt(Some(ADMIN), vec!["operator.read"]).enters_with(&["operator.read"]);
    // SEC-12
    let mismatch = "unauthorized: device token mismatch (rotate/reissue device token)";
    attempt(Some(&["operator.read"]), vec!["operator.admin"]).refused_with(mismatch);
    attempt(None, vec!["operator.read"]).refused_with(mismatch);
}

#[test]
fn a_wrong_token_with_a_device_is_a_device_token_mismatch_and_a_guess() {
    let refusal =
        Attempt { auth: json!({"token": "wrong"}), known: Some(ADMIN), ..Attempt::default() }
            .refused_with("unauthorized: device token mismatch (rotate/reissue device token)");
    assert!(refusal.guessed);
    let silent = Attempt { auth: json!({}), ..Attempt::default() }.refused_with(
        "unauthorized: gateway token missing (set gateway.remote.token to match gateway.auth.token)",
    );
    assert!(!silent.guessed);
}

#[test]
fn a_known_device_that_asks_for_more_is_asked_about_like_a_new_one() {
    // SEC-11
    let attempt = |peer, scopes| Attempt {
        peer,
        scopes,
        known: Some(&["operator.read"]),
        ..Attempt::default()
    };
    attempt(Peer::Remote, vec!["operator.read"]).enters_with(&["operator.read"]);
    attempt(Peer::Remote, vec!["operator.admin"]).comes_to(Verdict::Ask { rule: "pair-remote" });
}

#[test]
fn a_signature_is_good_for_this_connection_only() {
    // SEC-74: a replay carries the nonce of another connection.
    let replay: fn(&mut Value) = |params| params["device"]["nonce"] = "n-0".into();
    Attempt { spoil: replay, ..Attempt::default() }.refused_with("device nonce mismatch");
    // SEC-07: what it asks for is bound before it is in.
    let widened: fn(&mut Value) =
        |params| params["scopes"] = json!(["operator.admin", "operator.read"]);
    Attempt { spoil: widened, ..Attempt::default() }.refused_with("device signature invalid");
    // A signature without a nonce is worth something from this machine only.
    Attempt { payload: Payload::V1, known: Some(ADMIN), ..Attempt::default() }.enters_with(ADMIN);
    Attempt { payload: Payload::V1, peer: Peer::Remote, ..Attempt::default() }
        .refused_with("device nonce required");
}
