//! What answers messages: store, agents and delivery, put together from a configuration.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use claw_agent::{
    AgentEntry, AgentSpec, Agents, AgentsConfig, BootstrapCaps, Limits, Models, prepare_workspace,
};
use claw_config::Config;
use claw_delivery::{Account, Delivery, Listener, Membership, Router, Scribe};
use claw_domain::{AgentId, Clock, IdSource, ModelRef, SystemClock};
use claw_guard::{ExecAsk, ExecSecurity, Profile, ToolPolicy, ToolRules};
use claw_provider::RetryPolicy;
use claw_store::{Fence, Store};
use claw_tools::Helper;
use jiff::tz::TimeZone;

use crate::{
    Home, Layers, StartError, VERSION, channels,
    lock::StateLock,
    models::{self, Registry},
    sections::{self, ToolsConfig},
    settings::Settings,
    share::{Elsewhere, agents_elsewhere},
    stores::Opened,
};

/// How long a connection to an outside server may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// What commands get of this process's environment, where it is set: nothing that holds secrets.
const COMMAND_VARIABLES: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TZ", "USER"];

/// The PATH of commands where this process has none.
const COMMAND_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Reads the environment, once, at the door.
pub type Env = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The parts that answer messages.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) scribe: Scribe,
    pub(crate) agents: Arc<Agents>,
    pub(crate) delivery: Delivery,
    pub(crate) channels: Vec<Arc<dyn claw_channel::Channel>>,
    pub(crate) client: reqwest::Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// What people should know about the configuration.
    pub(crate) notes: Vec<String>,
    layers: Layers,
    /// The place among the gateways, where several share the store.
    pub(crate) membership: Option<Arc<Membership>>,
    /// The channel accounts that another gateway holds.
    pub(crate) elsewhere: Elsewhere,
    _opened: Opened,
    _lock: StateLock,
}

/// Whether channel accounts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithChannels {
    Yes,
    No,
}

impl Engine {
    /// Puts the parts together; nothing runs yet.
    pub(crate) async fn open(
        home: &Home,
        config: &Config,
        settings: Settings,
        env: &Env,
        listener: Listener,
        with: WithChannels,
        layers: Layers,
    ) -> Result<Self, StartError> {
        home.prepare()?;
        let lock = StateLock::take(&home.state_dir)?;
        let clock = (layers.clock)(Arc::new(SystemClock));
        let node = home.node()?;
        let opened = Opened::open(home, &settings.store, node, &*clock, &layers).await?;
        let Opened { store, fence, membership, .. } = &opened;
        let (store, fence, membership) = (Arc::clone(store), *fence, membership.clone());
        let ids = IdSource::new(node, store.last_event_id(node).await?);
        let scribe = Scribe::new(Arc::new(ids), Arc::clone(&clock));
        let client = http_client()?;
        let read = |name: &str| env(name).or_else(|| config.variable(name).map(str::to_owned));
        let setup = Setup::new(home, &settings, &client, &clock, &read, with, &layers).await?;
        let agents = Arc::new(Agents::new(claw_agent::Parts {
            store: Arc::clone(&store),
            fence,
            scribe: scribe.clone(),
            listener: Arc::clone(&listener),
            models: setup.models,
            tools: claw_tools::all(Helper::of_this_program())
                .into_iter()
                .map(&layers.tool)
                .collect(),
            command_environment: command_environment(&settings.tools, &read),
            agents: setup.agents,
            retry: RetryPolicy::default(),
            version: VERSION,
        }));
        let channels = setup.accounts.iter().map(|account| Arc::clone(&account.channel)).collect();
        let delivery = Delivery::new(claw_delivery::Parts {
            store: Arc::clone(&store),
            fence,
            scribe: scribe.clone(),
            turns: Arc::clone(&agents) as Arc<dyn claw_delivery::Turns>,
            listener,
            router: setup.router,
            accounts: setup.accounts,
            concurrent_max: settings.agents.defaults.max_concurrent.get() as usize,
            sharing: membership.clone().map(|membership| (membership, agents_elsewhere(&settings))),
        });
        delivery.set_patience(patience(&settings));
        delivery.set_outbox(settings.outbox);
        Ok(Self {
            settings,
            store,
            fence,
            scribe,
            agents,
            delivery,
            channels,
            client,
            clock,
            notes: setup.notes,
            layers,
            membership,
            elsewhere: Elsewhere::default(),
            _opened: opened,
            _lock: lock,
        })
    }

