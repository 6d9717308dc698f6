//! `pairing`: the owner lets strangers in, through the gateway or, where none runs, here.

use std::process::ExitCode;

use claw_app::Local;
use claw_domain::{ChannelId, Clock, SystemClock};
use claw_store::PairingRequest;
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
    /// List who waits to be let in
    List(List),
    /// Let in whoever was given this code
    Approve(Approve),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only this channel, such as telegram
    channel: Option<String>,
    /// Only this channel
    #[arg(long = "channel", value_name = "CHANNEL", conflicts_with = "channel")]
    named: Option<String>,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Approve {
    /// The channel, such as telegram; the code itself where --channel names the channel
    #[arg(value_name = "CHANNEL")]
    first: String,
    /// The code
    #[arg(value_name = "CODE")]
    second: Option<String>,
    /// The channel
    #[arg(long, conflicts_with = "second")]
    channel: Option<String>,
    #[command(flatten)]
    way: Way,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    match args.command {
        Command::List(list) => list.run(context).await,
        Command::Approve(approve) => approve.run(context).await,
    }
}

impl List {
    async fn run(self, context: &Context) -> Done {
        let channel = self.channel.or(self.named);
        let params = match &channel {
            Some(channel) => json!({ "channel": channel }),
            None => json!({}),
        };
        let here = async |local: &Local| {
            let channel = channel.as_deref().map(ChannelId::from);
            let waiting = local.pairings(channel.as_ref()).await?;
            Ok(json!({ "requests": waiting.iter().map(shown).collect::<Vec<_>>() }))
        };
        let listed = self.way.ask(context, "pairing.list", params, here).await?;
        if self.json {
            output::json(&listed)?;
        } else {
            output::text(&told(&listed))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Approve {
    async fn run(self, context: &Context) -> Done {
        let (channel, code) = match (self.channel, self.second) {
            (None, Some(code)) => (self.first, code),
            (Some(channel), None) => (channel, self.first),
            _ => {
                let hint = "write `rusty-claw pairing approve telegram CODE`";
                return Err(Failure::new("the channel is missing").hint(hint));
            }
        };
        let params = json!({ "channel": channel, "code": code });
        let here = async |local: &Local| {
            let request = local.approve(&ChannelId::from(channel.as_str()), &code).await?;
            Ok(json!({ "ok": true, "request": shown(&request) }))
        };
        let approved = self.way.ask(context, "pairing.approve", params, here).await?;
        let who = approved["request"]["id"].as_str().unwrap_or("the sender");
        output::text(&format!("{who} may now write on {channel}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A request in the gateway's form.
fn shown(request: &PairingRequest) -> Value {
    json!({
        "channel": request.channel.as_str(),
        "accountId": request.account.as_str(),
        "id": request.peer.as_str(),
        "name": request.name,
        "code": request.code,
        "createdAt": request.created_at.as_millisecond(),
        "expiresAt": request.expires_at.as_millisecond(),
    })
}

fn told(listed: &Value) -> String {
    let requests = listed["requests"].as_array().map_or(&[][..], Vec::as_slice);
    if requests.is_empty() {
        return "nobody waits to be let in".to_owned();
    }
    let now = SystemClock.now().as_millisecond();
    let text = |request: &Value, key: &str| request[key].as_str().unwrap_or_default().to_owned();
    let row = |request: &Value| {
        let left = request["expiresAt"].as_i64().map_or(0, |at| at - now);
        vec![
            text(request, "channel"),
            text(request, "code"),
            text(request, "id"),
            format!("{} left", words::duration(u64::try_from(left).unwrap_or(0))),
            text(request, "name"),
        ]
    };
    words::table(&requests.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_with_code_and_name() {
        let hour = SystemClock.now().as_millisecond() + 3_600_000 + 60_000;
        let listed = json!({"requests": [
            {"channel": "telegram", "code": "ABCDEFGH", "id": "7", "name": "Ann", "expiresAt": hour},
        ]});
        assert_eq!(told(&listed), "telegram  ABCDEFGH  7  1 h left  Ann");
        assert_eq!(told(&json!({"requests": []})), "nobody waits to be let in");
    }
}
