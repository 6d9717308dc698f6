//! Who may connect: `device.pair.list|approve|reject|setupCode`, `node.list`.

use claw_domain::DeviceId;
use claw_guard::Scope;
use serde::Deserialize;
use serde_json::json;
use tracing::info;

use super::{Answer, Call, Failure, Method, NOTHING, Reply, failed, operator, refused};
use crate::{
    admission::{find, keep, resolved},
    device::Paired,
    locked,
    pending::Request,
};

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "device.pair.list",
        required: operator(Scope::Pairing),
        params: NOTHING,
        run: |call| Box::pin(list(call)),
    },
    Method {
        name: "device.pair.approve",
        required: operator(Scope::Pairing),
        params: "{requestId: str+}",
        run: |call| Box::pin(approve(call)),
    },
    Method {
        name: "device.pair.reject",
        required: operator(Scope::Pairing),
        params: "{requestId: str+}",
        run: |call| Box::pin(reject(call)),
    },
    Method {
        name: "device.pair.setupCode",
        required: operator(Scope::Admin),
        params: NOTHING,
        run: |call| Box::pin(setup_code(call)),
    },
    Method {
        name: "node.list",
        required: operator(Scope::Read),
        params: NOTHING,
        run: |call| {
            Box::pin(async { Ok(Reply::With(json!({"ts": call.core.now_ms(), "nodes": []}))) })
        },
    },
];

async fn list(call: &Call) -> Answer {
    let core = &call.core;
    let pending: Vec<_> =
        locked(&core.pending).list(core.now_ms()).iter().map(Request::shown).collect();
    let paired = core.store.devices().await.map_err(failed)?.into_iter().filter_map(|device| {
        let paired: Paired = serde_json::from_value(device.record).ok()?;
        Some(paired.shown())
    });
    Ok(Reply::With(json!({"pending": pending, "paired": paired.collect::<Vec<_>>()})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decide {
    request_id: String,
}

/// Lets a waiting device in with exactly what was shown, and no more than the caller has itself.
async fn approve(call: &Call) -> Answer {
    let Decide { request_id } = call.read()?;
    let core = &call.core;
    let now = core.now_ms();
    let waiting = locked(&core.pending).find(&request_id, now).ok_or_else(unknown)?;
    let wish = &waiting.wish;
    let missing = wish.scopes.iter().find(|scope| !call.peer.caller.scopes.cover(*scope));
    if let Some(scope) = missing {
        return Err(refused(format!("missing scope: {scope}")));
    }
    let waiting = locked(&core.pending).take(&request_id, now).ok_or_else(unknown)?;
    let wish = waiting.wish;
    let id = DeviceId::from(wish.device_id.as_str());
    let known = find(core, &id).await.map_err(failed)?;
    let mut device = known.unwrap_or_else(|| Paired::new(&id, wish.public_key, now));
    device.let_in(wish.role, &wish.scopes, wish.about, now);
    device.ensure_token(wish.role, &wish.scopes, now);
    keep(core, &device).await.map_err(failed)?;
    info!(device = %id, by = %call.peer.id, "a device is paired");
    resolved(core, &request_id, &id, "approved");
    Ok(Reply::With(json!({"requestId": request_id, "device": device.shown()})))
}

async fn reject(call: &Call) -> Answer {
    let Decide { request_id } = call.read()?;
    let core = &call.core;
    let waiting = locked(&core.pending).take(&request_id, core.now_ms()).ok_or_else(unknown)?;
    let id = DeviceId::from(waiting.wish.device_id.as_str());
    resolved(core, &request_id, &id, "rejected");
    Ok(Reply::With(json!({"requestId": request_id, "deviceId": id})))
}

fn unknown() -> Failure {
    refused("unknown requestId")
}

async fn setup_code(call: &Call) -> Answer {
    let code = call.core.setup_code();
    Ok(Reply::With(json!({"code": code.code.expose(), "expiresAtMs": code.expires_at_ms})))
}
