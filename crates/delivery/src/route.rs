//! Which agent answers a message, and in which conversation.

use claw_domain::{AccountId, Address, AgentId, ChannelId, ChatKind, Sender, SessionKey};

use crate::config::{Binding, DmScope, PeerKind, SessionConfig, SessionScope};

/// Platforms that have their own word for a thread in session keys.
const THREAD_WORDS: &[(&str, &str)] = &[("telegram", "topic")];

/// Chooses agents and computes session keys. Pure.
#[derive(Debug, Clone)]
pub struct Router {
    default_agent: AgentId,
    agents: Vec<AgentId>,
    bindings: Vec<Binding>,
    session: SessionConfig,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Who answers.
    pub agent: AgentId,
    /// In which conversation.
    pub session: SessionKey,
    /// Which rule chose the agent: `peer`, `account`, `channel`, `default`.
    pub rule: &'static str,
}

impl Router {
    /// A router over these agents; the first is the default one.
    ///
    /// # Panics
    /// When `agents` is empty.
    pub fn new(agents: Vec<AgentId>, bindings: Vec<Binding>, session: SessionConfig) -> Self {
        let default_agent = agents.first().expect("a gateway has at least one agent").clone();
        Self { default_agent, agents, bindings, session }
    }

    /// The agent that answers where nothing else is bound.
    pub fn default_agent(&self) -> &AgentId {
        &self.default_agent
    }

    /// All agents.
    pub fn agents(&self) -> &[AgentId] {
        &self.agents
    }

    /// How conversations are kept apart.
    pub fn session_config(&self) -> &SessionConfig {
        &self.session
    }

    /// The key of the default agent's main conversation.
    pub fn main_session(&self) -> SessionKey {
        self.main_of(&self.default_agent)
    }

    /// Where a person's message goes.
    pub fn route(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        sender: &Sender,
        address: &Address,
    ) -> Routed {
        let (agent, rule) = self.agent_for(channel, account, sender, address);
        let session = self.session_for(&agent, channel, account, sender, address);
        Routed { agent, session, rule }
    }

    /// The full key for what a client calls a session: `main`, a bare key, or the key itself.
    pub fn canonical(&self, key: &str) -> SessionKey {
        let key = key.trim().to_lowercase();
        match key.as_str() {
            "global" | "unknown" => SessionKey::from(key),
            _ if self.session.scope == SessionScope::Global => SessionKey::from("global"),
            "" | "main" => self.main_session(),
            _ if key == self.session.main_key => self.main_session(),
            _ if key.starts_with("agent:") => SessionKey::from(key),
            _ => SessionKey::from(format!("agent:{}:{key}", self.default_agent)),
        }
    }

    /// Who answers in a conversation.
    pub fn agent_of(&self, session: &SessionKey) -> AgentId {
        session
            .agent()
            .filter(|agent| self.agents.contains(agent))
            .unwrap_or_else(|| self.default_agent.clone())
    }

    fn main_of(&self, agent: &AgentId) -> SessionKey {
        match self.session.scope {
            SessionScope::Global => SessionKey::from("global"),
            SessionScope::PerSender => {
                SessionKey::from(format!("agent:{agent}:{}", self.session.main_key))
            }
        }
    }

    fn agent_for(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        sender: &Sender,
        address: &Address,
    ) -> (AgentId, &'static str) {
        let here =
            |binding: &&Binding| binding.matches.channel.eq_ignore_ascii_case(channel.as_str());
        let on_account = |binding: &&Binding| match binding.matches.account_id.as_deref() {
            None => account.as_str() == "default",
            Some("*") => true,
            Some(name) => name == account.as_str(),
        };
        let bindings = || self.bindings.iter().filter(here);
        let by_peer = bindings().filter(on_account).find(|binding| {
            binding.matches.peer.as_ref().is_some_and(|peer| match (peer.kind, address.kind) {
                (PeerKind::Direct, ChatKind::Direct) => peer.id == sender.id.as_str(),
                (PeerKind::Group, ChatKind::Group) | (PeerKind::Channel, ChatKind::Channel) => {
                    peer.id == address.chat.as_str()
                }
                _ => false,
            })
        });
        let whole = || bindings().filter(|binding| binding.matches.peer.is_none());
        let by_account = || {
            whole()
                .filter(on_account)
                .find(|binding| binding.matches.account_id.as_deref() != Some("*"))
        };
        let by_channel =
            || whole().find(|binding| binding.matches.account_id.as_deref() == Some("*"));
        let found = by_peer
            .map(|binding| (binding, "peer"))
            .or_else(|| by_account().map(|binding| (binding, "account")))
            .or_else(|| by_channel().map(|binding| (binding, "channel")));
        match found {
            Some((binding, rule)) => (AgentId::from(binding.agent_id.as_str()), rule),
            None => (self.default_agent.clone(), "default"),
        }
    }

