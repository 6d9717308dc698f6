//! The trait, and what goes in and out of a tool.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Plan, PlanContext, RunContext};

/// Something that a model can ask for.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What the model is told about it. Never changes.
    fn spec(&self) -> &Spec;

    /// Turns arguments into exactly what would be done. Touches nothing.
    ///
    /// # Errors
    /// When the arguments are not right or ask for what this tool never does; the model is told.
    fn plan(&self, arguments: &Value, context: &PlanContext) -> Result<Plan, Refusal>;

    /// Carries out a plan of this tool. A failure is an [`Output`] with `is_error`.
    ///
    /// # Cancel safety
    /// Not cancel-safe; `context.stop` is the way to end it, and then it returns soon, with
    /// everything that it had started gone.
    async fn run(&self, plan: Plan, context: &RunContext) -> Output;
}

/// What a model is told about a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Lower snake case.
    pub name: &'static str,
    /// What it does and when to use it.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

impl Spec {
    /// A spec whose schema is derived from the argument struct, reduced to type, properties and
    /// required, as models are sent it.
    pub fn of<Arguments: schemars::JsonSchema>(name: &'static str, description: &'static str) -> Self {
        let schema = schemars::generate::SchemaSettings::draft07()
            .with(|settings| {
                settings.inline_subschemas = true;
                settings.meta_schema = None;
            })
            .into_generator()
            .into_root_schema_for::<Arguments>();
        let mut parameters = schema.to_value();
        if let Some(object) = parameters.as_object_mut() {
            object.retain(|key, _| matches!(key.as_str(), "type" | "properties" | "required"));
        }
        Self { name, description, parameters }
    }
}

/// Why a tool will not plan; the text goes to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The arguments do not fit.
    #[error("the arguments of `{tool}` do not fit: {detail}")]
    Arguments {
        /// The tool.
        tool: &'static str,
        /// What does not fit.
        detail: String,
    },
    /// The tool never does this.
    #[error("{0}")]
    Never(String),
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// What the model reads.
    pub text: String,
    /// Whether it failed.
    pub is_error: bool,
    /// Facts for clients.
    pub details: Value,
}

impl Output {
    /// A success.
    pub fn ok(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: false, details: Value::Null }
    }

    /// A failure that the model can react to.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: true, details: Value::Null }
    }
}

/// Reads a tool's arguments, with an error that the model can act on.
///
/// # Errors
/// [`Refusal::Arguments`] when they are not an object of the right shape.
pub fn parse_arguments<T: DeserializeOwned>(tool: &'static str, arguments: &Value) -> Result<T, Refusal> {
    T::deserialize(arguments).map_err(|error| Refusal::Arguments { tool, detail: error.to_string() })
}
