//! `agent`: one message to the agent, and its answer.

use std::{process::ExitCode, time::Duration};

use claw_app::Local;
use claw_domain::Ending;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Done, status};
use crate::{
    context::Context,
    failure::Failure,
    output,
    rpc::{Connection, Gateway},
};

/// How long a turn may take where neither the line nor the configuration says it. Unit: seconds.
const TURN_SECS: u64 = 600;

/// How much longer than the turn its answer is waited for: the gateway is the one that ends a
/// turn that takes too long, and says so.
const ANSWER_GRACE: Duration = Duration::from_secs(30);

/// How long a turn without a limit is waited for.
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long connecting may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    ask: Ask,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Other words for the same.
#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(hide = true)]
    Run(Ask),
    #[command(hide = true)]
    Status(status::Args),
}

#[derive(Debug, clap::Args)]
struct Ask {
    /// What to say to the agent
    #[arg(short, long, value_name = "TEXT", required = true)]
    message: Option<String>,
    /// The agent, where it is not the default one
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The session, such as agent:main:main
    #[arg(long, value_name = "KEY", conflicts_with = "session_id")]
    session_key: Option<String>,
    /// The session by its id
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// The session of this person. Our own gateway refuses it for now, others know it.
    #[arg(short, long, value_name = "PERSON", hide = true, conflicts_with_all = ["session_key", "session_id"])]
    to: Option<String>,
    /// How long the model thinks: off, minimal, low, medium, high, xhigh
    #[arg(long, value_name = "LEVEL")]
    thinking: Option<String>,
    /// How long the turn may take, in seconds; 0 for as long as it needs
    #[arg(long, value_name = "S")]
    timeout: Option<u64>,
    #[command(flatten)]
    connection: Connection,
    /// Run the turn in this process, without a gateway
    #[arg(long, conflicts_with_all = ["url", "token", "password", "to", "session_id", "thinking"])]
    local: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let ask = match args.command {
        Some(Command::Status(args)) => return status::run(args, context).await,
        Some(Command::Run(ask)) => ask,
        None => args.ask,
    };
    match ask.local {
        true => here(&ask, context).await,
        false => through_gateway(&ask, context).await,
    }
}

