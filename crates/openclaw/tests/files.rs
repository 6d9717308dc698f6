//! Folders that imitate OpenClaw's, read into a store and written again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use claw_domain::{
    ChatKind, EntryBody, EventBody, EventHeader, EventId, NodeId, Seq, Session, SessionId,
    SessionKey, TraceId, millis,
};
use claw_openclaw::{Error, Exported, Imported, Wish, export, import};
use claw_store::{Change, Fence, Lease, NewEvent, Store};
use claw_store_memory::Memory;
use serde_json::{Value, json};
use tempfile::TempDir;

const MAIN: &str = "agents/main/sessions/3f0c9a52-5d7e-4b11-9a43-8a1f0f6f2a01.jsonl";
const LIST: &str = "agents/main/sessions/sessions.json";

/// The last second of the year of the fixtures.
const NOW: i64 = 1_798_761_599_000;

/// A store and a folder that is read into it.
struct Rig {
    store: Memory,
    fence: Fence,
    folder: TempDir,
}

impl Rig {
    async fn new() -> Self {
        let store = Memory::default();
        let (from, until) = (millis(0), millis(i64::MAX));
        let fence = store.claim(&Lease::Gateway, NodeId(1), from, until).await.unwrap().unwrap();
        Self { store, fence, folder: tempfile::tempdir().unwrap() }
    }

    /// With the fixtures.
    async fn with_fixtures() -> Self {
        let rig = Self::new().await;
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state"),
            rig.folder.path(),
        );
        rig
    }

    /// With one session of these lines.
    async fn with_lines(lines: &[u8]) -> Self {
        let rig = Self::new().await;
        fs::create_dir_all(rig.path("agents/main/sessions")).unwrap();
        fs::write(rig.path(LIST), json!({"agent:main:main": {"sessionId": "s"}}).to_string())
            .unwrap();
        fs::write(rig.path("agents/main/sessions/s.jsonl"), lines).unwrap();
        rig
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    async fn import(&self) -> Imported {
        self.import_as(&Wish::default()).await.unwrap()
    }

    async fn import_as(&self, wish: &Wish) -> Result<Imported, Error> {
        import(&self.store, &self.fence, millis(NOW), self.folder.path(), wish).await
    }

    async fn export(&self) -> (TempDir, Exported) {
        let to = tempfile::tempdir().unwrap();
        let report = export(&self.store, to.path()).await.unwrap();
        (to, report)
    }

    async fn session(&self, key: &str) -> Session {
        self.store.session(&SessionKey::from(key)).await.unwrap().expect("a session")
    }

    /// The texts on the path to a session's head, `·` for what models do not see.
    async fn path_of(&self, key: &str) -> Vec<String> {
        let session = self.session(key).await;
        let head = session.head.expect("a head");
        let entries = self.store.history(session.id, head, 100).await.unwrap();
        let said = |body: &EntryBody| match body {
            EntryBody::User(message) => serde_json::to_string(&message.content).unwrap(),
            EntryBody::Assistant(message) => message.text(),
            EntryBody::ToolResult(result) => result.text.clone(),
            EntryBody::Compaction { summary, .. } => format!("[{summary}]"),
            EntryBody::Foreign { .. } => "·".into(),
        };
        entries.iter().map(|entry| said(&entry.body)).collect()
    }

    async fn events(&self) -> usize {
        self.store.events(Seq(0), usize::MAX).await.unwrap().len()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Every file of a folder as the JSON values that it holds.
fn values(folder: &Path) -> BTreeMap<PathBuf, Vec<Value>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let values = match path.extension().is_some_and(|ending| ending == "jsonl") {
            true => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            false => vec![serde_json::from_str(&text).unwrap()],
        };
        found.insert(path.strip_prefix(folder).unwrap().to_owned(), values);
    }
    found
}

