//! `gateway run`: the gateway in the foreground, from its start to the signal that ends it.

use std::{future::Future, io, pin::pin, process::ExitCode, time::Duration};

use claw_app::{Banner, Ended, GatewayBuilder, Overrides, Running, StartError};
use claw_domain::Secret;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{super::Done, stop};
use crate::{context::Context, failure::Failure, output, rpc::secret};

/// How often a gateway that lost its place tries to start again.
const START_AGAIN_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The port; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
    /// Where to listen: loopback, lan, auto, custom (gateway.customBindHost), or an address
    #[arg(long, value_name = "MODE", alias = "host")]
    bind: Option<String>,
    /// The token that clients must show
    #[arg(long, value_parser = secret)]
    token: Option<Secret>,
    /// Which secret counts
    #[arg(long, value_name = "MODE", value_parser = ["token", "password"])]
    auth: Option<String>,
    /// The password that clients must show
    #[arg(long, value_parser = secret)]
    password: Option<Secret>,
    /// First stop the gateway that runs on this state folder, if one does
    #[arg(long)]
    force: bool,
    /// Log more
    #[arg(long)]
    verbose: bool,
    /// OpenClaw needs it where gateway.mode is not set; here that means `local`.
    #[arg(long, hide = true)]
    allow_unconfigured: bool,
}

impl Args {
    pub(super) fn verbose(&self) -> bool {
        self.verbose
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    // From here on a signal is waited for, also one that comes during the start.
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new("signals cannot be waited for").because(&error))?;
    if args.force {
        stop::stop_running(context).await?;
    }
    let Args { port, bind, token, auth, password, .. } = args;
    let overrides = Overrides { port, bind, token, password, auth };
    let start = |overrides: &Overrides| {
        GatewayBuilder::new(context.home.clone()).overrides(overrides.clone()).start()
    };
    let running = start(&overrides).await?;
    output::text(&said(running.banner()))?;
    // Started again, it has to be found where it was.
    let again = Overrides { port: Some(running.banner().port), ..overrides };
    let stop = CancellationToken::new();
    let gateway = async {
        let mut ended = running.stopped(stop.clone()).await;
        while ended == Ended::Lost {
            ended = match stop.run_until_cancelled(start_again(|| start(&again))).await {
                Some(running) => running.stopped(stop.clone()).await,
                None => Ended::Stopped,
            };
        }
    };
    let ended = until_signal(gateway, &stop, async || signals.next().await).await;
    match ended {
        End::InOrder => Ok(ExitCode::SUCCESS),
        // The rest of an orderly end is what the second signal wants to skip. The log has all that
        // was accepted; the helpers of running commands end with this process.
        End::AtOnce(code) => std::process::exit(code),
    }
}

/// Starts a gateway that lost its place among those of its store, as often as it takes: the store
/// may be out of reach, which is how the place was lost.
async fn start_again<F: Future<Output = Result<Running, StartError>>>(
    start: impl Fn() -> F,
) -> Running {
    loop {
        match start().await {
            Ok(running) => return running,
            Err(error) => {
                output::note(&format!("could not start again yet: {error}"));
                tokio::time::sleep(START_AGAIN_EVERY).await;
            }
        }
    }
}

/// What the gateway says of itself at its start.
fn said(banner: &Banner) -> String {
    let Banner { page, model, state_dir, config, notes, .. } = banner;
    let mut said = format!(
        "Rusty Claw {}\n  page    {page}\n  model   {model}\n  state   {}\n  config  {}",
        claw_app::VERSION,
        state_dir.display(),
        config.display()
    );
    for note in notes {
        said.push_str(&format!("\n  note    {note}"));
    }
    said
}

/// How the gateway ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    InOrder,
    /// A second signal came; the process's exit code.
    AtOnce(i32),
}

/// Lets `gateway` run. The first signal asks it to stop; the second does not wait for it.
async fn until_signal(
    gateway: impl Future<Output = ()>,
    stop: &CancellationToken,
    mut next_signal: impl AsyncFnMut() -> i32,
) -> End {
    let mut gateway = pin!(gateway);
    tokio::select! {
        () = &mut gateway => return End::InOrder,
        _signal = next_signal() => stop.cancel(),
    }
    tokio::select! {
        () = gateway => End::InOrder,
        // What a shell reports of a process that a signal ended.
        signal = next_signal() => End::AtOnce(128 + signal),
    }
}

/// The signals that ask for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The number of the next one.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn the_first_signal_asks_for_an_orderly_end() {
        let stop = CancellationToken::new();
        let mut signals = vec![15];
        let next = async || match signals.pop() {
            Some(signal) => signal,
            None => pending().await,
        };
        assert_eq!(until_signal(stop.cancelled(), &stop, next).await, End::InOrder);
    }

    #[tokio::test]
    async fn the_second_signal_does_not_wait() {
        let stop = CancellationToken::new();
        let mut signals = vec![2, 15];
        let next = async || signals.pop().expect("two signals are enough");
        assert_eq!(until_signal(pending(), &stop, next).await, End::AtOnce(130));
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_gateway_that_ends_by_itself_needs_no_signal() {
        let stop = CancellationToken::new();
        assert_eq!(until_signal(async {}, &stop, pending).await, End::InOrder);
    }

    #[test]
    fn the_banner_says_what_is_used() {
        let banner = Banner {
            page: "http://127.0.0.1:1/#code=x".into(),
            model: "demo/demo".into(),
            state_dir: "/s".into(),
            config: "/s/config.json".into(),
            port: 1,
            notes: vec!["commands run unconfined".into()],
        };
        insta::assert_snapshot!(said(&banner).replace(claw_app::VERSION, "VERSION"), @r"
        Rusty Claw VERSION
          page    http://127.0.0.1:1/#code=x
          model   demo/demo
          state   /s
          config  /s/config.json
          note    commands run unconfined
        ");
    }
}
