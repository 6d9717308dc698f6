//! What admission, jobs and lanes share: the store, the outbox, and how the accounts are configured.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use claw_channel::Channel;
use claw_domain::{
    AccountId, ChannelId, ChatKind, ExternalId, Inbound, Origin, Outbound, OutboxId, RunId,
    SessionKey, Signal, SignalKind, Target, TraceId,
};
use claw_guard::SpeakPolicy;
use claw_store::{DeliveryState, Fence, InboxRow, InboxState, OutboxRow, Store};
use tracing::warn;
use uuid::Uuid;

use crate::{
    Router, Scribe,
    arrivals::Arrivals,
    outbox::{Channels, Outbox, later},
    reply::{self, Quote, ReplyStyle},
    sharing::Sharing,
};

/// Who hears the volatile signals of runs.
pub type Listener = Arc<dyn Fn(Signal) + Send + Sync>;

/// A channel account and how it is configured.
pub struct Account {
    /// The account itself.
    pub channel: Arc<dyn Channel>,
    /// Who may speak on it.
    pub policy: SpeakPolicy,
    /// How replies look on it.
    pub style: ReplyStyle,
}

/// How the accounts are configured, exchanged as a whole when the configuration changes.
pub(crate) struct Accounts {
    pub(crate) policies: HashMap<(ChannelId, AccountId), SpeakPolicy>,
    pub(crate) styles: HashMap<(ChannelId, AccountId), ReplyStyle>,
    pub(crate) router: Router,
}

/// What jobs, admission and lanes share.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) scribe: Scribe,
    pub(crate) arrivals: Arrivals,
    pub(crate) listener: Listener,
    pub(crate) outbox: Arc<Outbox>,
    /// What is held on a store that several gateways share.
    pub(crate) sharing: Option<Arc<Sharing>>,
    pub(crate) accounts: ArcSwap<Accounts>,
}

impl Core {
    pub(crate) fn tell(&self, run: &RunId, session: &SessionKey, kind: SignalKind) {
        (self.listener)(Signal {
            run: run.clone(),
            session: session.clone(),
            at: self.scribe.now(),
            kind,
        });
    }

    /// Who may speak on an account; an account that is not configured lets nobody speak.
    pub(crate) fn policy(&self, channel: &ChannelId, account: &AccountId) -> SpeakPolicy {
        let key = (channel.clone(), account.clone());
        self.accounts.load().policies.get(&key).cloned().unwrap_or_default()
    }

    pub(crate) fn with_router<T>(&self, read: impl FnOnce(&Router) -> T) -> T {
        read(&self.accounts.load().router)
    }

    /// The session that a fresh row goes to if it is let in.
    pub(crate) fn session_of(&self, row: &InboxRow) -> SessionKey {
        let inbound = &row.inbound;
        match &inbound.origin {
            Origin::Person { sender, address } => self.with_router(|router| {
                router.route(&inbound.channel, &inbound.account, sender, address).session
            }),
            Origin::Operator(operator) => operator.session.clone(),
        }
    }

    pub(crate) fn row(&self, inbound: Inbound) -> InboxRow {
        let run = match &inbound.origin {
            Origin::Operator(operator) => operator.run.clone(),
            Origin::Person { .. } => RunId::from(Uuid::now_v7().to_string()),
        };
        let now = self.scribe.now();
        let (id, trace) = self.arrivals.next(now);
        InboxRow {
            id,
            trace,
            inbound,
            run,
            received_at: now,
            state: InboxState::Received,
            fence: self.fence,
        }
    }

    /// The rows of a text on its way to a target; none when the target's account does not run.
    pub(crate) fn parts_of(
        &self,
        target: &Target,
        text: &str,
        reply_to: Option<ExternalId>,
        trace: TraceId,
        chat: ChatKind,
    ) -> Vec<OutboxRow> {
        let Some(channel) = self.outbox.channel(&target.channel, &target.account) else {
            warn!(%target.channel, %target.account, "a reply has nowhere to go: its account does not run");
            return Vec::new();
        };
        let capability = *channel.capability();
        let key = (target.channel.clone(), target.account.clone());
        let style = self.accounts.load().styles.get(&key).copied().unwrap_or(ReplyStyle {
            chunk_max: capability.text_max,
            mode: claw_channel::ChunkMode::Length,
            quote: Quote::Off,
        });
        let now = self.scribe.now();
        let expires_at = later(now, self.outbox.config.load().max_age(chat));
        let row = |(part, text): (usize, String)| {
            let id = OutboxId::generate();
            let quotes = match style.quote {
                Quote::Off => false,
                Quote::First => part == 0,
                Quote::All => true,
            };
            let reply_to = reply_to.clone().filter(|_| quotes);
            let action = claw_domain::Action::Send { text, reply_to, silent: false };
            OutboxRow {
                id,
                trace,
                outbound: Outbound {
                    target: target.clone(),
                    action,
                    idempotency_key: id.to_string(),
                },
                order: 0,
                part: u32::try_from(part).unwrap_or(u32::MAX),
                not_before: now,
                expires_at,
                state: DeliveryState::Pending { attempts: 0, error: None },
                fence: self.fence,
            }
        };
        reply::parts(text, &capability, style).into_iter().enumerate().map(row).collect()
    }
}

pub(crate) fn arrange(accounts: Vec<Account>, router: Router) -> (Accounts, Channels) {
    let mut channels = Channels::new();
    let (mut policies, mut styles) = (HashMap::new(), HashMap::new());
    for account in accounts {
        let key = (account.channel.id().clone(), account.channel.account().clone());
        policies.insert(key.clone(), account.policy);
        styles.insert(key.clone(), account.style);
        channels.insert(key, account.channel);
    }
    (Accounts { policies, styles, router }, channels)
}
