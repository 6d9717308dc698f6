//! A file system so small that a test can fill it.

use std::{
    env,
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::needs::REQUIRE;

/// The file that takes all the room.
const BALLAST: &str = "ballast";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A file system of its own in memory, mounted on a folder of its own. Both go when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes. `None` means that the test should return, since this user may
    /// mount nothing: what it skips was printed.
    ///
    /// # Panics
    /// When it cannot be mounted and [`REQUIRE`] names `mount`.
    pub fn new(bytes: u64) -> Option<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("claw-small-disk-{}-{count}", std::process::id());
        let folder = env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a folder of its own can be made");
        let user = std::os::unix::fs::MetadataExt::uid(&folder.metadata().expect("it is there"));
        let options = format!("size={bytes},mode=0700,uid={user}");
        let disk = Self { folder };
        match as_root("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &disk.text()]) {
            Ok(()) => Some(disk),
            Err(why) => {
                let missing = format!("needs a user who may mount (root, or sudo): {why}");
                let required = env::var(REQUIRE).unwrap_or_default();
                assert!(!required.split(',').any(|part| part.trim() == "mount"), "{missing}");
                eprintln!("skipped: {missing}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    /// When something else than a lack of room stops it.
    pub fn fill(&self) {
        let mut ballast = File::create(self.folder.join(BALLAST)).expect("there is an inode");
        loop {
            match ballast.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("the disk is to be filled: {error}"),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn free(&self) {
        std::fs::remove_file(self.folder.join(BALLAST)).expect("it was filled");
    }

    /// Forbids or allows writing, which takes that no file on it is open for writing.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        as_root("mount", &["-o", options, &self.text()]).expect("it is mounted by us");
    }

    fn text(&self) -> String {
        self.folder.display().to_string()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a process that was killed may not be quite gone.
        let _unmounted = as_root("umount", &["--lazy", &self.text()]);
        let _removed = std::fs::remove_dir(&self.folder);
    }
}

/// Runs a program as root: directly, else with `sudo` where that asks nothing.
fn as_root(program: &str, words: &[&str]) -> Result<(), String> {
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    run(Command::new(program).args(words)).or_else(|refused| {
        run(Command::new("sudo").arg("-n").arg(program).args(words)).map_err(|_also| refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_filled_freed_and_gone() {
        let Some(disk) = SmallDisk::new(1 << 20) else { return };
        let folder = disk.path().to_owned();
        disk.fill();
        let full = std::fs::write(folder.join("more"), [0; 8192]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        disk.free();
        std::fs::write(folder.join("more"), [0; 8192]).unwrap();
        disk.set_read_only(true);
        std::fs::write(folder.join("other"), "").unwrap_err();
        drop(disk);
        assert!(!folder.exists());
    }
}