    fn session_for(
        &self,
        agent: &AgentId,
        channel: &ChannelId,
        account: &AccountId,
        sender: &Sender,
        address: &Address,
    ) -> SessionKey {
        if self.session.scope == SessionScope::Global {
            return SessionKey::from("global");
        }
        let base = match address.kind {
            ChatKind::Direct => {
                let peer = self.linked(channel, sender);
                match self.session.dm_scope {
                    DmScope::Main => return self.main_of(agent),
                    DmScope::PerPeer => format!("agent:{agent}:direct:{peer}"),
                    DmScope::PerChannelPeer => format!("agent:{agent}:{channel}:direct:{peer}"),
                    DmScope::PerAccountChannelPeer => {
                        format!("agent:{agent}:{channel}:{account}:direct:{peer}")
                    }
                }
            }
            ChatKind::Group => format!("agent:{agent}:{channel}:group:{}", address.chat),
            ChatKind::Channel => format!("agent:{agent}:{channel}:channel:{}", address.chat),
        };
        let key = match &address.thread {
            None => base,
            Some(thread) => format!("{base}:{}:{thread}", thread_word(channel)),
        };
        SessionKey::from(key.to_lowercase())
    }

    /// The person's one name when their ids are linked, else their id on this channel.
    fn linked(&self, channel: &ChannelId, sender: &Sender) -> String {
        let full = format!("{channel}:{}", sender.id);
        self.session
            .identity_links
            .iter()
            .find(|(_, ids)| ids.iter().any(|id| id.eq_ignore_ascii_case(&full)))
            .map_or_else(|| sender.id.to_string(), |(name, _)| name.clone())
    }
}

fn thread_word(channel: &ChannelId) -> &'static str {
    THREAD_WORDS
        .iter()
        .find(|(name, _)| *name == channel.as_str())
        .map_or("thread", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender { id: "1001".into(), name: Some("Ada".into()), username: None }
    }

    fn direct() -> Address {
        Address { chat: "1001".into(), kind: ChatKind::Direct, thread: None, title: None }
    }

    fn group(thread: Option<&str>) -> Address {
        Address {
            chat: "-100Z".into(),
            kind: ChatKind::Group,
            thread: thread.map(Into::into),
            title: None,
        }
    }

    fn router(session: &str, bindings: &str) -> Router {
        Router::new(
            vec!["main".into(), "ops".into()],
            serde_json::from_str(bindings).unwrap(),
            serde_json::from_str(session).unwrap(),
        )
    }

    fn check(session: &str, address: &Address, account: &str, key: &str) {
        let routed =
            router(session, "[]").route(&"telegram".into(), &account.into(), &sender(), address);
        assert_eq!(routed.session.as_str(), key);
    }

    #[test]
    fn every_dm_scope_has_its_own_key() {
        check("{}", &direct(), "default", "agent:main:main");
        check(r#"{"dmScope":"per-peer"}"#, &direct(), "default", "agent:main:direct:1001");
        check(
            r#"{"dmScope":"per-channel-peer"}"#,
            &direct(),
            "default",
            "agent:main:telegram:direct:1001",
        );
        check(
            r#"{"dmScope":"per-account-channel-peer"}"#,
            &direct(),
            "Work",
            "agent:main:telegram:work:direct:1001",
        );
    }

    #[test]
    fn linked_ids_share_one_conversation() {
        check(
            r#"{"dmScope":"per-peer","identityLinks":{"ada":["telegram:1001","discord:9"]}}"#,
            &direct(),
            "default",
            "agent:main:direct:ada",
        );
    }

    #[test]
    fn groups_and_topics_have_lower_case_keys_of_their_own() {
        check("{}", &group(None), "default", "agent:main:telegram:group:-100z");
        check("{}", &group(Some("7")), "default", "agent:main:telegram:group:-100z:topic:7");
    }

    #[test]
    fn global_scope_is_one_conversation_for_all() {
        check(r#"{"scope":"global"}"#, &group(None), "default", "global");
        assert_eq!(router(r#"{"scope":"global"}"#, "[]").canonical("main").as_str(), "global");
    }

    #[test]
    fn the_most_exact_binding_wins() {
        let bindings = r#"[
            {"agentId":"any","match":{"channel":"telegram","accountId":"*"}},
            {"agentId":"acc","match":{"channel":"telegram"}},
            {"agentId":"peer","match":{"channel":"telegram","peer":{"kind":"dm","id":"1001"}}}
        ]"#;
        let router = router("{}", bindings);
        let routed = |account: &str, address: &Address| {
            let routed = router.route(&"telegram".into(), &account.into(), &sender(), address);
            (routed.agent.to_string(), routed.rule)
        };
        assert_eq!(routed("default", &direct()), ("peer".into(), "peer"));
        assert_eq!(routed("default", &group(None)), ("acc".into(), "account"));
        assert_eq!(routed("work", &group(None)), ("any".into(), "channel"));
        let elsewhere = router.route(&"discord".into(), &"default".into(), &sender(), &direct());
        assert_eq!((elsewhere.agent.as_str(), elsewhere.rule), ("main", "default"));
    }

    #[test]
    fn clients_may_shorten_a_session_key() {
        let router = router("{}", "[]");
        for (given, full) in [
            ("main", "agent:main:main"),
            ("", "agent:main:main"),
            ("Side", "agent:main:side"),
            ("agent:ops:main", "agent:ops:main"),
            ("global", "global"),
        ] {
            assert_eq!(router.canonical(given).as_str(), full);
        }
    }
}
