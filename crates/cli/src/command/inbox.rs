//! `inbox`: the messages that were accepted, and how far they have come.

use std::process::ExitCode;

use claw_delivery::Incoming;
use serde_json::{Value, json};

use super::{Done, outbox};
use crate::{context::Context, output, way::Way};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List messages, the newest first
    List(List),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Which: those that are not done, those that are, or all
    #[arg(long, value_name = "STATE", default_value = "open", value_parser = ["open", "closed", "all"])]
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

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let Command::List(List { state, limit, way, json }) = args.command;
    let params = json!({ "state": state, "limit": limit });
    let here = async |local: &claw_app::Local| {
        let view = Incoming::named(&state).unwrap_or_default();
        Ok(json!({ "rows": local.delivery().incoming(view, limit as usize).await? }))
    };
    let listed = way.ask(context, "inbox.list", params, here).await?;
    if json {
        output::json(&listed["rows"])?;
    } else {
        output::text(&told(&listed))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(listed: &Value) -> String {
    outbox::table(listed).unwrap_or_else(|| "no message is there".to_owned())
}
