//! Every command, a file each, and how one is run.

mod agent;
mod backup;
mod completion;
mod config;
mod dashboard;
mod doctor;
mod events;
mod export;
mod gateway;
mod health;
mod import;
mod inbox;
mod outbox;
mod pairing;
mod sessions;
mod status;
mod store;
mod why;

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::{
    args::{Args, Global},
    context::Context,
    failure::Failure,
    logging::{self, Level, Wish},
};

/// What a command gives back: an exit code of its own, or a failure to be told.
pub(crate) type Done = Result<ExitCode, Failure>;

/// The commands. What a plan or OpenClaw calls by another word is a hidden alias.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run the gateway, ask how it is, stop it, call it
    Gateway(Box<gateway::Args>),
    /// Ask the agent once
    Agent(Box<agent::Args>),
    /// Show channels, sessions and the model
    Status(status::Args),
    /// Show how well the gateway is
    Health(health::Args),
    /// Print a new address of the chat page
    Dashboard(dashboard::Args),
    /// Show, check and change the configuration
    Config(config::Args),
    /// Let in strangers who were given a code
    Pairing(pairing::Args),
    /// List and reset sessions
    Sessions(sessions::Args),
    /// Tell what became of one message, step by step
    Why(why::Args),
    /// Show the messages that are not done
    Inbox(inbox::Args),
    /// Show replies that wait or were given up; send them again, or drop them
    Outbox(outbox::Args),
    /// Check the log, and carry it to another installation
    Events(events::Args),
    /// Move everything that is kept to another store
    Store(store::Args),
    /// Keep the state folder elsewhere, and bring it back
    Backup(backup::Args),
    /// Read what another program keeps
    Import(import::Args),
    /// Write what is kept here as another program keeps it
    Export(export::Args),
    /// Look for what is wrong with this installation
    Doctor(doctor::Args),
    /// Print a script that completes these words in a shell
    Completion(completion::Args),
}

/// How a command is run.
#[derive(Debug)]
struct Manner {
    threads: Threads,
    /// `--verbose`.
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// This one: starting others would take longer than most commands.
    One,
    /// As many as the machine has processors.
    Many,
}

impl Command {
    fn manner(&self) -> Manner {
        let threads = match self {
            Self::Gateway(args) => args.threads(),
            _ => Threads::One,
        };
        let verbose = match self {
            Self::Gateway(args) => args.verbose(),
            Self::Status(args) => args.verbose(),
            Self::Health(args) => args.verbose(),
            _ => false,
        };
        Manner { threads, verbose }
    }

    async fn run(self, context: &Context) -> Done {
        match self {
            Self::Gateway(args) => gateway::run(*args, context).await,
            Self::Agent(args) => agent::run(*args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Health(args) => health::run(args, context).await,
            Self::Dashboard(args) => dashboard::run(args, context).await,
            Self::Config(args) => config::run(args, context),
            Self::Pairing(args) => pairing::run(args, context).await,
            Self::Sessions(args) => sessions::run(args, context).await,
            Self::Why(args) => why::run(args, context).await,
            Self::Inbox(args) => inbox::run(args, context).await,
            Self::Outbox(args) => outbox::run(args, context).await,
            Self::Events(args) => events::run(args, context).await,
            Self::Store(args) => store::run(args, context).await,
            Self::Backup(args) => backup::run(args, context).await,
            Self::Import(args) => import::run(args, context).await,
            Self::Export(args) => export::run(args, context).await,
            Self::Doctor(args) => doctor::run(args, context).await,
            Self::Completion(args) => completion::run(&args),
        }
    }
}

/// Runs what was typed and gives the exit code.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { global, command } = args;
    let command = command.unwrap_or_else(|| Command::Gateway(Box::default()));
    run_with(command, &global).unwrap_or_else(Failure::exit)
}

fn run_with(command: Command, global: &Global) -> Done {
    let context = Context::new(global)?;
    let Manner { threads, verbose } = command.manner();
    let (mut runtime, default) = match threads {
        Threads::One => (Builder::new_current_thread(), Level::Warn),
        Threads::Many => (Builder::new_multi_thread(), Level::Info),
    };
    logging::start(Wish { level: global.log_level, verbose, default }, &context);
    let runtime = runtime.enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new("no thread can be started").because(&error))?;
    runtime.block_on(command.run(&context))
}