    /// Exchanges what can change while running. Returns what people should know.
    pub(crate) async fn reconfigure(
        &self,
        home: &Home,
        config: &Config,
        settings: &Settings,
        env: &Env,
    ) -> Result<Vec<String>, StartError> {
        let read = |name: &str| env(name).or_else(|| config.variable(name).map(str::to_owned));
        let setup = Setup::new(
            home,
            settings,
            &self.client,
            &self.clock,
            &read,
            WithChannels::No,
            &self.layers,
        )
        .await?;
        self.agents.reconfigure(setup.models, setup.agents);
        let (fresh, notes) =
            channels::accounts(settings.telegram.as_ref(), &self.client, &self.clock, &read);
        let running = |account: &Account| {
            let same = |channel: &&Arc<dyn claw_channel::Channel>| {
                channel.id() == account.channel.id()
                    && channel.account() == account.channel.account()
            };
            self.channels.iter().find(same).map(Arc::clone)
        };
        // Policies and styles change at once; the accounts themselves stay until a restart.
        let accounts = fresh
            .into_iter()
            .filter_map(|account| Some(Account { channel: running(&account)?, ..account }))
            .collect();
        self.delivery.reconfigure(accounts, setup.router);
        self.delivery.set_patience(patience(settings));
        self.delivery.set_outbox(settings.outbox);
        Ok(notes)
    }
}

/// How long a turn may show nothing before its sender is told.
fn patience(settings: &Settings) -> Duration {
    Duration::from_secs(settings.agents.defaults.stall_seconds.get().into())
}

/// What a configuration makes, at start and at every change.
struct Setup {
    models: Arc<dyn Models>,
    agents: Vec<AgentSpec>,
    router: Router,
    accounts: Vec<Account>,
    notes: Vec<String>,
}

impl Setup {
    async fn new(
        home: &Home,
        settings: &Settings,
        client: &reqwest::Client,
        clock: &Arc<dyn Clock>,
        env: &(dyn Fn(&str) -> Option<String> + Sync),
        with: WithChannels,
        layers: &Layers,
    ) -> Result<Self, StartError> {
        let registry =
            Registry::new(&settings.models, client, &|name| env(name), &layers.provider)?;
        let defaults = &settings.agents.defaults;
        let model = match defaults.model.as_ref().and_then(|model| model.primary()) {
            Some(name) => name.parse().map_err(|error: claw_domain::ModelRefError| {
                StartError::Model(error.to_string())
            })?,
            None => models::choose(&settings.models, client, &|name| env(name)).await,
        };
        let mut agents = Vec::new();
        for entry in entries(&settings.agents) {
            let agent = agent_spec(home, settings, &entry, &model)?;
            if !defaults.skip_bootstrap {
                let folder = Arc::clone(&agent.workspace);
                let made = tokio::task::spawn_blocking(move || prepare_workspace(&folder)).await;
                made.map_err(|error| StartError::Internal(error.to_string()))??;
            }
            let workspace = canonical(&agent.workspace);
            agents.push(AgentSpec { workspace: Arc::new(workspace), ..agent });
        }
        let ids = agents.iter().map(|agent| agent.id.clone()).collect();
        let router = Router::new(ids, settings.bindings.clone(), settings.session.clone());
        let (mut accounts, notes) = match with {
            WithChannels::Yes => {
                channels::accounts(settings.telegram.as_ref(), client, clock, &|name| env(name))
            }
            WithChannels::No => (Vec::new(), Vec::new()),
        };
        for account in &mut accounts {
            account.channel = (layers.channel)(Arc::clone(&account.channel));
        }
        Ok(Self { models: Arc::new(registry), agents, router, accounts, notes })
    }
}

/// The configured agents, the default one first; one named `main` when none is configured.
fn entries(config: &AgentsConfig) -> Vec<AgentEntry> {
    let mut list = config.list.clone();
    if list.is_empty() {
        return vec![AgentEntry { id: "main".into(), default: true, ..AgentEntry::default() }];
    }
    if let Some(index) = list.iter().position(|agent| agent.default) {
        let default = list.remove(index);
        list.insert(0, default);
    }
    list
}

