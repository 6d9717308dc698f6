//! The folder that a backup is: a header, pieces under names made of their content, and snapshots.
//!
//! ```text
//! backup.json                         the format, and the lock if it is encrypted
//! chunks/ab/ab12…                     a piece of a file
//! snapshots/20261121T144300.123Z.json a list of files (`.sealed` if it is encrypted)
//! ```
//! Every file is written under another name, flushed and renamed, the snapshot last. So a crash
//! leaves the snapshots that there were, and pieces that the next one uses or nobody does.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use claw_crypto::{Key, Lock, OVERHEAD_BYTES, TEXT_BYTES_MAX};
use claw_domain::{Secret, Timestamp};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Error, Listed, SnapshotName,
    chunk::{CHUNK_BYTES, ChunkId, pack, unpack},
    disk::{self, UNFINISHED},
    snapshot::Snapshot,
};

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
const HEADER: &str = "backup.json";
/// Longest header. Unit: bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
const CHUNKS: &str = "chunks";
const SNAPSHOTS: &str = "snapshots";
/// Longest list of files; a seal takes no longer text.
const SNAPSHOT_BYTES_MAX: usize = TEXT_BYTES_MAX;

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or an empty folder.
    Nothing,
    /// A backup in the clear.
    Plain,
    /// A backup that a passphrase opens.
    Encrypted,
}

/// An opened backup.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    keys: Option<Keys>,
}

/// What an encrypted backup is sealed with: one key for each purpose.
#[derive(Debug)]
struct Keys {
    names: Key,
    chunks: Key,
    snapshots: Key,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Says to people what the folder is.
    what: String,
    lock: Option<Lock>,
}

/// What can be read of a header of any format.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    #[serde(flatten)]
    header: T,
}

/// A snapshot in the clear, with the digest of its bytes.
#[derive(Serialize, Deserialize)]
struct Summed<'a> {
    sha256: String,
    #[serde(borrow)]
    snapshot: &'a RawValue,
}

