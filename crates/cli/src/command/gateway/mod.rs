//! `gateway`: the sub-commands that are about the gateway itself.

mod call;
mod run;
mod status;
mod stop;

use super::{Done, Threads, health};
use crate::context::Context;

/// Without a sub-command the gateway runs.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: run::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the gateway in the foreground until it is told to stop
    Run(run::Args),
    /// Say whether a gateway runs here and answers
    #[command(visible_alias = "probe")]
    Status(status::Args),
    /// Stop the gateway that runs on this state folder, and wait for its end
    Stop(stop::Args),
    /// Call a method of the gateway
    Call(call::Args),
    /// Show how well the gateway is
    Health(health::Args),
}

impl Args {
    pub(super) fn threads(&self) -> Threads {
        match self.command {
            None | Some(Command::Run(_)) => Threads::Many,
            Some(_) => Threads::One,
        }
    }

    pub(super) fn verbose(&self) -> bool {
        match &self.command {
            None => self.run.verbose(),
            Some(Command::Run(args)) => args.verbose(),
            Some(Command::Health(args)) => args.verbose(),
            Some(_) => false,
        }
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    match args.command.unwrap_or(Command::Run(args.run)) {
        Command::Run(args) => run::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Stop(args) => stop::run(args, context).await,
        Command::Call(args) => call::run(args, context).await,
        Command::Health(args) => health::run(args, context).await,
    }
}
