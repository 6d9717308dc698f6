//! The one tool of these histories: it does something to the world that must not be done twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use claw_tool::{FileAction, FilePlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool};
use serde_json::{Value, json};

use super::{gate::Gate, world::World, world::lock};

/// How often each call had its effect.
#[derive(Default)]
pub(crate) struct Deeds(Mutex<BTreeMap<String, u64>>);

impl Deeds {
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.0).clone()
    }
}

/// What the tool answers when it knows that it had its effect.
pub(crate) const DONE: &str = "done";

/// One process's tool.
pub(crate) struct Deed {
    world: Arc<World>,
    gate: Gate,
    spec: Spec,
}

impl Deed {
    pub(crate) fn new(world: Arc<World>, gate: Gate) -> Self {
        let parameters = json!({"type": "object"});
        Self { world, gate, spec: Spec { name: "deed", description: "Does a deed.", parameters } }
    }
}

#[async_trait]
impl Tool for Deed {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn plan(&self, _arguments: &Value, _context: &PlanContext) -> Result<Plan, Refusal> {
        let action = FileAction::Append { content: "deed".into() };
        Ok(Plan::File(FilePlan { path: "deeds".into(), action }))
    }

    async fn run(&self, _plan: Plan, context: &RunContext) -> Output {
        let (world, gate) = (&*self.world, &self.gate);
        let dice = world.roll("deed", context.call.as_str());
        world.pass(gate, dice.about("before")).await;
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Output::error("stopped before the deed"),
            () = world.take(gate, dice.about("begin").within(1..3_000)) => {}
        }
        *lock(&world.deeds.0).entry(context.call.to_string()).or_default() += 1;
        world.pass(gate, dice.about("after")).await;
        world.take(gate, dice.about("end").within(1..3_000)).await;
        Output::ok(DONE)
    }
}
