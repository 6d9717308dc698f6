//! Where the command line finds the gateway, and with which secret.

use claw_config::{Config, Problem};
use claw_domain::Secret;

use crate::{
    Home, PORT,
    sections::{GatewayConfig, GatewayMode},
};

/// A gateway to call.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub url: String,
    /// The shared token, if one is known.
    pub token: Option<Secret>,
    /// The shared password, if one is known.
    pub password: Option<Secret>,
    /// Where the address comes from, for people.
    pub source: String,
}

/// The gateway that the configuration names: the remote one in mode `remote`, else the one here.
///
/// # Errors
/// When the section `gateway` does not read.
pub fn target(
    config: &Config,
    home: &Home,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Target, Vec<Problem>> {
    let gateway: GatewayConfig = config.section("gateway")?;
    // The gateway takes an empty secret as none, and so does who calls it.
    let given = |secret: Option<Secret>| secret.filter(|secret| !secret.expose().is_empty());
    let secret = |ours: &str, theirs: &str| {
        env(ours).or_else(|| env(theirs)).filter(|value| !value.is_empty()).map(Secret::new)
    };
    if let (GatewayMode::Remote, Some(url)) = (gateway.mode, gateway.remote.url) {
        return Ok(Target {
            url,
            token: given(gateway.remote.token),
            password: given(gateway.remote.password),
            source: "config gateway.remote.url".into(),
        });
    }
    let port = env("RUSTY_CLAW_GATEWAY_PORT")
        .or_else(|| env("OPENCLAW_GATEWAY_PORT"))
        .and_then(|port| port.parse().ok())
        .or_else(|| running_port(home))
        .or(gateway.port)
        .unwrap_or(PORT);
    Ok(Target {
        url: format!("ws://127.0.0.1:{port}"),
        token: given(gateway.auth.token)
            .or_else(|| secret("RUSTY_CLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_TOKEN"))
            .or_else(|| home.made_gateway_token()),
        password: given(gateway.auth.password)
            .or_else(|| secret("RUSTY_CLAW_GATEWAY_PASSWORD", "OPENCLAW_GATEWAY_PASSWORD")),
        source: "local loopback".into(),
    })
}

/// The port of the gateway that runs on this state folder now, whatever it was told on its
/// command line.
fn running_port(home: &Home) -> Option<u16> {
    crate::lock::lock_holder(&home.state_dir)?;
    std::fs::read_to_string(home.state_dir.join(PORT_FILE)).ok()?.trim().parse().ok()
}

/// Where a running gateway writes its port, in the state folder.
pub(crate) const PORT_FILE: &str = "gateway.port";
