//! `export`: what is kept here, written as another program keeps it.

use std::{path::PathBuf, process::ExitCode};

use claw_app::{Local, openclaw::Exported};

use super::{Done, import::tell};
use crate::{context::Context, output, words};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    form: Form,
}

#[derive(Debug, clap::Subcommand)]
enum Form {
    /// Write all sessions as OpenClaw keeps them; no gateway may run meanwhile
    #[command(name = "openclaw")]
    OpenClaw(OpenClaw),
}

#[derive(Debug, clap::Args)]
struct OpenClaw {
    /// The folder that becomes OpenClaw's state folder; it may hold no sessions yet
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let Form::OpenClaw(OpenClaw { folder, json }) = args.form;
    let local = Local::open(&context.home, context.config()?, context.environment()).await?;
    let written = local.export_openclaw(&folder).await;
    local.close().await?;
    let written = written?;
    if json {
        output::json(&written)?;
    } else {
        tell(&written.problems);
        output::text(&told(&written))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(written: &Exported) -> String {
    let Exported { sessions, transcripts, entries, .. } = written;
    let count = words::count;
    format!(
        "{}, {}, {}",
        count(*sessions, "session", "sessions"),
        count(*transcripts, "transcript", "transcripts"),
        count(*entries, "entry", "entries"),
    )
}
