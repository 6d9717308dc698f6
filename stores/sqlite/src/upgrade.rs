//! How the file of an older program is brought up to date: on a copy, which then takes its place.
//!
//! ```text
//! claw.sqlite ──copy──▶ claw.sqlite.upgrade ──steps, check, flush──▶ renamed to claw.sqlite
//!      └─ kept as claw.sqlite.v1.bak
//! ```
//! The file at the store's path is the old one, whole, until the rename, and the new one, whole,
//! from then on. A process that ends in between leaves a copy that the next upgrade throws away.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use claw_store::Error;
use nix::sys::statvfs::statvfs;
use rusqlite::{Connection, OptionalExtension};

use crate::{
    error::{FILE, Fault},
    migrate::migrate,
    open,
};

/// What an upgrade has done so far, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Copied,
    Migrated,
    Checked,
    Flushed,
    Kept,
    Switched,
}

/// Rows of each table.
type Counts = BTreeMap<String, i64>;

/// Brings the file at `path` from schema version `from` to the newest one and keeps the old file
/// beside it, one for each version.
///
/// # Errors
/// The old file is then where it was, as it was.
pub(crate) fn upgrade(path: &Path, from: i64) -> Result<(), Fault> {
    upgrade_by_steps(path, from, |_| ())
}

/// As [`upgrade`]; tells `after` of each step that is done.
fn upgrade_by_steps(path: &Path, from: i64, mut after: impl FnMut(Done)) -> Result<(), Fault> {
    let old = open::connect(path, open::WRITER_CACHE_KIB)?;
    keep_others_out(&old, path)?;
    let before = counts(&old)?;
    has_room(&old, path)?;

    let copy = Copy::new(beside(path, "upgrade"))?;
    copy_into(&old, &copy.0)?;
    after(Done::Copied);
    let mut new = open::connect(&copy.0, open::WRITER_CACHE_KIB)?;
    // What goes wrong from here on costs the copy, so nothing of it needs to be taken back.
    pragma(&new, "journal_mode", "off")?;
    new.pragma_update(None, "synchronous", "off")?;
    migrate(&mut new, path)?;
    after(Done::Migrated);
    is_sound(&new)?;
    has_every_row(&before, &counts(&new)?)?;
    drop(new);
    after(Done::Checked);
    flush(&copy.0)?;
    after(Done::Flushed);

    keep(&old, path, from)?;
    after(Done::Kept);
    fs::rename(&copy.0, path).and_then(|()| flush_folder(path)).map_err(failed)?;
    after(Done::Switched);
    Ok(())
}

/// A copy in the making. It is gone with its owner, so that a failed upgrade gives its room back.
struct Copy(PathBuf);

impl Copy {
    /// An empty file for the owner alone; what an upgrade that was cut off left is thrown away.
    fn new(path: PathBuf) -> Result<Self, Fault> {
        let copy = Self(path);
        copy.remove().and_then(|()| open::create(&copy.0)).map_err(failed)?;
        Ok(copy)
    }

    /// With its journal, which SQLite would play back into the next file of this name.
    fn remove(&self) -> io::Result<()> {
        let mut journal = self.0.clone().into_os_string();
        journal.push("-journal");
        remove(Path::new(&journal)).and_then(|()| remove(&self.0))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Renamed, there is none; what cannot be removed now, the next upgrade removes.
        let _gone = self.remove();
    }
}

/// Puts all of the file into one, and holds it until the connection is closed.
fn keep_others_out(conn: &Connection, path: &Path) -> Result<(), Fault> {
    let mode = pragma(conn, "journal_mode", "delete")?;
    if mode != "delete" {
        let source = format!("it stays in journal mode `{mode}`").into();
        return Err(Error::Locked { path: path.into(), source }.into());
    }
    pragma(conn, "locking_mode", "exclusive")?;
    // In this mode the lock of a transaction outlives it.
    Ok(conn.execute_batch("BEGIN EXCLUSIVE; COMMIT")?)
}

/// Refuses to begin what the disk has no room for: the copy, and half as much again for what the
/// steps add to it.
fn has_room(conn: &Connection, path: &Path) -> Result<(), Fault> {
    let size = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = (size("page_count")? * size("page_size")?).unsigned_abs();
    let needed = bytes + bytes / 2;
    // Where the system does not say what is free, running out says it later, and costs nothing.
    let Ok(disk) = statvfs(folder_of(path)) else { return Ok(()) };
    #[allow(clippy::useless_conversion, reason = "the numbers are narrower on some systems")]
    let free = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size());
    if free < needed {
        return Err(Error::NoRoom { path: path.into(), needed, free }.into());
    }
    Ok(())
}

