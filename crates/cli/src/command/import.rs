//! `import`: what another program keeps, read into the store of this process.

use std::{path::PathBuf, process::ExitCode};

use claw_app::{
    Local,
    openclaw::{Imported, Problems, Wish},
};

use super::Done;
use crate::{context::Context, output, words};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, clap::Subcommand)]
enum Source {
    /// Read OpenClaw's sessions; no gateway may run meanwhile
    #[command(name = "openclaw")]
    OpenClaw(OpenClaw),
}

#[derive(Debug, clap::Args)]
struct OpenClaw {
    /// OpenClaw's state folder, such as ~/.openclaw
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only this agent's sessions
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Look at everything and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let Source::OpenClaw(OpenClaw { folder, agent, dry_run, json }) = args.source;
    let local = Local::open(&context.home, context.config()?, context.environment()).await?;
    let read = local.import_openclaw(&folder, &Wish { agent, dry_run }).await;
    local.close().await?;
    let read = read?;
    if json {
        output::json(&read)?;
    } else {
        tell(&read.problems);
        output::text(&told(&read, dry_run))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says beside the data what was passed over.
pub(super) fn tell(problems: &Problems) {
    for problem in &problems.problems {
        output::note(&format!("warning: {problem}"));
    }
    if problems.problems_left_out > 0 {
        let more = words::count(problems.problems_left_out, "place", "places");
        output::note(&format!("warning: and {more} more"));
    }
}

fn told(read: &Imported, dry_run: bool) -> String {
    let Imported { sessions, unlisted, entries, added, archived, .. } = read;
    let count = words::count;
    let done = if dry_run { "would be added" } else { "added" };
    let mut lines = vec![
        format!("{} with a key", count(*sessions, "session", "sessions")),
        format!("{} without a key, kept in the log", count(*unlisted, "transcript", "transcripts")),
        format!("{} understood, {added} {done}", count(*entries, "entry", "entries")),
    ];
    if *archived > 0 {
        lines.push(format!("{} left alone", count(*archived, "archived copy", "archived copies")));
    }
    lines.join("\n")
}
