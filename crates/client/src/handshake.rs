//! How a client introduces itself: challenge, `connect`, `hello-ok`.

use std::time::Duration;

use claw_domain::{Clock, Secret, SystemClock};
use claw_protocol::close;
use claw_protocol::connect::{Auth, CHALLENGE_EVENT, ConnectParams, METHOD};
use claw_protocol::device::Payload;
use claw_protocol::frame::{ErrorShape, Request, ServerFrame};
use claw_protocol::hello::HelloOk;
use claw_protocol::limits::PROTOCOL_VERSION;
use claw_protocol::scope::ROLE_OPERATOR;
use futures_util::SinkExt;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::connection::CLOSE_TIMEOUT;
use crate::socket::{Socket, broken, next_text};
use crate::{Error, Options};

/// How long the challenge is awaited; some gateways send none.
const CHALLENGE_WAIT: Duration = Duration::from_millis(750);

/// The id of the `connect` request.
const CONNECT_ID: &str = "connect";

/// What a gateway sends first.
struct Challenge {
    nonce: String,
    /// The gateway's clock, in milliseconds since 1970.
    ts: Option<i64>,
}

/// Introduces us as `options` say, with the device's stored `device_token` if there is one.
///
/// # Errors
/// [`Error::Closed`] with the gateway's answer when it refuses us.
pub(crate) async fn greet(
    socket: &mut Socket,
    options: &Options,
    device_token: Option<Secret>,
) -> Result<HelloOk, Error> {
    let challenge = match timeout(CHALLENGE_WAIT, challenge(socket)).await {
        Ok(challenge) => Some(challenge?),
        Err(_) => None,
    };
    let connect = connect_params(options, device_token, challenge);
    let request = Request { id: CONNECT_ID.into(), method: METHOD.into(), params: json!(connect) };
    socket.send(Message::text(request.encode())).await.map_err(|error| broken(&error))?;
    loop {
        let text = next_text(socket).await?;
        if let Some(ServerFrame::Response(response)) = ServerFrame::parse(&text)
            && response.id == CONNECT_ID
        {
            return match response.error {
                Some(error) => Err(refused(socket, error).await),
                None => serde_json::from_value(response.payload.unwrap_or_default())
                    .map_err(Error::Hello),
            };
        }
    }
}

/// # Cancel safety
/// Cancel-safe.
async fn challenge(socket: &mut Socket) -> Result<Challenge, Error> {
    loop {
        let text = next_text(socket).await?;
        if let Some(ServerFrame::Event(event)) = ServerFrame::parse(&text)
            && event.event == CHALLENGE_EVENT
            && let Some(nonce) = event.payload["nonce"].as_str()
        {
            return Ok(Challenge { nonce: nonce.into(), ts: event.payload["ts"].as_i64() });
        }
    }
}

fn connect_params(
    options: &Options,
    device_token: Option<Secret>,
    challenge: Option<Challenge>,
) -> ConnectParams {
    let token = options.token.clone().or(device_token);
    let auth = Auth { token, password: options.password.clone() };
    let mut connect = ConnectParams {
        min_protocol: PROTOCOL_VERSION.into(),
        max_protocol: PROTOCOL_VERSION.into(),
        client: options.client.clone(),
        caps: options.caps.clone(),
        commands: Vec::new(),
        permissions: Default::default(),
        path_env: None,
        role: Some(ROLE_OPERATOR.into()),
        scopes: options.scopes.clone(),
        device: None,
        auth: (auth.token.is_some() || auth.password.is_some()).then_some(auth),
        locale: None,
        user_agent: None,
    };
    if let Some(identity) = &options.identity {
        // The gateway compares with its own clock, so its clock is the better one to sign.
        let now = || SystemClock.now().as_millisecond();
        let proof = match challenge {
            Some(Challenge { nonce, ts }) => {
                identity.key().prove(Payload::V2, &connect, ts.unwrap_or_else(now), &nonce)
            }
            None => identity.key().prove(Payload::V1, &connect, now(), ""),
        };
        connect.device = Some(proof);
    }
    connect
}

/// The error of a gateway that refused us: it closes after its answer.
async fn refused(socket: &mut Socket, answer: ErrorShape) -> Error {
    let closed = timeout(CLOSE_TIMEOUT, async {
        loop {
            if let Err(error) = next_text(socket).await {
                return error;
            }
        }
    });
    let (code, reason) = match closed.await {
        Ok(Error::Closed { code, reason, .. }) if code != close::ABNORMAL => (code, reason),
        _ => (close::ABNORMAL, answer.message.clone()),
    };
    Error::Closed { code, reason, answer: Some(Box::new(answer)) }
}
