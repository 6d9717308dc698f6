//! How a snapshot becomes a state folder again: whole, or not at all.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    path::Path,
};

use claw_domain::Timestamp;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    Error, LeftOut, Moved, Repository, SnapshotName,
    chunk::{CHUNK_BYTES, ChunkId},
    disk,
    snapshot::{Entry, MODE_BITS, Snapshot, stays_below},
};

/// A state folder that was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// When it was begun.
    pub created_at: Timestamp,
    /// How many files there are.
    pub files: usize,
    /// How long they are together. Unit: bytes.
    pub bytes: u64,
    /// What is missing: what the snapshot does not hold, and links that lead elsewhere.
    pub left_out: Vec<LeftOut>,
    /// What lies elsewhere than before.
    pub moved: Vec<Moved>,
}

/// Makes the state folder `target` from a snapshot, the newest unless one is named. There must be
/// nothing at `target` but an empty folder.
///
/// Nothing outside of `target` is written. Everything is put together and flushed in a folder
/// beside it, which takes its place at the end. So where this fails or is killed, there is no state
/// folder, and at worst one left that begins with a dot and can be removed.
///
/// # Errors
/// When the target is not empty, a part of the snapshot is damaged, or the snapshot does what none
/// of ours does.
///
/// # Cancel safety
/// Not cancel-safe: the work goes on without its caller, and may still put the folder in place.
pub async fn restore(
    repository: Repository,
    snapshot: Option<String>,
    target: &Path,
) -> Result<Restored, Error> {
    let target = target.to_owned();
    let work = spawn_blocking(move || bring_back(&repository, snapshot.as_deref(), &target));
    work.await.map_err(Error::Broken)?
}

fn bring_back(
    repository: &Repository,
    name: Option<&str>,
    target: &Path,
) -> Result<Restored, Error> {
    is_free(target)?;
    let name = repository.choose(name)?;
    let snapshot = repository.snapshot(&name)?;
    let written = |error| Error::disk(target, "written")(error);
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    disk::make_folder(parent).map_err(Error::disk(parent, "made"))?;
    let folder = disk::temporary_folder(Some(parent), ".restoring-");
    let folder = folder.map_err(Error::disk(parent, "written"))?;
    let links_left_out = fill(repository, &snapshot, &folder)?;
    fs::rename(folder.path(), target).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => {
            Error::TargetMounted { path: target.into() }
        }
        io::ErrorKind::DirectoryNotEmpty => Error::TargetNotEmpty { path: target.into() },
        _ => written(error),
    })?;
    // It has another name now.
    let _moved = folder.keep();
    disk::flush_folder(parent).map_err(written)?;
    Ok(Restored {
        snapshot: name,
        created_at: snapshot.created_at,
        files: snapshot.files(),
        bytes: snapshot.bytes(),
        left_out: snapshot.left_out.into_iter().chain(links_left_out).collect(),
        moved: snapshot.moved,
    })
}

fn is_free(target: &Path) -> Result<(), Error> {
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::TargetNotEmpty { path: target.into() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::disk(target, "read")(error)),
    }
}

/// Writes all of a checked snapshot into an empty folder. Returns the links that were not made.
///
/// Links come last, so nothing is written through one; modes of folders come after what is in
/// them, since a folder that cannot be written cannot be filled.
fn fill(
    repository: &Repository,
    snapshot: &Snapshot,
    folder: &TempDir,
) -> Result<Vec<LeftOut>, Error> {
    let mut left_out = Vec::new();
    for (path, entry) in &snapshot.entries {
        let place = folder.path().join(path);
        let failed = |error| Error::disk(&place, "written")(error);
        match entry {
            Entry::Folder { .. } => {
                fs::DirBuilder::new().mode(0o700).create(&place).map_err(failed)?;
            }
            Entry::File { mode, bytes, chunks } => {
                write_file(repository, path, &place, (*bytes, chunks))?;
                fs::set_permissions(&place, Permissions::from_mode(mode & MODE_BITS))
                    .map_err(failed)?;
            }
            Entry::Link { .. } => {}
        }
    }
    for (path, entry) in &snapshot.entries {
        let Entry::Link { target } = entry else { continue };
        if stays_below(path, target) {
            let place = folder.path().join(path);
            symlink(target, &place).map_err(Error::disk(&place, "made"))?;
        } else {
            let what = format!("{path} → {target}");
            let why = "a link that leads out of the state folder; make it again if you trust it";
            left_out.push(LeftOut { what, why: why.into() });
        }
    }
    for (path, entry) in snapshot.entries.iter().rev() {
        let Entry::Folder { mode } = entry else { continue };
        let place = folder.path().join(path);
        let mode = Permissions::from_mode(mode & MODE_BITS);
        let done = disk::flush_folder(&place).and_then(|()| fs::set_permissions(&place, mode));
        done.map_err(Error::disk(&place, "written"))?;
    }
    disk::flush_folder(folder.path()).map_err(Error::disk(folder.path(), "written"))?;
    Ok(left_out)
}

/// Writes a file from its pieces, which must give its length, and flushes it.
pub(crate) fn write_file(
    repository: &Repository,
    path: &str,
    place: &Path,
    (bytes, chunks): (u64, &[ChunkId]),
) -> Result<(), Error> {
    let failed = |error| Error::disk(place, "written")(error);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(place).map_err(failed)?;
    let mut left = bytes;
    for id in chunks {
        let content = repository.get(id)?;
        // Every piece is full but the last, so a small list cannot stand for a huge file.
        if content.len() as u64 != left.min(CHUNK_BYTES as u64) {
            return Err(Error::damaged(format!("file {path}"), "has pieces of another length"));
        }
        left -= content.len() as u64;
        file.write_all(&content).map_err(failed)?;
    }
    File::sync_all(&file).map_err(failed)
}
