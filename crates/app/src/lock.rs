//! Who holds a state folder: one process at a time, by a lock that ends with it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal,
    unistd::Pid,
};

/// The lock file in the state folder; it holds the holder's process id.
const NAME: &str = "gateway.lock";

/// How often the lock of a dead holder is tried for, and how long in between: two seconds. When a
/// gateway is killed while it starts a command, the half-started command has the lock as well until
/// it becomes a program of its own, which takes a moment.
const GHOST_TRIES_MAX: u32 = 200;
const GHOST_PAUSE: Duration = Duration::from_millis(10);

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

    #[expect(
        clippy::disallowed_methods,
        reason = "a lock that is let go tells nobody, and some who take one have no runtime"
    )]
    fn lock(path: PathBuf) -> Result<Self, LockError> {
        let mut tries = 0;
        Self::lock_from(path, || {
            tries += 1;
            thread::sleep(GHOST_PAUSE);
            tries < GHOST_TRIES_MAX
        })
    }

    /// Takes a lock. While its holder is dead, `pause` is called before each further try, until it
    /// is `false`.
    fn lock_from(path: PathBuf, mut pause: impl FnMut() -> bool) -> Result<Self, LockError> {
        let failed = |source| LockError::Unusable { path: path.clone(), source };
        let mut file = open(&path, true).map_err(failed)?;
        let mut lock = loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => break lock,
                Err((mut held, Errno::EWOULDBLOCK)) => {
                    let pid = pid_in(&mut held);
                    if is_alive(pid) || !pause() {
                        return Err(LockError::Held { pid });
                    }
                    file = held;
                }
                Err((_, errno)) => return Err(failed(errno.into())),
            }
        };
        let mut write = || -> io::Result<()> {
            lock.set_len(0)?;
            lock.rewind()?;
            write!(lock, "{}", std::process::id())
        };
        write().map_err(failed)?;
        Ok(Self(lock))
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

/// Whether there is such a process. 0 stands for a holder that has not written itself down yet.
fn is_alive(pid: u32) -> bool {
    match i32::try_from(pid) {
        Ok(0) | Err(_) => true,
        Ok(pid) => signal::kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH),
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

    /// A lock that a dead process is written down for, and the process.
    fn ghost(path: &Path) -> (StateLock, u32) {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let held = StateLock::lock_from(path.to_owned(), || false).unwrap();
        std::fs::write(path, child.id().to_string()).unwrap();
        (held, child.id())
    }

    #[test]
    fn what_a_dead_holder_leaves_half_started_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let (held, _) = ghost(&path);
        let mut held = Some(held);
        let released = || held.take().is_some();
        StateLock::lock_from(path, released).unwrap();
        assert!(held.is_none(), "it was waited for");
    }

    #[test]
    fn a_living_holder_is_not_waited_for_and_a_dead_one_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let (_held, dead) = ghost(&path);
        let mut pauses = 0;
        let pause = || {
            pauses += 1;
            pauses < 3
        };
        let error = StateLock::lock_from(path.clone(), pause).unwrap_err();
        assert!(matches!(error, LockError::Held { pid } if pid == dead), "{error}");
        assert_eq!(pauses, 3);
        std::fs::write(&path, std::process::id().to_string()).unwrap();
        StateLock::lock_from(path, || panic!("it lives")).unwrap_err();
    }
}
