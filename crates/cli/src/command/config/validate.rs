//! `config validate`: every problem of the configuration, with its place.

use std::process::ExitCode;

use claw_config::Problem;
use serde_json::{Value, json};

use super::super::Done;
use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Done {
    let path = &context.home.config;
    let loaded = claw_app::load(&context.home, context.environment())
        .and_then(|config| claw_app::validate(&config).map(|()| config));
    let (config, problems) = match loaded {
        Ok(config) => (Some(config), Vec::new()),
        Err(problems) => (None, problems),
    };
    let pending: Vec<_> = config.iter().flat_map(|config| config.pending()).collect();
    if args.json {
        let pending = pending.iter().map(|key| {
            let (path, file) = (key.path.to_string(), key.file.display().to_string());
            json!({ "path": path, "file": file, "line": key.line, "column": key.column })
        });
        output::json(&json!({
            "valid": problems.is_empty(),
            "path": path.display().to_string(),
            "issues": problems.iter().map(issue).collect::<Vec<_>>(),
            "pending": pending.collect::<Vec<_>>(),
        }))?;
        let well = problems.is_empty();
        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !problems.is_empty() {
        return Err(Failure::config(&problems));
    }
    output::text(&match path.exists() {
        true => format!("{} is sound", path.display()),
        false => format!("there is no {}: every key has its default", path.display()),
    })?;
    for key in pending {
        let (file, line, column) = (key.file.display(), key.line, key.column);
        output::text(&format!("{file}:{line}:{column}: {} has no effect yet", key.path))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn issue(problem: &Problem) -> Value {
    let Problem { file, line, column, path, message, hint } = problem;
    json!({
        "file": file.display().to_string(),
        "line": line,
        "column": column,
        "path": path,
        "message": message,
        "hint": hint,
    })
}
