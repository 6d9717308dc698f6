//! What SQLite can fail with, in the store's words.

use std::{path::Path, sync::Arc};

use claw_store::Error;
use rusqlite::{ErrorCode, ffi};

/// What [`Error::Corrupt`] names when it is the file itself and not one record in it.
pub(crate) const FILE: &str = "database file";

/// A failure inside, before it is known which file it is about.
#[derive(Debug)]
pub(crate) enum Fault {
    Store(Error),
    Sql(rusqlite::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => engine(path, &Arc::new(error)),
        }
    }

    /// What a refused insert of a `kind` with this id means.
    pub(crate) fn insert(error: rusqlite::Error, kind: &str, id: impl std::fmt::Display) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        match code {
            Some(ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE) => {
                Self::Store(Error::exists(kind, id))
            }
            Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_CHECK) => {
                Self::Store(Error::missing("what comes before", format!("{kind} {id}")))
            }
            _ => Self::Sql(error),
        }
    }

    /// A record that does not read as it should.
    pub(crate) fn corrupt(
        what: &str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Store(Error::Corrupt { what: what.into(), source: Box::new(source) })
    }
}

/// The one table from SQLite's codes to ours. The error is shared, since a failed flush is the
/// answer to every commit that waited for it.
pub(crate) fn engine(path: &Path, error: &Arc<rusqlite::Error>) -> Error {
    let source = Box::new(Arc::clone(error));
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match (&**error, error.sqlite_error_code()) {
        (_, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)) => {
            Error::ReadOnly { path: path.into(), source }
        }
        (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
            Error::Corrupt { what: FILE.into(), source }
        }
        (_, Some(ErrorCode::DiskFull)) => Error::Full { path: path.into(), source },
        // The file of shared memory beside the store could not grow, which only a full disk stops.
        (_, Some(ErrorCode::SystemIoFailure)) if extended == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
            Error::Full { path: path.into(), source }
        }
        (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
            Error::Locked { path: path.into(), source }
        }
        (
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::Utf8Error(..),
            _,
        ) => Error::Corrupt { what: "row".into(), source },
        _ => Error::Engine(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, expected: &str) {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let text = format!("{:?}", Fault::Sql(error).at(Path::new("f")));
        assert!(text.starts_with(expected), "{code}: {text}");
    }

    #[test]
    fn each_code_says_what_a_person_can_act_on() {
        check(ffi::SQLITE_READONLY, "ReadOnly");
        check(ffi::SQLITE_READONLY_DIRECTORY, "ReadOnly");
        check(ffi::SQLITE_CANTOPEN, "ReadOnly");
        check(ffi::SQLITE_CORRUPT, "Corrupt");
        check(ffi::SQLITE_NOTADB, "Corrupt");
        check(ffi::SQLITE_FULL, "Full");
        check(ffi::SQLITE_IOERR_SHMSIZE, "Full");
        check(ffi::SQLITE_IOERR_WRITE, "Engine");
        check(ffi::SQLITE_BUSY, "Locked");
    }
}