#[tokio::test]
async fn what_is_read_and_written_again_is_equal_in_every_field() {
    let rig = Rig::with_fixtures().await;
    let read = rig.import().await;
    assert_eq!(read.problems.problems, [], "every line of the fixtures is sound");
    assert_eq!((read.sessions, read.unlisted, read.entries, read.added), (4, 1, 28, 28));
    let (written, report) = rig.export().await;
    assert_eq!(values(written.path()), values(rig.folder.path()));
    assert_eq!((report.sessions, report.transcripts, report.entries), (4, 5, 28));
}

#[tokio::test]
async fn reading_twice_is_reading_once() {
    let rig = Rig::with_fixtures().await;
    let first = rig.import().await;
    let (events, session) = (rig.events().await, rig.session("agent:main:main").await);
    let second = rig.import().await;
    assert_eq!(second, Imported { added: 0, ..first });
    assert_eq!((rig.events().await, rig.session("agent:main:main").await), (events, session));
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let rig = Rig::with_fixtures().await;
    let told = rig.import_as(&Wish { dry_run: true, agent: None }).await.unwrap();
    assert_eq!(rig.events().await, 0);
    assert_eq!(rig.import().await, told);
}

#[tokio::test]
async fn a_folder_that_grew_adds_what_is_new() {
    let rig = Rig::with_fixtures().await;
    let first = rig.import().await;
    let line = json!({"type": "message", "id": "dd000001", "parentId": "cc000006",
        "timestamp": "2026-11-21T10:00:00.000Z",
        "message": {"role": "user", "content": [{"type": "text", "text": "more"}], "timestamp": 1}});
    let grown = format!("{}{line}\n", fs::read_to_string(rig.path(MAIN)).unwrap());
    fs::write(rig.path(MAIN), grown).unwrap();
    let mut list: Value = serde_json::from_slice(&fs::read(rig.path(LIST)).unwrap()).unwrap();
    list["agent:main:main"]["updatedAt"] = 1_795_255_200_000_i64.into();
    list["agent:main:main"]["label"] = "work".into();
    fs::write(rig.path(LIST), list.to_string()).unwrap();

    let second = rig.import().await;
    assert_eq!((second.entries, second.added), (first.entries + 1, 1));
    let session = rig.session("agent:main:main").await;
    assert_eq!(session.settings.label.as_deref(), Some("work"));
    assert!(rig.path_of("agent:main:main").await.last().unwrap().contains("more"));
    let (written, _) = rig.export().await;
    assert_eq!(values(written.path()), values(rig.folder.path()));
}

