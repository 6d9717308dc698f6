//! The methods that clients can call: one table, one way in.
//!
//! A row says the method's name, who may call it, which parameters it takes and what it does. The
//! scope is checked before anything else, so that nobody learns from an error what they may not use.

mod agent;
mod agents;
mod channels;
mod chat;
mod config;
mod devices;
mod health;
mod letters;
mod pairing;
mod sessions;

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, LazyLock},
};

use claw_delivery::SessionScope;
use claw_domain::SessionKey;
use claw_guard::{Required, Scope, may_call};
use claw_protocol::{
    connect,
    frame::{ErrorShape, FrameError, Request, Response},
    schema::Schema,
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tracing::{debug, warn};

use crate::{gateway::Core, hub::Peer, limits::SESSION_KEY_CHARS_MAX};

/// The parameters of a method that looks at none.
const ANYTHING: &str = "any";
/// The parameters of a method that takes none.
const NOTHING: &str = "{}";

/// A row of the table.
struct Method {
    name: &'static str,
    required: Required,
    /// In the notation of [`Schema`].
    params: &'static str,
    run: for<'a> fn(&'a Call) -> BoxFuture<'a, Answer>,
}

/// What a client is told of a call that failed.
type Failure = Box<ErrorShape>;

/// What a method comes to.
type Answer = Result<Reply, Failure>;

/// How a method answered.
enum Reply {
    /// With this.
    With(Value),
    /// It has sent its answers already.
    Sent,
}

/// One call of a method.
struct Call {
    core: Arc<Core>,
    peer: Arc<Peer>,
    id: String,
    params: Value,
    schema: &'static Schema,
    name: &'static str,
}

struct Registry {
    names: Vec<&'static str>,
    rows: HashMap<&'static str, (&'static Method, Schema)>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let groups = [
        health::METHODS,
        channels::METHODS,
        config::METHODS,
        agents::METHODS,
        sessions::METHODS,
        devices::METHODS,
        pairing::METHODS,
        agent::METHODS,
        chat::METHODS,
        letters::METHODS,
    ];
    let methods: Vec<&'static Method> = groups.into_iter().flatten().collect();
    let schema = |method: &Method| {
        Schema::parse(method.params).expect("the notation is a constant that a test reads")
    };
    Registry {
        names: methods.iter().map(|method| method.name).collect(),
        rows: methods.iter().map(|method| (method.name, (*method, schema(method)))).collect(),
    }
});

/// The names of all methods.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    REGISTRY.names.iter().copied()
}

/// The protocol's word for who shares a conversation.
pub(crate) fn scope_word(scope: SessionScope) -> &'static str {
    match scope {
        SessionScope::PerSender => "per-sender",
        SessionScope::Global => "global",
    }
}

/// Takes one frame of a client that is in. Its answers come through the client's mailbox.
pub(crate) fn dispatch(core: &Arc<Core>, peer: &Arc<Peer>, text: &str) {
    let request = match Request::parse(text) {
        Ok(request) => request,
        Err(FrameError::NotJson) => {
            debug!(connection = %peer.id, bytes = text.len(), "ignored a frame that is not JSON");
            return;
        }
        Err(error) => {
            let FrameError::NotRequest { id, .. } = &error else { return };
            let refusal = ErrorShape::invalid_request(error.to_string());
            peer.mailbox.response(Response::error(id, refusal).encode().into());
            return;
        }
    };
    let id = request.id.clone();
    match find(peer, request) {
        Err(refusal) => peer.mailbox.response(Response::error(id, *refusal).encode().into()),
        Ok((method, schema, params)) => {
            let (core, peer) = (Arc::clone(core), Arc::clone(peer));
            let call = Call { core, peer, id, params, schema, name: method.name };
            start(call, method);
        }
    }
}

/// The method that a request asks for, if its caller may call it.
fn find(
    peer: &Peer,
    request: Request,
) -> Result<(&'static Method, &'static Schema, Value), Failure> {
    let row = REGISTRY.rows.get(request.method.as_str());
    if row.is_none() && request.method == connect::METHOD {
        return Err(refused("connect is only valid as the first request"));
    }
    // What nobody has classified takes the widest scope.
    let required = row.map_or(Required::Operator(Scope::Admin), |(method, _)| method.required);
    may_call(required, &peer.caller).map_err(|refusal| refused(refusal.to_string()))?;
    let Some((method, schema)) = row else {
        let message = format!("unknown method: {}", request.method);
        return Err(refused(message));
    };
    let params = match request.params {
        Value::Null => Value::Object(Map::new()),
        params => params,
    };
    let problems = schema.validate(&params);
    if !problems.is_empty() {
        return Err(invalid(method.name, problems));
    }
    Ok((method, schema, params))
}

