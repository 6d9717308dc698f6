//! What is answered to plain HTTP: health, readiness, the trade of a code, and the chat page.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use claw_domain::{DeviceId, Secret};
use claw_guard::{Client, Origin, Role, Scopes, may_approach};
use claw_protocol::{device::PublicKey, schema::Schema, scope};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::{
    admission::{find, keep, resolved, token_of},
    device::{About, Paired},
    gateway::Core,
    limits::{BODY_BYTES_MAX, BODY_TIMEOUT, READY_TIMEOUT},
    locked,
};

/// `clientId` in the record of a device that was paired by a code.
const CODE_CLIENT: &str = claw_protocol::connect::CLIENT_CONTROL_UI;

/// Whom a request comes from, put into it by whoever accepted the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CameFrom(pub(crate) SocketAddr);

/// Everything that is answered to plain HTTP.
pub(crate) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/auth/code", post(trade_code))
        .fallback(page)
        .with_state(core)
}

/// The header's text, when it is text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Alive, which is all that a stranger learns.
async fn health() -> Response {
    answer(StatusCode::OK, json!({"status": "ok"}))
}

/// Ready: the store takes writes, and every channel that is switched on is connected.
async fn ready(State(core): State<Arc<Core>>) -> Response {
    let broken = match timeout(READY_TIMEOUT, core.store.writable()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.in_short()),
        Err(_late) => Some("it does not answer"),
    };
    let stopping = core.stopping.is_cancelled() || core.delivery.is_stopping();
    let mut channels = serde_json::Map::new();
    let mut all_connected = true;
    for account in core.channels.accounts().iter().filter(|account| account.enabled) {
        all_connected &= account.connected;
        let id = format!("{}:{}", account.channel, account.account);
        channels.insert(id, json!({"running": account.running, "connected": account.connected}));
    }
    let ready = broken.is_none() && all_connected && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({"ready": ready, "store": "up", "channels": channels});
    if let Some(reason) = broken {
        body["store"] = "down".into();
        body["reason"] = format!("no new work is taken, because of the store: {reason}").into();
    } else if stopping {
        body["reason"] = "no new work is taken: the gateway is stopping".into();
    }
    answer(status, body)
}

/// What a browser sends to trade its code.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    code: Secret,
    device_id: String,
    public_key: String,
    display_name: Option<String>,
}

/// The schema of a [`Trade`]. A display name is shown to people, so it is short.
const TRADE: &str =
    "{code: str+≤128, deviceId: str+≤64, publicKey: str+≤64, displayName?: str≤100}";

/// Why a code was not traded.
enum NoTrade {
    /// The request is not one of our own page's.
    Refused(StatusCode, &'static str),
    /// The code does not work, or no longer.
    WrongCode,
    Store(claw_store::Error),
}

impl IntoResponse for NoTrade {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Refused(status, message) => (status, message.to_owned()),
            Self::WrongCode => (
                StatusCode::UNAUTHORIZED,
                "this code does not work, or no longer; `rusty-claw dashboard` makes a new one"
                    .into(),
            ),
            Self::Store(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        answer(status, json!({"error": {"message": message}}))
    }
}

async fn trade_code(
    State(core): State<Arc<Core>>,
    request: Request<Body>,
) -> Result<Response, NoTrade> {
    let address = request.extensions().get::<CameFrom>().map(|CameFrom(address)| *address);
    let ip = address.ok_or(NoTrade::Refused(StatusCode::BAD_REQUEST, "unknown sender"))?.ip();
    is_from_our_page(request.headers())?;
    let trade = read_trade(request).await?;
    let Some(public_key) = key_of(&trade) else {
        let message = "deviceId is not the hash of publicKey";
        return Err(NoTrade::Refused(StatusCode::BAD_REQUEST, message));
    };
    let worked = locked(&core.codes).spend(trade.code.expose(), core.now_ms());
    if !worked {
        let wait = locked(&core.throttle).wrong(core.scribe.now(), ip);
        sleep(wait).await;
        return Err(NoTrade::WrongCode);
    }
    let about = About {
        display_name: trade.display_name,
        platform: Some("web".into()),
        client_id: Some(CODE_CLIENT.into()),
        client_mode: Some(claw_protocol::connect::MODE_WEBCHAT.into()),
        remote_ip: Some(ip.to_string()),
    };
    let auth = pair(&core, &public_key, about).await.map_err(NoTrade::Store)?;
    Ok(answer(StatusCode::OK, auth))
}

/// Refuses what a foreign page could have sent. A program of its own sends no Origin.
fn is_from_our_page(headers: &HeaderMap) -> Result<(), NoTrade> {
    let (origin, host) = (text(headers, &header::ORIGIN), text(headers, &header::HOST));
    let own =
        matches!(may_approach(Client::Native, origin, host, &[]), Ok(Origin::Own | Origin::Absent));
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !own || site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(NoTrade::Refused(
            StatusCode::FORBIDDEN,
            "only the gateway's own page may ask this",
        ));
    }
    // A form can send no JSON, so that a page elsewhere cannot send this without being asked.
    let json = text(headers, &header::CONTENT_TYPE).is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if json {
        Ok(())
    } else {
        Err(NoTrade::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"))
    }
}

async fn read_trade(request: Request<Body>) -> Result<Trade, NoTrade> {
    let refused = |status, message| NoTrade::Refused(status, message);
    let body = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_BYTES_MAX)).await;
    let body = body
        .map_err(|_late| refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?
        .map_err(|_large| refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|_broken| refused(StatusCode::BAD_REQUEST, "the body is not JSON"))?;
    let schema = Schema::parse(TRADE).expect("the notation is a constant that a test reads");
    schema.read(body).map_err(|_problems| {
        refused(StatusCode::BAD_REQUEST, "expected {code, deviceId, publicKey, displayName?}")
    })
}

