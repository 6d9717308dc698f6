//! How a claim that holds up becomes a connected client: its device looked up, paired or refused.

use std::{net::IpAddr, sync::Arc};

use claw_domain::{DeviceId, EventBody};
use claw_guard::SharedSecret;
use claw_protocol::{
    agent, chat, close,
    connect::{CAP_TOOL_EVENTS, CHALLENGE_EVENT},
    frame::{ErrorCode, ErrorShape, Response, StateVersion},
    hello::{Features, HelloAuth, HelloOk, Policy, ServerInfo, SessionDefaults, Snapshot},
    limits::PROTOCOL_VERSION,
};
use serde_json::{Value, json};
use tracing::info;
use uuid::Uuid;

use crate::{
    device::{About, Paired},
    gateway::Core,
    handshake::{Claim, Refusal, Verdict},
    health::Age,
    hub::{News, Peer},
    locked,
    mailbox::Patience,
    methods,
    pending::{Asked, Wish},
    presence,
};

/// Close code for a failure of ours during the handshake (RFC 6455, section 7.4.1).
const INTERNAL_ERROR: u16 = 1011;

/// The events that a client can hear here.
const EVENTS: [&str; 9] = [
    CHALLENGE_EVENT,
    agent::EVENT,
    chat::EVENT,
    "presence",
    "tick",
    "shutdown",
    claw_protocol::health::EVENT,
    "device.pair.requested",
    "device.pair.resolved",
];

/// A client that is in.
pub(crate) struct Admitted {
    pub(crate) peer: Arc<Peer>,
    /// Its key in presence, if it is listed there.
    pub(crate) presence: Option<String>,
}

/// Decides on a claim, and lets the client in: its greeting is in its mailbox then.
pub(crate) async fn admit(core: &Core, claim: Claim, ip: IpAddr) -> Result<Admitted, Refusal> {
    let failed = |error: claw_store::Error| {
        let error =
            ErrorShape::unavailable(format!("Error: {}", methods::with_hint(&error, error.hint())));
        Refusal::answered(&claim.id, INTERNAL_ERROR, error)
    };
    let known = match &claim.device {
        Some((id, _)) => find(core, id).await.map_err(failed)?,
        None => None,
    };
    let verdict = claim.judge(known.as_ref(), &core.mint)?;
    let auth = match (&claim.device, verdict) {
        (None, _) => None,
        (Some((id, key)), Verdict::Ask { rule }) => {
            info!(device = %id, rule, "a device waits for approval");
            return Err(ask(core, &claim, key.to_string(), known.is_some(), ip));
        }
        (Some((id, key)), Verdict::Enter | Verdict::PairSilently { .. }) => {
            let now = core.now_ms();
            let mut device = known.unwrap_or_else(|| Paired::new(id, key.to_string(), now));
            let mut changed = false;
            if let Verdict::PairSilently { rule } = verdict {
                let about = About::of(&claim.connect.client, ip.to_string());
                device.let_in(claim.role, &claim.scopes, about, now);
                info!(device = %id, rule, "a device is paired");
                changed = true;
            }
            changed |= device.ensure_token(claim.role, &claim.scopes, now);
            if changed {
                keep(core, &device).await.map_err(failed)?;
            }
            if let Verdict::PairSilently { .. } = verdict {
                resolved(core, &Uuid::new_v4().to_string(), id, "approved");
            }
            Some(token_of(core, &device, claim.role.as_str()))
        }
    };
    let health = core.health(Age::Fresh).await.map_err(failed)?;
    Ok(enter(core, &claim, ip, auth.flatten(), health))
}

/// A paired device, as far as its record can be read.
pub(crate) async fn find(core: &Core, id: &DeviceId) -> Result<Option<Paired>, claw_store::Error> {
    let device = core.store.device(id).await?;
    // A record that cannot be read is no permission.
    Ok(device.and_then(|device| serde_json::from_value(device.record).ok()))
}

/// Keeps what is known of a device.
pub(crate) async fn keep(core: &Core, device: &Paired) -> Result<(), claw_store::Error> {
    let id = DeviceId::from(device.device_id.as_str());
    let paired = EventBody::DevicePaired { device: id, record: json!(device) };
    core.log(None, [paired]).await.map(drop)
}