/// Runs a call in a task of its own: a client that leaves does not stop what it began.
fn start(call: Call, method: &'static Method) {
    call.peer.mailbox.call_began();
    let tasks = call.core.tasks.clone();
    let kill = call.core.kill.clone();
    let running = async move {
        // Counted down also when the method panics.
        let _ended = Ended(Arc::clone(&call.peer));
        match (method.run)(&call).await {
            Ok(Reply::With(payload)) => call.respond(Response::ok(call.id.as_str(), payload)),
            Ok(Reply::Sent) => {}
            Err(error) => call.respond(Response::error(call.id.as_str(), *error)),
        }
    };
    tasks.spawn(async move { kill.run_until_cancelled_owned(running).await });
}

struct Ended(Arc<Peer>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.mailbox.call_ended();
    }
}

impl Call {
    fn respond(&self, response: Response) {
        self.peer.mailbox.response(response.encode().into());
    }

    /// The parameters, which were validated already.
    fn read<Params: DeserializeOwned>(&self) -> Result<Params, Failure> {
        self.schema.read(self.params.clone()).map_err(|problems| invalid(self.name, problems))
    }

    /// The full key for what the client calls a session.
    fn session_key(&self, key: &str) -> Result<SessionKey, Failure> {
        within("session key", key, SESSION_KEY_CHARS_MAX)?;
        Ok(self.core.delivery.router().canonical(key))
    }
}

/// What a client is told of a mistake of its own.
fn refused(message: impl Into<String>) -> Failure {
    ErrorShape::invalid_request(message).into()
}

fn invalid(method: &str, problems: impl Display) -> Failure {
    refused(format!("invalid {method} params: {problems}"))
}

/// What a client is told of a failure of ours.
fn failed(error: impl Display) -> Failure {
    let message = format!("Error: {error}");
    warn!(%error, "a call failed");
    ErrorShape::unavailable(message).into()
}

/// What a client is told of work that was not taken: why, and what to do about it. Whoever asks for
/// the gateway's health next has it looked at anew.
fn not_taken(core: &Core, error: &claw_delivery::Error) -> Failure {
    core.health.forget();
    failed(with_hint(error, error.hint()))
}

/// A failure and what to do about it, in one line.
pub(crate) fn with_hint(error: &impl Display, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// Refuses a text that is too long.
fn within(what: &str, text: &str, chars_max: usize) -> Result<(), Failure> {
    if text.chars().nth(chars_max).is_none() {
        return Ok(());
    }
    let message = format!("the {what} is longer than {chars_max} characters");
    Err(refused(message))
}

const fn operator(scope: Scope) -> Required {
    Required::Operator(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_named_once_and_its_schema_is_well_formed() {
        assert_eq!(REGISTRY.names.len(), REGISTRY.rows.len());
    }

    #[test]
    fn what_looks_is_for_readers_and_what_changes_is_not() {
        // SEC-17, SEC-19: the whole table, so that a new row is looked at.
        let mut shown: Vec<String> = REGISTRY
            .names
            .iter()
            .map(|name| match REGISTRY.rows[name].0.required {
                Required::Operator(scope) => format!("{name} {scope}"),
                Required::Node => format!("{name} node"),
            })
            .collect();
        shown.sort();
        assert_eq!(
            shown,
            [
                "agent operator.write",
                "agent.identity.get operator.read",
                "agent.wait operator.write",
                "agents.list operator.read",
                "channels.status operator.read",
                "chat.abort operator.write",
                "chat.history operator.read",
                "chat.send operator.write",
                "config.get operator.read",
                "device.pair.approve operator.pairing",
                "device.pair.list operator.pairing",
                "device.pair.reject operator.pairing",
                "device.pair.setupCode operator.admin",
                "health operator.read",
                "inbox.list operator.read",
                "models.list operator.read",
                "node.list operator.read",
                "outbox.drop operator.admin",
                "outbox.list operator.read",
                "outbox.retry operator.admin",
                "pairing.approve operator.pairing",
                "pairing.list operator.pairing",
                "sessions.delete operator.admin",
                "sessions.list operator.read",
                "sessions.patch operator.admin",
                "sessions.preview operator.read",
                "sessions.reset operator.admin",
                "sessions.resolve operator.admin",
                "status operator.read",
                "system-presence operator.read",
                "why operator.read",
            ]
        );
    }
}
