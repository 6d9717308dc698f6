//! Who is connected, and how one event reaches all of them in one order.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, atomic::AtomicUsize},
};

use claw_domain::SessionKey;
use claw_guard::{Caller, may_hear};
use claw_protocol::frame::{Event, StateVersion};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use crate::{
    limits::{FOLLOWED_SESSIONS_MAX, Limits},
    locked,
    mailbox::{Budget, Mailbox, Patience},
};

/// A connected client.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Names the connection in logs and in `hello-ok`.
    pub(crate) id: Uuid,
    /// What it may do, decided when it came in.
    pub(crate) caller: Caller,
    /// `client.id`.
    pub(crate) client: Box<str>,
    /// Whether it declared that it wants tool events.
    pub(crate) wants_tools: bool,
    /// Whether the shared secret let it in, so that changing that one ends it.
    pub(crate) by_shared_secret: bool,
    pub(crate) mailbox: Mailbox,
    followed: Mutex<VecDeque<SessionKey>>,
}

impl Peer {
    pub(crate) fn new(
        hub: &Hub,
        id: Uuid,
        caller: Caller,
        client: &str,
        wants_tools: bool,
        by_shared_secret: bool,
    ) -> Self {
        Self {
            id,
            caller,
            client: client.into(),
            wants_tools,
            by_shared_secret,
            mailbox: Mailbox::new(Arc::clone(&hub.budget)),
            followed: Mutex::default(),
        }
    }

    /// Lets it hear the tools of a session that it writes to.
    pub(crate) fn follow(&self, session: &SessionKey) {
        if !self.wants_tools {
            return;
        }
        let mut followed = locked(&self.followed);
        followed.retain(|known| known != session);
        followed.push_back(session.clone());
        if followed.len() > FOLLOWED_SESSIONS_MAX {
            followed.pop_front();
        }
    }

    fn follows(&self, session: &SessionKey) -> bool {
        self.wants_tools && locked(&self.followed).contains(session)
    }
}

/// All connected clients, and the one sequence of broadcasts.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct State {
    seq: u64,
    version: StateVersion,
    peers: HashMap<Uuid, Arc<Peer>>,
}

/// Shared state whose version goes with its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Presence,
    Health,
}

impl News {
    pub(crate) fn event(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Health => claw_protocol::health::EVENT,
        }
    }
}

impl Hub {
    pub(crate) fn new(limits: &Limits) -> Self {
        let budget = Budget {
            used: AtomicUsize::new(0),
            socket_max: limits.socket_bytes_max,
            total_max: limits.sockets_bytes_max,
        };
        let version = StateVersion { presence: 1, health: 1 };
        let state = State { seq: 0, version, peers: HashMap::new() };
        Self { state: Mutex::new(state), budget: Arc::new(budget) }
    }

    /// Sends an event to everybody who may hear it; encoded once, and not at all without sockets.
    pub(crate) fn broadcast(
        &self,
        event: &str,
        patience: Patience,
        payload: impl FnOnce() -> Value,
    ) {
        self.send(event, patience, None, payload);
    }

    /// Broadcasts shared state under its present version. Never closes a socket.
    pub(crate) fn broadcast_news(&self, news: News, payload: Value) {
        let version = self.version();
        let event = news.event();
        self.send(event, Patience::Newest(event), Some(version), || payload);
    }

    fn send(
        &self,
        event: &str,
        patience: Patience,
        state_version: Option<StateVersion>,
        payload: impl FnOnce() -> Value,
    ) {
        let mut state = locked(&self.state);
        state.seq += 1;
        if state.peers.is_empty() {
            return;
        }
        let event = Event { state_version, ..Event::broadcast(event, payload(), state.seq) };
        let frame = Utf8Bytes::from(event.encode());
        for peer in state.peers.values() {
            if may_hear(&event.event, &peer.caller) {
                peer.mailbox.event(frame.clone(), patience);
            }
        }
    }

    /// Sends a tool event, which has no place in the sequence, to those who follow its session.
    pub(crate) fn tell_followers(
        &self,
        session: &SessionKey,
        event: &str,
        payload: impl FnOnce() -> Value,
    ) {
        let state = locked(&self.state);
        let mut followers = state.peers.values().filter(|peer| peer.follows(session)).peekable();
        if followers.peek().is_none() {
            return;
        }
        let frame = Utf8Bytes::from(Event::targeted(event, payload()).encode());
        for peer in followers {
            peer.mailbox.event(frame.clone(), Patience::Must);
        }
    }

