//! `health`: how well the gateway says that it is.

use std::process::ExitCode;

use claw_protocol::health::HealthSummary;
use serde_json::{Value, json};

use super::Done;
use crate::{
    context::Context,
    output,
    rpc::{self, Connection, Timeout},
    words,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
    /// Ask every channel's server now instead of telling what is known, and log more
    #[arg(long)]
    verbose: bool,
    /// Wait for the last answer; the first one is the last
    #[arg(long, hide = true)]
    expect_final: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Done {
    let params = if args.verbose { json!({ "probe": true }) } else { json!({}) };
    let timeout = args.timeout.duration();
    let health = rpc::call(context, &args.connection, timeout, "health", params).await?;
    if args.json {
        output::json(&health)?;
    } else {
        output::text(&told(&health))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The summary for people; what cannot be read is shown as it came.
fn told(health: &Value) -> String {
    let Ok(summary) = serde_json::from_value::<HealthSummary>(health.clone()) else {
        return health.to_string();
    };
    let well = match &summary.store_error {
        None => format!("well (looked at in {})", words::duration(summary.duration_ms)),
        Some(error) => format!("takes no new work: {error}"),
    };
    let mut rows = vec![vec!["gateway".to_owned(), well]];
    rows.extend(channels(&summary));
    for agent in &summary.agents {
        let name = agent.name.as_ref().unwrap_or(&agent.agent_id);
        let default = if agent.is_default { " (default)" } else { "" };
        let sessions = agent.sessions.count as u64;
        let sessions = words::count(sessions, "session", "sessions");
        rows.push(vec!["agent".to_owned(), format!("{name}{default}: {sessions}")]);
    }
    rows.extend(summary.sessions.recent.iter().map(|session| used(&session.key, session.age)));
    words::table(&rows)
}

/// A row for each channel.
pub(crate) fn channels(summary: &HealthSummary) -> Vec<Vec<String>> {
    let row = |id: &String| {
        let label = summary.channel_labels.get(id).and_then(Value::as_str).unwrap_or(id);
        let channel = summary.channels.get(id).map_or_else(|| "nothing known".to_owned(), channel);
        vec!["channel".to_owned(), format!("{label}: {channel}")]
    };
    summary.channel_order.iter().map(row).collect()
}

/// The row of a session that was last used so long ago. Unit: milliseconds.
pub(crate) fn used(key: &str, age: Option<u64>) -> Vec<String> {
    let age = age.map_or_else(|| "never used".to_owned(), |age| words::duration(age) + " ago");
    vec!["session".to_owned(), format!("{key}: {age}")]
}

/// A channel's own summary: which of its truths hold, and what went wrong last.
fn channel(summary: &Value) -> String {
    let truths = ["configured", "linked", "running", "connected"];
    let mut holds: Vec<_> = truths
        .into_iter()
        .filter_map(|name| Some((name, summary.get(name)?.as_bool()?)))
        .map(|(name, holds)| if holds { name.to_owned() } else { format!("not {name}") })
        .collect();
    if let Some(error) = summary["lastError"].as_str() {
        holds.push(format!("last error: {error}"));
    }
    if holds.is_empty() { "nothing known".to_owned() } else { holds.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_in_lines() {
        let health = json!({
            "ok": true, "ts": 1, "durationMs": 3, "heartbeatSeconds": 0, "defaultAgentId": "main",
            "channels": {"telegram": {"running": true, "connected": false, "lastError": "cut off"}},
            "channelOrder": ["telegram"], "channelLabels": {"telegram": "Telegram"},
            "agents": [{
                "agentId": "main", "isDefault": true, "sessions": {"path": "p", "count": 1, "recent": []},
            }],
            "sessions": {"path": "p", "count": 1, "recent": [
                {"key": "agent:main:main", "updatedAt": 5, "age": 61_000},
                {"key": "agent:main:new", "updatedAt": null, "age": null},
            ]},
        });
        assert_eq!(
            told(&health),
            "gateway  well (looked at in 3 ms)\n\
             channel  Telegram: running, not connected, last error: cut off\n\
             agent    main (default): 1 session\n\
             session  agent:main:main: 1 min ago\n\
             session  agent:main:new: never used"
        );
    }

    #[test]
    fn health_of_an_unknown_form_is_shown_as_it_came() {
        assert_eq!(told(&json!({"ok": true})), r#"{"ok":true}"#);
    }
}
