//! How folders are walked into a snapshot: never out of them, and never waiting for what is no file.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, MetadataExt, OpenOptions, OpenOptionsExt},
};
use nix::fcntl::OFlag;

use crate::{
    Error, LeftOut, Moved, Repository,
    chunk::CHUNK_BYTES,
    disk,
    snapshot::{ENTRIES_MAX, Entry, MODE_BITS},
};

/// Longest file of a state folder or workspace; longer ones are left out and named. The database
/// has no limit. Unit: bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// How deep folders are followed; deeper ones are left out and named.
const DEPTH_MAX: usize = 64;
/// How many things that were left out are named; the last line says how many more there are.
const LEFT_OUT_MAX: usize = 1000;

/// Which file or folder it is, whatever its name: device and number on it.
type Identity = (u64, u64);

/// What is done with something in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Take,
    /// Take the folder and ask again for what is in it.
    Enter,
    /// It has no place in a backup, and nobody misses it.
    Skip,
    /// It is missing in the backup, for this reason.
    LeaveOut(&'static str),
}

/// Why something was not taken.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The backup cannot go on: a full disk, too many files.
    Ours(Error),
    /// This one thing cannot be read.
    Theirs(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Theirs(error)
    }
}

impl Stop {
    /// The error for something at `path` that a backup must have.
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Theirs(source) => Error::disk(path, "read")(source),
        }
    }
}

/// Puts files into a repository and writes down where they lay.
pub(crate) struct Gatherer<'a> {
    repository: &'a Repository,
    skipped: HashSet<Identity>,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) moved: Vec<Moved>,
    pub(crate) left_out: Vec<LeftOut>,
    /// Beyond those in `left_out`.
    left_out_more: usize,
    pub(crate) chunks: u64,
    pub(crate) new_chunks: u64,
    pub(crate) new_bytes: u64,
}

