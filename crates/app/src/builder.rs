//! A gateway from its configuration to its end.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use claw_channel::Inbox;
use claw_config::Config;
use claw_gateway::{About, Bus, Gateway, Limits};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    Home, Layers, Overrides, StartError, VERSION,
    access::{Addresses, addresses, auth, control_ui},
    engine::{Engine, Env, WithChannels},
    load, receiving, reload,
    retention::Retention,
    settings::Settings,
    share::host_name,
    target::PORT_FILE,
    views::{Accounts, File},
};

/// How long turns may take to end once the gateway was asked to; what is not over by then goes on
/// from the log at the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// Builds a gateway.
pub struct GatewayBuilder {
    home: Home,
    overrides: Overrides,
    env: Arc<Env>,
    layers: Layers,
}

/// What a start tells.
#[derive(Debug, Clone)]
pub struct Banner {
    /// The chat page's address; its code works once, for ten minutes.
    pub page: String,
    /// The model that is asked.
    pub model: String,
    /// Where everything is kept.
    pub state_dir: PathBuf,
    /// The configuration in force.
    pub config: PathBuf,
    /// The port.
    pub port: u16,
    /// What people should know.
    pub notes: Vec<String>,
}

/// Why a gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Other gateways took over its work; it is to be started again.
    Lost,
}

/// A gateway that listens.
pub struct Running {
    banner: Banner,
    engine: Arc<Engine>,
    gateway: Gateway,
    listeners: Vec<TcpListener>,
    home: Home,
    env: Arc<Env>,
    file: Arc<File>,
    overrides: Overrides,
    loopback: bool,
}

impl GatewayBuilder {
    /// A gateway on this state folder, with this process's environment.
    pub fn new(home: Home) -> Self {
        Self {
            home,
            overrides: Overrides::default(),
            env: Arc::new(|name: &str| std::env::var(name).ok()),
            layers: Layers::default(),
        }
    }

    /// What the command line says over the configuration.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Another environment than this process's.
    #[must_use]
    pub fn env(mut self, env: Arc<Env>) -> Self {
        self.env = env;
        self
    }

    /// Wraps the gateway's parts. Metrics, tracing and tests come in here.
    #[must_use]
    pub fn layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// Opens everything and listens. Without a configuration file a first one is written.
    ///
    /// # Errors
    /// What stops a start; see [`StartError::hint`].
    pub async fn start(self) -> Result<Running, StartError> {
        let Self { home, overrides, env, layers } = self;
        home.prepare()?;
        let first = !home.explicit && home.write_first_config()?;
        let config = load(&home, &|name| env(name)).map_err(StartError::Config)?;
        let settings = Settings::read(&config).map_err(StartError::Config)?;
        let addresses = addresses(&settings.gateway, &overrides)?;
        let (auth, made) = auth(&settings.gateway, &overrides, &home, &*env, addresses.loopback)?;
        let bus = Bus::new(Limits::default());
        let engine = Engine::open(
            &home,
            &config,
            settings,
            &*env,
            bus.listener(),
            WithChannels::Yes,
            layers,
        )
        .await?;
        let (listeners, port) = listen(&addresses).await?;
        write_port(&home, port)?;
        engine.delivery.recover().await?;

        let engine = Arc::new(engine);
        let file = Arc::new(File::new(config.clone()));
        let gateway = Gateway::new(claw_gateway::Parts {
            bus,
            delivery: engine.delivery.clone(),
            agents: Arc::clone(&engine.agents),
            store: Arc::clone(&engine.store),
            fence: engine.fence,
            scribe: engine.scribe.clone(),
            auth,
            device_secret: home.device_secret()?,
            config: Arc::clone(&file) as Arc<dyn claw_gateway::ConfigView>,
            channels: Arc::new(Accounts::new(&engine.channels, engine.elsewhere.clone())),
            about: About {
                version: VERSION.into(),
                host: host_name(),
                state_dir: home.state_dir.clone(),
                config_path: home.config.clone(),
            },
            control_ui: control_ui(&engine.settings.gateway),
        });
        let mut notes = notes(&engine, &config);
        if first {
            notes.insert(0, format!("wrote a first configuration: {}", home.config.display()));
        }
        if made {
            notes.push(
                "made a gateway token and kept it in the state folder, since none is configured"
                    .into(),
            );
        }
        let code = gateway.setup_code().code;
        let banner = Banner {
            page: format!("http://127.0.0.1:{port}/#code={}", code.expose()),
            model: engine.agents.specs()[0].model.to_string(),
            state_dir: home.state_dir.clone(),
            config: home.config.clone(),
            port,
            notes,
        };
        let loopback = addresses.loopback;
        Ok(Running { banner, engine, gateway, listeners, home, env, file, overrides, loopback })
    }
}

