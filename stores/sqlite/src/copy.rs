//! How the database is copied while others write to it, and a copy proved whole.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use claw_store::Error;
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use tokio::task::spawn_blocking;

use crate::{
    error::{FILE, Fault},
    open,
};

/// Copies the database at `path`, as it is after some commit, to the new file `to`, which its owner
/// alone may read. A gateway may run on it meanwhile and is not held up.
///
/// The copy is one file, has every page where the original has it, and is on disk when this
/// returns.
///
/// # Errors
/// When there is no database at `path`, or something is at `to` already. What was begun at `to` is
/// then left to the caller.
///
/// # Cancel safety
/// Not cancel-safe: the copy goes on without its caller.
pub async fn copy(path: &Path, to: &Path) -> Result<(), Error> {
    let (path, to) = (path.to_owned(), to.to_owned());
    off_thread(move || copy_pages(&path, &to).map_err(|fault| fault.at(&path))).await
}

/// Reads the whole database at `path`, which nobody else uses, and checks it.
///
/// # Errors
/// [`Error::Corrupt`] with what SQLite found first.
///
/// # Cancel safety
/// Cancel-safe; the check goes on without its caller.
pub async fn check(path: &Path) -> Result<(), Error> {
    let path = path.to_owned();
    off_thread(move || check_pages(&path).map_err(|fault| fault.at(&path))).await
}

async fn off_thread(
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    spawn_blocking(work).await.unwrap_or_else(|panic| Err(Error::Engine(Box::new(panic))))
}

fn copy_pages(path: &Path, to: &Path) -> Result<(), Fault> {
    let failed = |error: io::Error| Fault::from(Error::Engine(Box::new(error)));
    let source = open::reader(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let mut copy = Connection::open(to)?;
    // What goes wrong costs the copy alone, and it is flushed once, at the end.
    copy.pragma_update(None, "synchronous", "off")?;
    // All pages in one step are read in one transaction, so no commit comes in between. It holds
    // nobody up: in WAL mode a reader and the writer do not wait for each other.
    match Backup::new(&source, &mut copy)?.step(-1)? {
        StepResult::Done => {}
        other => {
            let source = format!("the copy ended with {other:?}").into();
            return Err(Error::Locked { path: path.into(), source }.into());
        }
    }
    copy.close().map_err(|(_still_open, error)| error)?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failed)
}

fn check_pages(path: &Path) -> Result<(), Fault> {
    let said: String =
        open::reader(path)?.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(Error::Corrupt { what: FILE.into(), source: said.into() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{FileExt, MetadataExt},
    };

    use tempfile::TempDir;

    use super::*;

    fn rows(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM grants", [], |row| row.get(0)).unwrap()
    }

    fn add(conn: &Connection, peer: i64) {
        conn.execute("INSERT INTO grants VALUES ('telegram', 'default', ?, 0)", [peer]).unwrap();
    }

    #[tokio::test]
    async fn what_was_committed_is_in_the_copy_and_what_was_not_is_not() {
        let folder = TempDir::new().unwrap();
        let (path, to) = (folder.path().join("claw.sqlite"), folder.path().join("copy"));
        let writer = open::writer(&path).unwrap();
        add(&writer, 1);
        // A commit under way neither waits for the copy nor gets into it.
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        add(&writer, 2);
        copy(&path, &to).await.unwrap();
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(rows(&writer), 2);

        check(&to).await.unwrap();
        assert_eq!(rows(&open::reader(&to).unwrap()), 1);
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_is_at_the_copys_place_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let (path, to) = (folder.path().join("claw.sqlite"), folder.path().join("copy"));
        drop(open::writer(&path).unwrap());
        fs::write(&to, "mine").unwrap();
        copy(&path, &to).await.unwrap_err();
        assert_eq!(fs::read_to_string(&to).unwrap(), "mine");
        let missing = copy(&folder.path().join("none"), &folder.path().join("new")).await;
        assert!(missing.is_err() && !folder.path().join("new").exists());
    }

    #[tokio::test]
    async fn a_damaged_page_is_found() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("claw.sqlite");
        let writer = open::writer(&path).unwrap();
        writer.execute_batch("BEGIN").unwrap();
        (0..500).for_each(|peer| add(&writer, peer));
        writer.execute_batch("COMMIT").unwrap();
        writer.close().unwrap();
        check(&path).await.unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let middle = file.metadata().unwrap().len() / 2 / 4096 * 4096;
        file.write_all_at(&[0xff; 4096], middle).unwrap();
        let found = check(&path).await.unwrap_err();
        assert!(matches!(&found, Error::Corrupt { what, .. } if what == FILE), "{found:?}");
    }
}
