//! How an older file becomes one of this program.

use std::path::Path;

use claw_store::Error;
use rusqlite::Connection;

use crate::error::Fault;

/// Step `n` leads from schema version `n` to `n + 1`. A step that was released is never changed.
const STEPS: [&str; 1] = [include_str!("../migrations/0001.sql")];

/// Brings the file to the newest schema, all steps or none.
pub(crate) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), Fault> {
    let known = STEPS.len() as i64;
    if version(conn)? == known {
        return Ok(());
    }
    // The version is read again under the write lock: another process may have been quicker.
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&tx)?;
    let done = usize::try_from(found).ok().filter(|done| *done <= STEPS.len());
    let Some(done) = done else {
        return Err(Error::Newer { path: path.into(), found, known }.into());
    };
    for step in &STEPS[done..] {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", known)?;
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
        assert_eq!(version(&conn).unwrap(), 1);
        migrate(&mut conn, Path::new("f")).unwrap();
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", 2).unwrap();
        let refused = migrate(&mut conn, Path::new("f")).unwrap_err();
        assert!(
            matches!(refused, Fault::Store(Error::Newer { found: 2, known: 1, .. })),
            "{refused:?}"
        );
        assert_eq!(version(&conn).unwrap(), 2);
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
