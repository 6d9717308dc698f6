//! `outbox`: the replies that wait or were given up, and what their owner wants done with them.

use std::process::ExitCode;

use claw_delivery::Outgoing;
use claw_domain::{Clock, OutboxId, SystemClock};
use serde_json::{Value, json};

use super::Done;
use crate::{context::Context, failure::Failure, output, way::Way, words};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List replies, the newest first
    List(List),
    /// Send replies again that were given up, after what waits already
    Retry(Retry),
    /// Give up a reply that waits
    Drop(Drop),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Which: those that wait or were given up (open), or one kind of them, or those that were sent
    #[arg(long, value_name = "STATE", default_value = "open", value_parser = ["open", "pending", "dead", "sent", "all"])]
    state: String,
    /// At most N of them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Retry {
    /// The reply's id
    #[arg(required_unless_present = "all_dead", conflicts_with = "all_dead")]
    id: Option<String>,
    /// Every reply that was given up
    #[arg(long)]
    all_dead: bool,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Drop {
    /// The reply's id
    id: String,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    match args.command {
        Command::List(list) => list.run(context).await?,
        Command::Retry(retry) => retry.run(context).await?,
        Command::Drop(drop) => drop.run(context).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { state, limit, way, json } = self;
        let params = json!({ "state": state, "limit": limit });
        let here = async |local: &claw_app::Local| {
            let view = Outgoing::named(&state).unwrap_or_default();
            Ok(json!({ "rows": local.delivery().outgoing(view, limit as usize).await? }))
        };
        let listed = way.ask(context, "outbox.list", params, here).await?;
        if json {
            return output::json(&listed["rows"]);
        }
        output::text(&table(&listed).unwrap_or_else(|| "no reply is there".to_owned()))
    }
}

impl Retry {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { id, way, json, .. } = self;
        let params = match &id {
            Some(id) => json!({ "id": id }),
            None => json!({ "allDead": true }),
        };
        let here = async |local: &claw_app::Local| {
            let sent = match &id {
                Some(id) => {
                    let id = outbox_id(id)?;
                    vec![(id, local.delivery().retry(id).await?)]
                }
                None => local.delivery().retry_all().await?,
            };
            let sent: Vec<_> =
                sent.iter().map(|(id, copy)| json!({ "id": id, "as": copy })).collect();
            Ok(json!({ "ok": true, "sent": sent }))
        };
        let done = way.ask(context, "outbox.retry", params, here).await?;
        if json {
            return output::json(&done);
        }
        let sent = done["sent"].as_array().map_or(0, Vec::len) as u64;
        output::text(&format!("{} sent again", words::count(sent, "reply is", "replies are")))
    }
}

impl Drop {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { id, way, json } = self;
        let here = async |local: &claw_app::Local| {
            let id = outbox_id(&id)?;
            local.delivery().drop_part(id).await?;
            Ok(json!({ "ok": true, "id": id }))
        };
        let done = way.ask(context, "outbox.drop", json!({ "id": id }), here).await?;
        if json {
            return output::json(&done);
        }
        output::text(&format!("{id} will not be sent"))
    }
}

fn outbox_id(id: &str) -> Result<OutboxId, Failure> {
    id.parse().map_err(|_no_uuid| Failure::new(format!("no outbox row has the id {id}")))
}

/// The rows of a list, a line each; `None` when there are none.
pub(super) fn table(listed: &Value) -> Option<String> {
    let rows = listed["rows"].as_array().filter(|rows| !rows.is_empty())?;
    let now = SystemClock.now().as_millisecond();
    let line = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let tries = words::count(row["attempts"].as_u64().unwrap_or(0), "try", "tries");
        let when = row["at"].as_i64().map_or_else(String::new, |at| when(at - now));
        vec![text("id"), text("target"), text("state"), tries, when, text("detail")]
    };
    Some(words::table(&rows.iter().map(line).collect::<Vec<_>>()))
}

/// A time that is so far off. Unit: milliseconds.
fn when(off: i64) -> String {
    let distance = words::duration(off.unsigned_abs());
    if off > 0 { format!("in {distance}") } else { format!("{distance} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_with_tries_and_times() {
        let now = SystemClock.now().as_millisecond();
        let listed = json!({"rows": [
            {"id": "b", "target": "telegram:7", "state": "pending", "attempts": 3,
             "at": now + 125_000, "detail": "telegram could not be reached"},
            {"id": "a", "target": "telegram/work:-100:3", "state": "dead", "attempts": 1,
             "at": now - 61_000},
        ]});
        assert_eq!(
            table(&listed).as_deref(),
            Some(
                "b  telegram:7            pending  3 tries  in 2 min   telegram could not be reached\n\
                 a  telegram/work:-100:3  dead     1 try    1 min ago"
            )
        );
        assert_eq!(table(&json!({"rows": []})), None);
    }
}