impl Repository {
    /// What lies at `path`.
    ///
    /// # Errors
    /// [`Error::Foreign`] when it is something else, [`Error::Newer`] when it cannot be told.
    pub fn look(path: &Path) -> Result<Kind, Error> {
        match header(path)? {
            Some(Header { lock: Some(_), .. }) => return Ok(Kind::Encrypted),
            Some(Header { lock: None, .. }) => return Ok(Kind::Plain),
            None => {}
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kind::Nothing),
            Err(error) => return Err(Error::disk(path, "read")(error)),
        };
        for entry in entries {
            let name = entry.map_err(Error::disk(path, "read"))?.file_name();
            if !name.to_string_lossy().starts_with(UNFINISHED) {
                return Err(Error::Foreign { path: path.into() });
            }
        }
        Ok(Kind::Nothing)
    }

    /// Begins a backup in the folder `path`, which is made if need be; encrypted where a passphrase
    /// is given.
    ///
    /// # Errors
    /// When the folder holds anything, or cannot be written.
    pub fn make(path: &Path, passphrase: Option<&Secret>) -> Result<Self, Error> {
        if Self::look(path)? != Kind::Nothing {
            return Err(Error::Foreign { path: path.into() });
        }
        let opened = passphrase.map(Lock::new).transpose().map_err(Error::Lock)?;
        let (lock, key) = opened.unzip();
        let header = Header { what: "a backup of Rusty Claw".into(), lock };
        let bytes = json(&Versioned { format: FORMAT, header });
        disk::make_folder(path).map_err(Error::disk(path, "made"))?;
        let written = disk::write_new(path, HEADER, &bytes);
        written.and_then(|()| disk::flush_folder(path)).map_err(Error::disk(path, "written"))?;
        Ok(Self { folder: path.into(), keys: key.as_ref().map(Keys::of) })
    }

    /// Opens the backup at `path`.
    ///
    /// # Errors
    /// When there is none, the passphrase is missing or wrong, or one is given that nothing asks
    /// for: somebody may have put a backup in the clear in the place of an encrypted one.
    pub fn open(path: &Path, passphrase: Option<&Secret>) -> Result<Self, Error> {
        let header = header(path)?.ok_or_else(|| Error::NoBackup { path: path.into() })?;
        let keys = match (header.lock, passphrase) {
            (Some(lock), Some(passphrase)) => {
                Some(Keys::of(&lock.open(passphrase).map_err(Error::Lock)?))
            }
            (Some(_), None) => return Err(Error::PassphraseMissing),
            (None, Some(_)) => return Err(Error::NotEncrypted),
            (None, None) => None,
        };
        Ok(Self { folder: path.into(), keys })
    }

    /// Whether a passphrase is needed to read it.
    pub fn is_encrypted(&self) -> bool {
        self.keys.is_some()
    }

    /// Every snapshot, the oldest first.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let listed = |name: SnapshotName| {
            let snapshot = self.snapshot(&name)?;
            let (files, bytes) = (snapshot.files(), snapshot.bytes());
            let Snapshot { created_at, program, .. } = snapshot;
            Ok(Listed { name, created_at, program, files, bytes })
        };
        self.names()?.into_iter().map(listed).collect()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of all snapshots, the oldest first.
    pub(crate) fn names(&self) -> Result<Vec<SnapshotName>, Error> {
        let folder = self.folder.join(SNAPSHOTS);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::disk(&folder, "read")(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::disk(&folder, "read"))?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(self.ending()));
            names.extend(name.and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// The newest snapshot's name, or the one that is asked for.
    pub(crate) fn choose(&self, name: Option<&str>) -> Result<SnapshotName, Error> {
        let mut names = self.names()?;
        match name {
            None => names.pop().ok_or(Error::Empty),
            Some(name) => names
                .into_iter()
                .find(|there| there.as_str() == name)
                .ok_or_else(|| Error::NoSnapshot { name: name.into() }),
        }
    }

    /// Reads a snapshot and refuses one that would do harm.
    pub(crate) fn snapshot(&self, name: &SnapshotName) -> Result<Snapshot, Error> {
        let path = self.folder.join(SNAPSHOTS).join(format!("{name}{}", self.ending()));
        let bytes = disk::read(&path, SNAPSHOT_BYTES_MAX + OVERHEAD_BYTES);
        let bytes = bytes.map_err(Error::disk(&path, "read"))?;
        let damaged = |why: String| Error::damaged(format!("snapshot {name}"), why);
        let changed = || damaged("is not as it was written".into());
        let text = match &self.keys {
            Some(keys) => {
                keys.snapshots.open(name.as_str(), &bytes).map_err(|_damaged| changed())?
            }
            None => {
                let summed: Summed<'_> =
                    serde_json::from_slice(&bytes).map_err(|_not_json| changed())?;
                let text = summed.snapshot.get().as_bytes();
                if summed.sha256 != hex(digest(&SHA256, text).as_ref()) {
                    return Err(changed());
                }
                text.to_vec()
            }
        };
        let snapshot: Snapshot = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("does not read: {error}")))?;
        let refused = |why| Error::Refused { snapshot: name.to_string(), why };
        snapshot.check().map_err(refused)?;
        Ok(snapshot)
    }

    /// Writes a snapshot, all of whose pieces are there, and makes them last.
    pub(crate) fn put_snapshot(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<SnapshotName, Error> {
        let failed = |path: &Path| Error::disk(path, "written");
        self.flush_chunks()?;
        let folder = self.folder.join(SNAPSHOTS);
        disk::make_folder(&folder).map_err(failed(&folder))?;
        let text = json(snapshot);
        loop {
            let name = SnapshotName::after(self.names()?.last(), now);
            let bytes = match &self.keys {
                Some(keys) => keys.snapshots.seal(name.as_str(), &text).map_err(Error::Seal)?,
                None => {
                    let sha256 = hex(digest(&SHA256, &text).as_ref());
                    let text = std::str::from_utf8(&text).expect("JSON is UTF-8");
                    let snapshot = serde_json::from_str(text).expect("written just above");
                    json(&Summed { sha256, snapshot })
                }
            };
            match disk::write_new(&folder, &format!("{name}{}", self.ending()), &bytes) {
                Ok(()) => {
                    let flushed =
                        disk::flush_folder(&folder).and_then(|()| disk::flush_folder(&self.folder));
                    flushed.map_err(failed(&folder))?;
                    return Ok(name);
                }
                // Another process took the name; the next look finds a later one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&folder)(error)),
            }
        }
    }

    /// Keeps a piece of at most [`CHUNK_BYTES`]. Returns its name and, where it is new, by how many
    /// bytes the backup grew.
    pub(crate) fn put(&self, content: &[u8]) -> Result<(ChunkId, Option<u64>), Error> {
        let id = ChunkId::new(match &self.keys {
            Some(keys) => hex(&keys.names.name(content)),
            None => hex(digest(&SHA256, content).as_ref()),
        });
        let folder = self.folder.join(CHUNKS).join(id.folder());
        let path = folder.join(id.as_str());
        let failed = |error| Error::disk(&path, "written")(error);
        if path.try_exists().map_err(failed)? {
            return Ok((id, None));
        }
        disk::make_folder(&folder).map_err(failed)?;
        let packed = pack(content);
        let bytes = match &self.keys {
            Some(keys) => keys.chunks.seal(id.as_str(), &packed).map_err(Error::Seal)?,
            None => packed,
        };
        match disk::write_new(&folder, id.as_str(), &bytes) {
            Ok(()) => Ok((id, Some(bytes.len() as u64))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((id, None)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Reads a piece and proves that it is the one of this name.
    pub(crate) fn get(&self, id: &ChunkId) -> Result<Vec<u8>, Error> {
        let damaged = |why: &str| Error::damaged(format!("piece {id}"), why);
        let path = self.folder.join(CHUNKS).join(id.folder()).join(id.as_str());
        let bytes = match disk::read(&path, 1 + CHUNK_BYTES + OVERHEAD_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("is missing"));
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(damaged("is not as it was written"));
            }
            Err(error) => return Err(Error::disk(&path, "read")(error)),
        };
        let packed = match &self.keys {
            Some(keys) => keys.chunks.open(id.as_str(), &bytes).ok(),
            None => Some(bytes),
        };
        // A seal is bound to the name; in the clear the content itself is held against it.
        let is_right = |content: &Vec<u8>| {
            self.is_encrypted() || hex(digest(&SHA256, content).as_ref()) == id.as_str()
        };
        packed
            .and_then(|packed| unpack(&packed))
            .filter(is_right)
            .ok_or_else(|| damaged("is not as it was written"))
    }

    /// Puts the names of all pieces on disk.
    fn flush_chunks(&self) -> Result<(), Error> {
        let folder = self.folder.join(CHUNKS);
        let failed = |error| Error::disk(&folder, "written")(error);
        disk::make_folder(&folder).map_err(failed)?;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            disk::flush_folder(&entry.map_err(failed)?.path()).map_err(failed)?;
        }
        disk::flush_folder(&folder).map_err(failed)
    }

    /// How the file of a snapshot ends.
    fn ending(&self) -> &'static str {
        if self.is_encrypted() { ".sealed" } else { ".json" }
    }
}

