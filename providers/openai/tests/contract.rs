//! The provider against a server that behaves like the vendor's.

use claw_domain::{ModelInfo, ModelRef, Secret, StopReason};
use claw_provider::{
    ErrorKind, Provider,
    contract::{self, Access, Scene, Stage, WRONG_KEY},
};
use claw_provider_openai::{OpenAi, Options};
use claw_testkit::{Answer, FakeOpenAi, Gate, Refusal, Reply, Stop, Usage, openai};
use serde_json::Value;

struct Theatre(FakeOpenAi);

fn provider(base_url: String, key: &str) -> OpenAi {
    claw_testkit::init();
    let options = Options {
        name: "openai".into(),
        base_url,
        key: Some(Secret::new(key)),
        headers: Vec::new(),
        models: Vec::new(),
    };
    OpenAi::new(options, reqwest::Client::new()).unwrap()
}

impl Stage for Theatre {
    fn provider(&self, access: Access) -> Box<dyn Provider> {
        Box::new(match access {
            Access::Right => provider(self.0.url(), openai::KEY),
            Access::WrongKey => provider(self.0.url(), WRONG_KEY),
            // Port 1 is reserved and nobody listens there.
            Access::Gone => provider("http://127.0.0.1:1/v1".into(), openai::KEY),
        })
    }

    fn model(&self) -> ModelInfo {
        ModelInfo {
            reference: ModelRef { provider: "openai".into(), model: openai::MODEL.into() },
            name: "GPT Fake 1".into(),
            context_window: 200_000,
            output_max: 8192,
            reasoning: true,
            images: true,
            cost: None,
        }
    }

    fn signs_thoughts(&self) -> bool {
        false
    }

    fn play(&self, scene: Scene) {
        self.0.answer(answer(scene));
    }

    fn requests(&self) -> Vec<Value> {
        self.0.requests().iter().map(|asked| asked.body.clone()).collect()
    }
}

fn answer(scene: Scene) -> Answer {
    // The role, one delta.
    const SAID_HA: usize = 2;
    let ha = || Reply::text("ha").and_text("never");
    let reply = match scene {
        Scene::Says(pieces) => Reply::pieces(pieces.iter().copied()),
        Scene::Thinks(thought, text) => Reply::thinking(thought).and_text(text),
        Scene::Calls("", arguments) => Reply::broken_tool("exec", arguments),
        Scene::Calls(thought, arguments) => {
            let arguments = serde_json::from_str(arguments).unwrap();
            Reply::thinking(thought).and_tool("exec", arguments)
        }
        Scene::Takes(usage) => Reply::text("ok").usage(Usage {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
        }),
        Scene::Stops(reason) => Reply::text("ha").stopping(match reason {
            StopReason::Length => Stop::MaxTokens,
            StopReason::Error => Stop::Refused,
            _ => Stop::EndTurn,
        }),
        Scene::Cuts => ha().cut_after(SAID_HA),
        Scene::Ends => ha().end_after(SAID_HA),
        Scene::Fails => ha().error_after(SAID_HA, "server_is_overloaded", "Overloaded"),
        Scene::Stalls => ha().stall_after(SAID_HA, &Gate::new()),
        Scene::Refuses(kind) => return refusal(kind).into(),
        Scene::Html => return Answer::html(),
        Scene::Empty => return Answer::empty_stream(),
    };
    reply.into()
}

fn refusal(kind: ErrorKind) -> Refusal {
    match kind {
        ErrorKind::Rate => openai::rate_limited(7),
        ErrorKind::Overloaded => openai::overloaded(),
        ErrorKind::Billing => openai::no_credit(),
        ErrorKind::ContextTooLong => openai::context_too_long(9, 8),
        ErrorKind::Server => Refusal::new(500, "server_error", "Internal server error"),
        _ => Refusal::new(404, "model_not_found", "The model does not exist"),
    }
}

#[tokio::test]
async fn the_provider_keeps_the_contract() {
    contract::run(&Theatre(FakeOpenAi::start().await)).await;
}
