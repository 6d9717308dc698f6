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
        output::text(&told(&place(&gateway), &status, &health))
    };
    let done = asked.await;
    gateway.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

fn place(gateway: &Gateway) -> String {
    let (hello, url) = (gateway.hello(), rpc::shown(&gateway.place().url));
    let up = words::duration(hello.snapshot.uptime_ms);
    format!("{url}, version {}, up {up}", hello.server.version)
}

/// The channels as `health` knows them, the rest as `status` does.
fn told(place: &str, status: &Value, health: &Value) -> String {
    let mut rows = vec![vec!["gateway".to_owned(), place.to_owned()]];
    if let Some(error) = health["storeError"].as_str() {
        rows.push(vec!["store".to_owned(), format!("takes no new work: {error}")]);
    }
    let sessions = &status["sessions"];
    if let Some(model) = sessions["defaults"]["model"].as_str() {
        rows.push(vec!["model".to_owned(), model.to_owned()]);
    }
    rows.extend(health::channels(&serde_json::from_value(health.clone()).unwrap_or_default()));
    rows.extend(unsent(&status["outbox"]).map(|text| vec!["outbox".to_owned(), text]));
    let recent = sessions["recent"].as_array().into_iter().flatten();
    let recent =
        recent.filter_map(|row| Some(health::used(row["key"].as_str()?, row["age"].as_u64())));
    rows.extend(recent);
    words::table(&rows)
}

/// What did not get out, where something did not.
fn unsent(outbox: &Value) -> Option<String> {
    let count = |key: &str| outbox[key].as_u64().unwrap_or(0);
    let (pending, dead) = (count("pending"), count("dead"));
    let waiting = words::count(pending, "reply waits", "replies wait");
    let given_up = words::count(dead, "was given up", "were given up");
    match (pending, dead) {
        (0, 0) => None,
        (_, 0) => Some(waiting),
        (_, _) => Some(format!("{waiting}, {given_up}: see `rusty-claw outbox list`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_told_in_lines() {
        let status = json!({"outbox": {"pending": 1, "dead": 2}, "sessions": {
            "count": 1, "defaults": {"model": "demo"},
            "recent": [{"key": "agent:main:main", "age": 2000}],
        }});
        let health = json!({
            "ok": true, "ts": 1, "durationMs": 3, "heartbeatSeconds": 0, "defaultAgentId": "main",
            "channels": {"telegram": {"running": true}}, "channelOrder": ["telegram"],
            "channelLabels": {}, "agents": [],
            "sessions": {"path": "p", "count": 0, "recent": []},
        });
        assert_eq!(
            told("ws://127.0.0.1:1, version 1, up 5 s", &status, &health),
            "gateway  ws://127.0.0.1:1, version 1, up 5 s\n\
             model    demo\n\
             channel  telegram: running\n\
             outbox   1 reply waits, 2 were given up: see `rusty-claw outbox list`\n\
             session  agent:main:main: 2 s ago"
        );
    }
}
