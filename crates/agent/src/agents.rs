//! The agents that run here, and what each is made of.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use claw_delivery::{Listener, Scribe};
use claw_domain::{AgentId, EventId, ModelInfo, ModelRef, Session, SessionKey, SignalKind};
use claw_guard::ToolPolicy;
use claw_provider::{Prefix, Provider, RetryPolicy, ToolSpec};
use claw_store::{Fence, Store};
use claw_tool::{Spec, Tool};
use jiff::tz::TimeZone;

use crate::{
    config::{Identity, ThinkingLevel},
    shelf::Shelf,
};

/// Most prefixes that are kept in memory; each is at most some 150 KB.
const PREFIXES_MAX: usize = 64;

/// One agent as it runs.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Its id.
    pub id: AgentId,
    /// Its name for people.
    pub name: Option<String>,
    /// How it presents itself.
    pub identity: Identity,
    /// Its folder, absolute.
    pub workspace: Arc<PathBuf>,
    /// How much of the folder's files joins the prompt.
    pub caps: BootstrapCaps,
    /// The model that it asks unless a session says otherwise.
    pub model: ModelRef,
    /// How long it thinks; `None` follows the model.
    pub thinking: Option<ThinkingLevel>,
    /// Which tools it may use.
    pub tools: ToolPolicy,
    /// The largest prompt, where the model's window is larger. Unit: tokens.
    pub context_tokens: Option<u64>,
    /// The time zone of times that it is told.
    pub zone: TimeZone,
    /// What its turns may take.
    pub limits: Limits,
}

/// How much of the workspace's files joins the prompt. Unit: characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootstrapCaps {
    /// Of one file.
    pub file_max: usize,
    /// Of all together.
    pub total_max: usize,
}

/// What a turn may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all, tools included.
    pub wall: Duration,
    /// Of all model calls together. Unit: tokens.
    pub tokens_max: u64,
    /// Of one tool's result. Unit: bytes.
    pub tool_output_max: usize,
    /// How long a command may take when it does not say.
    pub command: Duration,
}

impl Default for Limits {
    /// 10 minutes, 5 million tokens, 64 KiB of a tool's output, 30 minutes for a command
    /// (which ends with its turn all the same).
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(600),
            tokens_max: 5_000_000,
            tool_output_max: 64 << 10,
            command: Duration::from_secs(1800),
        }
    }
}

/// The models that can be asked.
pub trait Models: Send + Sync {
    /// A model and who answers for it; `None` when its provider is not configured.
    fn resolve(&self, model: &ModelRef) -> Option<Resolved>;

    /// All that is known.
    fn list(&self) -> Vec<ModelInfo>;
}

/// A model that can be asked.
#[derive(Clone)]
pub struct Resolved {
    /// Who answers.
    pub provider: Arc<dyn Provider>,
    /// What is known of it.
    pub info: ModelInfo,
    /// How it is paid, for people: `api-key`, `none`.
    pub auth: &'static str,
}

/// Everything that agents are built from.
pub struct Parts {
    /// Keeps what must survive.
    pub store: Arc<dyn Store>,
    /// Proof of holding the store.
    pub fence: Fence,
    /// Gives events their headers.
    pub scribe: Scribe,
    /// Hears the volatile signals.
    pub listener: Listener,
    /// The models that can be asked.
    pub models: Arc<dyn Models>,
    /// The tools that exist.
    pub tools: Vec<Arc<dyn Tool>>,
    /// The environment that commands get: nothing else is inherited.
    pub command_environment: BTreeMap<String, String>,
    /// The agents; the first is the default one.
    pub agents: Vec<AgentSpec>,
    /// When a model call is made again.
    pub retry: RetryPolicy,
    /// Our version, for `/status`.
    pub version: &'static str,
}

/// The agents of a gateway. Runs their turns.
pub struct Agents {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) scribe: Scribe,
    pub(crate) listener: Listener,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) command_environment: Arc<BTreeMap<String, String>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) version: &'static str,
    pub(crate) setup: ArcSwap<Setup>,
    pub(crate) prefixes: Mutex<HashMap<EventId, Arc<Prefix>>>,
    pub(crate) shelf: Shelf,
}

/// What a change of configuration exchanges.
pub(crate) struct Setup {
    pub(crate) models: Arc<dyn Models>,
    pub(crate) agents: Vec<Arc<AgentSpec>>,
    offered: HashMap<AgentId, Arc<Offered>>,
}

/// The tools that an agent's model is told of, made once and shared by all of its turns.
pub(crate) struct Offered {
    pub(crate) specs: Arc<[ToolSpec]>,
    /// Of names, descriptions and schemas: another digest begins another epoch.
    pub(crate) digest: String,
    /// What they take of a prompt. Unit: bytes.
    pub(crate) bytes: usize,
}

