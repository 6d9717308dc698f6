//! `gateway stop`: the process that holds the state folder is asked to end, and waited for.

use std::{process::ExitCode, time::Duration};

use claw_app::lock_holder;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::Done;
use crate::{context::Context, failure::Failure, output};

/// How long the gateway may take: it lets turns end first, and closes its store.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// How often the lock is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let stopped = stop_running(context).await?;
    if args.json {
        let result = if stopped.is_some() { "stopped" } else { "not-running" };
        output::json(&json!({ "ok": true, "result": result, "pid": stopped }))?;
    } else {
        output::text(&match stopped {
            Some(pid) => format!("stopped the gateway (process {pid})"),
            None => format!("no gateway runs on {}", context.home.state_dir.display()),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops the gateway that holds the state folder; `None` when there is none.
///
/// # Errors
/// When it may not be signalled, or does not end in time.
pub(super) async fn stop_running(context: &Context) -> Result<Option<u32>, Failure> {
    let held = || lock_holder(&context.home.state_dir);
    // SEC-108: a held lock names a living process; without one nothing is signalled.
    let Some(pid) = held() else { return Ok(None) };
    let failed = |why: Errno| {
        Failure::new(format!("the gateway (process {pid}) cannot be told to stop")).because(&why)
    };
    let number = i32::try_from(pid).map_err(|_| failed(Errno::ESRCH))?;
    match kill(Pid::from_raw(number), Signal::SIGTERM) {
        // It ended in between.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(why) => return Err(failed(why)),
    }
    let gone = async {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while held() == Some(pid) {
            look.tick().await;
        }
    };
    match timeout(STOP_WAIT, gone).await {
        Ok(()) => Ok(Some(pid)),
        Err(_) => {
            let waited = STOP_WAIT.as_secs();
            let hint =
                format!("`kill -9 {pid}` ends it at once; the next start goes on from there");
            Err(Failure::new(format!("the gateway (process {pid}) still runs after {waited} s"))
                .hint(hint))
        }
    }
}
