//! What can be typed: the options of every command, and what is said of words that cannot.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{
    Arg, ArgMatches, ColorChoice, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
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

/// Where help shows what every command takes.
const EVERYWHERE: &str = "Everywhere";

/// The options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Global {
    /// The configuration file, JSON5 or TOML
    #[arg(short, long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub(crate) config: Option<PathBuf>,
    /// Keep everything of this profile apart, in ~/.rusty_claw-NAME
    #[arg(long, global = true, value_name = "NAME", help_heading = EVERYWHERE)]
    pub(crate) profile: Option<String>,
    /// Write without colours
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) no_color: bool,
    /// How much is logged, on standard error
    #[arg(long, global = true, value_name = "LEVEL", value_enum, help_heading = EVERYWHERE)]
    pub(crate) log_level: Option<Level>,
}

/// Reads the words. What was asked for or wrong with them is said here; then comes the exit code.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Args, ExitCode> {
    let color = match words.iter().any(|word| word == "--no-color") {
        true => ColorChoice::Never,
        false => ColorChoice::Auto,
    };
    let mut command = Args::command().color(color);
    let read = command.try_get_matches_from_mut(&words).and_then(|matches| {
        nothing_is_ignored(&mut command, &matches)?;
        Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    });
    read.map_err(|error| explain(&error, &words))
}

/// Refuses options that stand before the sub-command which they are not for, as in
/// `gateway --port 1 status`. Those that every command takes may stand there.
fn nothing_is_ignored(
    command: &mut clap::Command,
    matches: &ArgMatches,
) -> clap::error::Result<()> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(command) = command.find_subcommand_mut(name) else { return Ok(()) };
    let Some(inner) = matches.subcommand_name() else { return Ok(()) };
    let given =
        |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let own = command.get_arguments().filter(|arg| !arg.is_global_set());
    let early = own.filter(given).map(ToString::to_string).next();
    let Some(early) = early else { return Ok(()) };
    let message = format!("`{early}` must stand after `{inner}`");
    Err(command.error(ErrorKind::ArgumentConflict, message))
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
    Failure::new(format!("unknown command `{word}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_put_together_soundly() {
        Args::command().debug_assert();
    }

    #[track_caller]
    fn check(line: &str, expected: Result<(), &str>) {
        let mut command = Args::command();
        let matches = command.try_get_matches_from_mut(line.split(' ')).expect("it parses");
        let read = nothing_is_ignored(&mut command, &matches);
        let read = read.map_err(|error| error.to_string().lines().next().map(str::to_owned));
        assert_eq!(read, expected.map_err(|line| Some(line.to_owned())), "{line}");
    }

    #[test]
    fn an_option_before_the_word_it_is_not_for_is_refused() {
        check("rusty-claw gateway --port 1", Ok(()));
        check("rusty-claw gateway run --port 1", Ok(()));
        check("rusty-claw gateway -c f status", Ok(()));
        check("rusty-claw --no-color sessions list", Ok(()));
        let early = "error: `--port <PORT>` must stand after `status`";
        check("rusty-claw gateway --port 1 status", Err(early));
        let early = "error: `--active <N>` must stand after `reset`";
        check("rusty-claw sessions --active 1 reset k", Err(early));
    }
}
