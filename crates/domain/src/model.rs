//! Which language model, how large its window is, and what it costs.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::event::Usage;

/// A model by provider and id: `anthropic/claude-sonnet-4-5`. The id may hold further slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelRef {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// The model's id in the provider's own words.
    pub model: Arc<str>,
}

/// The text is not `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form provider/model")]
pub struct ModelRefError(String);

impl FromStr for ModelRef {
    type Err = ModelRefError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                Ok(Self { provider: provider.into(), model: model.into() })
            }
            _ => Err(ModelRefError(text.into())),
        }
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// What we know of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Which one.
    pub reference: ModelRef,
    /// The name for people.
    pub name: String,
    /// All that fits into one call, prompt and answer together. Unit: tokens.
    pub context_window: u64,
    /// The longest answer to ask for. Unit: tokens.
    pub output_max: u64,
    /// Whether it thinks before it answers.
    pub reasoning: bool,
    /// Whether it takes pictures.
    pub images: bool,
    /// The price, when it is configured.
    pub cost: Option<Cost>,
}

/// Prices in US dollars per million tokens, as in `models.providers.<id>.models[].cost`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Fresh input.
    pub input: f64,
    /// Output, thinking included.
    pub output: f64,
    /// Input read from the provider's cache.
    pub cache_read: f64,
    /// Input written to the provider's cache.
    pub cache_write: f64,
}

impl Cost {
    /// The price of one call. Unit: US dollars.
    pub fn of(&self, usage: &Usage) -> f64 {
        let part = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
        part(usage.input, self.input)
            + part(usage.output, self.output)
            + part(usage.cache_read, self.cache_read)
            + part(usage.cache_write, self.cache_write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_may_hold_slashes() {
        let reference: ModelRef = "openrouter/meta/llama-4".parse().unwrap();
        assert_eq!((&*reference.provider, &*reference.model), ("openrouter", "meta/llama-4"));
        assert_eq!(reference.to_string(), "openrouter/meta/llama-4");
    }

    #[test]
    fn a_model_without_provider_is_refused() {
        for text in ["gpt-4", "/gpt-4", "openai/", ""] {
            assert_eq!(text.parse::<ModelRef>(), Err(ModelRefError(text.into())));
        }
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let cost = Cost { input: 3.0, output: 15.0, cache_read: 0.3, cache_write: 3.75 };
        let usage =
            Usage { input: 1_000_000, output: 2_000_000, cache_read: 0, cache_write: 4_000_000 };
        assert_eq!(cost.of(&usage), 48.0);
    }
}
