//! The trait, and what goes in and out of a tool.

use async_trait::async_trait;
use schemars::{Schema, transform::RecursiveTransform};
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
    /// A spec whose schema is derived from the argument struct, reduced to what models are sent:
    /// type, properties and required. An optional argument is left out, never null.
    pub fn of<Arguments: schemars::JsonSchema>(
        name: &'static str,
        description: &'static str,
    ) -> Self {
        let schema = schemars::generate::SchemaSettings::draft07()
            .with(|settings| {
                settings.inline_subschemas = true;
                settings.meta_schema = None;
            })
            .with_transform(RecursiveTransform(plain))
            .into_generator()
            .into_root_schema_for::<Arguments>();
        let mut parameters = schema.to_value();
        if let Some(object) = parameters.as_object_mut() {
            object.retain(|key, _| matches!(key.as_str(), "type" | "properties" | "required"));
        }
        Self { name, description, parameters }
    }
}

/// Takes `null` and Rust's number formats out of a schema.
fn plain(schema: &mut Schema) {
    schema.remove("format");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
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
pub fn parse_arguments<T: DeserializeOwned>(
    tool: &'static str,
    arguments: &Value,
) -> Result<T, Refusal> {
    T::deserialize(arguments)
        .map_err(|error| Refusal::Arguments { tool, detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_holds_what_models_are_sent_and_no_null() {
        #[derive(schemars::JsonSchema)]
        #[expect(dead_code, reason = "only its schema is asked for")]
        struct Arguments {
            /// Which.
            path: String,
            /// How many.
            limit: Option<f64>,
        }
        let expected = json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "Which."},
                "limit": {"type": "number", "description": "How many."},
            },
            "required": ["path"],
        });
        assert_eq!(Spec::of::<Arguments>("x", "y").parameters, expected);
    }
}
