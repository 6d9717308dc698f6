//! Opening the file: who may read it, and how SQLite treats it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use claw_store::Error;
use rusqlite::{Connection, OpenFlags};

use crate::{
    error::{FILE, Fault},
    migrate::{Schema, migrate, schema},
    upgrade::upgrade,
};

/// The owner may read and write, nobody else anything. SQLite gives the files beside it the same.
const MODE: u32 = 0o600;
/// How long a statement waits for another process that holds the file: a shell, a copying program.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest file that is looked through at every start (`quick_check`: measured, 1 ms for each
/// MiB). Damage in a larger one shows when its page is read: at the start, where it is of what is
/// read there, else at run time.
const CHECKED_BYTES_MAX: u64 = 4 << 20;
/// Statements kept prepared per connection; more than all kinds that there are.
const STATEMENTS_MAX: usize = 64;
/// Page cache of the writer and of each reader. Unit: KiB.
pub(crate) const WRITER_CACHE_KIB: i64 = 2048;
const READER_CACHE_KIB: i64 = 512;

/// The connection that writes, on a file that has the newest schema.
pub(crate) fn writer(path: &Path) -> Result<Connection, Fault> {
    create(path).map_err(|error| Error::ReadOnly { path: path.into(), source: Box::new(error) })?;
    let mut conn = connect(path, WRITER_CACHE_KIB)?;
    if let Schema::Older(version) = schema(&conn, path)? {
        drop(conn);
        upgrade(path, version)?;
        conn = connect(path, WRITER_CACHE_KIB)?;
    }
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(
            Error::Engine(format!("this file system gives no WAL but `{mode}`").into()).into()
        );
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    // The schema's references say what refers to what. They are not enforced, since each event that
    // retention takes out would be looked for in all entries; `transcript::add` sees to parents.
    conn.pragma_update(None, "foreign_keys", false)?;
    migrate(&mut conn, path)?;
    check_small(&conn, path)?;
    Ok(conn)
}

/// Refuses a file that cannot be read as it is: one that is not there, or has another schema.
pub(crate) fn readable(path: &Path) -> Result<(), Fault> {
    if !path.exists() {
        return Err(Error::Engine(format!("there is no {} yet", path.display()).into()).into());
    }
    match schema(&reader(path)?, path)? {
        Schema::Newest => Ok(()),
        Schema::None | Schema::Older(_) => {
            let old = "an older program wrote it; the gateway upgrades it when it starts";
            Err(Error::Engine(old.into()).into())
        }
    }
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path) -> Result<Connection, Fault> {
    let conn = connect(path, READER_CACHE_KIB)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// Refuses a damaged file, where looking at all of it costs next to nothing.
fn check_small(conn: &Connection, path: &Path) -> Result<(), Fault> {
    if fs::metadata(path).is_ok_and(|file| file.len() > CHECKED_BYTES_MAX) {
        return Ok(());
    }
    let said: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(Error::Corrupt { what: FILE.into(), source: said.into() }.into()),
    }
}

/// Makes the file before SQLite would, since SQLite leaves its mode to the umask.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(())
}

pub(crate) fn connect(path: &Path, cache_kib: i64) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    // A negative size is in KiB (SQLite, `PRAGMA cache_size`).
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(conn: &Connection, name: &str) -> String {
        use rusqlite::types::Value;
        match conn.pragma_query_value(None, name, |row| row.get(0)).unwrap() {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn a_commit_means_on_disk() {
        let folder = tempfile::TempDir::new().unwrap();
        let conn = writer(&folder.path().join("claw.sqlite")).unwrap();
        let names = ["journal_mode", "synchronous", "mmap_size", "foreign_keys"];
        // `synchronous` 2 is FULL (SQLite, `PRAGMA synchronous`).
        assert_eq!(names.map(|name| pragma(&conn, name)), ["wal", "2", "0", "0"]);
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("claw.sqlite");
        let _writer = writer(&path).unwrap();
        let refused = reader(&path).unwrap().execute("UPDATE probe SET count = 9", []);
        assert!(refused.is_err());
    }
}
