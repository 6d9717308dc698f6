//! Whole backups of made-up state folders: there and back, twice, damaged, and hostile.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use claw_backup::{
    Configuration, Created, Error, Repository, Source, StoreSource, create, restore, verify,
};
use claw_config::{Config, LoadOptions};
use claw_domain::{Secret, millis};
use claw_store::Store;
use claw_store_sqlite::Sqlite;
use tempfile::TempDir;

const CANARY: &str = "canary-of-a-secret";

struct World {
    folder: TempDir,
    passphrase: Option<Secret>,
}

impl World {
    fn new(passphrase: Option<&str>) -> Self {
        let world =
            Self { folder: TempDir::new().unwrap(), passphrase: passphrase.map(Secret::new) };
        world.write("node-id", "00000000000000aa", 0o600);
        world.write("device-secret", CANARY, 0o600);
        world.write("identity/device.json", &format!("{CANARY} of a device"), 0o600);
        world.write("gateway.lock", "1", 0o600);
        let config = format!("{{ gateway: {{ port: 1, auth: {{ token: '{CANARY}' }} }} }}");
        world.write("config.json", &config, 0o600);
        world.write("workspace/AGENTS.md", "be kind", 0o640);
        world.write("workspace/bin/run.sh", "true", 0o750);
        fs::create_dir(world.state().join("workspace/empty")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.state().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// An event log that a gateway might have, which stays open.
    async fn store(&self) -> Sqlite {
        Sqlite::open(self.state().join("claw.sqlite")).await.unwrap()
    }

    fn source(&self) -> Source {
        let path = self.state().join("config.json");
        let options = LoadOptions { path: &path, env: &|_| None, sections: &[] };
        let database = self.state().join("claw.sqlite");
        Source {
            state_dir: self.state(),
            configuration: Configuration::Sound(Box::new(Config::load(&options).unwrap())),
            store: database.exists().then_some(StoreSource::SqliteFile(database)),
            workspaces: Vec::new(),
        }
    }

    fn repository(&self) -> Repository {
        let (path, passphrase) = (self.path("backup"), self.passphrase.as_ref());
        match path.exists() {
            true => Repository::open(&path, passphrase).unwrap(),
            false => Repository::make(&path, passphrase).unwrap(),
        }
    }

    async fn back_up(&self) -> Created {
        self.back_up_from(self.source()).await
    }

    async fn back_up_from(&self, source: Source) -> Created {
        create(self.repository(), source, millis(1_000)).await.unwrap()
    }

    /// Every file of the backup.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("backup")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    fn holds(&self, text: &str) -> bool {
        let has = |bytes: Vec<u8>| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        self.files().into_iter().any(|file| has(fs::read(file).unwrap()))
    }

    fn chunks(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|file| file.starts_with(self.path("backup/chunks")))
            .collect()
    }
}

/// By path: `mode content`, or `→ target`.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o777;
            let shown = if metadata.is_symlink() {
                format!("→ {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                folders.push(path);
                format!("{mode:o}/")
            } else {
                let content = fs::read(&path).unwrap();
                format!("{mode:o} {}", String::from_utf8_lossy(&content))
            };
            found.insert(name, shown);
        }
    }
    found
}

fn left_out(created: &Created, world: &World) -> Vec<String> {
    let state = format!("{}/", world.state().canonicalize().unwrap().display());
    created.left_out.iter().map(|left| left.what.replace(&state, "")).collect()
}

#[tokio::test]
async fn an_encrypted_backup_brings_everything_back_and_shows_nothing() {
    let world = World::new(Some("correct horse"));
    world.store().await;
    symlink("AGENTS.md", world.state().join("workspace/link")).unwrap();
    let created = world.back_up().await;
    assert!(created.encrypted && created.left_out.is_empty() && created.moved.is_empty());
    for text in [CANARY, "be kind", "AGENTS", "claw.sqlite", "SQLite format"] {
        assert!(!world.holds(text), "{text}");
    }

    let target = world.path("new/state");
    let restored = restore(world.repository(), None, &target).await.unwrap();
    assert_eq!((restored.files, restored.left_out.len()), (created.files, 0));
    let (mut before, mut after) = (tree(&world.state()), tree(&target));
    before.retain(|name, _| !name.starts_with("claw.sqlite") && name != "gateway.lock");
    assert!(after.remove("claw.sqlite").is_some());
    assert_eq!(after, before);
    let mode = fs::metadata(&target).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "SEC-65");
    Sqlite::open(target.join("claw.sqlite")).await.unwrap();
}

