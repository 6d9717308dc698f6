//! A workspace in a temporary folder, and tools called in it as the turn calls them.
#![allow(dead_code, reason = "each test program compiles this file and uses a part of it")]

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use claw_domain::{AgentId, RunId, SessionKey, ToolCallId};
use claw_tool::{Output, PlanContext, RunContext, Tool};
use claw_tools::{Helper, all};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) stop: CancellationToken,
    pub(crate) timeout: Duration,
    pub(crate) output_max: usize,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            stop: CancellationToken::new(),
            timeout: Duration::from_secs(60),
            output_max: 20_000,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Output {
        let tool = find(tool);
        match tool.plan(&arguments, &self.plan_context()) {
            Ok(plan) => tool.run(plan, &self.run_context()).await,
            Err(refusal) => Output::error(refusal.to_string()),
        }
    }

    pub(crate) fn plan_context(&self) -> PlanContext {
        let environment = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8")];
        PlanContext {
            workspace: Arc::new(self.path().to_owned()),
            command_environment: Arc::new(BTreeMap::from(
                environment.map(|(k, v)| (k.to_owned(), v.to_owned())),
            )),
            command_timeout: self.timeout,
            command_timeout_max: self.timeout,
        }
    }

    pub(crate) fn run_context(&self) -> RunContext {
        RunContext {
            workspace: Arc::new(self.path().to_owned()),
            agent: AgentId::from("main"),
            session: SessionKey::from("agent:main:main"),
            run: RunId::from("run"),
            call: ToolCallId::from("call"),
            stop: self.stop.clone(),
            output_max: self.output_max,
        }
    }
}

pub(crate) fn find(name: &str) -> Arc<dyn Tool> {
    let helper =
        Helper { program: env!("CARGO_BIN_EXE_exec-helper").into(), arguments: Vec::new() };
    all(helper).into_iter().find(|tool| tool.spec().name == name).unwrap()
}
