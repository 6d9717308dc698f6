//! The turn: what is said to a model, what it wants done, and nothing else.
//!
//! [`Turn`] is a pure machine; [`Agents`] is the small driver that carries out what it wants, each
//! input committed before its effect. No socket is opened here and no clock is read: providers,
//! tools, store and time are handed in.
#![warn(missing_docs)]

mod agents;
mod config;
mod context;
mod driver;
mod envelope;
mod log;
mod prompt;
mod shelf;
mod turn;
mod turns;
mod workspace;

pub use agents::{AgentSpec, Agents, BootstrapCaps, Limits, Models, Parts, Resolved};
pub use config::{
    AgentDefaults, AgentEntry, AgentsConfig, Identity, ModelChoice, ModelSelection, ThinkingLevel,
};
pub use turn::{Input, STEPS_MAX, ToolCall, Turn, Want};
pub use workspace::{WORKSPACE_FILES, WorkspaceError, prepare_workspace};
