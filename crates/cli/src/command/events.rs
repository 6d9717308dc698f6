//! `events`: the log, checked and carried to another installation.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use claw_app::{Difference, Imported, Local, Log, LogError, Report};
use serde_json::json;

use super::Done;
use crate::{context::Context, failure::Failure, output, words};

/// Differences that are told in words; `--json` tells all.
const TOLD_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make everything that is kept again from the log, and compare
    Verify(Verify),
    /// Write the log as JSON Lines, for another installation
    Export(Export),
    /// Take in another installation's log as history; no gateway may run meanwhile
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// Where to; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// What `events export` wrote; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    match args.command {
        Command::Verify(verify) => verify.run(context).await,
        Command::Export(export) => export.run(context).await,
        Command::Import(import) => import.run(context).await,
    }
}

impl Verify {
    async fn run(self, context: &Context) -> Done {
        let log = Log::open(&context.home, context.config()?).await?;
        let report = log.verify().await;
        log.close().await?;
        let report = report?;
        if self.json {
            output::json(&report)?;
        } else {
            output::text(&told(&report))?;
        }
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Export {
    async fn run(self, context: &Context) -> Done {
        let log = Log::open(&context.home, context.config()?).await?;
        let exported = match is_standard(&self.file) {
            true => match log.export_to(&mut io::stdout().lock()).await {
                // Whoever read it has had enough.
                Err(LogError::Output(gone)) => output::unless_closed(gone).map(|()| 0),
                exported => exported.map_err(Failure::from),
            },
            false => log.export(&self.file).await.map_err(Failure::from),
        };
        log.close().await?;
        let events = exported?;
        if !is_standard(&self.file) {
            let events = words::count(events, "event", "events");
            output::text(&format!("{events} written to {}", self.file.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    async fn run(self, context: &Context) -> Done {
        let file = match is_standard(&self.file) {
            true => None,
            false => Some(open(&self.file)?),
        };
        let local = Local::open(&context.home, context.config()?, context.environment()).await?;
        let imported = match file {
            Some(file) => local.import_log(BufReader::new(file)).await,
            None => local.import_log(io::stdin().lock()).await,
        };
        local.close().await?;
        let Imported { events, known } = imported?;
        if self.json {
            output::json(&json!({ "events": events, "known": known, "added": events - known }))?;
        } else {
            let events = words::count(events, "event", "events");
            output::text(&format!("{events}, {known} of them known already"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::of(&error, error.hint())
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn open(path: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::new(format!("{} cannot be read", path.display())).because(&error);
    File::open(path).map_err(failed)
}

fn told(report: &Report) -> String {
    let Report { events, folded, sessions, entries, differences, more } = report;
    let mut lines = vec![format!(
        "{}, {}, {}",
        words::count(*events, "event", "events"),
        words::count(*sessions, "session", "sessions"),
        words::count(*entries, "entry", "entries"),
    )];
    if *folded > 0 {
        lines.push(format!("{} folded before", words::count(*folded, "event was", "events were")));
    }
    lines.extend(differences.iter().take(TOLD_MAX).map(differs));
    let found = differences.len() as u64 + more;
    lines.push(match found {
        0 => "everything is as the log makes it".to_owned(),
        found => words::count(found, "difference", "differences"),
    });
    lines.join("\n")
}

fn differs(difference: &Difference) -> String {
    let Difference { projection, key, expected, found } = difference;
    format!("{projection} {key}: the log makes {expected}, the store says {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(differences: Vec<Difference>) -> Report {
        Report { events: 3, folded: 2, sessions: 1, entries: 1, differences, more: 0 }
    }

    #[test]
    fn a_clean_log_is_told_in_numbers() {
        assert_eq!(
            told(&report(Vec::new())),
            "3 events, 1 session, 1 entry\n2 events were folded before\neverything is as the log makes it"
        );
    }

    #[test]
    fn a_difference_is_told_with_both_sides() {
        let difference = Difference {
            projection: "usage",
            key: "all".to_owned(),
            expected: json!({ "input": 1 }),
            found: json!(null),
        };
        let told = told(&report(vec![difference]));
        let last = told.lines().skip(2).collect::<Vec<_>>();
        assert_eq!(
            last,
            ["usage all: the log makes {\"input\":1}, the store says null", "1 difference"]
        );
    }
}
