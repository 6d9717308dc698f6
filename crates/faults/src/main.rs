//! A gateway with the fault layer built in, for tests that kill a real process.
//!
//! It starts as the shipped one does, on the state folder that the environment names and on a free
//! port, and ends in order at SIGTERM. What the layer does is said by `FAULT_KILL`, `FAULT_FAIL` and
//! `FAULT_TRACE`.

use std::{error::Error, process::ExitCode};

use claw_app::{GatewayBuilder, Home, Overrides};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == claw_tools::helper::WORD) {
        return claw_tools::helper::main();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(&*error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run() -> Result<(), Box<dyn Error>> {
    // An error would say that it was chosen before, and nothing ran before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let env = |name: &str| std::env::var(name).ok();
    let layers = claw_faults::from_env(&env)?.as_ref().map(claw_faults::layers);
    let mut terminate = signal(SignalKind::terminate())?;
    let home = Home::resolve(None, &env)?;
    let overrides = Overrides { port: Some(0), ..Overrides::default() };
    let gateway = GatewayBuilder::new(home).overrides(overrides);
    let running = gateway.layers(layers.unwrap_or_default()).start().await?;
    let stop = CancellationToken::new();
    let asked = async {
        terminate.recv().await;
        stop.cancel();
    };
    tokio::join!(running.stopped(stop.clone()), asked);
    Ok(())
}