impl Running {
    /// What to tell people.
    pub fn banner(&self) -> &Banner {
        &self.banner
    }

    /// Runs until `stop` fires, then ends in order: no new work, turns under way get a while, the
    /// rest is left in the log for the next start.
    ///
    /// Where several gateways share the store, it also ends when this one loses its place among
    /// them: then nothing of what it held is its own any more, and it is to be started again.
    pub async fn stopped(self, stop: CancellationToken) -> Ended {
        let Self { engine, gateway, listeners, home, env, file, overrides, loopback, .. } = self;
        let tasks = TaskTracker::new();
        let inbox: Arc<dyn Inbox> = Arc::new(engine.delivery.clone());
        let told = gateway.clone();
        // What ends this run of the gateway: somebody's wish, or the loss of its place.
        let asked = stop;
        let stop = asked.child_token();
        receiving::run_all(&engine, &inbox, &tasks, &stop, move || told.health_changed());
        tasks.spawn(reload::watch(reload::Watch {
            home: home.clone(),
            env,
            engine: Arc::clone(&engine),
            gateway: gateway.clone(),
            overrides,
            loopback,
            file,
            stop: stop.child_token(),
        }));
        tasks.close();
        // The sockets are told last, so that clients hear how their runs ended.
        let sockets = CancellationToken::new();
        let kept = CancellationToken::new();
        if engine.settings.session.mirror.is_some() {
            let (store, folder) = (Arc::clone(&engine.store), home.state_dir.clone());
            tasks.spawn(claw_openclaw::mirror(store, folder, kept.child_token()));
        }
        if let Some(days) = NonZeroU32::new(engine.settings.store.retention_days) {
            let (store, clock) = (Arc::clone(&engine.store), Arc::clone(&engine.clock));
            let retention = Retention { store, fence: engine.fence, clock, days };
            tasks.spawn(retention.run(kept.child_token()));
        }
        let drain = async {
            let ended = engine.until_lost(&stop).await;
            stop.cancel();
            let grace = if ended == Ended::Lost { Duration::ZERO } else { DRAIN };
            engine.delivery.shutdown(grace).await;
            kept.cancel();
            sockets.cancel();
            ended
        };
        let (_, ended, _) =
            tokio::join!(gateway.serve(listeners, sockets.clone()), drain, tasks.wait());
        if let (Ended::Stopped, Some(membership)) = (ended, &engine.membership) {
            membership.leave().await;
        }
        if let Err(error) = engine.store.close().await {
            warn!(%error, "the store did not close in order");
        }
        // A file that is gone already needs no word.
        let _gone = std::fs::remove_file(home.state_dir.join(PORT_FILE));
        info!("stopped");
        ended
    }
}

/// Listens on every address. A port of 0 is chosen by the first one and shared.
async fn listen(addresses: &Addresses) -> Result<(Vec<TcpListener>, u16), StartError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = 0;
    for address in &addresses.sockets {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(port);
        }
        match bind(address) {
            Ok(listener) => {
                port = listener.local_addr().map_or(address.port(), |address| address.port());
                listeners.push(listener);
            }
            // A machine without IPv6 has no second address; a taken port is another matter.
            Err(error)
                if addresses.any_family
                    && !listeners.is_empty()
                    && error.kind() != std::io::ErrorKind::AddrInUse =>
            {
                info!(%address, %error, "not listening on the second address");
            }
            Err(source) => return Err(StartError::Listen { address: address.to_string(), source }),
        }
    }
    Ok((listeners, port))
}

/// Most connections that wait to be accepted.
const BACKLOG: u32 = 1024;

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // A restart must not wait for the last process's sockets to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn write_port(home: &Home, port: u16) -> Result<(), StartError> {
    let path = home.state_dir.join(PORT_FILE);
    claw_config::write_atomic(&path, port.to_string().as_bytes())
        .map_err(|source| crate::HomeError::Unusable { path, source }.into())
}

fn notes(engine: &Engine, config: &Config) -> Vec<String> {
    let mut notes = engine.notes.clone();
    let pending: Vec<_> = config.pending().map(|key| key.path.to_string()).collect();
    if !pending.is_empty() {
        notes.push(format!("accepted, but without effect yet: {}", pending.join(", ")));
    }
    if engine.agents.specs()[0].model.provider.as_ref() == "demo" {
        notes.push("this is the built-in demonstration; set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real model".into());
    }
    notes.push("commands run unconfined, as you, until the sandbox comes".into());
    notes
}
