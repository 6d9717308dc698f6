//! How a snapshot is made of a state folder that a gateway may be using.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use claw_domain::Timestamp;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tokio::task::spawn_blocking;

use crate::{
    Configuration, Error, LeftOut, Moved, Repository, SnapshotName, Source, StoreSource,
    config::{self, Secrets},
    gather::{Choice, Gatherer},
    snapshot::Snapshot,
    source::DATABASE,
};

/// The database's copy while it is read, and how the names begin of what SQLite puts beside it.
const COPY: &str = ".backup-copy";
/// How the names end of a database's own files.
const BESIDE_DATABASE: [&str; 4] = ["", "-journal", "-wal", "-shm"];
/// What a running gateway keeps about itself, and nobody after it.
const PASSING_FILES: &[&str] = &["gateway.lock", "gateway.port"];
/// What is neither secret nor in a workspace.
const PLAIN_FILES: &[&str] = &["node-id"];

/// A snapshot that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its name.
    pub snapshot: SnapshotName,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// How many files it holds.
    pub files: usize,
    /// How long they are together. Unit: bytes.
    pub bytes: u64,
    /// How many pieces they have.
    pub chunks: u64,
    /// How many of these the backup did not have yet.
    pub new_chunks: u64,
    /// How much room those take in the backup. Unit: bytes.
    pub new_bytes: u64,
    /// What is missing, and why. In the clear, that is everything secret.
    pub left_out: Vec<LeftOut>,
    /// What will lie elsewhere after a restore.
    pub moved: Vec<Moved>,
}

/// Makes a snapshot. The database is copied as it is after some commit; other files are read one
/// after the other.
///
/// # Errors
/// When the repository cannot be written, the database is damaged or cannot be copied, or another
/// backup of this state folder is under way. The snapshots that there were stay as they are.
///
/// # Cancel safety
/// Not cancel-safe: the work goes on without its caller, and may still make the snapshot.
pub async fn create(
    repository: Repository,
    source: Source,
    now: Timestamp,
) -> Result<Created, Error> {
    let state_dir = source.state_dir.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoState { path: source.state_dir.clone() },
        _ => Error::disk(&source.state_dir, "read")(error),
    })?;
    let held = Held::take(&state_dir)?;
    if let Some(StoreSource::SqliteFile(path)) = &source.store {
        claw_store_sqlite::copy(path, &held.copy()).await.map_err(Error::Store)?;
        // A damaged store must not take the place of the last good copy in anybody's plans.
        claw_store_sqlite::check(&held.copy()).await.map_err(Error::Store)?;
    }
    let work = spawn_blocking(move || {
        let source = Source { state_dir, ..source };
        take(&repository, &source, &held, now)
    });
    work.await.map_err(Error::Broken)?
}

/// The state folder, held against other backups of it. What it is held for is removed with it.
struct Held {
    state_dir: PathBuf,
    _lock: Flock<File>,
}

impl Held {
    fn take(state_dir: &Path) -> Result<Self, Error> {
        let folder = File::open(state_dir).map_err(Error::disk(state_dir, "read"))?;
        let lock =
            Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(
                |(_, errno)| match errno {
                    Errno::EWOULDBLOCK => Error::Busy { path: state_dir.into() },
                    other => Error::disk(state_dir, "locked")(other.into()),
                },
            )?;
        let held = Self { state_dir: state_dir.into(), _lock: lock };
        // What a process left that was killed.
        held.remove_copy();
        Ok(held)
    }

    fn copy(&self) -> PathBuf {
        self.state_dir.join(COPY)
    }

