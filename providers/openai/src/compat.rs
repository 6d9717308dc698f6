//! In what servers of this interface differ: `models.providers.<key>.models[].compat`.

/// What one model's server takes and wants. Field by field as in OpenClaw's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compat {
    /// Takes `store`; it is told not to.
    pub supports_store: bool,
    /// Wants the system prompt of a model that thinks in the role `developer`.
    pub supports_developer_role: bool,
    /// Takes `reasoning_effort`.
    pub supports_reasoning_effort: bool,
    /// Takes `stream_options.include_usage`.
    pub supports_usage_in_streaming: bool,
    /// Takes `strict` in a tool; it is told that schemas are advice.
    pub supports_strict_mode: bool,
    /// Which field limits the answer.
    pub max_tokens_field: MaxTokensField,
    /// How the model is told to think.
    pub thinking_format: ThinkingFormat,
    /// Wants the tool's name beside its result.
    pub requires_tool_result_name: bool,
    /// Wants words of the assistant between a tool's result and the user's next words.
    pub requires_assistant_after_tool_result: bool,
    /// Wants earlier thoughts back as plain text.
    pub requires_thinking_as_text: bool,
    /// Takes call ids of nine letters and digits only, as Mistral does.
    pub requires_mistral_tool_ids: bool,
}

/// The field that limits the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensField {
    /// OpenAI's own.
    MaxCompletionTokens,
    /// The older one, which most other servers know.
    MaxTokens,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingFormat {
    /// `reasoning_effort`.
    OpenAi,
    /// `thinking: {type}`, as Z.AI wants it.
    Zai,
    /// `enable_thinking`, as Qwen wants it.
    Qwen,
}

impl Compat {
    /// What can be expected of the server at `base_url` when nothing is configured.
    pub fn of(base_url: &str) -> Self {
        if base_url.contains("://api.openai.com/") { Self::OPENAI } else { Self::OTHERS }
    }

    const OPENAI: Self = Self {
        supports_store: true,
        supports_developer_role: true,
        supports_reasoning_effort: true,
        supports_strict_mode: true,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        ..Self::OTHERS
    };

    /// The part of the interface that all servers share.
    const OTHERS: Self = Self {
        supports_store: false,
        supports_developer_role: false,
        supports_reasoning_effort: false,
        supports_usage_in_streaming: true,
        supports_strict_mode: false,
        max_tokens_field: MaxTokensField::MaxTokens,
        thinking_format: ThinkingFormat::OpenAi,
        requires_tool_result_name: false,
        requires_assistant_after_tool_result: false,
        requires_thinking_as_text: false,
        requires_mistral_tool_ids: false,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_vendor_itself_is_trusted_with_its_newest_fields() {
        assert_eq!(Compat::of("https://api.openai.com/v1"), Compat::OPENAI);
        for other in ["http://127.0.0.1:11434/v1", "https://api.openai.com.example/v1", ""] {
            assert_eq!(Compat::of(other), Compat::OTHERS, "{other}");
        }
    }
}
