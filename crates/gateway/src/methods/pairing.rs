//! Who may write on a channel: `pairing.list`, `pairing.approve`.

use claw_delivery::{Error, pairing};
use claw_domain::ChannelId;
use claw_guard::Scope;
use claw_store::PairingRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Method, Reply, failed, operator, refused};

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "pairing.list",
        required: operator(Scope::Pairing),
        params: "{channel?: str+}",
        run: |call| Box::pin(list(call)),
    },
    Method {
        name: "pairing.approve",
        required: operator(Scope::Pairing),
        params: "{channel: str+, code: str+}",
        run: |call| Box::pin(approve(call)),
    },
];

#[derive(Deserialize)]
struct List {
    channel: Option<String>,
}

async fn list(call: &Call) -> Answer {
    let List { channel } = call.read()?;
    let core = &call.core;
    let channel = channel.map(ChannelId::from);
    let waiting = pairing::pending(&*core.store, core.scribe.now(), channel.as_ref());
    let waiting = waiting.await.map_err(failed)?;
    Ok(Reply::With(json!({"requests": waiting.iter().map(shown).collect::<Vec<_>>()})))
}

#[derive(Deserialize)]
struct Approve {
    channel: String,
    code: String,
}

async fn approve(call: &Call) -> Answer {
    let Approve { channel, code } = call.read()?;
    let core = &call.core;
    let channel = ChannelId::from(channel);
    let approved =
        pairing::approve(&*core.store, &core.fence, &core.scribe, &core.tries, &channel, &code);
    match approved.await {
        Ok(request) => Ok(Reply::With(json!({"ok": true, "request": shown(&request)}))),
        Err(error @ (Error::NoSuchCode { .. } | Error::TooManyTries)) => {
            let hint = error.hint();
            let refusal = refused(error.to_string());
            Err(refusal.with_details(json!({"hint": hint})).into())
        }
        Err(error) => Err(failed(error)),
    }
}

fn shown(request: &PairingRequest) -> Value {
    json!({
        "channel": request.channel, "accountId": request.account, "id": request.peer,
        "name": request.name, "code": request.code,
        "createdAt": request.created_at.as_millisecond(),
        "expiresAt": request.expires_at.as_millisecond(),
    })
}
