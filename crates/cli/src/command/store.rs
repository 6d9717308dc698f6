//! `store`: everything that is kept, moved to another place.

use std::process::ExitCode;

use claw_app::{MigrateError, Migrated, StoreUrl};
use claw_store::portable::{Copied, Table};
use serde_json::{Value, json};

use super::Done;
use crate::{context::Context, failure::Failure, output, words};

/// How many rows of a table are copied between two words about it.
const TOLD_EVERY: u64 = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Copy everything to another store, and prove the copy; no gateway may run meanwhile
    Migrate(Migrate),
}

#[derive(clap::Args)]
struct Migrate {
    /// Where to: sqlite:///PATH, or 'postgres://USER:${PASSWORD}@HOST/DATABASE', where ${PASSWORD} is
    /// taken from the environment, so that no list of processes shows it
    #[arg(long, value_name = "URL")]
    to: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows no address, since it may hold a password.
impl std::fmt::Debug for Migrate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migrate").field("json", &self.json).finish_non_exhaustive()
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let Command::Migrate(Migrate { to, json }) = args.command;
    let to = claw_config::expand(&to, context.environment())
        .map_err(|name| Failure::new(format!("--to: the variable `{name}` is not set")))?;
    let to: StoreUrl = to.parse().map_err(|error| Failure::new(format!("--to: {error}")))?;
    let mut told = Told::default();
    let progress = |table, rows| told.hear(table, rows);
    let migrated = claw_app::migrate(&context.home, context.config()?, &to, progress).await?;
    output::note(&next(&to, context));
    if json {
        output::json(&migrated_json(&migrated))?;
    } else {
        output::text(&summary(&migrated))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was said of the copy so far.
#[derive(Debug, Default)]
struct Told {
    table: Option<Table>,
    steps: u64,
}

impl Told {
    fn hear(&mut self, table: Table, rows: u64) {
        let steps = rows / TOLD_EVERY;
        if self.table != Some(table) {
            *self = Self { table: Some(table), steps };
            output::note(&format!("copying {table}"));
        } else if steps > self.steps {
            self.steps = steps;
            output::note(&format!("copying {table}: {rows}"));
        }
    }
}

/// The one line that is left to do. An address that may hold a password is not repeated.
fn next(to: &StoreUrl, context: &Context) -> String {
    let url = match to {
        StoreUrl::Sqlite(path) => format!("\"sqlite://{}\"", path.display()),
        StoreUrl::Postgres(_) | StoreUrl::Memory => "the address that you gave with --to".into(),
    };
    let config = context.home.config.display();
    format!("nothing uses the copy yet: set `store.url` in {config} to {url}")
}

fn summary(migrated: &Migrated) -> String {
    let Migrated { from, to, report } = migrated;
    let row = |copied: &Copied| vec![copied.table.to_string(), copied.rows.to_string()];
    let rows = report.tables.iter().map(|copied| copied.rows).sum();
    format!(
        "{}\n{} of {from} are the same in {to}, by count and hash",
        words::table(&report.tables.iter().map(row).collect::<Vec<_>>()),
        words::count(rows, "row", "rows"),
    )
}

fn migrated_json(migrated: &Migrated) -> Value {
    let Migrated { from, to, report } = migrated;
    let table = |Copied { table, rows, known, sha256 }: &Copied| json!({ "table": table.name(), "rows": rows, "copied": rows - known, "sha256": sha256 });
    let tables: Vec<_> = report.tables.iter().map(table).collect();
    json!({ "from": from, "to": to, "tables": tables })
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Start(error) => error.into(),
            error => Self::of(&error, error.hint()),
        }
    }
}
