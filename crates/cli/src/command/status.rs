//! `status`: channels, sessions and the model at a glance.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Done, health};
use crate::{
    context::Context,
    output,
    rpc::{self, Connection, Gateway, Timeout},
    words,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
    /// Ask every channel's server now instead of telling what is known
    #[arg(long)]
    deep: bool,
    /// Log more
    #[arg(long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }
}

/// With `--json` the gateway's answer to `status` as it came; for people its health beside it.
pub(crate) async fn run(args: Args, context: &Context) -> Done {
    let timeout = args.timeout.duration();
    let gateway = Gateway::connect(context, &args.connection, timeout).await?;
    let asked = async {
        let status = gateway.call("status", json!({}), timeout).await?;
        if args.json {
            return output::json(&status);
        }
        let probe = if args.deep { json!({ "probe": true }) } else { json!({}) };
        let health = gateway.call("health", probe, timeout).await?;
        output::text(&told(&gateway, &status, &health))
    };
    let done = asked.await;
    gateway.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

fn told(gateway: &Gateway, status: &Value, health: &Value) -> String {
    let hello = gateway.client().hello();
    let up = words::duration(hello.snapshot.uptime_ms);
    let url = rpc::shown(&gateway.place().url);
    let mut said = format!("{url}: version {}, up {up}\n", hello.server.version);
    if let Some(model) = status["sessions"]["defaults"]["model"].as_str() {
        said.push_str(&format!("model    {model}\n"));
    }
    for line in status["channelSummary"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        said.push_str(&format!("{line}\n"));
    }
    said + &health::told(health)
}