#[tokio::test]
async fn the_newest_line_is_the_head_and_branches_stay() {
    let rig = Rig::with_fixtures().await;
    rig.import().await;
    let path = rig.path_of("agent:main:main").await;
    assert!(path.last().unwrap().contains("and now?"), "{path:?}");
    assert!(!path.iter().any(|text| text.contains("a branch that was left")), "{path:?}");
    assert!(path.iter().any(|text| text.contains("nothing came of it")), "{path:?}");
    // Two roots: the second one is in force.
    assert_eq!(
        rig.path_of("agent:main:telegram:group:-100:topic:5").await,
        ["·", r#"[{"type":"text","text":"begun again"}]"#]
    );
}

#[tokio::test]
async fn a_compaction_keeps_what_it_kept_there() {
    let rig = Rig::with_fixtures().await;
    rig.import().await;
    let session = rig.session("agent:main:main").await;
    assert_eq!(session.compactions, 1);
    let context =
        rig.store.context(session.id, session.head.unwrap(), None, u64::MAX).await.unwrap();
    let EntryBody::Compaction { first_kept, tokens_before, .. } = &context[0].body else {
        panic!("{:?}", context[0])
    };
    assert_eq!((context[1].id, *tokens_before), (*first_kept, 123_456));
    assert!(matches!(&context[1].body, EntryBody::User(said) if said.content.len() == 1));
    // Files of the first version name the line by its place.
    let old = rig.session("agent:main:old").await;
    let context = rig.store.context(old.id, old.head.unwrap(), None, u64::MAX).await.unwrap();
    assert_eq!(context.len(), 3, "{context:?}");
}

#[tokio::test]
async fn a_session_that_began_here_later_stays_in_force() {
    let rig = Rig::with_fixtures().await;
    let (key, at) = (SessionKey::from("agent:main:main"), millis(NOW - 1));
    let (id, agent) = (SessionId::generate(), "main".into());
    let body = EventBody::SessionOpened { id, agent, chat: ChatKind::Direct, why: "first".into() };
    let header = EventHeader {
        id: EventId::new(at.as_millisecond().unsigned_abs(), 0, NodeId(1)),
        trace: TraceId::generate(),
        cause: None,
        session: Some(key),
        at,
    };
    let change = Change::Log(NewEvent { header, body });
    rig.store.commit(&rig.fence, vec![change]).await.unwrap();
    rig.import().await;
    let session = rig.session("agent:main:main").await;
    assert_eq!((session.id, session.head), (id, None));
    assert_eq!(session.settings.label.as_deref(), Some("home"));
    // Theirs is an earlier life now, and is written again.
    let (written, _) = rig.export().await;
    let (written, read) = (values(written.path()), values(rig.folder.path()));
    assert_eq!(written[Path::new(MAIN)], read[Path::new(MAIN)]);
    assert_eq!(written[Path::new(LIST)][0]["agent:main:main"]["sessionId"], json!(id));
}

#[tokio::test]
async fn settings_are_read_and_nothing_that_acts() {
    // SEC-63
    let rig = Rig::with_fixtures().await;
    fs::create_dir_all(rig.path("credentials")).unwrap();
    fs::write(
        rig.path("credentials/telegram-allowFrom.json"),
        r#"{"version":1,"allowFrom":["7"]}"#,
    )
    .unwrap();
    rig.import().await;
    let session = rig.session("agent:main:main").await;
    assert_eq!(session.settings.label.as_deref(), Some("home"));
    assert_eq!(session.settings.thinking_level.as_deref(), Some("high"));
    assert!(session.settings.other.is_empty(), "{:?}", session.settings.other);
    let target = session.last_target.unwrap();
    assert_eq!((target.channel, target.chat), ("telegram".into(), "42".into()));
    assert_eq!(rig.store.all_grants().await.unwrap(), []);
    assert_eq!(rig.store.devices().await.unwrap(), []);
    let totals = rig.store.totals().await.unwrap();
    assert_eq!((totals.inbox_open, totals.outbox_pending), (0, 0));
    let events = rig.store.events(Seq(0), usize::MAX).await.unwrap();
    assert!(events.iter().all(|event| event.imported));
}

/// Reads one file of these lines; the texts of its path and the places that were told.
async fn check(lines: &[u8], path: &[&str], told: &[&str]) {
    let rig = Rig::with_lines(lines).await;
    let read = rig.import().await;
    let found: Vec<_> = read.problems.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), told.len(), "{found:?}");
    for (found, told) in found.iter().zip(told) {
        let place = "agents/main/sessions/s.jsonl:";
        assert!(found.starts_with(place) && found.contains(told), "{found} against {told}");
    }
    assert_eq!(rig.path_of("agent:main:main").await, path);
}

fn said(id: &str, parent: &str, text: &str) -> String {
    json!({"type": "message", "id": id, "parentId": parent, "timestamp": "2026-01-01T00:00:00.000Z",
        "message": {"role": "assistant", "content": [{"type": "text", "text": text}]}})
    .to_string()
}

const HEADER: &str =
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00.000Z"}"#;

