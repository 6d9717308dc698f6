//! The keys that this crate acts on itself, and the list of all sections that work.

use std::{collections::BTreeMap, num::NonZeroU32};

use claw_config::{Config, LoadOptions, Problem, Section};
use claw_domain::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Home;

/// Where the gateway listens, and who may connect.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct GatewayConfig {
    /// Whether this configuration is for a gateway here or for clients of one elsewhere.
    ///
    /// Default: `local`.
    pub(crate) mode: GatewayMode,
    /// The port for HTTP and WebSocket.
    ///
    /// Default: 18789.
    pub(crate) port: Option<u16>,
    /// The addresses to listen on. Beyond `loopback` a secret must be configured.
    ///
    /// Default: `loopback`, which is 127.0.0.1 and ::1.
    pub(crate) bind: Bind,
    /// The address to listen on when `bind` is `custom`.
    pub(crate) custom_bind_host: Option<String>,
    /// How clients prove that they may connect.
    pub(crate) auth: AuthConfig,
    /// The chat page.
    pub(crate) control_ui: ControlUiConfig,
    /// This gateway's name, by which `agents.list[].gateway` pins agents to it where several share a
    /// store. Default: the machine's name.
    pub(crate) name: Option<String>,
    /// The gateway that the command line calls when `mode` is `remote`.
    pub(crate) remote: RemoteConfig,
    /// What happens when this file changes while the gateway runs.
    pub(crate) reload: ReloadConfig,
}

/// Whether the gateway is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GatewayMode {
    /// Here.
    #[default]
    Local,
    /// Elsewhere.
    Remote,
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bind {
    /// 127.0.0.1 and ::1.
    #[default]
    Loopback,
    /// Every address of this machine.
    Lan,
    /// `loopback`; a tailnet address is not looked for yet.
    Auto,
    /// The address in `customBindHost`.
    Custom,
    /// The tailnet's address. Not here yet: the start is refused.
    Tailnet,
}

/// How clients prove that they may connect.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct AuthConfig {
    /// Which secret counts. Default: `password` if one is set, else `token`.
    pub(crate) mode: Option<AuthMode>,
    /// The shared token. A secret. Default: `OPENCLAW_GATEWAY_TOKEN`, else on loopback one that is
    /// made and kept in the state folder.
    #[schemars(with = "Option<String>")]
    pub(crate) token: Option<Secret>,
    /// The shared password. A secret. Default: `OPENCLAW_GATEWAY_PASSWORD`.
    #[schemars(with = "Option<String>")]
    pub(crate) password: Option<Secret>,
}

/// Which secret counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMode {
    /// `auth.token`.
    Token,
    /// `auth.password`.
    Password,
}

/// The chat page.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ControlUiConfig {
    /// Whether the page is served. Default: true.
    pub(crate) enabled: bool,
    /// Further web origins whose pages may connect, as `https://host`. Default: only our own.
    pub(crate) allowed_origins: Vec<String>,
}

impl Default for ControlUiConfig {
    fn default() -> Self {
        Self { enabled: true, allowed_origins: Vec::new() }
    }
}

/// The gateway that the command line calls.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RemoteConfig {
    /// Its address: `ws://…` or `wss://…`.
    pub(crate) url: Option<String>,
    /// Its token. A secret.
    #[schemars(with = "Option<String>")]
    pub(crate) token: Option<Secret>,
    /// Its password. A secret.
    #[schemars(with = "Option<String>")]
    pub(crate) password: Option<Secret>,
}

/// What happens when the configuration file changes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ReloadConfig {
    /// `off` ignores changes; every other word applies what can change while running and says what
    /// needs a restart. Default: `hybrid`.
    pub(crate) mode: ReloadMode,
    /// How long the file must rest before it is read.
    ///
    /// Unit: milliseconds. Default: 300.
    pub(crate) debounce_ms: u32,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self { mode: ReloadMode::default(), debounce_ms: 300 }
    }
}

/// Whether changes are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReloadMode {
    /// No.
    Off,
    /// As `hybrid`: this gateway never restarts itself.
    Restart,
    /// As `hybrid`.
    Hot,
    /// What can change does; what cannot is named in the log.
    #[default]
    Hybrid,
}

/// Who the language models are and how they are reached.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ModelsConfig {
    /// Whether `providers` joins the built-in ones or replaces them. Default: `merge`.
    pub(crate) mode: ModelsMode,
    /// The providers by name. `anthropic`, `openai`, `ollama` and `demo` are there without an entry.
    pub(crate) providers: BTreeMap<String, ProviderConfig>,
}

