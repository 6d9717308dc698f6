//! How files are written so that a crash leaves all or nothing of them, and read with a bound.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use tempfile::TempDir;

/// How the name of a file begins that is not finished. What a crash leaves of them is harmless.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Makes a folder and those above it, for their owner alone. One that is there stays as it is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A folder for its owner alone that is gone with what this returns; in `parent`, or where the
/// system wants temporary files.
pub(crate) fn temporary_folder(parent: Option<&Path>, prefix: &str) -> io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix(prefix).permissions(Permissions::from_mode(0o700));
    match parent {
        Some(parent) => folder.tempdir_in(parent),
        None => folder.tempdir(),
    }
}

/// Writes `folder/name` for its owner alone: never seen half, and on disk when this returns but
/// for its name, for which [`flush_folder`] sees. Fails with `AlreadyExists` where it is there.
pub(crate) fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // A temporary file is made with mode 0600.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(folder.join(name))?;
    Ok(())
}

/// Puts the names in a folder on disk.
pub(crate) fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a file of at most `max` bytes; a longer one fails with `FileTooLarge`.
pub(crate) fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {max} bytes"),
        ));
    }
    Ok(bytes)
}

/// Fills `buffer` as far as there is something to read.
pub(crate) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
