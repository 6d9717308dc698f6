//! `sessions`: the conversations there are, and a new beginning for one.

use std::process::ExitCode;

use claw_app::Local;
use claw_domain::{ChatKind, Clock, Session, SystemClock};
use claw_protocol::session::{SessionKind, SessionRow};
use serde_json::{Value, json};

use super::Done;
use crate::{
    context::Context,
    failure::Failure,
    output,
    rpc::{self, Connection, Timeout},
    way::Way,
    words,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List sessions, the newest first
    List(List),
    /// Begin a session anew; what was said stays in the log
    Reset(Reset),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those that were used in the last N minutes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    active: Option<u32>,
    /// At most N of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Reset {
    /// The session's key, such as agent:main:main
    key: String,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    match args.command.unwrap_or(Command::List(args.list)) {
        Command::List(list) => list.run(context).await?,
        Command::Reset(reset) => reset.run(context).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let listed = self.listed(context).await?;
        if self.json {
            return output::json(&listed);
        }
        output::text(&told(&listed))
    }

    /// From the gateway or, where none runs, from the store.
    async fn listed(&self, context: &Context) -> Result<Value, Failure> {
        let mut params = json!({});
        if let Some(active) = self.active {
            params["activeMinutes"] = active.into();
        }
        if let Some(limit) = self.limit {
            params["limit"] = limit.into();
        }
        let here = async |local: &Local| Ok(self.chosen(&local.sessions().await?));
        self.way.ask(context, "sessions.list", params, here).await
    }

    /// What was asked for of all sessions, in the gateway's form.
    fn chosen(&self, sessions: &[Session]) -> Value {
        let now = SystemClock.now().as_millisecond();
        let since = self.active.map_or(i64::MIN, |minutes| now - i64::from(minutes) * 60_000);
        let most = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let rows: Vec<_> = sessions
            .iter()
            .filter(|session| session.updated_at.as_millisecond() >= since)
            .take(most)
            .map(row)
            .collect();
        json!({ "ts": now, "count": rows.len(), "sessions": rows })
    }
}

impl Reset {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { key, connection, timeout, json } = self;
        let params = json!({ "key": key });
        let timeout = timeout.duration();
        let done = rpc::call(context, &connection, timeout, "sessions.reset", params).await?;
        if json {
            return output::json(&done);
        }
        let key = done["key"].as_str().unwrap_or(&key);
        output::text(&format!("{key} begins anew"))
    }
}

fn row(session: &Session) -> SessionRow {
    SessionRow {
        key: session.key.as_str().to_owned(),
        kind: match session.kind {
            ChatKind::Direct => SessionKind::Direct,
            _ => SessionKind::Group,
        },
        updated_at: Some(session.updated_at.as_millisecond()),
        session_id: Some(session.id.to_string()),
        aborted_last_run: Some(session.aborted_last_run),
        total_tokens: Some(session.prompt_tokens),
        model_provider: session.model.as_ref().map(|model| model.provider.to_string()),
        model: session.model.as_ref().map(|model| model.model.to_string()),
        ..SessionRow::default()
    }
}

fn told(listed: &Value) -> String {
    let sessions = listed["sessions"].as_array().map_or(&[][..], Vec::as_slice);
    if sessions.is_empty() {
        return "there are no sessions".to_owned();
    }
    let now = SystemClock.now().as_millisecond();
    let line = |session: &Value| {
        let row: SessionRow = serde_json::from_value(session.clone()).unwrap_or_default();
        let age = row.updated_at.map(|at| u64::try_from(now - at).unwrap_or(0));
        let age = age.map_or_else(|| "never used".to_owned(), |age| words::duration(age) + " ago");
        let tokens =
            row.total_tokens.map_or_else(String::new, |n| words::count(n, "token", "tokens"));
        let model = [row.model_provider, row.model].into_iter().flatten().collect::<Vec<_>>();
        vec![row.key, age, tokens, model.join("/")]
    };
    words::table(&sessions.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_with_age_and_size() {
        let at = SystemClock.now().as_millisecond() - 125_000;
        let listed = json!({"sessions": [
            {"key": "agent:main:main", "kind": "direct", "updatedAt": at, "totalTokens": 12,
             "modelProvider": "demo", "model": "demo"},
            {"key": "agent:main:b", "kind": "direct", "updatedAt": null},
        ]});
        assert_eq!(
            told(&listed),
            "agent:main:main  2 min ago   12 tokens  demo/demo\nagent:main:b     never used"
        );
        assert_eq!(told(&json!({"sessions": []})), "there are no sessions");
    }
}
