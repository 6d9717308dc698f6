//! `why`: what became of one message, step by step.

use std::process::ExitCode;

use claw_domain::millis;
use serde_json::{Value, json};

use super::Done;
use crate::{context::Context, failure::Failure, output, way::Way, words};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The message: telegram:CHAT:MESSAGE, or an id of the inbox, the outbox or a run
    id: String,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let Args { id, way, json } = args;
    let params = json!({ "id": id });
    let here = async |local: &claw_app::Local| match local.delivery().why(&id).await? {
        Some(story) => Ok(json!(story)),
        None => Err(Failure::new(format!("nothing is known of {id}"))
            .hint("`rusty-claw inbox list --state all` shows the newest messages")),
    };
    let story = way.ask(context, "why", params, here).await?;
    if json {
        output::json(&story)?;
    } else {
        output::text(&told(&story))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each step: when, what, whether it went well, and the rule's name.
fn told(story: &Value) -> String {
    let steps = story["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |step: &Value| {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let mark = if step["ok"] == false { "✗" } else { "✓" };
        let rule = step["rule"].as_str().map_or_else(String::new, |rule| format!(" [{rule}]"));
        vec![at(step), mark.to_owned(), text("step"), format!("{}{rule}", text("detail"))]
    };
    words::table(&steps.iter().map(row).collect::<Vec<_>>())
}

/// When, in UTC to the millisecond.
fn at(step: &Value) -> String {
    let at = step["at"].as_i64().map(millis);
    at.map_or_else(String::new, |at| at.strftime("%F %T%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_told_in_lines() {
        let story = json!({"id": "x", "steps": [
            {"at": 1_767_225_600_500_i64, "step": "received", "ok": true, "detail": "a message"},
            {"at": 1_767_225_600_501_i64, "step": "refused", "ok": false, "rule": "dm-pairing",
             "detail": "not known"},
        ]});
        assert_eq!(
            told(&story),
            "2026-01-01 00:00:00.500Z  ✓  received  a message\n\
             2026-01-01 00:00:00.501Z  ✗  refused   not known [dm-pairing]"
        );
    }
}