    /// Lets a client in: `hello` first, then `health` for it alone, then whatever is broadcast.
    ///
    /// Its `health` carries the number of the newest broadcast, so that the next one leaves no gap.
    pub(crate) fn enter(
        &self,
        peer: &Arc<Peer>,
        hello: impl FnOnce(StateVersion) -> String,
        health: Value,
    ) {
        let mut state = locked(&self.state);
        peer.mailbox.response(hello(state.version).into());
        let event = News::Health.event();
        let health = Event {
            state_version: Some(state.version),
            ..Event::broadcast(event, health, state.seq)
        };
        peer.mailbox.event(health.encode().into(), Patience::Newest(event));
        state.peers.insert(peer.id, Arc::clone(peer));
    }

    /// Forgets a client that is gone.
    pub(crate) fn leave(&self, id: Uuid) {
        locked(&self.state).peers.remove(&id);
    }

    /// Counts a change of shared state.
    pub(crate) fn changed(&self, news: News) {
        let version = &mut locked(&self.state).version;
        match news {
            News::Presence => version.presence += 1,
            News::Health => version.health += 1,
        }
    }

    pub(crate) fn version(&self) -> StateVersion {
        locked(&self.state).version
    }

    /// Closes the sockets that `which` names, after what waits for them.
    pub(crate) fn close(&self, code: u16, reason: &'static str, which: impl Fn(&Peer) -> bool) {
        for peer in locked(&self.state).peers.values().filter(|peer| which(peer)) {
            peer.mailbox.close(code, reason);
        }
    }

    /// Whether nobody is connected.
    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.state).peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use claw_guard::{Role, Scopes};
    use serde_json::json;

    use super::*;
    use crate::mailbox::Step;

    fn hub() -> Hub {
        Hub::new(&Limits::default())
    }

    fn enter(hub: &Hub, scopes: &[&str], wants_tools: bool) -> Arc<Peer> {
        let caller = Caller { role: Role::Operator, scopes: Scopes::parse(scopes) };
        let peer = Arc::new(Peer::new(hub, Uuid::new_v4(), caller, "cli", wants_tools, true));
        hub.enter(&peer, |_| "hello".into(), json!({}));
        peer
    }

    async fn heard(peer: &Peer, frames: usize) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..frames {
            match peer.mailbox.next().await {
                Step::Send(frame) => heard.push(frame.to_string()),
                Step::Close(..) => panic!("nobody closes it"),
            }
        }
        heard
    }

    #[tokio::test]
    async fn a_client_hears_hello_then_health_then_the_sequence_without_a_gap() {
        let hub = hub();
        hub.broadcast("chat", Patience::Must, || json!({}));
        let peer = enter(&hub, &[], false);
        hub.broadcast("tick", Patience::May, || json!({"ts": 1}));
        assert_eq!(
            heard(&peer, 3).await,
            [
                "hello",
                r#"{"type":"event","event":"health","payload":{},"seq":1,"stateVersion":{"presence":1,"health":1}}"#,
                r#"{"type":"event","event":"tick","payload":{"ts":1},"seq":2}"#,
            ]
        );
    }

    #[tokio::test]
    async fn guarded_events_pass_by_those_without_the_scope_and_still_count() {
        let hub = hub();
        let (reader, pairer) =
            (enter(&hub, &["operator.read"], false), enter(&hub, &["operator.pairing"], false));
        hub.broadcast("device.pair.requested", Patience::May, || json!({}));
        hub.broadcast("tick", Patience::May, || json!({}));
        let tick = r#"{"type":"event","event":"tick","payload":{},"seq":2}"#;
        assert_eq!(heard(&reader, 3).await[2], tick);
        assert_eq!(heard(&pairer, 4).await[3], tick);
    }

    #[tokio::test]
    async fn tool_events_reach_only_those_who_asked_and_wrote_there() {
        let hub = hub();
        let session = SessionKey::from("agent:main:main");
        let (asked, silent) = (enter(&hub, &[], true), enter(&hub, &[], false));
        let elsewhere = enter(&hub, &[], true);
        asked.follow(&session);
        silent.follow(&session);
        elsewhere.follow(&"agent:main:other".into());
        hub.tell_followers(&session, "agent", || json!({"stream": "tool"}));
        hub.broadcast("tick", Patience::May, || json!({}));
        let tool = r#"{"type":"event","event":"agent","payload":{"stream":"tool"}}"#;
        assert_eq!(heard(&asked, 3).await[2], tool);
        assert!(heard(&silent, 3).await[2].contains("tick"));
        assert!(heard(&elsewhere, 3).await[2].contains("tick"));
    }

    #[test]
    fn a_client_follows_a_bounded_number_of_sessions() {
        let hub = hub();
        let peer = enter(&hub, &[], true);
        for number in 0..=FOLLOWED_SESSIONS_MAX {
            peer.follow(&SessionKey::from(format!("agent:main:{number}")));
        }
        assert!(!peer.follows(&"agent:main:0".into()));
        assert!(peer.follows(&"agent:main:1".into()));
    }
}
