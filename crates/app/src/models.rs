//! Which language models there are, from the configuration and from what this machine offers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use claw_agent::{Models, Resolved};
use claw_domain::{Cost, ModelInfo, ModelRef, Secret};
use claw_provider::Provider;
use claw_provider_anthropic::Anthropic;
use claw_provider_demo::Demo;
use claw_provider_openai::{self as openai, OpenAi};

use crate::{
    Layer,
    sections::{
        self, Api, CompatConfig, ModelConfig, ModelInput, ModelsConfig, ModelsMode, ProviderConfig,
    },
};

/// The models that are asked when only a key is known: each vendor's everyday model.
const ANTHROPIC_MODEL: &str = "anthropic/claude-sonnet-4-5";
const OPENAI_MODEL: &str = "openai/gpt-5-mini";

/// Where Ollama listens unless told otherwise.
const OLLAMA_URL: &str = "http://127.0.0.1:11434/v1";

/// How long Ollama may take to say which models it has, at start.
const OLLAMA_WAIT: Duration = Duration::from_millis(300);

/// What a model takes that nothing is known of (OpenClaw's defaults). Unit: tokens.
const CONTEXT_WINDOW: u64 = 200_000;
const OUTPUT_MAX: u64 = 8192;

/// A provider that cannot be used as configured.
#[derive(Debug, Clone, thiserror::Error)]
#[error("models.providers.{name} cannot be used: {detail}")]
pub struct ModelsError {
    name: String,
    detail: String,
}

/// The providers of a gateway.
pub(crate) struct Registry {
    providers: HashMap<Arc<str>, Known>,
}

struct Known {
    provider: Arc<dyn Provider>,
    models: Vec<ModelInfo>,
    auth: &'static str,
}

type Env<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

impl Registry {
    /// The configured providers, joined with the built-in ones, each within `layer`.
    pub(crate) fn new(
        config: &ModelsConfig,
        client: &reqwest::Client,
        env: Env<'_>,
        layer: &Layer<dyn Provider>,
    ) -> Result<Self, ModelsError> {
        let mut wanted: BTreeMap<String, ProviderConfig> = config.providers.clone();
        if config.mode == ModelsMode::Merge {
            for name in ["anthropic", "openai", "ollama"] {
                wanted.entry(name.to_owned()).or_default();
            }
        }
        let mut providers = HashMap::new();
        for (name, config) in wanted {
            let known = build(&name, &config, client, env)?;
            providers.insert(Arc::from(name), known);
        }
        let demo: Arc<dyn Provider> = Arc::new(Demo);
        providers.insert(
            "demo".into(),
            Known { provider: demo, models: vec![Demo::model()], auth: "none" },
        );
        for known in providers.values_mut() {
            known.provider = layer(Arc::clone(&known.provider));
        }
        Ok(Self { providers })
    }
}

impl Models for Registry {
    fn resolve(&self, model: &ModelRef) -> Option<Resolved> {
        let known = self.providers.get(&model.provider)?;
        let info = known.models.iter().find(|info| info.reference == *model).cloned();
        Some(Resolved {
            provider: Arc::clone(&known.provider),
            info: info.unwrap_or_else(|| unknown(model.clone())),
            auth: known.auth,
        })
    }

    fn list(&self) -> Vec<ModelInfo> {
        let mut models: Vec<_> =
            self.providers.values().flat_map(|known| known.models.iter().cloned()).collect();
        models.sort_by(|a, b| a.reference.cmp(&b.reference));
        models
    }
}

fn unknown(reference: ModelRef) -> ModelInfo {
    ModelInfo {
        name: reference.model.to_string(),
        reference,
        context_window: CONTEXT_WINDOW,
        output_max: OUTPUT_MAX,
        reasoning: false,
        images: false,
        cost: None,
    }
}

fn build(
    name: &str,
    config: &ProviderConfig,
    client: &reqwest::Client,
    env: Env<'_>,
) -> Result<Known, ModelsError> {
    let failed = |detail: String| ModelsError { name: name.to_owned(), detail };
    let api = config.api.unwrap_or(match name {
        "anthropic" => Api::AnthropicMessages,
        "ollama" => Api::Ollama,
        _ => Api::OpenaiCompletions,
    });
    let base_url = match (&config.base_url, name, api) {
        (Some(url), _, _) => url.clone(),
        (None, "anthropic", _) => claw_provider_anthropic::BASE_URL.into(),
        (None, "openai", _) => openai::BASE_URL.into(),
        (None, _, Api::Ollama) => OLLAMA_URL.into(),
        (None, _, _) => return Err(failed("it has no baseUrl".into())),
    };
    if let Some(auth) = config.auth.as_deref().filter(|auth| !matches!(*auth, "api-key" | "token"))
    {
        return Err(failed(format!("auth `{auth}` is not here yet; use api-key")));
    }
    let key = config
        .api_key
        .clone()
        .or_else(|| key_in_environment(name, env))
        .filter(|key| !key.is_empty());
    let auth = if key.is_some() { "api-key" } else { "none" };
    let headers =
        config.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let infos: Vec<ModelInfo> = config.models.iter().map(|model| info(name, model)).collect();
    let provider: Arc<dyn Provider> = match api {
        Api::AnthropicMessages => Arc::new(
            Anthropic::new(
                claw_provider_anthropic::Options {
                    name: name.into(),
                    base_url,
                    key,
                    auth_header: config.auth_header,
                    headers,
                    models: infos.clone(),
                },
                client.clone(),
            )
            .map_err(|error| failed(error.to_string()))?,
        ),
        Api::OpenaiCompletions | Api::Ollama => {
            let compat = openai::Compat::of(&base_url);
            let models = config
                .models
                .iter()
                .zip(&infos)
                .map(|(model, info)| openai::Model {
                    info: info.clone(),
                    compat: adjusted(compat, &model.compat),
                })
                .collect();
            let options = openai::Options { name: name.into(), base_url, key, headers, models };
            Arc::new(
                OpenAi::new(options, client.clone()).map_err(|error| failed(error.to_string()))?,
            )
        }
    };
    Ok(Known { provider, models: infos, auth })
}

