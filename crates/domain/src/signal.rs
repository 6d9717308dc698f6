//! What is told while it happens and never stored: the volatile side of a run.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AssistantMessage, RunId, SessionKey, Timestamp, ToolCallId, ToolResult};

/// One signal of a run, passed to whoever listens now.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The run.
    pub run: RunId,
    /// Its session.
    pub session: SessionKey,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: SignalKind,
}

/// What a listener can hear of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// The run began.
    Started,
    /// The run waits behind another one of its session.
    Queued,
    /// The answer grew.
    Text(Arc<str>),
    /// The thought grew.
    Thinking(Arc<str>),
    /// The model is asked again: text since the last tool call, or the start, is void.
    Restarted,
    /// A tool call began.
    ToolStarted {
        /// Which call.
        call: ToolCallId,
        /// Which tool.
        name: Arc<str>,
        /// With what.
        arguments: Value,
    },
    /// A tool call ended.
    ToolFinished(Arc<ToolResult>),
    /// The run has shown nothing for this long, and goes on.
    Stalled(Duration),
    /// A command was answered without a run of the model.
    Injected(Arc<AssistantMessage>),
    /// The run is over.
    Finished(Ending),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "how")]
pub enum Ending {
    /// The model answered; the text may be empty when it chose silence.
    Replied {
        /// The whole reply.
        text: String,
    },
    /// It was stopped; what had been said so far is kept.
    Stopped {
        /// By what.
        cause: StopCause,
        /// What had been said.
        text: String,
    },
    /// It failed, and people are told this.
    Failed {
        /// What failed, and what to do.
        error: String,
        /// The stable code.
        code: String,
    },
}

/// What stopped a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopCause {
    /// A client's `chat.abort`.
    Rpc,
    /// The word `/stop`.
    Command,
    /// The run took too long.
    Timeout,
}

impl StopCause {
    /// The word that gateway clients know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Command => "stop",
            Self::Timeout => "timeout",
        }
    }
}
