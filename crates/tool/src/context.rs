//! What a tool is given beside its arguments.

use std::{path::PathBuf, sync::Arc, time::Duration};

use claw_domain::{AgentId, RunId, SessionKey, ToolCallId};
use tokio_util::sync::CancellationToken;

/// What a plan may depend on: facts, no clock, no environment, no disk.
#[derive(Debug, Clone)]
pub struct PlanContext {
    /// The agent's workspace, absolute.
    pub workspace: Arc<PathBuf>,
    /// The environment that commands get before their own additions.
    pub command_environment: Arc<std::collections::BTreeMap<String, String>>,
    /// How long a command may take when it does not say.
    pub command_timeout: Duration,
    /// How long a command may take whatever it says.
    pub command_timeout_max: Duration,
}

/// What carrying out a plan needs.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The agent's workspace, absolute.
    pub workspace: Arc<PathBuf>,
    /// Whose turn.
    pub agent: AgentId,
    /// In which session.
    pub session: SessionKey,
    /// In which run.
    pub run: RunId,
    /// Which call.
    pub call: ToolCallId,
    /// Fires when the run is stopped: everything that the tool started must end.
    pub stop: CancellationToken,
    /// Most text that a result may hold. Unit: bytes.
    pub output_max: usize,
}