/// Whether built-in providers stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModelsMode {
    /// They stay.
    #[default]
    Merge,
    /// Only what is configured is there.
    Replace,
}

/// One provider.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ProviderConfig {
    /// Where its server is. Default: the vendor's own for `anthropic` and `openai`, this machine for
    /// `ollama`; every other provider needs one.
    pub(crate) base_url: Option<String>,
    /// Its key. A secret; prefer `${NAME}`. Default: the environment's `<NAME>_API_KEY`.
    #[schemars(with = "Option<String>")]
    pub(crate) api_key: Option<Secret>,
    /// The interface that it speaks. Default: `anthropic-messages` for `anthropic`, else
    /// `openai-completions`.
    pub(crate) api: Option<Api>,
    /// How the key is used. Only `api-key` and `token` work; both send `apiKey`.
    pub(crate) auth: Option<String>,
    /// Send the key as `Authorization: Bearer`. Default: false for `anthropic-messages`.
    pub(crate) auth_header: bool,
    /// Further headers. Secrets.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// What is known of its models. A model that is not listed can be asked all the same.
    pub(crate) models: Vec<ModelConfig>,
}

/// The interfaces that can be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Api {
    /// Anthropic Messages.
    AnthropicMessages,
    /// OpenAI Chat Completions, and what speaks like it.
    OpenaiCompletions,
    /// Ollama, through its OpenAI interface.
    Ollama,
}

/// What is known of one model.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ModelConfig {
    /// Its id in the provider's words.
    pub(crate) id: String,
    /// Its name for people. Default: the id.
    pub(crate) name: Option<String>,
    /// Whether it thinks before it answers. Default: false.
    pub(crate) reasoning: bool,
    /// What it takes. Default: text.
    pub(crate) input: Vec<ModelInput>,
    /// What it costs. Default: not known, and then no costs are shown.
    pub(crate) cost: Option<CostConfig>,
    /// All that fits into one call. Unit: tokens. Default: 200000.
    pub(crate) context_window: Option<NonZeroU32>,
    /// The longest answer to ask for. Unit: tokens. Default: 8192.
    pub(crate) max_tokens: Option<NonZeroU32>,
    /// In what its server differs from OpenAI's.
    pub(crate) compat: CompatConfig,
}

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModelInput {
    /// Words.
    Text,
    /// Pictures.
    Image,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CostConfig {
    /// Fresh input.
    pub(crate) input: f64,
    /// Output.
    pub(crate) output: f64,
    /// Input read from the provider's cache.
    pub(crate) cache_read: f64,
    /// Input written to the provider's cache.
    pub(crate) cache_write: f64,
}

/// In what a server differs from OpenAI's. Default: what is known of the server's address.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CompatConfig {
    /// Takes `store`.
    pub(crate) supports_store: Option<bool>,
    /// Takes the role `developer`.
    pub(crate) supports_developer_role: Option<bool>,
    /// Takes `reasoning_effort`.
    pub(crate) supports_reasoning_effort: Option<bool>,
    /// Takes `stream_options.include_usage`.
    pub(crate) supports_usage_in_streaming: Option<bool>,
    /// Takes `strict` in a tool.
    pub(crate) supports_strict_mode: Option<bool>,
    /// Which field limits the answer.
    pub(crate) max_tokens_field: Option<MaxTokensField>,
    /// How the model is told to think.
    pub(crate) thinking_format: Option<ThinkingFormat>,
    /// Wants the tool's name beside its result.
    pub(crate) requires_tool_result_name: Option<bool>,
    /// Wants words of the assistant between a tool's result and the user's next words.
    pub(crate) requires_assistant_after_tool_result: Option<bool>,
    /// Wants earlier thoughts back as plain text.
    pub(crate) requires_thinking_as_text: Option<bool>,
    /// Takes call ids of nine letters and digits only.
    pub(crate) requires_mistral_tool_ids: Option<bool>,
}

/// Which field limits the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MaxTokensField {
    /// OpenAI's newer one.
    MaxCompletionTokens,
    /// The older one.
    MaxTokens,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThinkingFormat {
    /// `reasoning_effort`.
    Openai,
    /// As Z.AI wants it.
    Zai,
    /// As Qwen wants it.
    Qwen,
}

