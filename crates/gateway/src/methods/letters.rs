//! What became of messages and replies: `why`, `inbox.list`, `outbox.list`, `outbox.retry`,
//! `outbox.drop`. OpenClaw has none of these.

use claw_delivery::{Error, Incoming, Outgoing, ROWS_MAX};
use claw_domain::OutboxId;
use claw_guard::Scope;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Call, Failure, Method, Reply, failed, operator, refused, within};

/// Longest id that is looked up. Unit: characters.
const ID_CHARS_MAX: usize = 512;

/// Rows of a list when the caller names no number.
const ROWS_DEFAULT: usize = 100;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "why",
        required: operator(Scope::Read),
        params: "{id: str+}",
        run: |call| Box::pin(why(call)),
    },
    Method {
        name: "inbox.list",
        required: operator(Scope::Read),
        params: r#"{state?: "open" | "closed" | "all", limit?: int[1..1000]}"#,
        run: |call| Box::pin(inbox(call)),
    },
    Method {
        name: "outbox.list",
        required: operator(Scope::Read),
        params: r#"{state?: "open" | "pending" | "dead" | "sent" | "all", limit?: int[1..1000]}"#,
        run: |call| Box::pin(outbox(call)),
    },
    Method {
        name: "outbox.retry",
        required: operator(Scope::Admin),
        params: "{id?: str+, allDead?: bool}",
        run: |call| Box::pin(retry(call)),
    },
    Method {
        name: "outbox.drop",
        required: operator(Scope::Admin),
        params: "{id: str+}",
        run: |call| Box::pin(drop_part(call)),
    },
];

#[derive(Deserialize)]
struct Which {
    id: String,
}

#[derive(Deserialize)]
struct List {
    state: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Retry {
    id: Option<String>,
    all_dead: Option<bool>,
}

async fn why(call: &Call) -> Answer {
    let Which { id } = call.read()?;
    within("id", &id, ID_CHARS_MAX)?;
    match call.core.delivery.why(&id).await.map_err(failed)? {
        Some(story) => Ok(Reply::With(json!(story))),
        None => Err(refused(format!("nothing is known of {id}"))),
    }
}

async fn inbox(call: &Call) -> Answer {
    let List { state, limit } = call.read()?;
    let view = state.as_deref().and_then(Incoming::named).unwrap_or_default();
    let limit = limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
    let rows = call.core.delivery.incoming(view, limit).await.map_err(failed)?;
    Ok(Reply::With(json!({ "rows": rows })))
}

async fn outbox(call: &Call) -> Answer {
    let List { state, limit } = call.read()?;
    let view = state.as_deref().and_then(Outgoing::named).unwrap_or_default();
    let limit = limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
    let rows = call.core.delivery.outgoing(view, limit).await.map_err(failed)?;
    Ok(Reply::With(json!({ "rows": rows })))
}

async fn retry(call: &Call) -> Answer {
    let delivery = &call.core.delivery;
    let sent = match call.read()? {
        Retry { id: Some(id), all_dead: None | Some(false) } => {
            let id = outbox_id(&id)?;
            vec![(id, delivery.retry(id).await.map_err(told)?)]
        }
        Retry { id: None, all_dead: Some(true) } => delivery.retry_all().await.map_err(told)?,
        Retry { .. } => return Err(refused("name either an id or allDead")),
    };
    let sent: Vec<_> = sent.iter().map(|(id, copy)| json!({"id": id, "as": copy})).collect();
    Ok(Reply::With(json!({ "ok": true, "sent": sent })))
}

async fn drop_part(call: &Call) -> Answer {
    let Which { id } = call.read()?;
    let id = outbox_id(&id)?;
    call.core.delivery.drop_part(id).await.map_err(told)?;
    Ok(Reply::With(json!({ "ok": true, "id": id })))
}

fn outbox_id(id: &str) -> Result<OutboxId, Failure> {
    within("id", id, ID_CHARS_MAX)?;
    id.parse().map_err(|_no_uuid| refused(format!("no outbox row has the id {id}")))
}

/// What a client is told of what cannot be done, with what it can do instead.
fn told(error: Error) -> Failure {
    match &error {
        Error::NoSuchPart { .. }
        | Error::WrongState { .. }
        | Error::Busy { .. }
        | Error::Elsewhere { .. } => {
            refused(error.to_string()).with_details(json!({"hint": error.hint()})).into()
        }
        _ => failed(error),
    }
}
