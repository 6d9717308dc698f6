//! How a backup is proved to be whole without being restored.

use std::{collections::HashMap, sync::Arc};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    Error, Repository, SnapshotName,
    chunk::{CHUNK_BYTES, ChunkId},
    disk,
    restore::write_file,
    snapshot::{Entry, Snapshot},
};

/// How many faults are told; then the search ends.
const FAULTS_MAX: usize = 100;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The snapshots, the oldest first.
    pub snapshots: Vec<SnapshotName>,
    /// How many pieces were read, each once.
    pub chunks: usize,
    /// How long they are together. Unit: bytes.
    pub bytes: u64,
    /// What is wrong; empty when all is well. At most a hundred.
    pub faults: Vec<Fault>,
}

/// Something that a restore would fail on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The snapshot that has it.
    pub snapshot: SnapshotName,
    /// What is wrong.
    pub what: String,
}

/// Reads every piece of every snapshot, or of the one that is named, and checks it against its
/// name; then puts each snapshot's database together in a temporary folder, one at a time, and has
/// SQLite check it.
///
/// # Errors
/// When there is no such snapshot, or a disk fails. What is wrong with the backup is no error but
/// stands in [`Verified::faults`].
///
/// # Cancel safety
/// Cancel-safe; the work under way goes on without its caller and changes nothing.
pub async fn verify(repository: Repository, snapshot: Option<&str>) -> Result<Verified, Error> {
    let names = match snapshot {
        Some(_) => vec![repository.choose(snapshot)?],
        None => repository.names()?,
    };
    if names.is_empty() {
        return Err(Error::Empty);
    }
    let repository = Arc::new(repository);
    let mut reading = Reading::default();
    for name in &names {
        let (repository, name_there) = (Arc::clone(&repository), name.clone());
        let work = spawn_blocking(move || reading.snapshot(&repository, &name_there));
        let (read, database) = work.await.map_err(Error::Broken)??;
        reading = read;
        if let Some(folder) = database {
            let checked = claw_store_sqlite::check(&folder.path().join(DATABASE)).await;
            reading.note(name, checked.map_err(Error::Store));
        }
        if reading.verified.faults.len() >= FAULTS_MAX {
            break;
        }
    }
    Ok(Verified { snapshots: names, ..reading.verified })
}

/// The name of a database in its temporary folder.
const DATABASE: &str = "database";

/// What was read so far.
#[derive(Default)]
struct Reading {
    verified: Verified,
    /// How long each piece is, or that it is damaged.
    pieces: HashMap<ChunkId, Option<u64>>,
}

impl Reading {
    /// Reads one snapshot. Returns its database, if that is whole.
    fn snapshot(
        mut self,
        repository: &Repository,
        name: &SnapshotName,
    ) -> Result<(Self, Option<TempDir>), Error> {
        let snapshot = match repository.snapshot(name) {
            Err(error @ (Error::Damaged { .. } | Error::Refused { .. })) => {
                self.note(name, Err(error));
                return Ok((self, None));
            }
            read => read?,
        };
        let faults = self.verified.faults.len();
        for (path, entry) in &snapshot.entries {
            let Entry::File { bytes, chunks, .. } = entry else { continue };
            self.file(repository, name, path, (*bytes, chunks))?;
        }
        let whole = self.verified.faults.len() == faults;
        let database = if whole { database(repository, &snapshot)? } else { None };
        Ok((self, database))
    }

    fn file(
        &mut self,
        repository: &Repository,
        name: &SnapshotName,
        path: &str,
        (bytes, chunks): (u64, &[ChunkId]),
    ) -> Result<(), Error> {
        let mut left = bytes;
        for id in chunks {
            if self.verified.faults.len() >= FAULTS_MAX {
                return Ok(());
            }
            let expected = left.min(CHUNK_BYTES as u64);
            left -= expected;
            match self.piece(repository, id)? {
                Some(length) if length == expected => {}
                found => {
                    let why = match found {
                        Some(_) => format!("has pieces of another length (piece {id})"),
                        None => format!("has a piece that is missing or damaged ({id})"),
                    };
                    self.note(name, Err(Error::damaged(format!("file {path}"), why)));
                }
            }
        }
        Ok(())
    }

    fn piece(&mut self, repository: &Repository, id: &ChunkId) -> Result<Option<u64>, Error> {
        if let Some(known) = self.pieces.get(id) {
            return Ok(*known);
        }
        let length = match repository.get(id) {
            Ok(content) => Some(content.len() as u64),
            Err(Error::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        self.pieces.insert(id.clone(), length);
        self.verified.chunks += 1;
        self.verified.bytes += length.unwrap_or(0);
        Ok(length)
    }

    fn note(&mut self, snapshot: &SnapshotName, result: Result<(), Error>) {
        if let Err(error) = result {
            let mut what = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                what = format!("{what}: {error}");
                cause = error.source();
            }
            self.verified.faults.push(Fault { snapshot: snapshot.clone(), what });
        }
    }
}

/// The snapshot's database in a folder that only we can read, and that is gone with its owner.
fn database(repository: &Repository, snapshot: &Snapshot) -> Result<Option<TempDir>, Error> {
    let Some(path) = &snapshot.database else { return Ok(None) };
    let Some(Entry::File { bytes, chunks, .. }) = snapshot.entries.get(path) else {
        return Ok(None);
    };
    let folder = disk::temporary_folder(None, "claw-verify-");
    let folder = folder.map_err(Error::disk(&std::env::temp_dir(), "written"))?;
    write_file(repository, path, &folder.path().join(DATABASE), (*bytes, chunks))?;
    Ok(Some(folder))
}
