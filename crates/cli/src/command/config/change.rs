//! `config set` and `config unset`: one value is changed, the rest of the file stays as written.

use std::{fs, path::Path};

use claw_app::Home;
use claw_config::{Config, Problem, REDACTED, edit, json5, write_atomic};

use super::{key, not_set};
use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The key, such as gateway.port
    path: String,
    /// The value: JSON5 or, where it is none, a text
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Refuse a value that is not JSON5 instead of taking it for a text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Unset {
    /// The key, such as gateway.port
    path: String,
}

impl Set {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let path = key(&self.path)?;
        // SEC-97: what stands for a secret in our output is not a secret.
        if self.value.contains(REDACTED) {
            let hint = "give the value itself, or `${NAME}` for a variable";
            return Err(Failure::new(format!("`{REDACTED}` stands for a secret")).hint(hint));
        }
        let value = match self.json {
            true => checked_json5(self.value)?,
            false => edit::value_from_words(&self.value),
        };
        let config = context.config()?;
        keep(context, config, &config.set(&path, &value)?)?;
        done("set", &path, context);
        Ok(())
    }
}

impl Unset {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let path = key(&self.path)?;
        let config = context.config()?;
        if config.get(&path).is_none() {
            return Err(not_set(&path));
        }
        keep(context, config, &config.unset(&path)?)?;
        done("unset", &path, context);
        Ok(())
    }
}

fn checked_json5(value: String) -> Result<String, Failure> {
    match json5::parse(&value, 0) {
        Ok(_) => Ok(value),
        Err(error) => Err(Failure::new("the value is not JSON5")
            .because(&error)
            .hint("without --json it is taken for a text")),
    }
}

fn done(what: &str, path: &claw_config::Path, context: &Context) {
    let file = context.home.config.display();
    output::note(&format!("{what} {path} in {file}; a running gateway picks it up by itself"));
}

/// Writes `text` in place of the file that `old` was read from, once it was found sound.
fn keep(context: &Context, old: &Config, text: &str) -> Result<(), Failure> {
    let home = &context.home;
    if !home.explicit {
        home.prepare()?;
    }
    check(context, text)?;
    let file = &home.config;
    // What somebody else wrote meanwhile is not ours to undo.
    if file.exists()
        && fs::read(file).map_err(|error| failed(file, &error))? != old.source().as_bytes()
    {
        let what = format!("{} was changed meanwhile", file.display());
        return Err(Failure::new(what).hint("try again"));
    }
    write_atomic(file, text.as_bytes()).map_err(|error| failed(file, &error))
}

fn failed(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written", file.display())).because(error)
}

/// Reads `text` as the configuration, from a file beside it so that its includes are found.
fn check(context: &Context, text: &str) -> Result<(), Failure> {
    let file = &context.home.config;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let ending = file.extension().map(|ending| format!(".{}", ending.display()));
    // A temporary file is its owner's alone and goes when it is dropped.
    let candidate = tempfile::Builder::new()
        .prefix(".config-")
        .suffix(&ending.unwrap_or_default())
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| failed(file, &error))?;
    fs::write(&candidate, text).map_err(|error| failed(file, &error))?;
    let path = candidate.path().to_owned();
    let home = Home { config: path.clone(), explicit: true, ..context.home.clone() };
    let read = claw_app::load(&home, context.environment());
    read.and_then(|config| claw_app::validate(&config)).map_err(|problems| {
        // People know the file by its own name.
        let named = |problem: Problem| match problem.file == path {
            true => Problem { file: file.clone(), ..problem },
            false => problem,
        };
        let problems: Vec<_> = problems.into_iter().map(named).collect();
        let hint = "nothing was written";
        Failure::config(&problems).hint(hint)
    })
}
