//! How much is logged, and that it goes to standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::context::Context;

/// How much is logged; OpenClaw's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Silent,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// The filter for our own crates at this level. The crates of others stay at `warn`: what they
    /// write below it may hold headers and frames, and with them secrets.
    fn filter(self) -> &'static str {
        match self {
            Self::Silent => "off",
            Self::Fatal | Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,claw=info,rusty_claw=info",
            Self::Debug => "warn,claw=debug,rusty_claw=debug",
            Self::Trace => "warn,claw=trace,rusty_claw=trace",
        }
    }
}

/// What the command line asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// `--log-level`.
    pub(crate) level: Option<Level>,
    /// `--verbose`.
    pub(crate) verbose: bool,
    /// What else holds where neither it, the environment nor the configuration says anything.
    pub(crate) default: Level,
}

/// Starts logging. `--log-level` wins, then `RUST_LOG`, then `--verbose`, then `logging.level`.
pub(crate) fn start(wish: Wish, context: &Context) {
    let configured = || Level::from_str(&context.setting("logging.level")?, false).ok();
    let directives = context.env("RUST_LOG").filter(|text| !text.is_empty());
    let level = match (wish.level, &directives) {
        (Some(level), _) => Some(level),
        (None, Some(_)) => None,
        (None, None) if wish.verbose => Some(Level::Debug),
        (None, None) => Some(configured().unwrap_or(wish.default)),
    };
    let filter = match level {
        Some(level) => EnvFilter::new(level.filter()),
        // What in it cannot be read is left out, and said.
        None => EnvFilter::new(directives.unwrap_or_default()),
    };
    let colors = context.colors() && std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colors)
        .init();
}
