//! How a command speaks to a gateway, and what is said when that fails.

use std::{path::PathBuf, time::Duration};

use claw_app::{Target, lock_holder};
use claw_client::{Client, Error, Identity, Options};
use claw_config::Config;
use claw_domain::Secret;
use claw_protocol::hello::HelloOk;
use serde_json::Value;

use crate::{
    context::{self, Context},
    failure::Failure,
};

/// Which gateway to speak to.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Connection {
    /// The gateway's address, such as ws://127.0.0.1:18789; needs --token or --password
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The gateway's token
    #[arg(long, value_parser = secret)]
    pub(crate) token: Option<Secret>,
    /// The gateway's password
    #[arg(long, value_parser = secret)]
    pub(crate) password: Option<Secret>,
}

/// How long connecting, and then each call, may take.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Timeout {
    /// How long connecting, and then the answer, may take, in milliseconds
    #[arg(long = "timeout", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    ms: u64,
}

/// A gateway that was let in to.
#[derive(Debug)]
pub(crate) struct Gateway {
    client: Client,
    place: Place,
}

/// Where a gateway is, for people.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its address.
    pub(crate) url: String,
    /// Who named it.
    pub(crate) source: String,
    config: PathBuf,
    bind: String,
}

impl Timeout {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

/// A secret from the command line. Never refused, so that no error shows it.
pub(crate) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Which gateway is meant, and its secrets.
///
/// # Errors
/// When an address is given without its secret: ours are only for the gateway that we know.
pub(crate) fn target(
    context: &Context,
    config: &Config,
    connection: &Connection,
) -> Result<Target, Failure> {
    // SEC-1, SEC-2
    let Connection { url, token, password } = connection.clone();
    if let Some(url) = url {
        if token.is_none() && password.is_none() {
            let what = "gateway url override requires explicit credentials";
            return Err(Failure::new(what).hint("pass --token or --password"));
        }
        return Ok(Target { url, token, password, source: "cli --url".to_owned() });
    }
    let target = claw_app::target(config, &context.home, context.environment())?;
    Ok(match token.is_some() || password.is_some() {
        true => Target { token, password, ..target },
        false => target,
    })
}

/// Whether a gateway is to be asked; else what it would answer can be looked up here.
pub(crate) fn is_meant(context: &Context, config: &Config, connection: &Connection) -> bool {
    connection.url.is_some()
        || context::setting(config, "gateway.mode").as_deref() == Some("remote")
        || lock_holder(&context.home.state_dir).is_some()
}

impl Gateway {
    /// Connects to the gateway that `connection` and the configuration name.
    ///
    /// # Errors
    /// When it is not there or does not let us in.
    pub(crate) async fn connect(
        context: &Context,
        connection: &Connection,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let config = context.config()?;
        let target = target(context, config, connection)?;
        let place = Place::of(context, config, &target);
        let connected = Self::open(context, target, timeout).await;
        let client = connected.map_err(|error| place.failure(&error))?;
        Ok(Self { client, place })
    }

    async fn open(context: &Context, target: Target, timeout: Duration) -> Result<Client, Error> {
        let identity = Identity::load_or_create(&context.home.state_dir)?;
        let options = Options::command_line(target.url).identity(identity);
        let Target { token, password, .. } = target;
        Client::connect(Options { token, password, timeout, ..options }).await
    }

    /// Calls `method` and returns its first answer.
    ///
    /// # Errors
    /// When the gateway refuses or does not answer in time.
    pub(crate) async fn call(
        &self,
        method: &str,
        params: Value,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        let answer = self.client.call(method, params, timeout).await;
        answer.map_err(|error| self.place.failure(&error))
    }

    /// Calls `method` and returns its last answer.
    ///
    /// # Errors
    /// As [`Gateway::call`].
    pub(crate) async fn call_final(
        &self,
        method: &str,
        params: Value,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        let answer = self.client.call_final(method, params, timeout).await;
        answer.map_err(|error| self.place.failure(&error))
    }

    /// The gateway's greeting.
    pub(crate) fn hello(&self) -> &HelloOk {
        self.client.hello()
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) async fn close(self) {
        self.client.close().await;
    }
}

/// What the gateway itself says that can be done.
fn told_hint(error: &Error) -> Option<String> {
    match error {
        Error::Call(answer) => Some(answer.details.as_ref()?.get("hint")?.as_str()?.to_owned()),
        _ => None,
    }
}

/// An address without the parts that may hold secrets: user, password, query.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

/// One call and nothing else.
///
/// # Errors
/// As [`Gateway::connect`] and [`Gateway::call`].
pub(crate) async fn call(
    context: &Context,
    connection: &Connection,
    timeout: Duration,
    method: &str,
    params: Value,
) -> Result<Value, Failure> {
    let gateway = Gateway::connect(context, connection, timeout).await?;
    let answer = gateway.call(method, params, timeout).await;
    gateway.close().await;
    answer
}

impl Place {
    pub(crate) fn of(context: &Context, config: &Config, target: &Target) -> Self {
        Self {
            url: target.url.clone(),
            source: target.source.clone(),
            config: context.home.config.clone(),
            bind: context::setting(config, "gateway.bind").unwrap_or_else(|| "loopback".to_owned()),
        }
    }

    /// What is said of a call that failed here, in OpenClaw's words.
    fn failure(&self, error: &Error) -> Failure {
        let failure = Failure::said(format!("Gateway call failed: Error: {error}"));
        let failure = match std::error::Error::source(error) {
            Some(source) => failure.because(source),
            None => failure,
        };
        let failure = failure.hint_if(error.hint().or_else(|| told_hint(error)));
        match error {
            // The gateway was reached and said no: where it is does not matter.
            Error::Call(_) | Error::TooLarge { .. } => failure,
            _ => failure.place(vec![
                format!("Gateway target: {}", shown(&self.url)),
                format!("Source: {}", self.source),
                format!("Config: {}", self.config.display()),
                format!("Bind: {}", self.bind),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        // SEC-96
        for (url, expected) in [
            ("ws://127.0.0.1:18789", "ws://127.0.0.1:18789"),
            ("wss://me:canary@host/x?token=canary#canary", "wss://host/x"),
            ("me:canary@host", "host"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