/// Tells those who may decide that it was decided.
pub(crate) fn resolved(core: &Core, request: &str, device: &DeviceId, decision: &str) {
    core.bus.hub().broadcast("device.pair.resolved", Patience::May, || {
        json!({"requestId": request, "deviceId": device, "decision": decision, "ts": core.now_ms()})
    });
}

/// The token of a device that has one, for the device itself.
pub(crate) fn token_of(core: &Core, device: &Paired, role: &str) -> Option<HelloAuth> {
    let token = device.tokens.get(role)?;
    Some(HelloAuth {
        device_token: Some(core.mint.token(&device.device_id, role, token.generation)),
        role: role.to_owned(),
        scopes: token.scopes.iter().cloned().collect(),
        issued_at_ms: Some(token.created_at_ms),
    })
}

/// Notes a device's wish and refuses it for now.
fn ask(core: &Core, claim: &Claim, public_key: String, is_repair: bool, ip: IpAddr) -> Refusal {
    let device_id = claim.device.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default();
    let wish = Wish {
        device_id,
        public_key,
        role: claim.role,
        scopes: claim.scopes.clone(),
        about: About::of(&claim.connect.client, ip.to_string()),
        is_repair,
    };
    let error = ErrorShape::new(ErrorCode::NotPaired, "pairing required");
    let error = match locked(&core.pending).ask(wish, core.now_ms()) {
        Asked::Full => error,
        Asked::Again(id) => error.with_details(json!({"requestId": id})),
        Asked::Anew(request) => {
            let shown = request.shown();
            core.bus.hub().broadcast("device.pair.requested", Patience::May, || shown);
            error.with_details(json!({"requestId": request.id}))
        }
    };
    Refusal::answered(&claim.id, close::POLICY_VIOLATION, error)
}

fn enter(
    core: &Core,
    claim: &Claim,
    ip: IpAddr,
    auth: Option<HelloAuth>,
    health: Value,
) -> Admitted {
    let id = Uuid::new_v4();
    let hub = core.bus.hub();
    let listed = presence::entry(&claim.connect, &id.to_string(), ip.to_string(), core.now_ms());
    let presence = listed.map(|(key, entry)| {
        locked(&core.presence).came(key.clone(), entry);
        hub.changed(News::Presence);
        key
    });
    let peer = Arc::new(Peer::new(
        hub,
        id,
        claim.caller(),
        &claim.connect.client.id,
        claim.connect.has_cap(CAP_TOOL_EVENTS),
        claim.shared == SharedSecret::Valid,
    ));
    let hello = |version: StateVersion| {
        let hello = hello(core, id, version, auth, health.clone());
        Response::ok(claim.id.as_str(), json!(hello)).encode()
    };
    hub.enter(&peer, hello, health.clone());
    // The others hear of it too, before long.
    core.health.changed.notify_one();
    info!(connection = %id, client = %claim.connect.client.id, role = %claim.role, "a client connected");
    Admitted { peer, presence }
}

fn hello(
    core: &Core,
    id: Uuid,
    state_version: StateVersion,
    auth: Option<HelloAuth>,
    health: Value,
) -> HelloOk {
    let router = core.delivery.router();
    let session = router.session_config();
    let about = &core.about;
    HelloOk {
        protocol: PROTOCOL_VERSION,
        server: ServerInfo {
            version: about.version.clone(),
            commit: None,
            host: Some(about.host.clone()),
            conn_id: id.to_string(),
        },
        features: Features {
            methods: methods::names().map(Into::into).collect(),
            events: EVENTS.map(Into::into).into(),
        },
        snapshot: Snapshot {
            presence: core.present(),
            health,
            state_version,
            uptime_ms: u64::try_from(core.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            config_path: Some(about.config_path.display().to_string()),
            state_dir: Some(about.state_dir.display().to_string()),
            session_defaults: Some(SessionDefaults {
                default_agent_id: router.default_agent().to_string(),
                main_key: session.main_key.clone(),
                main_session_key: router.main_session().to_string(),
                scope: methods::scope_word(session.scope).into(),
            }),
            auth_mode: Some(core.setup.load().auth.mode.as_str().into()),
        },
        canvas_host_url: None,
        auth,
        policy: Policy::default(),
    }
}
