//! Every section of the configuration that acts, typed once and checked as a whole.

use claw_agent::AgentsConfig;
use claw_config::{Config, Problem};
use claw_delivery::{Binding, OutboxConfig, SessionConfig};
use claw_domain::ModelRef;
use jiff::tz::TimeZone;

use crate::{
    retention::DAYS_MIN,
    sections::{GatewayConfig, LoggingConfig, ModelsConfig, StoreConfig, ToolsConfig},
    stores::StoreUrl,
};

/// Every section, typed and checked as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) gateway: GatewayConfig,
    pub(crate) agents: AgentsConfig,
    pub(crate) models: ModelsConfig,
    pub(crate) tools: ToolsConfig,
    pub(crate) session: SessionConfig,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) outbox: OutboxConfig,
    pub(crate) telegram: Option<claw_channel_telegram::Config>,
    pub(crate) store: StoreConfig,
}

impl Settings {
    /// Types every section.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<Problem>> {
        let path = |text: &str| text.parse().expect("a constant path");
        let settings = Self {
            gateway: config.section("gateway")?,
            agents: config.section("agents")?,
            models: config.section("models")?,
            tools: config.section("tools")?,
            session: config.section("session")?,
            bindings: config.section("bindings")?,
            outbox: config.section("outbox")?,
            telegram: match config.get(&path("channels.telegram")) {
                Some(_) => Some(config.section("channels.telegram")?),
                None => None,
            },
            store: config.section("store")?,
        };
        // Read by the command line before anything else; here it is only checked.
        config.section::<LoggingConfig>("logging")?;
        settings.validate(config)?;
        Ok(settings)
    }

    /// What no single section can see.
    fn validate(&self, config: &Config) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: String, message: String| {
            if let Ok(path) = path.parse() {
                problems.push(config.problem(&path, message));
            }
        };
        let mut known: Vec<&str> = Vec::new();
        for (index, agent) in self.agents.list.iter().enumerate() {
            let letters = agent.id.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
            });
            if agent.id.is_empty() || agent.id.len() > 64 || !letters {
                problem(
                    format!("agents.list[{index}].id"),
                    "an agent's id is 1 to 64 lower-case letters, digits, `_` or `-`".into(),
                );
            } else if known.contains(&agent.id.as_str()) {
                problem(
                    format!("agents.list[{index}].id"),
                    format!("there are two agents `{}`", agent.id),
                );
            }
            known.push(&agent.id);
        }
        let main = ["main"];
        let known = if known.is_empty() { &main[..] } else { &known[..] };
        for (index, binding) in self.bindings.iter().enumerate() {
            if !known.contains(&binding.agent_id.as_str()) {
                problem(
                    format!("bindings[{index}].agentId"),
                    format!("there is no agent `{}` in agents.list", binding.agent_id),
                );
            }
        }
        let chosen = self
            .agents
            .list
            .iter()
            .enumerate()
            .map(|(index, agent)| (format!("agents.list[{index}].model"), &agent.model));
        for (path, model) in
            chosen.chain([("agents.defaults.model".to_owned(), &self.agents.defaults.model)])
        {
            let Some(name) = model.as_ref().and_then(|model| model.primary()) else { continue };
            if let Err(error) = name.parse::<ModelRef>() {
                problem(path, error.to_string());
            }
        }
        if let Some(Err(error)) = self
            .store
            .url
            .as_ref()
            .filter(|url| !url.expose().is_empty())
            .map(|url| url.expose().parse::<StoreUrl>())
        {
            problem("store.url".into(), error);
        }
        if (1..DAYS_MIN).contains(&self.store.retention_days) {
            let wanted = format!("at least {DAYS_MIN} days, or 0 to keep everything");
            problem("store.retentionDays".into(), wanted);
        }
        if let Some(zone) = &self.agents.defaults.user_timezone
            && TimeZone::get(zone).is_err()
        {
            problem(
                "agents.defaults.userTimezone".into(),
                format!("`{zone}` is no time zone that this machine knows"),
            );
        }
        if let Some(Err(error)) =
            self.telegram.as_ref().map(claw_channel_telegram::Config::accounts)
        {
            problem("channels.telegram".into(), error.to_string());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Checks every section of a configuration, and what no single one can see.
///
/// # Errors
/// Every problem that was found, with its place.
pub fn validate(config: &Config) -> Result<(), Vec<Problem>> {
    Settings::read(config).map(drop)
}
