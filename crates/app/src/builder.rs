//! A gateway from its configuration to its end.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use claw_channel::Inbox;
use claw_config::Config;
use claw_domain::Secret;
use claw_gateway::{About, Auth, AuthMode, Bus, ControlUi, Gateway, Limits};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    Home, PORT, StartError, VERSION, channels,
    engine::{Engine, Env, Settings, WithChannels},
    load, reload,
    sections::{Bind, GatewayConfig, GatewayMode},
    target::PORT_FILE,
    views::{Accounts, File},
};

/// How long turns may take to end once the gateway was asked to; what is not over by then goes on
/// from the log at the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// What the command line says over the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The port; 0 takes a free one.
    pub port: Option<u16>,
    /// `loopback`, `lan`, `auto`, `custom`, `tailnet`, or an address.
    pub bind: Option<String>,
    /// The shared token.
    pub token: Option<Secret>,
    /// The shared password.
    pub password: Option<Secret>,
    /// Which of the two counts: `token`, `password`.
    pub auth: Option<String>,
}

/// Builds a gateway.
pub struct GatewayBuilder {
    home: Home,
    overrides: Overrides,
    env: Arc<Env>,
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

    /// Opens everything and listens. Without a configuration file a first one is written.
    ///
    /// # Errors
    /// What stops a start; see [`StartError::hint`].
    pub async fn start(self) -> Result<Running, StartError> {
        let Self { home, overrides, env } = self;
        home.prepare()?;
        let first = !home.explicit && home.write_first_config()?;
        let config = load(&home, &|name| env(name)).map_err(StartError::Config)?;
        let settings = Settings::read(&config).map_err(StartError::Config)?;
        let addresses = addresses(&settings.gateway, &overrides)?;
        let (auth, made) = auth(&settings.gateway, &overrides, &home, &*env, addresses.loopback)?;
        let bus = Bus::new(Limits::default());
        let engine = Engine::open(&home, &config, &*env, bus.listener(), WithChannels::Yes).await?;
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
            channels: Arc::new(Accounts::new(&engine.channels)),
            about: About {
                version: VERSION.into(),
                host: host_name(),
                state_dir: home.state_dir.clone(),
                config_path: home.config.clone(),
            },
            control_ui: control_ui(&settings.gateway),
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
    pub async fn stopped(self, stop: CancellationToken) {
        let Self { engine, gateway, listeners, home, env, file, overrides, loopback, .. } = self;
        let tasks = TaskTracker::new();
        let inbox: Arc<dyn Inbox> = Arc::new(engine.delivery.clone());
        channels::run_all(&engine.channels, &inbox, &tasks, &stop);
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
        let drain = async {
            stop.cancelled().await;
            info!("stopping");
            engine.delivery.shutdown(DRAIN).await;
            sockets.cancel();
        };
        tokio::join!(gateway.serve(listeners, sockets.clone()), drain, tasks.wait());
        if let Err(error) = engine.store.close().await {
            warn!(%error, "the store did not close in order");
        }
        // A file that is gone already needs no word.
        let _gone = std::fs::remove_file(home.state_dir.join(PORT_FILE));
        info!("stopped");
    }
}

/// Where to listen, and whether that is this machine only.
struct Addresses {
    sockets: Vec<SocketAddr>,
    /// Whether a missing second address family is no reason to fail.
    any_family: bool,
    loopback: bool,
}

fn addresses(config: &GatewayConfig, overrides: &Overrides) -> Result<Addresses, StartError> {
    if config.mode == GatewayMode::Remote {
        return Err(StartError::Remote);
    }
    let port = overrides.port.or(config.port).unwrap_or(PORT);
    let v4 = |ip| SocketAddr::new(IpAddr::V4(ip), port);
    let v6 = |ip| SocketAddr::new(IpAddr::V6(ip), port);
    let both = |four, six, loopback| Addresses {
        sockets: vec![v4(four), v6(six)],
        any_family: true,
        loopback,
    };
    let custom = |host: &str| {
        let ip: IpAddr = host.parse().map_err(|_not_an_address| StartError::Listen {
            address: host.to_owned(),
            source: std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "it is not an IP address",
            ),
        })?;
        Ok(Addresses {
            sockets: vec![SocketAddr::new(ip, port)],
            any_family: false,
            loopback: ip.is_loopback(),
        })
    };
    let bind = match overrides.bind.as_deref() {
        None => config.bind,
        Some("loopback") => Bind::Loopback,
        Some("lan") => Bind::Lan,
        Some("auto") => Bind::Auto,
        Some("custom") => Bind::Custom,
        Some("tailnet") => Bind::Tailnet,
        Some("0.0.0.0" | "::") => Bind::Lan,
        Some(host) => return custom(host),
    };
    match bind {
        Bind::Loopback | Bind::Auto => Ok(both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, true)),
        Bind::Lan => Ok(both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, false)),
        Bind::Custom => custom(config.custom_bind_host.as_deref().unwrap_or_default()),
        Bind::Tailnet => Err(StartError::NotHere("gateway.bind: tailnet")),
    }
}

