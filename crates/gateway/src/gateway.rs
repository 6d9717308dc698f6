//! The face of this room: what a gateway is built from, and what may be asked of it.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use arc_swap::ArcSwap;
use claw_agent::Agents;
use claw_delivery::{Delivery, Scribe, pairing::Tries};
use claw_domain::{EventBody, Secret, SessionKey, TraceId};
use claw_guard::Throttle;
use claw_protocol::{close, hello::PresenceEntry};
use claw_store::{Change, Committed, Fence, Store};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Auth, Bus, ChannelsView, ConfigView, codes::Codes, device::Mint, health::Health, hub::News,
    locked, pending::Pending, presence::Presence, serve,
};

/// Reason of the close when the shared secret that let a socket in is no longer the right one.
const REASON_SECRET_CHANGED: &str = "the gateway's secret was changed";

/// Everything that a gateway is built from.
pub struct Parts {
    /// The bus whose listener delivery and agents were given.
    pub bus: Bus,
    /// Takes messages in.
    pub delivery: Delivery,
    /// Answers them.
    pub agents: Arc<Agents>,
    /// Keeps what must survive.
    pub store: Arc<dyn Store>,
    /// Proof of holding the store.
    pub fence: Fence,
    /// Gives events their headers.
    pub scribe: Scribe,
    /// How clients prove that they may connect.
    pub auth: Auth,
    /// What device tokens are made from: at least 32 random bytes as text, kept in the state
    /// folder. Another one makes every device token worthless.
    pub device_secret: Secret,
    /// Shows the configuration.
    pub config: Arc<dyn ConfigView>,
    /// Shows the channel accounts.
    pub channels: Arc<dyn ChannelsView>,
    /// What the gateway says of itself.
    pub about: About,
    /// The chat page.
    pub control_ui: ControlUi,
}

/// What a gateway says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// The program's version.
    pub version: String,
    /// The machine's name.
    pub host: String,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The configuration file.
    pub config_path: PathBuf,
}

/// How the chat page is served.
#[derive(Debug, Clone)]
pub struct ControlUi {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Further web origins whose pages may connect, as `https://host[:port]`.
    pub allowed_origins: Vec<String>,
}

/// A code that a browser trades, once, for a device token.
#[derive(Debug, Clone)]
pub struct SetupCode {
    /// The code, for the address `http://…/#code=…`.
    pub code: Secret,
    /// When it stops working. Unit: milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// A gateway. Cloning it gives another handle on the same one.
#[derive(Clone)]
pub struct Gateway(Arc<Core>);

/// What connections and methods share.
pub(crate) struct Core {
    pub(crate) bus: Bus,
    pub(crate) delivery: Delivery,
    pub(crate) agents: Arc<Agents>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) scribe: Scribe,
    pub(crate) setup: ArcSwap<Setup>,
    pub(crate) mint: Mint,
    pub(crate) config: Arc<dyn ConfigView>,
    pub(crate) channels: Arc<dyn ChannelsView>,
    pub(crate) about: About,
    pub(crate) codes: Mutex<Codes>,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) pending: Mutex<Pending>,
    pub(crate) tries: Mutex<Tries>,
    pub(crate) presence: Mutex<Presence>,
    pub(crate) presence_changed: Notify,
    pub(crate) health: Health,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) strangers: Arc<Semaphore>,
    /// Sockets and calls: everything that must end before the gateway has.
    pub(crate) tasks: TaskTracker,
    /// Fires when the gateway begins to stop.
    pub(crate) stopping: CancellationToken,
    /// Fires when what has not stopped by then is dropped.
    pub(crate) kill: CancellationToken,
    pub(crate) started: Instant,
    /// The first address that it listens on.
    pub(crate) bound: OnceLock<IpAddr>,
}

/// What a change of configuration exchanges.
pub(crate) struct Setup {
    pub(crate) auth: Auth,
    pub(crate) control_ui: ControlUi,
}

