//! `completion`: a script that completes our words in a shell.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Done;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(short, long, value_enum, default_value_t = Shell::Zsh)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::args::Args::command(),
        "rusty-claw",
        &mut script,
    );
    output::raw(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
