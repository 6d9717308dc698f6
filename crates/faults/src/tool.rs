//! A tool with points around planning and around running.

use std::sync::Arc;

use async_trait::async_trait;
use claw_tool::{Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool};
use serde_json::Value;

use crate::{Phase, Points};

/// Passes `tool.plan` and `tool.run`. A tool's failure is an output, so no fault makes it fail.
pub struct FaultyTool {
    inner: Arc<dyn Tool>,
    points: Points,
}

impl FaultyTool {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Tool>, points: Points) -> Self {
        Self { inner, points }
    }
}

#[async_trait]
impl Tool for FaultyTool {
    fn spec(&self) -> &Spec {
        self.inner.spec()
    }

    fn plan(&self, arguments: &Value, context: &PlanContext) -> Result<Plan, Refusal> {
        let plan = || self.inner.plan(arguments, context);
        self.points.around_now("tool.plan", self.spec().name, plan)
    }

    async fn run(&self, plan: Plan, context: &RunContext) -> Output {
        let detail = format!("{} {}", self.spec().name, context.call);
        self.points.fails("tool.run", Phase::Before, &detail).await;
        let output = self.inner.run(plan, context).await;
        self.points.fails("tool.run", Phase::After, &detail).await;
        output
    }
}