impl Ask {
    fn text(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// The session's key, unless something else names the session.
    fn key(&self) -> Option<&str> {
        let other = self.agent.is_some() || self.session_id.is_some() || self.to.is_some();
        self.session_key.as_deref().or((!other).then_some("main"))
    }

    fn params(&self) -> Value {
        let mut params = json!({ "message": self.text(), "idempotencyKey": Uuid::new_v4() });
        let choices = [
            ("agentId", self.agent.as_deref()),
            ("sessionKey", self.key()),
            ("sessionId", self.session_id.as_deref()),
            ("to", self.to.as_deref()),
            ("thinking", self.thinking.as_deref()),
        ];
        for (name, choice) in choices {
            if let Some(choice) = choice {
                params[name] = choice.into();
            }
        }
        if let Some(timeout) = self.timeout {
            params["timeout"] = timeout.into();
        }
        params
    }

    /// How long the answer is waited for.
    fn wait(&self, configured: Option<u64>) -> Duration {
        match self.timeout {
            Some(0) => WAIT_MAX,
            Some(secs) => Duration::from_secs(secs).saturating_add(ANSWER_GRACE).min(WAIT_MAX),
            None => Duration::from_secs(configured.unwrap_or(TURN_SECS)) + ANSWER_GRACE,
        }
    }
}

async fn through_gateway(ask: &Ask, context: &Context) -> Done {
    let path = "agents.defaults.timeoutSeconds".parse().expect("a constant path");
    let configured = context.config()?.get(&path).and_then(|node| node.to_json().as_u64());
    let gateway = Gateway::connect(context, &ask.connection, CONNECT_WAIT).await?;
    let answer = gateway.call_final("agent", ask.params(), ask.wait(configured)).await;
    gateway.close().await;
    print(ask, &answer?)
}

/// Runs the turn here, with the same parts as a gateway.
async fn here(ask: &Ask, context: &Context) -> Done {
    let config = context.config()?;
    let mut local = Local::open(&context.home, config, context.environment()).await?;
    let key = match (ask.key(), &ask.agent) {
        (None, Some(agent)) => format!("agent:{agent}:main"),
        (key, _) => key.unwrap_or("main").to_owned(),
    };
    let timeout = ask.timeout.filter(|secs| *secs > 0).map(Duration::from_secs);
    let answered = local.ask(ask.text(), &key, timeout, |_signal| {}).await;
    let closed = local.close().await;
    let reply = answered?;
    closed?;
    let (text, stopped) = match &reply.ending {
        Ending::Replied { text } => (text, None),
        Ending::Stopped { cause, text } => (text, Some(cause.as_str())),
        Ending::Failed { error, .. } => return Err(Failure::new("the turn failed").why(error)),
    };
    let payloads: Vec<_> =
        (!text.is_empty()).then(|| json!({ "text": text, "mediaUrl": null })).into_iter().collect();
    let answer = json!({
        "runId": reply.run.as_str(),
        "status": "ok",
        "summary": "completed",
        "result": { "payloads": payloads, "meta": { "aborted": stopped.is_some() } },
    });
    print(ask, &answer)?;
    match stopped {
        None => Ok(ExitCode::SUCCESS),
        Some(cause) => Err(Failure::new(format!("the turn was stopped ({cause})"))),
    }
}

/// Prints the last answer of the method `agent`.
fn print(ask: &Ask, answer: &Value) -> Done {
    if ask.json {
        output::json(answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let said = said(answer);
    match said.is_empty() {
        true => output::note("the agent chose to say nothing"),
        false => output::text(&said)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn said(answer: &Value) -> String {
    let payloads = answer["result"]["payloads"].as_array().into_iter().flatten();
    payloads.filter_map(|payload| payload["text"].as_str()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn ask(words: &str) -> Ask {
        let args = Line::parse_from(std::iter::once("agent").chain(words.split(' '))).args;
        match args.command {
            Some(Command::Run(ask)) => ask,
            _ => args.ask,
        }
    }

    fn check(words: &str, expected: Value) {
        let mut params = ask(words).params();
        let key = params.as_object_mut().and_then(|params| params.remove("idempotencyKey"));
        assert!(key.is_some_and(|key| key.is_string()));
        assert_eq!(params, expected, "{words}");
    }

    #[test]
    fn the_session_is_the_one_that_was_named_else_the_main_one() {
        check("-m hi", json!({"message": "hi", "sessionKey": "main"}));
        check("run --message hi", json!({"message": "hi", "sessionKey": "main"}));
        let agent = json!({"message": "hi", "agentId": "a"});
        check("-m hi --agent a", agent);
        check("-m hi --session-key k", json!({"message": "hi", "sessionKey": "k"}));
        check("-m hi --session-id i", json!({"message": "hi", "sessionId": "i"}));
        check("-m hi --to +1", json!({"message": "hi", "to": "+1"}));
        let chosen = json!({
            "message": "hi", "sessionKey": "main", "thinking": "low", "timeout": 5,
        });
        check("-m hi --thinking low --timeout 5", chosen);
    }

    #[test]
    fn an_answer_is_waited_for_longer_than_its_turn_may_take() {
        let secs = Duration::from_secs;
        assert_eq!(ask("-m hi").wait(None), secs(630));
        assert_eq!(ask("-m hi").wait(Some(3600)), secs(3630));
        assert_eq!(ask("-m hi --timeout 5").wait(Some(3600)), secs(35));
        assert_eq!(ask("-m hi --timeout 0").wait(None), WAIT_MAX);
        assert_eq!(ask("-m hi --timeout 18446744073709551615").wait(None), WAIT_MAX);
    }

    #[test]
    fn every_part_of_an_answer_is_said() {
        let answer =
            json!({"result": {"payloads": [{"text": "a"}, {"mediaUrl": "u"}, {"text": "b"}]}});
        assert_eq!(said(&answer), "a\nb");
        assert_eq!(said(&json!({"status": "ok"})), "");
    }
}