impl Agents {
    /// Agents over these parts.
    ///
    /// # Panics
    /// When there is no agent.
    pub fn new(parts: Parts) -> Self {
        assert!(!parts.agents.is_empty(), "a gateway has at least one agent");
        let setup = Setup::new(parts.models, parts.agents, &parts.tools);
        Self {
            store: parts.store,
            fence: parts.fence,
            scribe: parts.scribe,
            listener: parts.listener,
            tools: parts.tools,
            command_environment: Arc::new(parts.command_environment),
            retry: parts.retry,
            version: parts.version,
            setup: ArcSwap::from_pointee(setup),
            prefixes: Mutex::default(),
            shelf: Shelf::default(),
        }
    }

    /// Exchanges models and agents of a running gateway; turns under way keep theirs.
    pub fn reconfigure(&self, models: Arc<dyn Models>, agents: Vec<AgentSpec>) {
        self.setup.store(Arc::new(Setup::new(models, agents, &self.tools)));
    }

    /// The agents, the default one first.
    pub fn specs(&self) -> Vec<Arc<AgentSpec>> {
        self.setup.load().agents.clone()
    }

    /// The models that can be asked.
    pub fn models(&self) -> Arc<dyn Models> {
        Arc::clone(&self.setup.load().models)
    }

    /// The agent by this id, else the default one.
    pub fn spec(&self, id: &AgentId) -> Arc<AgentSpec> {
        let setup = self.setup.load();
        let found = setup.agents.iter().find(|agent| agent.id == *id);
        Arc::clone(found.unwrap_or(&setup.agents[0]))
    }

    /// The model that a session's next turn asks.
    pub fn model_of(&self, agent: &AgentSpec, session: Option<&Session>) -> ModelRef {
        session
            .and_then(|session| session.settings.model.clone())
            .unwrap_or_else(|| agent.model.clone())
    }

    /// How long a session's next turn thinks.
    pub fn thinking_of(
        &self,
        agent: &AgentSpec,
        session: Option<&Session>,
        info: &ModelInfo,
    ) -> ThinkingLevel {
        let chosen = session
            .and_then(|session| session.settings.thinking_level.as_deref())
            .and_then(ThinkingLevel::parse);
        let level = chosen.or(agent.thinking).unwrap_or(ThinkingLevel::Low);
        if info.reasoning { level } else { ThinkingLevel::Off }
    }

    /// The tools that an agent's model is offered, in their order.
    pub(crate) fn offered(&self, agent: &AgentSpec) -> Arc<Offered> {
        let setup = self.setup.load();
        // An agent that a change of configuration took away has no tools for the rest of its turn.
        setup.offered.get(&agent.id).map_or_else(|| Arc::new(Offered::new([])), Arc::clone)
    }

    /// Keeps a prefix at hand. When the shelf is full it is emptied: the log still has them all.
    pub(crate) fn keep_prefix(&self, epoch: EventId, prefix: &Arc<Prefix>) {
        let mut prefixes = self.prefixes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if prefixes.len() >= PREFIXES_MAX {
            prefixes.clear();
        }
        prefixes.insert(epoch, Arc::clone(prefix));
    }

    pub(crate) fn kept_prefix(&self, epoch: EventId) -> Option<Arc<Prefix>> {
        self.prefixes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&epoch).cloned()
    }

    pub(crate) fn tell(&self, run: &claw_domain::RunId, session: &SessionKey, kind: SignalKind) {
        (self.listener)(claw_domain::Signal {
            run: run.clone(),
            session: session.clone(),
            at: self.scribe.now(),
            kind,
        });
    }
}

impl Setup {
    fn new(models: Arc<dyn Models>, agents: Vec<AgentSpec>, tools: &[Arc<dyn Tool>]) -> Self {
        let offered = |agent: &AgentSpec| {
            let specs = tools.iter().map(|tool| tool.spec());
            Offered::new(specs.filter(|spec| claw_guard::offered(&agent.tools, spec.name)))
        };
        Self {
            models,
            offered: agents
                .iter()
                .map(|agent| (agent.id.clone(), Arc::new(offered(agent))))
                .collect(),
            agents: agents.into_iter().map(Arc::new).collect(),
        }
    }
}

impl Offered {
    fn new<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Self {
        let specs: Arc<[ToolSpec]> = specs
            .into_iter()
            .map(|spec| ToolSpec {
                name: spec.name.into(),
                description: spec.description.into(),
                parameters: spec.parameters.clone(),
            })
            .collect();
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        let mut bytes = 0;
        for tool in specs.iter() {
            let parameters = tool.parameters.to_string();
            for part in [&tool.name, &tool.description, &parameters] {
                digest.update(part.as_bytes());
                bytes += part.len();
            }
        }
        let digest =
            digest.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { specs, digest, bytes }
    }
}
