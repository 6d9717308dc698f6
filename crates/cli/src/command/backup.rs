//! `backup`: keeps a state folder elsewhere, proves that it is whole, and brings it back.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use claw_app::{Export, StoreUrl};
use claw_backup::{
    Configuration, Created, Error, Kind, LeftOut, Listed, Moved, Repository, Restored, Source,
    StoreSource, Verified,
};
use claw_config::{Config, Node};
use claw_domain::{Clock, Secret, SystemClock};
use serde_json::{Value, json};

use super::Done;
use crate::{
    context::{Context, setting},
    failure::Failure,
    output, passphrase, words,
};

/// The variable that holds the passphrase where no file is named.
const VARIABLE: &str = "RUSTY_CLAW_BACKUP_PASSPHRASE";

/// Stands for a variable of the configuration that this process does not have, such as a token that
/// only the gateway is given. What it stands in is copied as written, and never looked at.
const UNSET: &str = "unset";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a snapshot of the state folder; a gateway may run meanwhile
    Create(Place),
    /// List the snapshots
    List(Place),
    /// Read everything and say what is damaged
    Verify(Chosen),
    /// Fill an empty state folder from a snapshot
    Restore(Chosen),
}

/// A backup, and how to open it.
#[derive(Debug, clap::Args)]
struct Place {
    /// The folder that holds the backup
    path: PathBuf,
    /// The file whose first line is the passphrase; else RUSTY_CLAW_BACKUP_PASSPHRASE
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    #[command(flatten)]
    place: Place,
    /// This snapshot; else restore takes the newest and verify all
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    match args.command {
        Command::Create(place) => create(&place, context).await,
        Command::List(place) => list(&place, context),
        Command::Verify(chosen) => verify(&chosen, context).await,
        Command::Restore(chosen) => restore(&chosen, context).await,
    }
}

