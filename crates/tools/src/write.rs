//! `write`: a file's whole content, or more at its end.

use std::io::Write as _;

use async_trait::async_trait;
use claw_tool::{
    FileAction, FilePlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool,
    parse_arguments,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error,
    beneath::{Workspace, in_workspace, path_argument},
};

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workspace.
    path: Option<String>,
    /// Another word for `path`.
    file_path: Option<String>,
    /// What the file is to hold.
    content: String,
    /// Whether to add the content at the end instead.
    append: Option<bool>,
}

/// The tool `write`.
pub struct Write {
    spec: Spec,
}

impl Default for Write {
    fn default() -> Self {
        let description = "Write a file of the workspace: make it or replace all that it holds, with \
                           the directories on the way; with `append`, add to its end.";
        Self { spec: Spec::of::<Arguments>("write", description) }
    }
}

#[async_trait]
impl Tool for Write {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn plan(&self, arguments: &Value, context: &PlanContext) -> Result<Plan, Refusal> {
        let arguments: Arguments = parse_arguments("write", arguments)?;
        let path = path_argument("write", arguments.path, arguments.file_path, &context.workspace)?;
        let content = arguments.content;
        let action = match arguments.append {
            Some(true) => FileAction::Append { content },
            Some(false) | None => FileAction::Write { content },
        };
        Ok(Plan::File(FilePlan { path, action }))
    }

    async fn run(&self, plan: Plan, context: &RunContext) -> Output {
        let Plan::File(file) = plan else { return Error::ForeignPlan("write").into() };
        in_workspace(context.workspace.clone(), move |workspace| write(workspace, &file)).await
    }
}

fn write(workspace: &Workspace, plan: &FilePlan) -> Result<Output, Error> {
    let (verb, bytes) = match &plan.action {
        FileAction::Write { content } => {
            workspace.replace(&plan.path, content.as_bytes())?;
            ("wrote", content.len())
        }
        FileAction::Append { content } => {
            let mut file = workspace.append(&plan.path)?;
            file.write_all(content.as_bytes()).map_err(|source| Error::file(&plan.path, source))?;
            ("added", content.len())
        }
        FileAction::Read { .. } | FileAction::Edit { .. } => {
            return Err(Error::ForeignPlan("write"));
        }
    };
    let output = Output::ok(format!("{verb} {bytes} bytes to `{}`", plan.path.display()));
    Ok(Output { details: json!({ "path": plan.path, "bytes": bytes }), ..output })
}
