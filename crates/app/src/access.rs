//! Who may reach the gateway: the addresses that it listens on, and the secret that clients show.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use claw_domain::Secret;
use claw_gateway::{Auth, AuthMode, ControlUi};

use crate::{
    Home, PORT, StartError,
    engine::Env,
    sections::{Bind, GatewayConfig, GatewayMode},
};

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

/// Where to listen, and whether that is this machine only.
pub(crate) struct Addresses {
    pub(crate) sockets: Vec<SocketAddr>,
    /// Whether a missing second address family is no reason to fail.
    pub(crate) any_family: bool,
    pub(crate) loopback: bool,
}

/// Where a configuration, and the command line over it, has the gateway listen.
pub(crate) fn addresses(
    config: &GatewayConfig,
    overrides: &Overrides,
) -> Result<Addresses, StartError> {
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

/// What the chat page is served with.
pub(crate) fn control_ui(config: &GatewayConfig) -> ControlUi {
    ControlUi {
        enabled: config.control_ui.enabled,
        allowed_origins: config.control_ui.allowed_origins.clone(),
    }
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
