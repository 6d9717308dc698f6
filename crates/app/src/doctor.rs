//! What is right and wrong with this installation, looked at without changing it.

use std::path::Path;

use crate::{
    Home, PORT, StartError, StoreUrl,
    engine::Env,
    load, lock_holder,
    sections::{Bind, GatewayConfig, StoreConfig},
    settings::Settings,
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub state: CheckState,
    /// In words.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Right.
    Ok,
    /// It works, but.
    Warn,
    /// It will not work.
    Fail,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, detail: detail.into(), hint: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, state: CheckState::Warn, detail: detail.into(), hint: Some(hint.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, state: CheckState::Fail, detail: detail.into(), hint: Some(hint.into()) }
    }
}

/// Looks at everything that exists now.
pub async fn doctor(home: &Home, env: &Env) -> Vec<Check> {
    let mut checks = vec![state_folder(home)];
    checks.extend(private_files(home));
    let settings = match load(home, &|name| env(name)) {
        Ok(config) => {
            let pending: Vec<_> = config.pending().map(|key| key.path.to_string()).collect();
            if !pending.is_empty() {
                let keys = pending.join(", ");
                checks.push(Check::warn(
                    "configuration keys",
                    format!("accepted, but without effect yet: {keys}"),
                    "nothing to do; they will work later",
                ));
            }
            Settings::read(&config)
        }
        Err(problems) => Err(problems),
    };
    let settings = match settings {
        Ok(settings) => {
            checks.push(Check::ok("configuration", format!("{} is sound", home.config.display())));
            Some(settings)
        }
        Err(problems) => {
            for problem in problems {
                checks.push(Check::fail("configuration", problem.to_string(), "mend the file"));
            }
            None
        }
    };
    if let Some(settings) = &settings {
        checks.push(exposure(&settings.gateway));
        checks.push(port(home, settings.gateway.port.unwrap_or(PORT)).await);
        checks.push(model(settings, env));
        checks.push(database(home, &settings.store).await);
    }
    checks.push(Check::warn(
        "commands",
        "the tool exec runs commands unconfined, as this user",
        "run the gateway as a user of its own; a sandbox comes later",
    ));
    checks
}

fn state_folder(home: &Home) -> Check {
    let path = home.state_dir.display();
    if !home.state_dir.exists() {
        return Check::ok("state folder", format!("{path} will be made at the first start"));
    }
    match tempfile_in(&home.state_dir) {
        Ok(()) => Check::ok("state folder", format!("{path} can be written")),
        Err(error) => Check::fail(
            "state folder",
            format!("{path} cannot be written: {error}"),
            "make it writable for this user, or set RUSTY_CLAW_HOME",
        ),
    }
}

fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}

#[cfg(unix)]
fn private_files(home: &Home) -> Vec<Check> {
    use std::os::unix::fs::PermissionsExt;
    let mut checks = Vec::new();
    let names = [
        "",
        "config.json",
        "config.toml",
        "claw.sqlite",
        "gateway-token",
        "device-secret",
        "identity",
    ];
    for path in names.iter().map(|name| home.state_dir.join(name)) {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.permissions().mode() & 0o077 != 0 {
            let fix = format!("chmod go-rwx {}", path.display());
            checks.push(Check::warn(
                "permissions",
                format!("others can read {}", path.display()),
                fix,
            ));
        }
    }
    checks
}

#[cfg(not(unix))]
fn private_files(_home: &Home) -> Vec<Check> {
    Vec::new()
}

fn exposure(gateway: &GatewayConfig) -> Check {
    let secret = gateway.auth.token.is_some() || gateway.auth.password.is_some();
    match (gateway.bind, secret) {
        (Bind::Loopback | Bind::Auto, _) => {
            Check::ok("exposure", "the gateway listens on this machine only")
        }
        (_, true) => Check::warn(
            "exposure",
            "the gateway listens beyond this machine, without encryption of its own",
            "put a TLS proxy or a VPN before it",
        ),
        (_, false) => Check::fail(
            "exposure",
            "the gateway would listen beyond this machine without a secret",
            "set gateway.auth.token",
        ),
    }
}

async fn port(home: &Home, port: u16) -> Check {
    if let Some(pid) = lock_holder(&home.state_dir) {
        return Check::ok("gateway", format!("running (process {pid})"));
    }
    match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
        Ok(_) => Check::ok("gateway", format!("not running; port {port} is free")),
        Err(error) => Check::fail(
            "gateway",
            format!("port {port} cannot be used: {error}"),
            "stop the program that has it, or set gateway.port",
        ),
    }
}

fn model(settings: &Settings, env: &Env) -> Check {
    let chosen = settings.agents.defaults.model.as_ref().and_then(|model| model.primary());
    let keyed = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]
        .iter()
        .any(|name| env(name).is_some_and(|key| !key.is_empty()));
    match (chosen, keyed || !settings.models.providers.is_empty()) {
        (Some(model), _) => Check::ok("model", model),
        (None, true) => Check::ok("model", "chosen by the provider whose key is there"),
        (None, false) => Check::warn(
            "model",
            "none is configured: Ollama if it runs, else the demonstration",
            "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or configure models.providers",
        ),
    }
}

async fn database(home: &Home, config: &StoreConfig) -> Check {
    let url = match StoreUrl::configured(config, home) {
        Ok(StoreUrl::Memory) => {
            return Check::warn(
                "store",
                "in memory: nothing outlives the gateway",
                "set store.url",
            );
        }
        Ok(StoreUrl::Sqlite(path)) if !path.exists() => {
            return Check::ok("store", "it will be made at the first start");
        }
        Ok(url) => url,
        Err(error) => return Check::fail("store", error, "see docs/config.md for store.url"),
    };
    let looked = async {
        let store = url.open_to_read().await?;
        let totals = store.totals().await;
        store.close().await?;
        Ok::<_, StartError>(totals?)
    };
    match looked.await {
        Ok(totals) => Check::ok(
            "store",
            format!(
                "{} events, {} messages open, {} replies waiting, {} given up",
                totals.events, totals.inbox_open, totals.outbox_pending, totals.outbox_dead
            ),
        ),
        Err(error) => {
            let hint =
                error.hint().unwrap_or_else(|| "restore a backup of the state folder".into());
            Check::fail("store", said(&error), hint)
        }
    }
}

/// An error with what caused it.
fn said(error: &StartError) -> String {
    let causes =
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