impl Keys {
    fn of(key: &Key) -> Self {
        Self {
            names: key.derive("backup: names of pieces"),
            chunks: key.derive("backup: pieces"),
            snapshots: key.derive("backup: snapshots"),
        }
    }
}

/// The header in this folder, if it has one.
fn header(path: &Path) -> Result<Option<Header>, Error> {
    let file = path.join(HEADER);
    let bytes = match disk::read(&file, HEADER_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::disk(&file, "read")(error)),
    };
    let unreadable =
        |error: serde_json::Error| Error::damaged("header", format!("does not read: {error}"));
    // The format is read before the rest, which another format may have otherwise.
    let Versioned { format, header } =
        serde_json::from_slice::<Versioned<serde_json::Value>>(&bytes).map_err(unreadable)?;
    if format > FORMAT {
        return Err(Error::Newer { found: format, known: FORMAT });
    }
    serde_json::from_value(header).map(Some).map_err(unreadable)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what we write has string keys and no failing parts")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn passphrase() -> Secret {
        Secret::new("correct horse")
    }

    /// Both kinds of backup, each in a folder of its own.
    fn both() -> [(TempDir, Repository); 2] {
        [None, Some(passphrase())].map(|passphrase| {
            let folder = TempDir::new().unwrap();
            let made = Repository::make(folder.path(), passphrase.as_ref()).unwrap();
            (folder, made)
        })
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            created_at: claw_domain::millis(5),
            program: "0".into(),
            database: None,
            entries: [("a".to_owned(), crate::snapshot::Entry::Folder { mode: 0o700 })].into(),
            moved: Vec::new(),
            left_out: Vec::new(),
        }
    }

    fn file_of(repository: &Repository, id: &ChunkId) -> PathBuf {
        repository.folder.join(CHUNKS).join(id.folder()).join(id.as_str())
    }

    #[test]
    fn a_piece_is_kept_once_and_read_as_it_was() {
        for (_folder, repository) in both() {
            let (id, new) = repository.put(b"content").unwrap();
            assert!(new.is_some());
            assert_eq!(repository.put(b"content").unwrap(), (id.clone(), None));
            assert_eq!(repository.get(&id).unwrap(), b"content");
            let mode = fs::metadata(file_of(&repository, &id)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "SEC-65");
        }
    }

    #[test]
    fn a_piece_takes_less_room_where_it_can_and_never_much_more() {
        let text = "one line like another\n".repeat(CHUNK_BYTES).into_bytes();
        let mut noise = vec![0; CHUNK_BYTES];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut noise).unwrap();
        for (_folder, repository) in both() {
            let (id, grown) = repository.put(&text[..CHUNK_BYTES]).unwrap();
            assert!(grown.unwrap() < 2048);
            assert_eq!(repository.get(&id).unwrap(), text[..CHUNK_BYTES]);
            let (id, grown) = repository.put(&noise).unwrap();
            assert!(grown.unwrap() <= (CHUNK_BYTES + 1 + OVERHEAD_BYTES) as u64);
            assert_eq!(repository.get(&id).unwrap(), noise);
        }
    }

    #[test]
    fn names_of_an_encrypted_backup_tell_nothing_of_the_content() {
        let [(_plain, plain), (_folder, sealed)] = both();
        let (id, _) = sealed.put(b"content").unwrap();
        assert_ne!(plain.put(b"content").unwrap().0, id);
        let bytes = fs::read(file_of(&sealed, &id)).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"content"));
    }

    #[test]
    fn a_piece_that_was_changed_or_put_in_anothers_place_is_damaged() {
        for (_folder, repository) in both() {
            let (one, _) = repository.put(b"one").unwrap();
            let (two, _) = repository.put(b"two").unwrap();
            fs::copy(file_of(&repository, &two), file_of(&repository, &one)).unwrap();
            let error = repository.get(&one).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the backup's piece {one} is not as it was written")
            );
            fs::write(file_of(&repository, &two), vec![0; 1024 * 1024]).unwrap();
            assert!(matches!(repository.get(&two), Err(Error::Damaged { .. })));
            fs::remove_file(file_of(&repository, &two)).unwrap();
            let error = repository.get(&two).unwrap_err();
            assert_eq!(error.to_string(), format!("the backup's piece {two} is missing"));
        }
    }

    #[test]
    fn a_change_of_any_byte_of_a_snapshot_is_noticed() {
        for (_folder, repository) in both() {
            let name = repository.put_snapshot(&snapshot(), claw_domain::millis(5)).unwrap();
            assert_eq!(repository.snapshot(&name).unwrap(), snapshot());
            let path =
                repository.folder.join(SNAPSHOTS).join(format!("{name}{}", repository.ending()));
            let bytes = fs::read(&path).unwrap();
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                fs::write(&path, changed).unwrap();
                let error = repository.snapshot(&name).unwrap_err();
                assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {error}");
            }
        }
    }

    #[test]
    fn a_snapshot_under_anothers_name_does_not_open() {
        let [_, (_folder, repository)] = both();
        let old = repository.put_snapshot(&snapshot(), claw_domain::millis(5)).unwrap();
        let new = repository.put_snapshot(&snapshot(), claw_domain::millis(9)).unwrap();
        let path = |name| repository.folder.join(SNAPSHOTS).join(format!("{name}.sealed"));
        fs::copy(path(&old), path(&new)).unwrap();
        assert!(matches!(repository.snapshot(&new), Err(Error::Damaged { .. })));
    }

    #[test]
    fn the_newest_snapshot_is_chosen_unless_one_is_named() {
        let [(_folder, repository), _] = both();
        assert!(matches!(repository.choose(None), Err(Error::Empty)));
        let old = repository.put_snapshot(&snapshot(), claw_domain::millis(9)).unwrap();
        // The clock was set back in between.
        let new = repository.put_snapshot(&snapshot(), claw_domain::millis(5)).unwrap();
        assert_eq!(repository.choose(None).unwrap(), new);
        assert_eq!(repository.choose(Some(old.as_str())).unwrap(), old);
        for name in ["../../backup", "19700101T000000.999Z"] {
            assert!(matches!(repository.choose(Some(name)), Err(Error::NoSnapshot { .. })));
        }
    }

    #[test]
    fn only_the_right_passphrase_opens_and_only_what_is_locked() {
        let [(plain, _), (sealed, _)] = both();
        let open = |folder: &TempDir, passphrase: Option<&str>| {
            let opened = Repository::open(folder.path(), passphrase.map(Secret::new).as_ref());
            opened.map(|repository| repository.is_encrypted()).map_err(|error| error.to_string())
        };
        assert_eq!(open(&plain, None), Ok(false));
        assert_eq!(open(&sealed, Some("correct horse")), Ok(true));
        assert_eq!(open(&sealed, Some("wrong")), Err("the backup cannot be unlocked".into()));
        assert_eq!(open(&sealed, None), Err(Error::PassphraseMissing.to_string()));
        assert_eq!(open(&plain, Some("correct horse")), Err(Error::NotEncrypted.to_string()));
        assert_eq!(Repository::look(sealed.path()).unwrap(), Kind::Encrypted);
    }

    #[test]
    fn what_is_no_backup_is_not_made_one() {
        let folder = TempDir::new().unwrap();
        let none = folder.path().join("none");
        assert!(matches!(Repository::open(&none, None), Err(Error::NoBackup { .. })));
        assert_eq!(Repository::look(&none).unwrap(), Kind::Nothing);
        // What a crash before the header leaves.
        fs::write(folder.path().join(format!("{UNFINISHED}x")), "").unwrap();
        assert_eq!(Repository::look(folder.path()).unwrap(), Kind::Nothing);
        fs::write(folder.path().join("photo.jpg"), "").unwrap();
        let made = Repository::make(folder.path(), None);
        assert!(matches!(made, Err(Error::Foreign { .. })), "{made:?}");
    }

    #[test]
    fn a_newer_format_is_told_whatever_else_it_holds() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(HEADER), r#"{"format":2,"novel":true}"#).unwrap();
        let opened = Repository::open(folder.path(), None);
        assert!(matches!(opened, Err(Error::Newer { found: 2, known: 1 })), "{opened:?}");
        for broken in ["", "{", "{}", r#"{"format":1,"novel":true}"#] {
            fs::write(folder.path().join(HEADER), broken).unwrap();
            let opened = Repository::open(folder.path(), None);
            assert!(matches!(opened, Err(Error::Damaged { .. })), "{opened:?}");
        }
    }
}