    fn remove_copy(&self) {
        for ending in BESIDE_DATABASE {
            // Mostly there is none; what cannot be removed fails the next copy with a reason.
            let _gone = fs::remove_file(self.state_dir.join(format!("{COPY}{ending}")));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.remove_copy();
    }
}

fn take(
    repository: &Repository,
    source: &Source,
    held: &Held,
    now: Timestamp,
) -> Result<Created, Error> {
    let secrets = match repository.is_encrypted() {
        true => Secrets::Kept,
        false => Secrets::LeftOut,
    };
    let mut gatherer = Gatherer::new(repository);
    gatherer.skip(repository.folder())?;
    take_configuration(&mut gatherer, source, secrets)?;
    let database = match &source.store {
        Some(StoreSource::SqliteFile(path)) => {
            let copy = held.copy();
            let mut file = File::open(&copy).map_err(Error::disk(&copy, "read"))?;
            gatherer.file(DATABASE, 0o600, &mut file).map_err(|stop| stop.at(&copy))?;
            // Under another name it is not taken again, as it happens to be while it is read.
            for ending in BESIDE_DATABASE {
                let mut beside = path.clone().into_os_string();
                beside.push(ending);
                gatherer.skip(beside.as_ref())?;
            }
            let there = source.state_dir.join(DATABASE);
            if path.canonicalize().ok() != there.canonicalize().ok() {
                gatherer.moved.push(moved(path, DATABASE));
            }
            Some(DATABASE.to_owned())
        }
        None => None,
    };
    let workspaces = Workspaces::find(source);
    for path in source.workspaces.iter().filter(|path| !path.is_dir()) {
        gatherer.leave_out(path.display().to_string(), "a workspace that is not there");
    }
    let choose = |below: &str| choose(below, secrets, &workspaces.inside);
    gatherer.folder(&source.state_dir, "", &choose)?;
    take_outside(&mut gatherer, source, &workspaces)?;
    gatherer.close_left_out();

    let Gatherer { entries, moved, left_out, chunks, new_chunks, new_bytes, .. } = gatherer;
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let snapshot = Snapshot { created_at: now, program, database, entries, moved, left_out };
    // What could not be restored is told now.
    let refused = |why| Error::Refused { snapshot: "to be made".into(), why };
    snapshot.check().map_err(refused)?;
    let name = repository.put_snapshot(&snapshot, now)?;
    Ok(Created {
        snapshot: name,
        created_at: now,
        encrypted: repository.is_encrypted(),
        files: snapshot.files(),
        bytes: snapshot.bytes(),
        chunks,
        new_chunks,
        new_bytes,
        left_out: snapshot.left_out,
        moved: snapshot.moved,
    })
}

fn take_configuration(
    gatherer: &mut Gatherer<'_>,
    source: &Source,
    secrets: Secrets,
) -> Result<(), Error> {
    let config = config::read(&source.configuration, secrets)?;
    for file in config.files {
        let taken = gatherer.file(&file.to, file.mode, &mut file.text.as_slice());
        taken.map_err(|stop| stop.at(&file.from))?;
        // It is not taken again where a walk meets it, with its secrets.
        gatherer.skip(&file.from)?;
        if file.from != source.state_dir.join(&file.to) {
            gatherer.moved.push(moved(&file.from, &file.to));
        }
    }
    for left in config.left_out {
        gatherer.leave_out(left.what, left.why);
    }
    if let Configuration::Broken(path) = &source.configuration {
        gatherer.skip(path)?;
    }
    Ok(())
}

/// What is done with something in the state folder. In the clear, what is not known to hold no
/// secret counts as one.
fn choose(below: &str, secrets: Secrets, workspaces: &BTreeSet<String>) -> Choice {
    if PASSING_FILES.contains(&below) || below.starts_with(DATABASE) || below.starts_with(COPY) {
        return Choice::Skip;
    }
    let is_in = |folder: &String| {
        below
            .strip_prefix(folder.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let leads_to =
        |folder: &String| folder.strip_prefix(below).is_some_and(|rest| rest.starts_with('/'));
    if secrets == Secrets::Kept || PLAIN_FILES.contains(&below) || workspaces.iter().any(is_in) {
        Choice::Take
    } else if workspaces.iter().any(leads_to) {
        Choice::Enter
    } else {
        Choice::LeaveOut("it may hold secrets, and the backup is not encrypted")
    }
}

/// The folders of the agents.
#[derive(Debug, Default)]
struct Workspaces {
    /// Below the state folder.
    inside: BTreeSet<String>,
    /// Elsewhere, without links; none lies in another.
    outside: Vec<PathBuf>,
}

impl Workspaces {
    /// Those that the configuration names, and those that have a default name.
    fn find(source: &Source) -> Self {
        let state_dir = &source.state_dir;
        let named = fs::read_dir(state_dir).into_iter().flatten().filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            (name == "workspace" || name.starts_with("workspace-")).then_some(path)
        });
        let all = source.workspaces.iter().cloned().chain(named);
        let folders: BTreeSet<PathBuf> =
            all.filter_map(|path| path.canonicalize().ok()).filter(|path| path.is_dir()).collect();
        let mut found = Self::default();
        for path in folders {
            match path.strip_prefix(state_dir) {
                // The whole state folder is no workspace in a backup: its secrets are in it.
                Ok(below) if below.as_os_str().is_empty() => {}
                Ok(below) => found.inside.extend(below.to_str().map(str::to_owned)),
                // They come in order, so an outer folder comes first.
                Err(_) if found.outside.iter().any(|outer| path.starts_with(outer)) => {}
                Err(_) => found.outside.push(path),
            }
        }
        found
    }
}

/// Takes workspaces that lie elsewhere to folders of their own beside what is there.
fn take_outside(
    gatherer: &mut Gatherer<'_>,
    source: &Source,
    workspaces: &Workspaces,
) -> Result<(), Error> {
    // One of them may be the folder above.
    gatherer.skip(&source.state_dir)?;
    for path in &workspaces.outside {
        let mut names = (1..).map(|number| format!("outside-{number}"));
        let free = |name: &String| {
            !gatherer.entries.contains_key(name) && !source.state_dir.join(name).exists()
        };
        let to = names.find(free).expect("there is no last number");
        gatherer.folder(path, &to, &|_| Choice::Take)?;
        gatherer.moved.push(moved(path, &to));
    }
    Ok(())
}

fn moved(from: &Path, to: &str) -> Moved {
    Moved { from: from.display().to_string(), to: to.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_clear_only_what_holds_no_secret_is_taken() {
        let workspaces = ["workspace".to_owned(), "agents/x/ws".to_owned()].into();
        let left = Choice::LeaveOut("it may hold secrets, and the backup is not encrypted");
        for (below, clear, sealed) in [
            ("workspace", Choice::Take, Choice::Take),
            ("workspace/a/b", Choice::Take, Choice::Take),
            ("node-id", Choice::Take, Choice::Take),
            ("agents", Choice::Enter, Choice::Take),
            ("agents/x", Choice::Enter, Choice::Take),
            ("agents/x/ws/a", Choice::Take, Choice::Take),
            ("agents/x/auth-profiles.json", left, Choice::Take),
            ("workspaces", left, Choice::Take),
            ("device-secret", left, Choice::Take),
            ("gateway-token", left, Choice::Take),
            ("config.json.bak", left, Choice::Take),
            ("new-and-unknown", left, Choice::Take),
            ("claw.sqlite", Choice::Skip, Choice::Skip),
            ("claw.sqlite-wal", Choice::Skip, Choice::Skip),
            ("claw.sqlite.v1.bak", Choice::Skip, Choice::Skip),
            ("gateway.lock", Choice::Skip, Choice::Skip),
            ("gateway.port", Choice::Skip, Choice::Skip),
            (".backup-copy-wal", Choice::Skip, Choice::Skip),
        ] {
            assert_eq!(choose(below, Secrets::LeftOut, &workspaces), clear, "{below}");
            assert_eq!(choose(below, Secrets::Kept, &workspaces), sealed, "{below}");
        }
    }
}