/// `ANTHROPIC_API_KEY`, or the older `OPENCLAW_ANTHROPIC_API_KEY`.
fn key_in_environment(provider: &str, env: Env<'_>) -> Option<Secret> {
    let name = format!("{}_API_KEY", provider.to_ascii_uppercase().replace('-', "_"));
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    set(&name).or_else(|| set(&format!("OPENCLAW_{name}"))).map(Secret::new)
}

fn info(provider: &str, model: &ModelConfig) -> ModelInfo {
    let tokens = |value: Option<std::num::NonZeroU32>, default| {
        value.map_or(default, |value| u64::from(value.get()))
    };
    ModelInfo {
        reference: ModelRef { provider: provider.into(), model: model.id.as_str().into() },
        name: model.name.clone().unwrap_or_else(|| model.id.clone()),
        context_window: tokens(model.context_window, CONTEXT_WINDOW),
        output_max: tokens(model.max_tokens, OUTPUT_MAX),
        reasoning: model.reasoning,
        images: model.input.contains(&ModelInput::Image),
        cost: model.cost.map(|cost| Cost {
            input: cost.input,
            output: cost.output,
            cache_read: cost.cache_read,
            cache_write: cost.cache_write,
        }),
    }
}

fn adjusted(known: openai::Compat, config: &CompatConfig) -> openai::Compat {
    openai::Compat {
        supports_store: config.supports_store.unwrap_or(known.supports_store),
        supports_developer_role: config
            .supports_developer_role
            .unwrap_or(known.supports_developer_role),
        supports_reasoning_effort: config
            .supports_reasoning_effort
            .unwrap_or(known.supports_reasoning_effort),
        supports_usage_in_streaming: config
            .supports_usage_in_streaming
            .unwrap_or(known.supports_usage_in_streaming),
        supports_strict_mode: config.supports_strict_mode.unwrap_or(known.supports_strict_mode),
        max_tokens_field: config.max_tokens_field.map_or(
            known.max_tokens_field,
            |field| match field {
                sections::MaxTokensField::MaxCompletionTokens => {
                    openai::MaxTokensField::MaxCompletionTokens
                }
                sections::MaxTokensField::MaxTokens => openai::MaxTokensField::MaxTokens,
            },
        ),
        thinking_format: config.thinking_format.map_or(
            known.thinking_format,
            |format| match format {
                sections::ThinkingFormat::Openai => openai::ThinkingFormat::OpenAi,
                sections::ThinkingFormat::Zai => openai::ThinkingFormat::Zai,
                sections::ThinkingFormat::Qwen => openai::ThinkingFormat::Qwen,
            },
        ),
        requires_tool_result_name: config
            .requires_tool_result_name
            .unwrap_or(known.requires_tool_result_name),
        requires_assistant_after_tool_result: config
            .requires_assistant_after_tool_result
            .unwrap_or(known.requires_assistant_after_tool_result),
        requires_thinking_as_text: config
            .requires_thinking_as_text
            .unwrap_or(known.requires_thinking_as_text),
        requires_mistral_tool_ids: config
            .requires_mistral_tool_ids
            .unwrap_or(known.requires_mistral_tool_ids),
    }
}

/// The model of somebody who chose none: the one whose key is there, else Ollama, else the demo.
pub(crate) async fn choose(
    config: &ModelsConfig,
    client: &reqwest::Client,
    env: Env<'_>,
) -> ModelRef {
    let keyed = |name: &str| {
        config.providers.get(name).is_some_and(|provider| provider.api_key.is_some())
            || key_in_environment(name, env).is_some()
    };
    let listed = |name: &str| {
        let model = config.providers.get(name)?.models.first()?;
        Some(ModelRef { provider: name.into(), model: model.id.as_str().into() })
    };
    for (name, everyday) in [("anthropic", ANTHROPIC_MODEL), ("openai", OPENAI_MODEL)] {
        if keyed(name) {
            return listed(name)
                .unwrap_or_else(|| everyday.parse().expect("a constant of the right form"));
        }
    }
    // Somebody who configured providers of their own wants one of those.
    if let Some(model) = config.providers.keys().find_map(|name| listed(name)) {
        return model;
    }
    match ollama_model(config, client).await {
        Some(model) => model,
        None => Demo::model().reference,
    }
}

/// The first model that Ollama has, when it listens.
async fn ollama_model(config: &ModelsConfig, client: &reqwest::Client) -> Option<ModelRef> {
    let configured = config.providers.get("ollama").and_then(|provider| provider.base_url.clone());
    let url = configured.unwrap_or_else(|| OLLAMA_URL.into());
    let request = client.get(format!("{}/models", url.trim_end_matches('/'))).timeout(OLLAMA_WAIT);
    let listing: serde_json::Value = request.send().await.ok()?.json().await.ok()?;
    let id = listing.pointer("/data/0/id")?.as_str()?;
    Some(ModelRef { provider: "ollama".into(), model: id.into() })
}