impl<'a> Gatherer<'a> {
    pub(crate) fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            skipped: HashSet::new(),
            entries: BTreeMap::new(),
            moved: Vec::new(),
            left_out: Vec::new(),
            left_out_more: 0,
            chunks: 0,
            new_chunks: 0,
            new_bytes: 0,
        }
    }

    /// Passes over this file or folder wherever it is met, under any name; it may be missing.
    pub(crate) fn skip(&mut self, path: &Path) -> Result<(), Error> {
        match std::fs::metadata(path) {
            Ok(found) => drop(self.skipped.insert((found.dev(), found.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::disk(path, "read")(error)),
        }
        Ok(())
    }

    pub(crate) fn leave_out(&mut self, what: impl Into<String>, why: impl Into<String>) {
        match self.left_out.len() < LEFT_OUT_MAX {
            true => self.left_out.push(LeftOut { what: what.into(), why: why.into() }),
            false => self.left_out_more += 1,
        }
    }

    /// Says how many more things were left out than are named.
    pub(crate) fn close_left_out(&mut self) {
        if self.left_out_more > 0 {
            let (what, why) = (format!("{} more", self.left_out_more), "for the same reasons");
            self.left_out.push(LeftOut { what, why: why.into() });
        }
    }

    /// Keeps `from` as the file `to`, and makes the folders above it.
    pub(crate) fn file(&mut self, to: &str, mode: u32, from: &mut impl Read) -> Result<(), Stop> {
        let parents = to.match_indices('/').map(|(at, _)| to[..at].to_owned());
        for parent in parents.collect::<Vec<_>>() {
            self.entries.entry(parent).or_insert(Entry::Folder { mode: 0o700 });
        }
        let (mut bytes, mut chunks) = (0, Vec::new());
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let filled = disk::fill(from, &mut buffer)?;
            if filled == 0 {
                break;
            }
            let (id, new) = self.repository.put(&buffer[..filled])?;
            chunks.push(id);
            self.chunks += 1;
            bytes += filled as u64;
            if let Some(grown) = new {
                self.new_chunks += 1;
                self.new_bytes += grown;
            }
            if filled < CHUNK_BYTES {
                break;
            }
        }
        self.entries.insert(to.into(), Entry::File { mode: mode & MODE_BITS, bytes, chunks });
        Ok(())
    }

    /// Takes what is in the folder at `path`, as far as `choose` says so, to `to`; an empty `to` is
    /// the top. `choose` is asked with the path below `path`.
    pub(crate) fn folder(
        &mut self,
        path: &Path,
        to: &str,
        choose: &dyn Fn(&str) -> Choice,
    ) -> Result<(), Error> {
        let failed = |error| Error::disk(path, "read")(error);
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        if !to.is_empty() {
            let mode = dir.dir_metadata().map_err(failed)?.mode() & MODE_BITS;
            self.entries.entry(to.into()).or_insert(Entry::Folder { mode });
        }
        let walk = Walk { root: path, to, choose };
        self.walk(&walk, &dir, "", DEPTH_MAX)
    }

    /// `at` is the path below the root; what cannot be read is left out and named.
    fn walk(&mut self, walk: &Walk<'_>, dir: &Dir, at: &str, depth: usize) -> Result<(), Error> {
        let names = match names(dir) {
            Ok(names) => names,
            Err(error) => {
                self.leave_out(walk.told(at), format!("it cannot be read: {error}"));
                return Ok(());
            }
        };
        for name in names {
            let Ok(name) = name else {
                self.leave_out(walk.told(at), "something in it has a name that is not UTF-8");
                continue;
            };
            let below = join(at, &name);
            match self.one(walk, dir, &name, &below, depth) {
                Ok(()) => {}
                // It was removed while we came to it.
                Err(Stop::Theirs(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(Stop::Theirs(error)) => {
                    self.leave_out(walk.told(&below), format!("it cannot be read: {error}"));
                }
                Err(Stop::Ours(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        walk: &Walk<'_>,
        dir: &Dir,
        name: &str,
        below: &str,
        depth: usize,
    ) -> Result<(), Stop> {
        let metadata = dir.symlink_metadata(name)?;
        if self.skipped.contains(&(metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        let is_folder = metadata.is_dir();
        match (walk.choose)(below) {
            Choice::Take => {}
            Choice::Enter if is_folder => {}
            Choice::Enter | Choice::Skip => return Ok(()),
            Choice::LeaveOut(why) => {
                self.leave_out(walk.told(below), why);
                return Ok(());
            }
        }
        let to = join(walk.to, below);
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Error::TooMany { max: ENTRIES_MAX }.into());
        }
        if !is_folder && self.entries.contains_key(&to) {
            self.leave_out(walk.told(below), "the configuration in force has its place");
            return Ok(());
        }
        if is_folder {
            let Some(depth) = depth.checked_sub(1) else {
                self.leave_out(walk.told(below), format!("it lies more than {DEPTH_MAX} deep"));
                return Ok(());
            };
            let inner = dir.open_dir(name)?;
            let mode = metadata.mode() & MODE_BITS;
            self.entries.entry(to).or_insert(Entry::Folder { mode });
            Ok(self.walk(walk, &inner, below, depth)?)
        } else if metadata.is_symlink() {
            match dir.read_link_contents(name)?.into_os_string().into_string() {
                Ok(target) => drop(self.entries.insert(to, Entry::Link { target })),
                Err(_) => self.leave_out(walk.told(below), "its target is not UTF-8"),
            }
            Ok(())
        } else if metadata.is_file() {
            let mut file = open(dir, name)?;
            let metadata = file.metadata()?;
            if metadata.len() > FILE_BYTES_MAX {
                let why = format!("it is larger than {FILE_BYTES_MAX} bytes");
                self.leave_out(walk.told(below), why);
                return Ok(());
            }
            // A file that grows while it is read ends at the limit all the same.
            let mut file = (&mut file).take(FILE_BYTES_MAX);
            self.file(&to, metadata.mode(), &mut file)
        } else {
            self.leave_out(walk.told(below), "it is a socket, a pipe or a device");
            Ok(())
        }
    }
}

/// One folder that is taken.
struct Walk<'a> {
    root: &'a Path,
    to: &'a str,
    choose: &'a dyn Fn(&str) -> Choice,
}

impl Walk<'_> {
    /// How something in it is named to people.
    fn told(&self, below: &str) -> String {
        match below {
            "" => self.root.display().to_string(),
            _ => self.root.join(below).display().to_string(),
        }
    }
}

/// What is in a folder, in order; an error stands for a name that is not UTF-8.
fn names(dir: &Dir) -> io::Result<BTreeSet<Result<String, ()>>> {
    let name = |entry: io::Result<cap_std::fs::DirEntry>| {
        Ok(entry?.file_name().into_string().map_err(|_not_utf8| ()))
    };
    dir.entries()?.map(name).collect()
}

/// Opens a regular file. Neither a link nor a pipe that takes its place just now is followed or
/// waited for.
fn open(dir: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits());
    let file = dir.open_with(name, &options)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no longer a file")),
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
