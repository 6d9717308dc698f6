//! The schema's steps, and how far a file has come.

use std::path::Path;

use claw_store::Error;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::Fault;

/// Step `n` leads from schema version `n` to `n + 1`. A step that was released is never changed.
/// It keeps every row of every table that it finds, which [`crate::upgrade`] checks.
const STEPS: [&str; 2] =
    [include_str!("../migrations/0001.sql"), include_str!("../migrations/0002.sql")];

/// Keeps which version of the program gave the file its schema, for older ones that refuse it.
const SIGN: &str = "INSERT INTO meta (name, value) VALUES ('program', ?)
    ON CONFLICT DO UPDATE SET value = excluded.value";
const SIGNED: &str = "SELECT value FROM meta WHERE name = 'program'";

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// It has none yet.
    None,
    /// An older one, of this version.
    Older(i64),
    /// This program's.
    Newest,
}

/// Reads how far the file has come.
///
/// # Errors
/// [`Error::Newer`] when it has come further than this program knows.
pub(crate) fn schema(conn: &Connection, path: &Path) -> Result<Schema, Fault> {
    let known = STEPS.len() as i64;
    match version(conn)? {
        0 => Ok(Schema::None),
        found if found == known => Ok(Schema::Newest),
        found if (1..known).contains(&found) => Ok(Schema::Older(found)),
        found => {
            // A file from so far ahead that it keeps this elsewhere is refused without it.
            let program = conn.query_row(SIGNED, [], |row| row.get(0)).ok();
            Err(Error::Newer { path: path.into(), found, known, program }.into())
        }
    }
}

/// Takes all steps that are left, or none.
pub(crate) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), Fault> {
    if schema(conn, path)? == Schema::Newest {
        return Ok(());
    }
    // The version is read again under the write lock: another process may have been quicker.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = match schema(&tx, path)? {
        Schema::None => 0,
        Schema::Older(version) => version as usize,
        Schema::Newest => return Ok(()),
    };
    for step in &STEPS[done..] {
        tx.execute_batch(step)?;
    }
    tx.execute(SIGN, [env!("CARGO_PKG_VERSION")])?;
    tx.pragma_update(None, "user_version", STEPS.len() as i64)?;
    Ok(tx.commit()?)
}

fn version(conn: &Connection) -> Result<i64, rusqlite::Error> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_gets_the_newest_schema_once() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, Path::new("f")).unwrap();
        assert_eq!(schema(&conn, Path::new("f")).unwrap(), Schema::Newest);
        migrate(&mut conn, Path::new("f")).unwrap();
        let signed: String = conn.query_row(SIGNED, [], |row| row.get(0)).unwrap();
        assert_eq!(signed, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", 3).unwrap();
        let refused = migrate(&mut conn, Path::new("f")).unwrap_err();
        assert!(
            matches!(refused, Fault::Store(Error::Newer { found: 3, known: 2, .. })),
            "{refused:?}"
        );
        assert_eq!(version(&conn).unwrap(), 3);
    }

    #[test]
    fn a_newer_file_tells_which_program_reads_it() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, Path::new("f")).unwrap();
        conn.execute(SIGN, ["9.8.7"]).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        let Err(Fault::Store(refused)) = migrate(&mut conn, Path::new("f")) else {
            panic!("a newer schema is refused")
        };
        assert!(refused.to_string().contains("given by rusty-claw 9.8.7"), "{refused}");
    }

    #[test]
    fn a_failing_step_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        // A foreign table that stands in the way of the last one of the first step.
        conn.execute_batch("CREATE TABLE probe (foreign_column)").unwrap();
        migrate(&mut conn, Path::new("f")).unwrap_err();
        let tables: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!((version(&conn).unwrap(), tables), (0, 1));
    }
}