/// The secret that clients show; on loopback one is made when none is configured, beyond it the
/// start is refused. Returns whether the kept one is used.
pub(crate) fn auth(
    config: &GatewayConfig,
    overrides: &Overrides,
    home: &Home,
    env: &Env,
    loopback: bool,
) -> Result<(Auth, bool), StartError> {
    let from_env = |ours: &str, theirs: &str| {
        env(ours).or_else(|| env(theirs)).filter(|value| !value.is_empty()).map(Secret::new)
    };
    let filled = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.is_empty());
    let token = filled(&overrides.token)
        .or_else(|| filled(&config.auth.token))
        .or_else(|| from_env("RUSTY_CLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_TOKEN"));
    let password = filled(&overrides.password)
        .or_else(|| filled(&config.auth.password))
        .or_else(|| from_env("RUSTY_CLAW_GATEWAY_PASSWORD", "OPENCLAW_GATEWAY_PASSWORD"));
    let mode = match (overrides.auth.as_deref(), config.auth.mode) {
        (Some("password"), _) => AuthMode::Password,
        (Some(_), _) => AuthMode::Token,
        (None, Some(crate::sections::AuthMode::Password)) => AuthMode::Password,
        (None, Some(crate::sections::AuthMode::Token)) => AuthMode::Token,
        (None, None) if password.is_some() => AuthMode::Password,
        (None, None) => AuthMode::Token,
    };
    let has = match mode {
        AuthMode::Token => token.is_some(),
        AuthMode::Password => password.is_some(),
    };
    if has {
        return Ok((Auth { mode, token, password }, false));
    }
    if !loopback {
        return Err(StartError::Exposed);
    }
    Ok((Auth { mode: AuthMode::Token, token: Some(home.gateway_token()?), password: None }, true))
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

pub(crate) fn control_ui(config: &GatewayConfig) -> ControlUi {
    ControlUi {
        enabled: config.control_ui.enabled,
        allowed_origins: config.control_ui.allowed_origins.clone(),
    }
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_unknown| "localhost".into(), |name| name.to_string_lossy().into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, loopback: bool) -> Result<bool, String> {
        let folder = tempfile::tempdir().unwrap();
        let config_path = folder.path().join("config.json");
        let home =
            Home { state_dir: folder.path().to_owned(), config: config_path, explicit: false };
        let config = serde_json::from_str(config).unwrap();
        let none = |_: &str| None;
        let found = auth(&config, &Overrides::default(), &home, &none, loopback);
        found.map(|(_, made)| made).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_secret_one_is_made_on_loopback_and_the_start_refused_beyond_it() {
        let exposed =
            Err("the gateway would listen beyond this machine without a secret".to_owned());
        assert_eq!(check("{}", true), Ok(true));
        // SEC-28: nobody is let in without a secret from elsewhere.
        assert_eq!(check("{}", false), exposed);
        assert_eq!(check(r#"{"auth":{"token":""}}"#, false), exposed);
        assert_eq!(check(r#"{"auth":{"mode":"password","token":"t"}}"#, false), exposed);
        assert_eq!(check(r#"{"auth":{"token":"t"}}"#, false), Ok(false));
        assert_eq!(check(r#"{"auth":{"password":"p"}}"#, false), Ok(false));
    }
}