fn copy_into(conn: &Connection, to: &Path) -> Result<(), Fault> {
    let to = to.to_str().ok_or_else(|| failed("the path of the store is not UTF-8"))?;
    Ok(conn.execute("VACUUM INTO ?", [to]).map(drop)?)
}

fn is_sound(conn: &Connection) -> Result<(), Fault> {
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(Error::Corrupt { what: FILE.into(), source: said.into() }.into());
    }
    let orphan: Option<String> =
        conn.query_row("PRAGMA foreign_key_check", [], |row| row.get(0)).optional()?;
    match orphan {
        Some(table) => {
            let source = format!("a row of `{table}` belongs to one that is not there").into();
            Err(Error::Corrupt { what: FILE.into(), source }.into())
        }
        None => Ok(()),
    }
}

fn counts(conn: &Connection) -> Result<Counts, Fault> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut tables = conn.prepare(sql)?;
    let names = tables.query_map([], |row| row.get::<_, String>(0))?;
    let count = |name: String| {
        let rows =
            conn.query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| row.get(0))?;
        Ok((name, rows))
    };
    names.map(|name| count(name?)).collect()
}

fn has_every_row(before: &Counts, after: &Counts) -> Result<(), Fault> {
    match before.iter().find(|(table, rows)| after.get(*table) != Some(rows)) {
        None => Ok(()),
        Some((table, rows)) => {
            let left = after.get(table).copied().unwrap_or(0);
            Err(failed(format!("the upgrade would leave {left} of {rows} rows of `{table}`")))
        }
    }
}

/// Keeps the old file under a second name; where the file system has no such thing, a copy of it.
fn keep(old: &Connection, path: &Path, version: i64) -> Result<(), Fault> {
    let kept = beside(path, &format!("v{version}.bak"));
    remove(&kept).map_err(failed)?;
    if fs::hard_link(path, &kept).is_err() {
        let copy = Copy::new(beside(path, "old"))?;
        copy_into(old, &copy.0)?;
        flush(&copy.0)?;
        fs::rename(&copy.0, &kept).map_err(failed)?;
    }
    Ok(())
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn flush(path: &Path) -> Result<(), Fault> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed)
}

fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `claw.sqlite` and `upgrade` are `claw.sqlite.upgrade`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn pragma(conn: &Connection, name: &str, value: &str) -> Result<String, rusqlite::Error> {
    conn.pragma_update_and_check(None, name, value, |row| row.get(0))
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Error::Engine(error.into()).into()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::MetadataExt, process::Command};

    use tempfile::TempDir;

    use super::*;
    use crate::migrate::{Schema, schema};

    const V1: &[u8] = include_bytes!("../tests/fixtures/v1.sqlite");

    /// Tells a second process which file to upgrade, and after which step to end.
    const CUT_OFF: &str = "CLAW_TEST_CUT_OFF_UPGRADE";

    fn old_store() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("claw.sqlite");
        open::create(&path).unwrap();
        fs::write(&path, V1).unwrap();
        (folder, path)
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn look(path: &Path) -> (Schema, Counts) {
        let conn = open::connect(path, 100).unwrap();
        (schema(&conn, path).unwrap(), counts(&conn).unwrap())
    }

    fn expect_upgraded(path: &Path, before: &Counts) {
        let (found, after) = look(path);
        assert_eq!(found, Schema::Newest);
        has_every_row(before, &after).unwrap();
        let kept = beside(path, "v1.bak");
        assert_eq!(look(&kept), (Schema::Older(1), before.clone()));
        for file in [path, &kept] {
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn the_old_file_is_kept_and_nothing_else_is_left() {
        let (folder, path) = old_store();
        let (_, before) = look(&path);
        drop(open::writer(&path).unwrap());
        expect_upgraded(&path, &before);
        assert_eq!(names(&folder), ["claw.sqlite", "claw.sqlite.v1.bak"]);
    }

    #[test]
    fn an_upgrade_that_is_cut_off_leaves_the_old_store_or_the_new_one() {
        if let Some(told) = std::env::var_os(CUT_OFF) {
            let told = told.into_string().unwrap();
            let (step, path) = told.split_once(' ').unwrap();
            let end = |done: Done| {
                if format!("{done:?}") == step {
                    // No destructor of ours runs, as when the process is killed.
                    std::process::exit(9);
                }
            };
            upgrade_by_steps(Path::new(path), 1, end).unwrap();
            return;
        }
        use Done::{Checked, Copied, Flushed, Kept, Migrated, Switched};
        for last in [Copied, Migrated, Checked, Flushed, Kept, Switched] {
            let (folder, path) = old_store();
            let (_, before) = look(&path);
            let test =
                "upgrade::tests::an_upgrade_that_is_cut_off_leaves_the_old_store_or_the_new_one";
            let ended = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test])
                .env(CUT_OFF, format!("{last:?} {}", path.display()))
                .output()
                .unwrap();
            assert_eq!(ended.status.code(), Some(9), "{last:?}: {ended:?}");

            let expected = if last == Switched { Schema::Newest } else { Schema::Older(1) };
            let (found, rows) = look(&path);
            assert_eq!(found, expected, "{last:?}");
            has_every_row(&before, &rows).unwrap();
            drop(open::writer(&path).unwrap());
            expect_upgraded(&path, &before);
            assert_eq!(names(&folder), ["claw.sqlite", "claw.sqlite.v1.bak"], "{last:?}");
        }
    }

    #[test]
    fn what_an_upgrade_left_in_the_middle_of_its_copy_is_thrown_away() {
        let (folder, path) = old_store();
        let (_, before) = look(&path);
        fs::write(beside(&path, "upgrade"), &V1[..V1.len() / 2]).unwrap();
        fs::write(beside(&path, "upgrade-journal"), [0xd9, 0xd5, 0x05, 0xf9]).unwrap();
        drop(open::writer(&path).unwrap());
        expect_upgraded(&path, &before);
        assert_eq!(names(&folder), ["claw.sqlite", "claw.sqlite.v1.bak"]);
    }

    #[test]
    fn what_was_committed_last_is_in_the_copy() {
        let (_folder, path) = old_store();
        // Another connection that ended without a checkpoint: the row stands in the WAL alone.
        let writer = open::connect(&path, 100).unwrap();
        pragma(&writer, "journal_mode", "wal").unwrap();
        writer.execute("INSERT INTO grants VALUES ('telegram', 'default', 'last', 0)", []).unwrap();
        let (left, kept) = (beside(&path, "left"), [("", ""), ("-wal", "-wal")]);
        for (from, to) in kept {
            let name = |path: &Path, end: &str| format!("{}{end}", path.display());
            fs::copy(name(&path, from), name(&left, to)).unwrap();
        }
        drop(open::writer(&left).unwrap());
        let found: i64 = open::connect(&left, 100)
            .unwrap()
            .query_row("SELECT count(*) FROM grants WHERE peer = 'last'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, 1);
    }

    #[test]
    fn a_store_that_somebody_reads_is_not_upgraded_under_them() {
        let (folder, path) = old_store();
        let other = open::connect(&path, 100).unwrap();
        pragma(&other, "journal_mode", "delete").unwrap();
        other.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
        let old = Connection::open(&path).unwrap();
        old.busy_timeout(std::time::Duration::ZERO).unwrap();
        let refused = keep_others_out(&old, &path).unwrap_err().at(&path);
        assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
        drop(old);
        assert_eq!(names(&folder), ["claw.sqlite"]);
    }

    #[test]
    fn an_upgrade_that_loses_rows_is_refused() {
        let before = Counts::from([("events".into(), 3), ("inbox".into(), 1)]);
        let after = Counts::from([("events".into(), 3), ("holdings".into(), 0)]);
        let Fault::Store(Error::Engine(lost)) = has_every_row(&before, &after).unwrap_err() else {
            panic!("it says what is lost")
        };
        assert_eq!(lost.to_string(), "the upgrade would leave 0 of 1 rows of `inbox`");
    }

    #[test]
    fn a_failed_upgrade_changes_nothing_and_leaves_nothing() {
        let (folder, path) = old_store();
        let conn = Connection::open(&path).unwrap();
        // A foreign table that stands in the way of a step.
        conn.execute_batch("CREATE TABLE meta (foreign_column)").unwrap();
        drop(conn);
        let before = look(&path);
        open::writer(&path).unwrap_err();
        assert_eq!(look(&path), before);
        assert_eq!(names(&folder), ["claw.sqlite"]);
    }
}