fn key_of(trade: &Trade) -> Option<PublicKey> {
    let bytes = URL_SAFE_NO_PAD.decode(&trade.public_key).ok()?;
    let key = PublicKey::try_from(bytes).ok()?;
    (key.id() == trade.device_id).then_some(key)
}

/// Pairs a browser as the owner's: what the page asks for, and nothing that it says.
async fn pair(core: &Core, key: &PublicKey, about: About) -> Result<Value, claw_store::Error> {
    let id = DeviceId::from(key.id());
    let now = core.now_ms();
    let known = find(core, &id).await?;
    let mut device = known.unwrap_or_else(|| Paired::new(&id, key.to_string(), now));
    let scopes = Scopes::parse(scope::COMMAND_LINE);
    device.let_in(Role::Operator, &scopes, about, now);
    device.ensure_token(Role::Operator, &scopes, now);
    keep(core, &device).await?;
    info!(device = %id, rule = "pair-code", "a device is paired");
    resolved(core, &uuid::Uuid::new_v4().to_string(), &id, "approved");
    Ok(json!(token_of(core, &device, Role::Operator.as_str())))
}

/// A file of the page. Any other path is a place within the page, except where we answer
/// ourselves.
async fn page(State(core): State<Arc<Core>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let ours = path == "/rpc" || path.starts_with("/rpc/") || path.starts_with("/auth");
    let served = core.setup.load().control_ui.enabled
        && matches!(*request.method(), Method::GET | Method::HEAD);
    if ours || !served {
        return StatusCode::NOT_FOUND.into_response();
    }
    let asset = claw_web::page(path).or_else(|| {
        // Files whose names carry a hash are there or they are not.
        (!path.starts_with("/assets/")).then(|| claw_web::page("/")).flatten()
    });
    let Some(asset) = asset else { return StatusCode::NOT_FOUND.into_response() };
    let mut headers = HeaderMap::new();
    for (name, value) in claw_web::SECURITY_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(asset.cache_control()));
    match HeaderValue::from_str(&asset.etag) {
        Ok(etag) => drop(headers.insert(header::ETAG, etag)),
        Err(error) => warn!(%error, "an embedded file has an etag that is no header"),
    }
    if text(request.headers(), &header::IF_NONE_MATCH) == Some(asset.etag.as_str()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Body::from(asset.bytes.into_owned())).into_response()
}

fn answer(status: StatusCode, body: Value) -> Response {
    let headers =
        [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], status: Option<StatusCode>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header's name");
            map.insert(name, value.parse().expect("a header's value"));
        }
        let refused = is_from_our_page(&map).err().map(|refusal| refusal.into_response().status());
        assert_eq!(refused, status, "{headers:?}");
    }

    #[test]
    fn only_our_own_page_or_a_program_may_trade_a_code() {
        // SEC-72
        let (host, json) = (("host", "127.0.0.1:18789"), ("content-type", "application/json"));
        check(&[host, json], None);
        check(&[host, json, ("origin", "http://127.0.0.1:18789")], None);
        check(&[host, json, ("sec-fetch-site", "same-origin")], None);
        for foreign in [
            ("origin", "http://localhost:3000"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
        ] {
            check(&[host, json, foreign], Some(StatusCode::FORBIDDEN));
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            check(&[host, ("content-type", kind)], Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
    }

    #[test]
    fn the_schema_of_a_trade_is_well_formed() {
        Schema::parse(TRADE).expect("it reads");
    }
}