#[tokio::test]
async fn a_backup_in_the_clear_holds_no_secret_and_says_so() {
    // SEC-96
    let world = World::new(None);
    let created = world.back_up().await;
    assert!(!created.encrypted && !world.holds(CANARY));
    let expected = ["config.json:1:38", "device-secret", "identity"];
    assert_eq!(left_out(&created, &world), expected);

    let target = world.path("new");
    let restored = restore(world.repository(), None, &target).await.unwrap();
    assert_eq!(restored.left_out, created.left_out);
    let after = tree(&target);
    // In the backup it might be packed.
    assert!(!after.values().any(|content| content.contains(CANARY)));
    assert_eq!(after["config.json"], "600 { gateway: { port: 1, auth: { token: \"\" } } }");
    assert_eq!(after["workspace/bin/run.sh"], "750 true");
    assert!(!after.contains_key("device-secret") && after.contains_key("node-id"));
}

#[tokio::test]
async fn a_database_of_another_name_is_copied_and_not_also_taken_as_it_lies() {
    let world = World::new(Some("correct horse"));
    let path = world.state().join("mine.sqlite");
    let _open = Sqlite::open(&path).await.unwrap();
    let store = Some(StoreSource::SqliteFile(path));
    let created = world.back_up_from(Source { store, ..world.source() }).await;
    assert_eq!(created.moved[0].to, "claw.sqlite");
    restore(world.repository(), None, &world.path("new")).await.unwrap();
    let names: Vec<_> = tree(&world.path("new")).into_keys().collect();
    assert!(names.contains(&"claw.sqlite".into()), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("mine")), "{names:?}");
}

#[tokio::test]
async fn a_second_snapshot_writes_only_what_is_new() {
    for passphrase in [None, Some("correct horse")] {
        let world = World::new(passphrase);
        let large: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
        world.write("workspace/large", &large, 0o600);
        let first = world.back_up().await;
        assert_eq!(first.new_chunks, first.chunks, "{passphrase:?}");
        let again = world.back_up().await;
        assert_eq!((again.new_chunks, again.chunks), (0, first.chunks));

        world.write("workspace/large", &format!("{large}one more"), 0o600);
        assert_eq!(world.back_up().await.new_chunks, 1);
        let verified = verify(world.repository(), None).await.unwrap();
        assert_eq!((verified.snapshots.len(), verified.faults), (3, Vec::new()));

        let target = world.path("new");
        let name = first.snapshot.to_string();
        restore(world.repository(), Some(name), &target).await.unwrap();
        assert_eq!(fs::read_to_string(target.join("workspace/large")).unwrap(), large);
    }
}

#[tokio::test]
async fn a_crash_before_the_snapshot_leaves_a_sound_backup() {
    let world = World::new(None);
    let first = world.back_up().await;
    world.write("workspace/new", "new", 0o600);
    let second = world.back_up().await;
    // What is on disk when the process is killed between the last piece and the snapshot, and in
    // the middle of a piece.
    fs::remove_file(world.path(&format!("backup/snapshots/{}.json", second.snapshot))).unwrap();
    let folder = world.chunks()[0].parent().unwrap().to_owned();
    fs::write(folder.join(".unfinished-x"), "half").unwrap();
    fs::write(world.state().join(".backup-copy"), "half").unwrap();

    let verified = verify(world.repository(), None).await.unwrap();
    assert_eq!((verified.snapshots, verified.faults), (vec![first.snapshot], Vec::new()));
    let third = world.back_up().await;
    assert_eq!(third.new_chunks, 0);
    assert!(!world.state().join(".backup-copy").exists());
}