fn agent_spec(
    home: &Home,
    settings: &Settings,
    entry: &AgentEntry,
    model: &ModelRef,
) -> Result<AgentSpec, StartError> {
    let defaults = &settings.agents.defaults;
    let first = entries(&settings.agents).first().is_some_and(|first| first.id == entry.id);
    let workspace = entry
        .workspace
        .clone()
        .or_else(|| defaults.workspace.clone().filter(|_| first))
        .unwrap_or_else(|| match first {
            true => home.workspace(),
            false => home.state_dir.join(format!("workspace-{}", entry.id)),
        });
    let model = match entry.model.as_ref().and_then(|model| model.primary()) {
        Some(name) => name
            .parse()
            .map_err(|error: claw_domain::ModelRefError| StartError::Model(error.to_string()))?,
        None => model.clone(),
    };
    let zone = match &defaults.user_timezone {
        Some(name) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
        None => TimeZone::system(),
    };
    let command =
        settings.tools.exec.timeout_sec.map(|seconds| Duration::from_secs(seconds.get().into()));
    let limits = Limits {
        wall: Duration::from_secs(defaults.timeout_seconds.get().into()),
        command: command.unwrap_or(Limits::default().command),
        ..Limits::default()
    };
    Ok(AgentSpec {
        id: AgentId::from(entry.id.as_str()),
        name: entry.name.clone(),
        identity: entry.identity.clone().unwrap_or_default(),
        workspace: Arc::new(expand(&workspace)),
        caps: BootstrapCaps {
            file_max: defaults.bootstrap_max_chars.get() as usize,
            total_max: defaults.bootstrap_total_max_chars.get() as usize,
        },
        model,
        thinking: defaults.thinking_default,
        tools: tool_policy(&settings.tools),
        context_tokens: defaults.context_tokens.map(|tokens| tokens.get().into()),
        zone,
        limits,
    })
}

/// `~/x` as people write it, relative to the home of this process's user.
fn expand(path: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => std::env::home_dir().map_or_else(|| path.to_owned(), |home| home.join(rest)),
        Err(_) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// The folder's one true path, so that what commands print matches what file tools accept.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn tool_policy(config: &ToolsConfig) -> ToolPolicy {
    ToolPolicy {
        profile: config.profile.map(|profile| match profile {
            sections::ToolProfile::Minimal => Profile::Minimal,
            sections::ToolProfile::Coding => Profile::Coding,
            sections::ToolProfile::Messaging => Profile::Messaging,
            sections::ToolProfile::Full => Profile::Full,
        }),
        also_allow: config.also_allow.clone(),
        layers: vec![ToolRules { allow: config.allow.clone(), deny: config.deny.clone() }],
        exec_security: match config.exec.security {
            Some(sections::ExecSecurity::Deny) => ExecSecurity::Deny,
            Some(sections::ExecSecurity::Allowlist) => ExecSecurity::Allowlist,
            Some(sections::ExecSecurity::Full) | None => ExecSecurity::Full,
        },
        exec_ask: match config.exec.ask {
            Some(sections::ExecAsk::Off) => ExecAsk::Off,
            Some(sections::ExecAsk::Always) => ExecAsk::Always,
            Some(sections::ExecAsk::OnMiss) | None => ExecAsk::OnMiss,
        },
    }
}

fn command_environment(
    config: &ToolsConfig,
    env: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = COMMAND_VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), env(name)?)))
        .collect();
    let path = variables.entry("PATH".into()).or_insert_with(|| COMMAND_PATH.into());
    if !config.exec.path_prepend.is_empty() {
        *path = format!("{}:{path}", config.exec.path_prepend.join(":"));
    }
    variables.insert("TERM".into(), "dumb".into());
    variables
}

/// The one HTTP client: no redirects, since tokens and keys must not follow one to another host.
fn http_client() -> Result<reqwest::Client, StartError> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WAIT)
        .user_agent(concat!("rusty-claw/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            StartError::Internal(format!("the HTTP client could not be made: {error}"))
        })
}