#[tokio::test]
async fn a_line_that_a_crash_broke_is_told_and_the_others_are_read() {
    let lines = [HEADER, &said("a", "", "one"), "{\"type\":\"mess", ""].join("\n");
    let lines =
        format!("{lines}{}\n[1]\n{}", said("b", "a", "two"), r#"{"type":"message","id":"c"#);
    check(
        lines.as_bytes(),
        &["·", "one", "two"],
        &[":2: its parent \"\" is not", ":3: is no JSON", ":5: is no object", ":6: is no JSON"],
    )
    .await;
}

#[tokio::test]
async fn lines_may_end_as_on_windows_and_hold_nothing() {
    let lines = [HEADER, "", &said("a", "x", "one"), "  ", &said("b", "a", "two")].join("\r\n");
    check(lines.as_bytes(), &["·", "one", "two"], &[":3: its parent \"x\""]).await;
}

#[tokio::test]
async fn a_file_without_a_header_is_read_and_told() {
    let lines = [said("a", "x", "one"), HEADER.into(), said("b", "a", "two")].join("\n");
    check(lines.as_bytes(), &["one", "two"], &[":1: its parent"]).await;
}

#[tokio::test]
async fn a_header_that_was_written_twice_is_kept_and_not_followed() {
    let lines = [HEADER, &said("a", "x", "one"), HEADER].join("\n");
    let rig = Rig::with_lines(lines.as_bytes()).await;
    rig.import().await;
    assert_eq!(rig.path_of("agent:main:main").await, ["·", "one", "·"]);
    let (written, _) = rig.export().await;
    let file = Path::new("agents/main/sessions/s.jsonl");
    assert_eq!(values(written.path())[file], values(rig.folder.path())[file]);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_told() {
    let lines = [HEADER.as_bytes(), b"\n\xff\xfe\n", said("a", "x", "one").as_bytes()].concat();
    check(&lines, &["·", "one"], &[":2: is no JSON", ":3: its parent"]).await;
}

#[tokio::test]
async fn a_line_of_the_future_does_not_move_our_clock() {
    let future = said("b", "a", "two").replace("2026-01-01", "9999-01-01");
    let rig =
        Rig::with_lines([HEADER, &said("a", "x", "one"), &future].join("\n").as_bytes()).await;
    let read = rig.import().await;
    assert!(read.problems.problems.iter().any(|problem| problem.what.contains("future")));
    let events = rig.store.events(Seq(0), usize::MAX).await.unwrap();
    let now = u64::try_from(NOW).unwrap();
    assert!(events.iter().all(|event| event.header.id.millis() <= now));
    assert_eq!(rig.path_of("agent:main:main").await, ["·", "one", "two"]);
    let (written, _) = rig.export().await;
    assert_eq!(
        values(written.path())[Path::new("agents/main/sessions/s.jsonl")][2]["timestamp"],
        "9999-01-01T00:00:00.000Z"
    );
}

#[tokio::test]
async fn lines_with_one_id_are_both_kept_and_the_newer_is_followed() {
    let lines = [HEADER, &said("a", "x", "old"), &said("a", "x", "new"), &said("b", "a", "end")];
    let rig = Rig::with_lines(lines.join("\n").as_bytes()).await;
    assert_eq!(rig.import().await.added, 3);
    assert_eq!(rig.path_of("agent:main:main").await, ["·", "new", "end"]);
    let (written, _) = rig.export().await;
    let file = Path::new("agents/main/sessions/s.jsonl");
    assert_eq!(values(written.path())[file], values(rig.folder.path())[file]);
}

#[tokio::test]
async fn a_file_that_was_cut_from_the_front_adds_nothing_twice() {
    let lines: Vec<String> = (0..6)
        .map(|n| said(&format!("l{n}"), &format!("l{}", n - 1), &format!("text {n}")))
        .collect();
    let rig = Rig::with_lines([HEADER, &lines.join("\n")].join("\n").as_bytes()).await;
    assert_eq!(rig.import().await.added, 6);
    let last = said("l6", "l5", "text 6");
    let cut = [HEADER, &lines[3], &lines[4], &lines[5], &last].join("\n");
    fs::write(rig.path("agents/main/sessions/s.jsonl"), cut).unwrap();
    assert_eq!(rig.import().await.added, 1);
    let path = rig.path_of("agent:main:main").await;
    assert_eq!(path.last().map(String::as_str), Some("text 6"));
}

#[tokio::test]
async fn other_lines_at_the_times_of_known_ones_are_all_added() {
    let line = |id: &str, parent: &str| said(id, parent, id);
    let rig = Rig::with_lines(
        [HEADER, &line("a", "x"), &line("b", "a"), &line("c", "b")].join("\n").as_bytes(),
    )
    .await;
    rig.import().await;
    let lines = [HEADER, &line("d", "x"), &line("e", "d"), &line("f", "e")].join("\n");
    fs::write(rig.path("agents/main/sessions/s.jsonl"), lines).unwrap();
    assert_eq!(rig.import().await.added, 3);
    assert_eq!(rig.path_of("agent:main:main").await, ["·", "d", "e", "f"]);
}

#[tokio::test]
async fn a_list_that_does_not_read_is_told_and_can_be_mended() {
    let rig = Rig::with_fixtures().await;
    let list = fs::read(rig.path(LIST)).unwrap();
    fs::write(rig.path(LIST), "{ not json").unwrap();
    let read = rig.import().await;
    assert_eq!((read.sessions, read.unlisted, read.entries), (1, 0, 1));
    assert!(read.problems.problems[0].to_string().starts_with(&format!("{LIST}: is no JSON")));
    fs::write(rig.path(LIST), list).unwrap();
    let read = rig.import().await;
    assert_eq!((read.sessions, read.added), (4, 27));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_and_the_others_are_read() {
    let rig = Rig::with_fixtures().await;
    fs::create_dir(rig.path("agents/main/sessions/a.jsonl")).unwrap();
    let read = rig.import().await;
    assert_eq!((read.sessions, read.entries, read.problems.problems.len()), (4, 28, 1));
    let problem = read.problems.problems[0].to_string();
    assert!(problem.starts_with("agents/main/sessions/a.jsonl: cannot be read"), "{problem}");
}

#[tokio::test]
async fn a_record_without_its_transcript_is_told() {
    // SEC-56: the path in the record is not followed.
    let rig = Rig::with_lines(HEADER.as_bytes()).await;
    let outside = rig.path("outside.jsonl");
    fs::write(&outside, format!("{HEADER}\n{}\n", said("a", "", "secret"))).unwrap();
    let list = json!({
        "agent:main:a": {"sessionId": "../../../outside", "sessionFile": outside},
        "agent:main:b": {"sessionId": 7}, "agent:main:c": "x",
    });
    fs::write(rig.path(LIST), list.to_string()).unwrap();
    let read = rig.import().await;
    let told: Vec<_> = read.problems.problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "`agent:main:a` has no transcript and is left out",
            "`agent:main:b` names no session",
            "`agent:main:c` names no session"
        ]
    );
    assert_eq!((read.sessions, read.entries), (0, 0));
}

#[tokio::test]
async fn one_agent_can_be_chosen_and_copies_are_left_alone() {
    let rig = Rig::with_fixtures().await;
    fs::write(rig.path("agents/ops/sessions/x.jsonl.reset.2026-11-21T09-17-17.693Z"), "x").unwrap();
    let wish = |agent: &str| Wish { agent: Some(agent.into()), dry_run: false };
    let read = rig.import_as(&wish("ops")).await.unwrap();
    assert_eq!((read.sessions, read.entries, read.archived), (1, 1, 1));
    let none = rig.import_as(&wish("nobody")).await.unwrap_err();
    assert!(matches!(none, Error::NoSessions { .. }), "{none}");
}

#[tokio::test]
async fn files_of_others_are_not_written_over() {
    let rig = Rig::with_fixtures().await;
    rig.import().await;
    let before = values(rig.folder.path());
    let refused = export(&rig.store, rig.folder.path()).await.unwrap_err();
    assert!(matches!(refused, Error::Occupied { .. }), "{refused}");
    assert_eq!(values(rig.folder.path()), before);
}