#[tokio::test]
async fn damage_is_told_with_its_file_and_nothing_of_it_is_restored() {
    for passphrase in [None, Some("correct horse")] {
        let world = World::new(passphrase);
        world.store().await;
        world.back_up().await;
        // Some are enough, since each look stretches the passphrase again.
        for chunk in world.chunks().into_iter().take(3) {
            let bytes = fs::read(&chunk).unwrap();
            let mut changed = bytes.clone();
            changed[bytes.len() / 2] ^= 1;
            fs::write(&chunk, changed).unwrap();
            let verified = verify(world.repository(), None).await.unwrap();
            let [fault, ..] = &verified.faults[..] else { panic!("{verified:?}") };
            assert!(fault.what.contains("missing or damaged"), "{}", fault.what);
            let target = world.path("new");
            let refused = restore(world.repository(), None, &target).await.unwrap_err();
            assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
            assert!(!target.exists());
            fs::write(&chunk, bytes).unwrap();
        }
        let left = |name: &str| name.starts_with(".restoring");
        assert!(!tree(world.folder.path()).keys().any(|name| left(name)));
    }
}

#[tokio::test]
async fn a_damaged_database_is_not_backed_up() {
    let world = World::new(None);
    world.store().await.close().await.unwrap();
    let path = world.state().join("claw.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let refused = create(world.repository(), world.source(), millis(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Store(claw_store::Error::Corrupt { .. })), "{refused:?}");
    assert!(matches!(verify(world.repository(), None).await, Err(Error::Empty)));
    assert!(!world.state().join(".backup-copy").exists());
}

#[tokio::test]
async fn a_restore_replaces_nothing() {
    let world = World::new(None);
    world.back_up().await;
    let refused = restore(world.repository(), None, &world.state()).await.unwrap_err();
    assert!(matches!(refused, Error::TargetNotEmpty { .. }), "{refused}");
    assert_eq!(fs::read_to_string(world.state().join("device-secret")).unwrap(), CANARY);
    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    restore(world.repository(), None, &empty).await.unwrap();
    assert!(empty.join("node-id").exists());
}

#[tokio::test]
async fn links_are_kept_and_never_followed() {
    // SEC-53
    let world = World::new(Some("correct horse"));
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "not mine").unwrap();
    symlink(&outside, world.state().join("workspace/away")).unwrap();
    symlink("../node-id", world.state().join("workspace/near")).unwrap();
    nix::unistd::mkfifo(&world.state().join("workspace/pipe"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    let created = world.back_up().await;
    assert_eq!(left_out(&created, &world), ["workspace/pipe"]);

    let target = world.path("new");
    let restored = restore(world.repository(), None, &target).await.unwrap();
    assert_eq!(fs::read_link(target.join("workspace/near")).unwrap(), Path::new("../node-id"));
    assert!(target.join("workspace/away").symlink_metadata().is_err());
    let last = &restored.left_out.last().unwrap().what;
    assert_eq!(*last, format!("workspace/away → {}", outside.display()));
}

#[tokio::test]
async fn workspaces_and_configuration_from_elsewhere_come_along() {
    let world = World::new(Some("correct horse"));
    let project = world.path("project");
    fs::create_dir_all(project.join("inner")).unwrap();
    fs::write(project.join("inner/note"), "mine").unwrap();
    fs::rename(world.state().join("workspace"), world.path("ws")).unwrap();
    symlink(world.path("ws"), world.state().join("workspace")).unwrap();
    fs::create_dir_all(world.path("etc/parts")).unwrap();
    let (main, part) = (world.path("etc/mine.json"), world.path("etc/parts/a.json"));
    fs::write(&main, "{ logging: { $include: 'parts/a.json' } }").unwrap();
    fs::write(&part, "{ level: 'info' }").unwrap();
    let options = LoadOptions { path: &main, env: &|_| None, sections: &[] };
    let config = Config::load(&options).unwrap();
    let source = Source {
        configuration: Configuration::Sound(Box::new(config)),
        workspaces: vec![project.clone(), project.join("inner"), world.state()],
        ..world.source()
    };
    let created = world.back_up_from(source).await;
    let moved: Vec<_> = created.moved.iter().map(|moved| moved.to.as_str()).collect();
    assert_eq!(moved, ["config.json", "parts/a.json", "outside-1", "outside-2"]);
    // The file of that name in the state folder is not in force, and named.
    assert_eq!(left_out(&created, &world), ["config.json"]);

    let target = world.path("new");
    restore(world.repository(), None, &target).await.unwrap();
    let after = tree(&target);
    assert_eq!(after["config.json"], "644 { logging: { $include: 'parts/a.json' } }");
    assert_eq!(after["parts/a.json"], "644 { level: 'info' }");
    assert_eq!(after["outside-1/inner/note"], "644 mine");
    assert_eq!(after["outside-2/AGENTS.md"], "640 be kind");
}

#[tokio::test]
async fn a_backup_below_a_workspace_does_not_hold_itself() {
    let world = World::new(None);
    // The workspace is the folder that holds state folder and backup.
    let source = Source { workspaces: vec![world.folder.path().to_owned()], ..world.source() };
    fs::write(world.path("note"), "mine").unwrap();
    world.back_up_from(source.clone()).await;
    let again = world.back_up_from(source).await;
    assert_eq!(again.new_chunks, 0);
    let target = TempDir::new().unwrap();
    restore(world.repository(), None, &target.path().join("new")).await.unwrap();
    let after = tree(&target.path().join("new/outside-1"));
    assert_eq!(after.into_keys().collect::<Vec<_>>(), ["note"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_comes_back_as_it_was() {
    let world = World::new(None);
    let locked = world.state().join("workspace/bin");
    fs::set_permissions(&locked, Permissions::from_mode(0o500)).unwrap();
    world.back_up().await;
    restore(world.repository(), None, &world.path("new")).await.unwrap();
    assert_eq!(tree(&world.path("new"))["workspace/bin"], "500/");
    for root in ["state", "new"] {
        let folder = world.path(root).join("workspace/bin");
        fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    }
}

#[tokio::test]
async fn two_backups_of_one_state_folder_do_not_meet() {
    let world = World::new(None);
    let folder = fs::File::open(world.state()).unwrap();
    let held = nix::fcntl::Flock::lock(folder, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let refused = create(world.repository(), world.source(), millis(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    drop(held);
    world.back_up().await;
}

#[tokio::test]
async fn a_snapshot_that_somebody_else_wrote_cannot_lead_out() {
    // SEC-55: what a stranger can put into a backup in the clear, whose sums anybody can make.
    let world = World::new(None);
    let created = world.back_up().await;
    fs::remove_file(world.path(&format!("backup/snapshots/{}.json", created.snapshot))).unwrap();
    // The piece of `AGENTS.md`.
    let sum = |text: &str| {
        let sum = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let piece = sum("be kind");
    let file = format!(r#"{{"file":{{"mode":2541,"bytes":BYTES,"chunks":["{piece}"]}}}}"#);
    let honest = file.replace("BYTES", "7");
    let huge = file.replace("BYTES", "65536");
    let absurd = file.replace("BYTES", "18446744073709551615");
    let strange = honest.replace(&piece, "../../../../etc/passwd");
    let folder = r#"{"folder":{"mode":448}}"#;
    let away = r#"{"link":{"target":"/tmp"}}"#;
    for (entries, good) in [
        (format!(r#""a":{honest}"#), true),
        (format!(r#""../a":{honest}"#), false),
        (format!(r#""/tmp/a":{honest}"#), false),
        (format!(r#""a":{folder},"a/../../b":{honest}"#), false),
        (format!(r#""a":{away},"a/b":{honest}"#), false),
        (format!(r#""a":{huge}"#), false),
        (format!(r#""a":{absurd}"#), false),
        (format!(r#""a":{strange}"#), false),
        (format!(r#""a":{away}"#), true),
    ] {
        let snapshot = format!(
            r#"{{"created_at":"2026-01-01T00:00:00Z","program":"0","database":null,"entries":{{{entries}}},"moved":[],"left_out":[]}}"#
        );
        let sum = sum(&snapshot);
        let text = format!(r#"{{"sha256":"{sum}","snapshot":{snapshot}}}"#);
        fs::write(world.path("backup/snapshots/20260101T000000.000Z.json"), text).unwrap();
        let place = TempDir::new().unwrap();
        let target = place.path().join("new");
        let restored = restore(world.repository(), None, &target).await;
        assert_eq!(restored.is_ok(), good, "{entries}: {restored:?}");
        assert_eq!(target.exists(), good, "{entries}");
        let beside = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(beside, usize::from(good), "{entries}");
        if good && entries.contains("file") {
            let mode = fs::metadata(target.join("a")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7000, 0, "it runs as nobody else");
        }
        if entries.contains("link") && good {
            assert!(target.join("a").symlink_metadata().is_err(), "the link is not made");
        }
        let verified = verify(world.repository(), None).await.unwrap();
        assert_eq!(verified.faults.is_empty(), good, "{entries}");
    }
}
