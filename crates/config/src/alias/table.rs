//! The other words for keys, as data.

use Rule::{Bind, Emptied, Keep, Model, Text, Used, Words};

/// Another word for a key.
#[derive(Debug)]
pub struct Alias {
    /// Where people write it; `*` is any key, `[]` any item of a list.
    pub from: &'static str,
    /// Where it belongs. `*` and `[]` take what they met in `from`; `{path}` takes the text at `path`.
    /// The same as `from` where only the value has other words.
    pub to: &'static str,
    /// What happens to the value.
    pub rule: Rule,
}

/// What happens to an alias's value.
#[derive(Debug)]
pub enum Rule {
    /// It stays.
    Keep,
    /// It becomes this text, in which `{path}` takes the text at `path`.
    Text(&'static str),
    /// These texts become those; others stay.
    Words(&'static [(&'static str, &'static str)]),
    /// An address becomes OpenClaw's word for it, with `customBindHost` beside it where there is
    /// none. Other words stay.
    Bind,
    /// A model without a provider gets the one that its name tells.
    Model,
    /// An empty object takes its place, since its text went into `to`.
    Emptied,
    /// It goes, since other aliases took its text; they left something at `with`.
    Used {
        /// A path.
        with: &'static str,
    },
}

const SANDBOX: Rule = Words(&[
    ("never", "off"),
    ("Never", "off"),
    ("non_main", "non-main"),
    ("NonMain", "non-main"),
    ("always", "all"),
    ("Always", "all"),
]);

const QUEUE: Rule = Words(&[
    ("immediate", "interrupt"),
    ("Immediate", "interrupt"),
    ("Queue", "followup"),
    ("batch", "collect"),
    ("Batch", "collect"),
]);

/// How a model's name begins, and whose it is then.
pub(super) const MODEL_PROVIDERS: &[(&str, &str)] = &[
    ("claude", "anthropic"),
    ("gpt", "openai"),
    ("chatgpt", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
];

/// All aliases, applied in this order.
pub const ALIASES: &[Alias] = &[
    alias("server", "gateway", Keep),
    alias("storage", "store", Keep),
    alias("gateway.max_connections", "gateway.maxConnections", Keep),
    alias("gateway.bind_address", "gateway.bind", Bind),
    alias("gateway.host", "gateway.bind", Bind),
    alias("gateway.bind", "gateway.bind", Bind),
    alias("agents.model", "agents.defaults.model.primary", Model),
    alias("agents.sandbox.mode", "agents.defaults.sandbox.mode", Keep),
    alias("agents.defaults.sandbox.mode", "agents.defaults.sandbox.mode", SANDBOX),
    alias("agents.list[].sandbox.mode", "agents.list[].sandbox.mode", SANDBOX),
    alias("agents.sandbox.timeout_secs", "tools.exec.timeoutSec", Keep),
    alias("messages.queue.mode", "messages.queue.mode", QUEUE),
    alias("channels.telegram.token", "channels.telegram.botToken", Keep),
    alias("channels.telegram.bot_token", "channels.telegram.botToken", Keep),
    alias("channels.discord.bot_token", "channels.discord.token", Keep),
    alias(
        "channels.discord.guild_id",
        "channels.discord.guilds.{channels.discord.guild_id}",
        Emptied,
    ),
    alias("channels.*.allowed_users", "channels.*.allowFrom", Keep),
    alias("agent.api_key", "models.providers.{agent.provider}.apiKey", Keep),
    alias(
        "agent.max_tokens",
        "agents.defaults.models.{agent.provider}/{agent.model}.params.maxTokens",
        Keep,
    ),
    alias("agent.model", "agents.defaults.model.primary", Text("{agent.provider}/{agent.model}")),
    alias("agent.provider", "agent", Used { with: "agents.defaults.model.primary" }),
];

const fn alias(from: &'static str, to: &'static str, rule: Rule) -> Alias {
    Alias { from, to, rule }
}