async fn create(place: &Place, context: &Context) -> Done {
    // What a server holds lies in a file until the snapshot is made.
    let (source, _export) = source(context).await?;
    let repository = place.open_or_make(context)?;
    let created = claw_backup::create(repository, source, SystemClock.now()).await?;
    if place.json {
        output::json(&created_json(&created))?;
    } else {
        let Created { snapshot, files, bytes, chunks, new_chunks, new_bytes, .. } = &created;
        output::text(&format!(
            "snapshot {snapshot}: {files} files, {}; {new_chunks} of {chunks} pieces were new, {}",
            size(*bytes),
            size(*new_bytes)
        ))?;
        notes(&created.left_out, &created.moved);
        if !created.encrypted {
            output::note("not encrypted: secrets are left out, messages are not");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(place: &Place, context: &Context) -> Done {
    let repository = place.open(context)?;
    let snapshots = repository.list()?;
    if place.json {
        let all: Vec<_> = snapshots.iter().map(listed_json).collect();
        output::json(&json!({ "encrypted": repository.is_encrypted(), "snapshots": all }))?;
    } else if snapshots.is_empty() {
        output::text("there is no snapshot")?;
    } else {
        let row = |listed: &Listed| {
            let Listed { name, created_at, files, bytes, .. } = listed;
            let (files, bytes) = (words::count(*files as u64, "file", "files"), size(*bytes));
            vec![name.to_string(), created_at.to_string(), files, bytes]
        };
        output::text(&words::table(&snapshots.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Exits with 1 when something is damaged.
async fn verify(chosen: &Chosen, context: &Context) -> Done {
    let repository = chosen.place.open(context)?;
    let verified = claw_backup::verify(repository, chosen.snapshot.as_deref()).await?;
    if chosen.place.json {
        output::json(&verified_json(&verified))?;
    } else {
        for fault in &verified.faults {
            output::text(&format!("{}: {}", fault.snapshot, fault.what))?;
        }
        output::text(&format!(
            "{}: {}, {} pieces, {}",
            if verified.faults.is_empty() { "all is well" } else { "this backup is damaged" },
            words::count(verified.snapshots.len() as u64, "snapshot", "snapshots"),
            verified.chunks,
            size(verified.bytes)
        ))?;
    }
    Ok(if verified.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn restore(chosen: &Chosen, context: &Context) -> Done {
    let target = &context.home.state_dir;
    if let Some(pid) = claw_app::lock_holder(target) {
        let hint = "stop it with `rusty-claw gateway stop`, or use another RUSTY_CLAW_HOME";
        let what = format!("a gateway (process {pid}) runs on {}", target.display());
        return Err(Failure::new(what).hint(hint));
    }
    let repository = chosen.place.open(context)?;
    let restored = claw_backup::restore(repository, chosen.snapshot.clone(), target).await?;
    if chosen.place.json {
        output::json(&restored_json(&restored, target))?;
    } else {
        let Restored { snapshot, created_at, files, bytes, .. } = &restored;
        output::text(&format!(
            "restored {files} files, {}, to {} from snapshot {snapshot} of {created_at}",
            size(*bytes),
            target.display()
        ))?;
        notes(&restored.left_out, &restored.moved);
        if context.home.explicit {
            let named = context.home.config.display();
            output::note(&format!("the configuration came to the state folder, not to {named}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Place {
    fn passphrase(&self, context: &Context) -> Result<Option<Secret>, Failure> {
        passphrase::given(self.passphrase_file.as_deref(), VARIABLE, context)
    }

    fn open(&self, context: &Context) -> Result<Repository, Failure> {
        let mut passphrase = self.passphrase(context)?;
        let asks = passphrase.is_none() && passphrase::can_ask();
        if asks && Repository::look(&self.path)? == Kind::Encrypted {
            passphrase = Some(passphrase::ask("Passphrase of the backup: ")?);
        }
        Ok(Repository::open(&self.path, passphrase.as_ref())?)
    }

    fn open_or_make(&self, context: &Context) -> Result<Repository, Failure> {
        if Repository::look(&self.path)? != Kind::Nothing {
            return self.open(context);
        }
        let mut passphrase = self.passphrase(context)?;
        if passphrase.is_none() && passphrase::can_ask() {
            let question = "Passphrase for the backup (empty: not encrypted, without secrets): ";
            passphrase = passphrase::ask_new(question)?;
        }
        Ok(Repository::make(&self.path, passphrase.as_ref())?)
    }
}

/// What there is to back up. A configuration with mistakes does not stand in the way.
async fn source(context: &Context) -> Result<(Source, Option<Export>), Failure> {
    let home = &context.home;
    if !home.state_dir.is_dir() {
        return Err(Error::NoState { path: home.state_dir.clone() }.into());
    }
    let env = |name: &str| context.env(name).or_else(|| Some(UNSET.to_owned()));
    let loaded = claw_app::load(home, &env);
    let configuration = match &loaded {
        _ if !home.config.exists() && !home.explicit => Configuration::Absent,
        Ok(config) => Configuration::Sound(Box::new(config.clone())),
        Err(problems) if !home.config.exists() => return Err(Failure::config(problems)),
        Err(problems) => {
            output::note("the configuration has problems, and is backed up as it is:");
            problems.iter().for_each(|problem| output::note(&format!("  {problem}")));
            Configuration::Broken(home.config.clone())
        }
    };
    let config = loaded.as_ref().ok();
    let url = match config {
        Some(config) => store_url(config, &home.database())?,
        None => StoreUrl::Sqlite(home.database()),
    };
    let (path, export) = match &url {
        StoreUrl::Sqlite(path) => (Some(path.clone()).filter(|path| path.exists()), None),
        StoreUrl::Postgres(_) => {
            let export = Export::make(home, &url).await?;
            (Some(export.file()), Some(export))
        }
        StoreUrl::Memory => (None, None),
    };
    let source = Source {
        state_dir: home.state_dir.clone(),
        configuration,
        store: path.map(StoreSource::SqliteFile),
        workspaces: config.map(workspaces).unwrap_or_default(),
    };
    Ok((source, export))
}

/// The store that is configured.
fn store_url(config: &Config, default: &Path) -> Result<StoreUrl, Failure> {
    match setting(config, "store.url").filter(|url| !url.is_empty()) {
        Some(url) => url.parse().map_err(|error| Failure::new(format!("store.url: {error}"))),
        None if setting(config, "store.backend").as_deref() == Some("memory") => {
            Ok(StoreUrl::Memory)
        }
        None => Ok(StoreUrl::Sqlite(default.to_owned())),
    }
}

/// Every folder that is named as a workspace.
fn workspaces(config: &Config) -> Vec<PathBuf> {
    let get = |path: &str| config.get(&path.parse().expect("a constant path"));
    let defaults = get("agents.defaults.workspace");
    let agents = match get("agents.list").map(|list| &list.value) {
        Some(claw_config::tree::Value::Array(agents)) => agents.as_slice(),
        _ => &[],
    };
    let own = agents.iter().filter_map(|agent| Some(&agent.entry("workspace")?.node));
    defaults.into_iter().chain(own).filter_map(Node::as_str).map(expand).collect()
}

/// `~/x`, as people write it.
fn expand(path: &str) -> PathBuf {
    let path = Path::new(path);
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

fn notes(left_out: &[LeftOut], moved: &[Moved]) {
    for LeftOut { what, why } in left_out {
        output::note(&format!("left out: {what}: {why}"));
    }
    for Moved { from, to } in moved {
        output::note(&format!("from elsewhere: {from} is {to} in the state folder"));
    }
}

/// A length in the unit that people would choose.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = usize::try_from(bytes.ilog2() / 10).unwrap_or(1).min(UNITS.len());
    let unit = 1_u64 << (10 * power);
    format!("{}.{} {}", bytes / unit, bytes % unit * 10 / unit, UNITS[power - 1])
}

fn created_json(created: &Created) -> Value {
    json!({
        "snapshot": created.snapshot.as_str(),
        "createdAt": created.created_at,
        "encrypted": created.encrypted,
        "files": created.files,
        "bytes": created.bytes,
        "chunks": created.chunks,
        "newChunks": created.new_chunks,
        "newBytes": created.new_bytes,
        "leftOut": left_out_json(&created.left_out),
        "moved": moved_json(&created.moved),
    })
}

fn restored_json(restored: &Restored, target: &Path) -> Value {
    json!({
        "snapshot": restored.snapshot.as_str(),
        "createdAt": restored.created_at,
        "stateDir": target.display().to_string(),
        "files": restored.files,
        "bytes": restored.bytes,
        "leftOut": left_out_json(&restored.left_out),
        "moved": moved_json(&restored.moved),
    })
}

fn verified_json(verified: &Verified) -> Value {
    let faults = verified
        .faults
        .iter()
        .map(|fault| json!({ "snapshot": fault.snapshot.as_str(), "what": fault.what }));
    let names = verified.snapshots.iter().map(|name| name.as_str());
    json!({
        "ok": verified.faults.is_empty(),
        "snapshots": names.collect::<Vec<_>>(),
        "chunks": verified.chunks,
        "bytes": verified.bytes,
        "faults": faults.collect::<Vec<_>>(),
    })
}

fn listed_json(listed: &Listed) -> Value {
    json!({
        "name": listed.name.as_str(),
        "createdAt": listed.created_at,
        "program": listed.program,
        "files": listed.files,
        "bytes": listed.bytes,
    })
}

fn left_out_json(left_out: &[LeftOut]) -> Value {
    left_out.iter().map(|LeftOut { what, why }| json!({ "what": what, "why": why })).collect()
}

fn moved_json(moved: &[Moved]) -> Value {
    moved.iter().map(|Moved { from, to }| json!({ "from": from, "to": to })).collect()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of(&error, error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_their_largest_unit() {
        let told = [0, 1023, 1024, 1536, 5 << 20, (3 << 40) - 1].map(size);
        let expected = ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "2.9 TiB"];
        assert_eq!(told, expected);
    }
}