/// Where everything is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// Which store, where no `url` says so. `memory` forgets everything at the end and is for trying
    /// things out.
    ///
    /// Default: `sqlite`, a file in the state folder.
    pub(crate) backend: StoreBackend,
    /// Where everything is kept: `sqlite:///path`, or `postgres://user:password@host/database`, which
    /// several gateways may share. A secret, since it may hold a password.
    ///
    /// Default: a file in the state folder.
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<Secret>,
    /// How long a gateway that shares its store may be silent before others take over its work. A
    /// reply may take a sixth of it to be sent.
    ///
    /// Unit: seconds. Default: 30.
    pub(crate) lease_seconds: NonZeroU32,
    /// How long events are kept. What is older is folded into a snapshot: sessions, the transcripts
    /// of their present lives, sums and grants stay as they are, the rest goes. At least 30, since
    /// a message that comes again is known by what is kept; 0 keeps everything for ever.
    ///
    /// Unit: days. Default: 365.
    pub(crate) retention_days: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let lease_seconds = NonZeroU32::new(30).expect("30 is not zero");
        Self { backend: StoreBackend::default(), url: None, lease_seconds, retention_days: 365 }
    }
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreBackend {
    /// A file in the state folder.
    #[default]
    Sqlite,
    /// Nothing is kept.
    Memory,
}

/// Which tools the agents have.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ToolsConfig {
    /// A named set: `minimal`, `coding`, `messaging`, `full`. Default: `full`.
    pub(crate) profile: Option<ToolProfile>,
    /// Only these: names, `group:…`, `*`. An empty list is no tool at all. Default: all.
    pub(crate) allow: Option<Vec<String>>,
    /// These join the profile.
    pub(crate) also_allow: Vec<String>,
    /// Never these, whatever else says.
    pub(crate) deny: Vec<String>,
    /// Commands.
    pub(crate) exec: ExecConfig,
}

/// A named set of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToolProfile {
    /// Next to nothing.
    Minimal,
    /// Files and commands.
    Coding,
    /// Messages and sessions.
    Messaging,
    /// All.
    Full,
}

/// How commands run.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ExecConfig {
    /// How long a command may take when it does not say.
    ///
    /// Unit: seconds. Default: 1800; its turn's limit ends it sooner.
    pub(crate) timeout_sec: Option<NonZeroU32>,
    /// Which commands run: `deny` none, `full` all. `allowlist` runs none until approvals are here.
    ///
    /// Default: `full`.
    pub(crate) security: Option<ExecSecurity>,
    /// When somebody is asked first: `off`, `on-miss`, `always`. `always` runs none until approvals
    /// are here. Default: `on-miss`, which with `full` never asks.
    pub(crate) ask: Option<ExecAsk>,
    /// Folders that come first in the commands' PATH.
    pub(crate) path_prepend: Vec<String>,
}

/// Which commands run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExecSecurity {
    /// None.
    Deny,
    /// Approved ones.
    Allowlist,
    /// All.
    Full,
}

/// When somebody is asked before a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExecAsk {
    /// Never.
    Off,
    /// When it is on no allowlist.
    OnMiss,
    /// Every time.
    Always,
}

/// What is written about the gateway's work.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoggingConfig {
    /// How much: `silent`, `fatal`, `error`, `warn`, `info`, `debug`, `trace`. Default: `info`.
    pub level: Option<LogLevel>,
}

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Silent,
    /// As `error`.
    Fatal,
    /// What a person must act on.
    Error,
    /// What was coped with.
    Warn,
    /// What an operator would put in a diary.
    Info,
    /// For us.
    Debug,
    /// For us, in detail.
    Trace,
}

impl LogLevel {
    /// The filter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "off",
            Self::Fatal | Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Every part of the configuration that works.
pub fn sections() -> Vec<Section> {
    vec![
        Section::of::<GatewayConfig>("gateway"),
        Section::of::<claw_agent::AgentsConfig>("agents"),
        Section::of::<ModelsConfig>("models"),
        Section::of::<ToolsConfig>("tools"),
        Section::of::<claw_delivery::SessionConfig>("session"),
        Section::of::<Vec<claw_delivery::Binding>>("bindings"),
        Section::of::<claw_delivery::OutboxConfig>("outbox"),
        Section::of::<claw_channel_telegram::Config>("channels.telegram"),
        Section::of::<StoreConfig>("store"),
        Section::of::<LoggingConfig>("logging"),
    ]
}

/// Reads the configuration; a file that is not there is an empty one, unless somebody named it.
///
/// # Errors
/// Every problem that was found, with its place.
pub fn load(home: &Home, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Problem>> {
    let sections = sections();
    if !home.explicit && !home.config.exists() {
        return Ok(Config::empty(&home.config, &sections));
    }
    Config::load(&LoadOptions { path: &home.config, env, sections: &sections })
}

/// The JSON Schema of the whole file.
pub fn schema() -> serde_json::Value {
    claw_config::compose(&sections())
}

/// The manual of every key, in Markdown.
pub fn reference() -> String {
    claw_config::reference_markdown(&sections())
}
