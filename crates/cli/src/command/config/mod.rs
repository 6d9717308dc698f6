//! `config`: what the configuration says, whether it is sound, and one change at a time.

mod change;
mod validate;

use std::process::ExitCode;

use claw_config::{Path, canonical, path::PathError};
use serde_json::{Value, json};

use super::Done;
use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the configuration in force, without its secrets
    Show(Show),
    /// Print one value
    Get(Get),
    /// Change one value; every other byte of the file stays
    Set(change::Set),
    /// Take one value out; every other byte of the file stays
    Unset(change::Unset),
    /// Say whether the configuration is sound, and what of it has no effect yet
    Validate(validate::Args),
    /// Print the JSON Schema of the configuration
    Schema(Show),
    /// Print where the configuration is
    File(File),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Print JSON, which this command always does
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Get {
    /// The key, such as gateway.port
    path: String,
    /// Print JSON also where the value is a plain text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct File {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Done {
    match args.command {
        Command::Show(_) => output::json(&context.config()?.shown(&Path::root()))?,
        Command::Get(get) => get.run(context)?,
        Command::Set(set) => set.run(context)?,
        Command::Unset(unset) => unset.run(context)?,
        Command::Validate(args) => return validate::run(&args, context),
        Command::Schema(_) => output::json(&claw_app::schema())?,
        Command::File(file) => file.run(context)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A key as it was typed, in OpenClaw's words.
fn key(text: &str) -> Result<Path, Failure> {
    let path: Path = text.parse().map_err(|error: PathError| Failure::new(error))?;
    match path.is_root() {
        true => Err(Failure::new("a key is missing").hint("`config show` prints all")),
        false => Ok(canonical(&path)),
    }
}

fn not_set(path: &Path) -> Failure {
    Failure::new(format!("`{path}` is not set"))
}

impl Get {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let path = key(&self.path)?;
        match context.config()?.shown(&path) {
            Some(Value::String(text)) if !self.json => output::text(&text),
            Some(value) => output::json(&value),
            None => Err(not_set(&path)),
        }
    }
}

impl File {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let file = &context.home.config;
        let path = file.display().to_string();
        match self.json {
            true => output::json(&json!({ "path": path, "exists": file.exists() })),
            false => output::text(&path),
        }
    }
}
