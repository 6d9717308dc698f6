//! What can be typed: the options of every command, and what is said of words that cannot.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{
    ColorChoice, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{command::Command, failure::Failure, logging::Level, not_yet, output};

/// The line, as it was typed.
#[derive(Debug, Parser)]
#[command(name = "rusty-claw", bin_name = "rusty-claw", version, about = ABOUT)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const ABOUT: &str = "A personal AI assistant gateway. Without a command it runs the gateway.";

/// The options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Global {
    /// The configuration file, JSON5 or TOML
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Keep everything of this profile apart, in ~/.rusty_claw-NAME
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Write without colours
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// How much is logged, on standard error
    #[arg(long, global = true, value_name = "LEVEL", value_enum)]
    pub(crate) log_level: Option<Level>,
}

/// Reads the words. What was asked for or wrong with them is said here; then comes the exit code.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Args, ExitCode> {
    let color = match words.iter().any(|word| word == "--no-color") {
        true => ColorChoice::Never,
        false => ColorChoice::Auto,
    };
    let mut command = Args::command().color(color);
    let error = match command.try_get_matches_from_mut(&words) {
        Ok(matches) => match Args::from_arg_matches(&matches) {
            Ok(args) => return Ok(args),
            Err(error) => error.format(&mut command),
        },
        Err(error) => error,
    };
    Err(explain(&error, &words))
}

/// Prints help and version on standard output, mistakes on standard error.
fn explain(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let printed = match error.kind() {
        // The bare version, as OpenClaw prints it.
        ErrorKind::DisplayVersion => output::text(claw_app::VERSION),
        ErrorKind::DisplayHelp => error.print().or_else(output::unless_closed),
        ErrorKind::InvalidSubcommand => Err(unknown_word(error, words)),
        _ => {
            // Where standard error is closed, the exit code alone must tell.
            let _ = error.print();
            return ExitCode::FAILURE;
        }
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn unknown_word(error: &clap::Error, words: &[OsString]) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
    if let Some(phrase) = not_yet::find(&word, words) {
        return Failure::new(format!("`{phrase}` is not here yet"))
            .hint("`rusty-claw --help` lists the commands that are");
    }
    let hint = match text(ContextKind::SuggestedSubcommand) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`rusty-claw --help` lists the commands".to_owned(),
    };
    Failure::new(format!("unknown command `{}`", output::plain(&word))).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_put_together_soundly() {
        Args::command().debug_assert();
    }
}
