//! Who holds a state folder: one process at a time, by a lock that ends with it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// The lock file in the state folder; it holds the holder's process id.
const NAME: &str = "gateway.lock";

/// A held state folder. Dropping it, or dying, gives it back.
#[derive(Debug)]
pub(crate) struct StateLock(#[expect(dead_code, reason = "held, never read")] Flock<File>);

/// The folder is held by somebody else, or its lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another gateway (process {pid}) runs on this state folder")]
    Held { pid: u32 },
    #[error("the lock {} cannot be used", path.display())]
    Unusable { path: PathBuf, source: io::Error },
}

impl StateLock {
    /// Takes the folder.
    pub(crate) fn take(state_dir: &Path) -> Result<Self, LockError> {
        Self::lock(state_dir.join(NAME))
    }

    /// Takes one file by a lock file beside it.
    pub(crate) fn take_beside(file: &Path) -> Result<Self, LockError> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        Self::lock(file.with_file_name(name))
    }

    fn lock(path: PathBuf) -> Result<Self, LockError> {
        let failed = |source| LockError::Unusable { path: path.clone(), source };
        let file = open(&path, true).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let write = || -> io::Result<()> {
                    lock.set_len(0)?;
                    lock.rewind()?;
                    write!(lock, "{}", std::process::id())
                };
                let mut write = write;
                write().map_err(failed)?;
                Ok(Self(lock))
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                Err(LockError::Held { pid: pid_in(&mut file) })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

/// The process that holds a state folder, if one does.
pub fn lock_holder(state_dir: &Path) -> Option<u32> {
    let file = open(&state_dir.join(NAME), false).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_free) => None,
        Err((mut file, _)) => Some(pid_in(&mut file)).filter(|pid| *pid > 0),
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .read(true)
        .write(create)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn pid_in(file: &mut File) -> u32 {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(lock_holder(folder.path()), None);
        let held = StateLock::take(folder.path()).unwrap();
        assert_eq!(lock_holder(folder.path()), Some(std::process::id()));
        let error = StateLock::take(folder.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("another gateway (process {}) runs on this state folder", std::process::id())
        );
        drop(held);
        assert_eq!(lock_holder(folder.path()), None);
        StateLock::take(folder.path()).unwrap();
    }
}