impl Gateway {
    /// A gateway over these parts. Nothing moves before [`Gateway::serve`].
    pub fn new(parts: Parts) -> Self {
        let limits = *parts.bus.limits();
        Self(Arc::new(Core {
            bus: parts.bus,
            delivery: parts.delivery,
            agents: parts.agents,
            store: parts.store,
            fence: parts.fence,
            scribe: parts.scribe,
            setup: ArcSwap::from_pointee(Setup { auth: parts.auth, control_ui: parts.control_ui }),
            mint: Mint::new(&parts.device_secret),
            config: parts.config,
            channels: parts.channels,
            about: parts.about,
            codes: Mutex::default(),
            throttle: Mutex::default(),
            pending: Mutex::default(),
            tries: Mutex::default(),
            presence: Mutex::default(),
            presence_changed: Notify::new(),
            health: Health::default(),
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            strangers: Arc::new(Semaphore::new(limits.strangers_max)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            kill: CancellationToken::new(),
            started: Instant::now(),
            bound: OnceLock::new(),
        }))
    }

    /// Serves until `stop` fires, then tells every client, closes and waits until all that was
    /// begun here has ended, some seconds at most. To be called once.
    ///
    /// Runs that clients started go on; they are delivery's.
    ///
    /// # Cancel safety
    /// Not cancel-safe: dropping it leaves open sockets without an owner.
    pub async fn serve(&self, listeners: Vec<TcpListener>, stop: CancellationToken) {
        serve::serve(&self.0, listeners, stop).await;
    }

    /// A new code for a browser: one use, ten minutes. Eight work at one time; a further one ends
    /// the oldest.
    pub fn setup_code(&self) -> SetupCode {
        self.0.setup_code()
    }

    /// Exchanges secret and page settings of a running gateway. Sockets that a secret let in which
    /// is no longer the right one are closed.
    pub fn reconfigure(&self, auth: Auth, control_ui: ControlUi) {
        let before = self.0.setup.swap(Arc::new(Setup { auth, control_ui }));
        if !before.auth.same_secret(&self.0.setup.load().auth) {
            let hub = self.0.bus.hub();
            hub.close(close::POLICY_VIOLATION, REASON_SECRET_CHANGED, |peer| peer.by_shared_secret);
        }
    }

    /// Says that health has changed, as when a channel went down: clients hear of it within a
    /// second or so.
    pub fn health_changed(&self) {
        self.0.health.changed.notify_one();
    }
}

impl Core {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.scribe.now().as_millisecond()
    }

    pub(crate) fn setup_code(&self) -> SetupCode {
        let (code, expires_at_ms) = locked(&self.codes).issue(self.now_ms());
        SetupCode { code, expires_at_ms }
    }

    /// Commits one event, of `session` if it is of one.
    pub(crate) async fn log(
        &self,
        session: Option<&SessionKey>,
        bodies: impl IntoIterator<Item = EventBody>,
    ) -> Result<Committed, claw_store::Error> {
        let (trace, mut cause) = (TraceId::generate(), None);
        let mut changes: Vec<Change> = Vec::new();
        for body in bodies {
            let (id, change) = self.scribe.write(trace, cause, session, body);
            cause = Some(id);
            changes.push(change);
        }
        self.store.commit(&self.fence, changes).await
    }

    /// Everybody who is or was here lately, this gateway first.
    pub(crate) fn present(&self) -> Vec<PresenceEntry> {
        let now = self.now_ms();
        let About { host, version, .. } = &self.about;
        let ip = self.bound.get().map(ToString::to_string).unwrap_or_default();
        let own = PresenceEntry::gateway(host, &ip, version, std::env::consts::OS, now);
        locked(&self.presence).list(own, now)
    }

    /// Counts a change of presence, which everybody hears of before long.
    pub(crate) fn presence_changed(&self) {
        self.bus.hub().changed(News::Presence);
        self.presence_changed.notify_one();
    }
}
