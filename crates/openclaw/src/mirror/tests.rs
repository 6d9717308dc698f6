use std::fs;

use claw_domain::{
    AssistantMessage, Block, ChatKind, EventHeader, EventId, IdSource, ModelRef, NodeId, SessionId,
    Settings, StopReason, ToolResult, TraceId, Usage, UserMessage, millis,
};
use claw_store::{Change, Fence, Lease, NewEvent};
use claw_store_memory::Memory;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{Wish, export, import};

const KEY: &str = "agent:main:main";

/// The time of everything that happens here.
const NOW: i64 = 1_795_252_614_896;

/// A store, what happens in it, and a state folder.
struct World {
    store: Memory,
    fence: Fence,
    ids: IdSource,
    state: TempDir,
}

impl World {
    async fn new() -> Self {
        let store = Memory::default();
        let (from, until) = (millis(0), millis(i64::MAX));
        let fence = store.claim(&Lease::Gateway, NodeId(1), from, until).await.unwrap().unwrap();
        let ids = IdSource::new(NodeId(1), None);
        Self { store, fence, ids, state: tempfile::tempdir().unwrap() }
    }

    async fn log(&self, body: EventBody) {
        let at = millis(NOW);
        let header = EventHeader {
            id: self.ids.next(at),
            trace: TraceId::generate(),
            cause: None,
            session: Some(KEY.into()),
            at,
        };
        let change = Change::Log(NewEvent { header, body });
        self.store.commit(&self.fence, vec![change]).await.unwrap();
    }

    async fn open(&self) {
        let (id, agent) = (SessionId::generate(), "main".into());
        let opened =
            EventBody::SessionOpened { id, agent, chat: ChatKind::Direct, why: "new".into() };
        self.log(opened).await;
    }

    async fn session(&self) -> Session {
        self.store.session(&KEY.into()).await.unwrap().expect("a session")
    }

    async fn add(&self, body: EntryBody) -> EntryId {
        let session = self.session().await;
        let (id, tokens) = (EntryId::generate(), 1);
        let entry = Entry {
            id,
            session: session.id,
            parent: session.head,
            at: millis(NOW),
            run: None,
            tokens,
            tokens_sum: session.tokens_sum + tokens,
            body,
            other: Map::new(),
        };
        self.log(EventBody::EntryAdded(entry)).await;
        id
    }

    async fn say(&self, text: &str) -> EntryId {
        self.add(EntryBody::User(UserMessage::text(text))).await
    }

    async fn mirror(&self) -> Mirror<'_> {
        Mirror::open(&self.store, self.state.path()).await.unwrap()
    }

    /// Brings the mirror up to date, as a process that then dies.
    async fn catch_up(&self) {
        let mut mirror = self.mirror().await;
        while mirror.step().await.unwrap() {}
    }

    /// Reads a session that is in OpenClaw's files; its transcript's name there.
    async fn import_theirs(&self) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        let sessions = sessions_folder(folder.path(), "main");
        fs::create_dir_all(&sessions).unwrap();
        let list = json!({KEY: {"sessionId": "s", "sessionFile": "/x/s-topic-5.jsonl", "updatedAt": 7,
            "later": [1]}});
        fs::write(sessions.join(LIST), list.to_string()).unwrap();
        let header = json!({"type": "session", "version": 3, "id": "s", "timestamp": "2026-01-01T00:00:00.000Z"});
        let lines = [
            header.clone(),
            json!({"type": "message", "id": "c0ffee01", "parentId": null, "later": 1,
                "message": {"role": "user", "content": [{"type": "text", "text": "theirs"}]}}),
            // A line that none can follow.
            header,
        ];
        fs::write(sessions.join("s-topic-5.jsonl"), lines.map(|line| format!("{line}\n")).concat())
            .unwrap();
        let wish = Wish::default();
        let (store, fence) = (&self.store, &self.fence);
        import(store, fence, millis(NOW), folder.path(), &wish).await.unwrap();
        "s-topic-5.jsonl"
    }

    fn file(&self, name: &str) -> PathBuf {
        sessions_folder(self.state.path(), "main").join(name)
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.file(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The mirror holds what an export of the store holds: transcripts byte for byte, lists but for
    /// the order of their fields.
    #[track_caller]
    fn is_whole(&self, exported: &TempDir) {
        let folder = |root: &Path| {
            let sessions = sessions_folder(root, "main");
            let value = |name: &str| -> Value {
                let text = fs::read_to_string(sessions.join(name)).unwrap();
                if name == LIST { serde_json::from_str(&text).unwrap() } else { text.into() }
            };
            let names = fs::read_dir(&sessions).unwrap().map(|entry| entry.unwrap().file_name());
            let names = names.map(|name| name.into_string().unwrap());
            names.map(|name| (name.clone(), value(&name))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(folder(self.state.path()), folder(exported.path()));
    }

    async fn export(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        export(&self.store, folder.path()).await.unwrap();
        folder
    }
}

#[tokio::test]
async fn what_we_wrote_is_in_openclaws_shape() {
    let world = World::new().await;
    world.open().await;
    world.say("hi").await;
    let call = Block::ToolCall {
        id: "t1".into(),
        name: "exec".into(),
        arguments: json!({"command": "ls"}),
    };
    let thought = Block::Thinking { text: "hm".into(), signature: Some("sig".into()) };
    world
        .add(EntryBody::Assistant(AssistantMessage {
            content: vec![thought, call],
            model: Some(ModelRef { provider: "p".into(), model: "m".into() }),
            api: Some("anthropic-messages".into()),
            stop: StopReason::ToolUse,
            usage: Usage { input: 1, output: 2, cache_read: 3, cache_write: 4 },
            error: None,
        }))
        .await;
    let first = world
        .add(EntryBody::ToolResult(ToolResult {
            call: "t1".into(),
            tool: "exec".into(),
            text: "a.txt".into(),
            is_error: false,
            details: json!({"exitCode": 0}),
        }))
        .await;
    let (first_kept, summary) = (first, "files".into());
    world.add(EntryBody::Compaction { summary, first_kept, tokens_before: 9 }).await;
    world.catch_up().await;

    let session = world.session().await;
    let lines = world.lines(&format!("{}.jsonl", session.id));
    let at = "2026-11-21T09:16:54.896Z";
    assert_eq!(
        lines[0],
        json!({"type": "session", "version": 3, "id": session.id, "timestamp": at, "cwd": ""})
    );
    let ids: Vec<_> = lines.iter().map(|line| line["id"].clone()).collect();
    let line = |n: usize, parent: Value, message: Value| {
        let line = json!({"type": "message", "id": ids[n], "parentId": parent, "timestamp": at,
            "message": message});
        assert_eq!(lines[n], line);
    };
    line(
        1,
        Value::Null,
        json!({"role": "user", "content": [{"type": "text", "text": "hi"}], "timestamp": NOW}),
    );
    line(
        2,
        ids[1].clone(),
        json!({
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "thinkingSignature": "sig"},
                {"type": "toolCall", "id": "t1", "name": "exec", "arguments": {"command": "ls"}},
            ],
            "api": "anthropic-messages", "provider": "p", "model": "m",
            "usage": {"input": 1, "output": 2, "cacheRead": 3, "cacheWrite": 4, "totalTokens": 10,
                "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}},
            "stopReason": "toolUse", "timestamp": NOW,
        }),
    );
    line(
        3,
        ids[2].clone(),
        json!({
            "role": "toolResult", "toolCallId": "t1", "toolName": "exec",
            "content": [{"type": "text", "text": "a.txt"}], "isError": false, "timestamp": NOW,
            "details": {"exitCode": 0},
        }),
    );
    assert_eq!(
        lines[4],
        json!({"type": "compaction", "id": ids[4], "parentId": ids[3], "timestamp": at,
            "summary": "files", "firstKeptEntryId": first, "tokensBefore": 9})
    );
    let list: Value = serde_json::from_slice(&fs::read(world.file(LIST)).unwrap()).unwrap();
    assert_eq!(
        list[KEY],
        json!({"sessionId": session.id, "updatedAt": NOW, "chatType": "direct",
            "abortedLastRun": false, "inputTokens": 0, "outputTokens": 0, "totalTokens": 0,
            "totalTokensFresh": true, "compactionCount": 1})
    );
}

#[tokio::test]
async fn the_mirror_follows_the_log() {
    let world = World::new().await;
    let mut mirror = world.mirror().await;
    assert!(!mirror.step().await.unwrap());
    world.open().await;
    world.say("one").await;
    assert!(mirror.step().await.unwrap());
    world.is_whole(&world.export().await);
    let first = world.session().await.id;
    // Another life has another file; the first one stays.
    world.open().await;
    world.say("two").await;
    let settings = Settings { label: Some("home".into()), ..Settings::default() };
    world.log(EventBody::SessionSet { settings }).await;
    assert!(mirror.step().await.unwrap());
    world.is_whole(&world.export().await);
    assert_eq!(world.lines(&format!("{first}.jsonl")).len(), 2);
    world.log(EventBody::SessionDeleted).await;
    assert!(mirror.step().await.unwrap());
    assert_eq!(fs::read_to_string(world.file(LIST)).unwrap(), "{}");
    assert!(!mirror.step().await.unwrap());
    world.is_whole(&world.export().await);
}

#[tokio::test]
async fn a_death_at_any_byte_of_what_is_added_loses_and_doubles_no_line() {
    let world = World::new().await;
    world.open().await;
    world.say("one").await;
    world.catch_up().await;
    world.say("two").await;
    world.say("three").await;
    let file = world.file(&format!("{}.jsonl", world.session().await.id));
    let before = fs::metadata(&file).unwrap().len();
    world.catch_up().await;
    let cursor = fs::read(world.state.path().join(CURSOR)).unwrap();
    let whole = fs::read(&file).unwrap();
    let exported = world.export().await;
    world.is_whole(&exported);
    for length in usize::try_from(before).unwrap()..=whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        fs::write(world.state.path().join(CURSOR), &cursor).unwrap();
        world.catch_up().await;
        world.is_whole(&exported);
    }
}

#[tokio::test]
async fn a_death_while_all_is_written_anew_is_made_good() {
    let world = World::new().await;
    world.open().await;
    world.say("one").await;
    world.catch_up().await;
    let exported = world.export().await;
    let cursor = world.state.path().join(CURSOR);
    let broken = [serde_json::to_string(&Cursor::default()).unwrap(), "{\"se".into(), "7".into()];
    for text in broken {
        fs::write(&cursor, text).unwrap();
        fs::write(world.file(LIST), "{}").unwrap();
        world.catch_up().await;
        world.is_whole(&exported);
    }
    // A file that somebody cut short is no longer what the cursor says.
    world.say("two").await;
    world.catch_up().await;
    let exported = world.export().await;
    fs::write(world.file(&format!("{}.jsonl", world.session().await.id)), "").unwrap();
    world.catch_up().await;
    world.is_whole(&exported);
}

#[tokio::test]
async fn a_session_of_theirs_goes_on_in_its_file() {
    let world = World::new().await;
    world.catch_up().await;
    let file = world.import_theirs().await;
    let mut mirror = world.mirror().await;
    assert!(mirror.step().await.unwrap());
    world.say("ours").await;
    while mirror.step().await.unwrap() {}
    let lines = world.lines(file);
    assert_eq!((&lines[1]["id"], &lines[1]["later"]), (&json!("c0ffee01"), &json!(1)));
    assert_eq!((lines.len(), &lines[3]["parentId"]), (4, &json!("c0ffee01")));
    let list: Value = serde_json::from_slice(&fs::read(world.file(LIST)).unwrap()).unwrap();
    let record = &list[KEY];
    assert_eq!((&record["sessionId"], &record["later"]), (&json!("s"), &json!([1])));
    assert_eq!(record["updatedAt"], NOW);
    world.is_whole(&world.export().await);
}

#[tokio::test]
async fn what_another_log_brought_in_is_written_at_its_place() {
    let world = World::new().await;
    world.open().await;
    let root = world.say("root").await;
    world.say("ours").await;
    world.catch_up().await;
    let session = world.session().await;
    let header = EventHeader {
        id: EventId::new(NOW.unsigned_abs() - 1, 0, NodeId(9)),
        trace: TraceId::generate(),
        cause: None,
        session: Some(KEY.into()),
        at: millis(NOW),
    };
    let entry = Entry {
        id: EntryId::generate(),
        session: session.id,
        parent: Some(root),
        at: millis(NOW),
        run: None,
        tokens: 1,
        tokens_sum: 2,
        body: EntryBody::User(UserMessage::text("elsewhere")),
        other: Map::new(),
    };
    let event = NewEvent { header, body: EventBody::EntryAdded(entry) };
    world.store.commit(&world.fence, vec![Change::Import(event)]).await.unwrap();
    world.catch_up().await;
    world.is_whole(&world.export().await);
    let lines = world.lines(&format!("{}.jsonl", session.id));
    let last = lines.last().unwrap();
    assert_eq!(last["message"]["content"][0]["text"], "ours", "the newest line is the head");
}

#[tokio::test]
async fn openclaws_own_folder_is_left_alone() {
    let world = World::new().await;
    world.open().await;
    world.say("one").await;
    fs::create_dir_all(world.file("")).unwrap();
    fs::write(world.file(LIST), "{}").unwrap();
    let refused = Mirror::open(&world.store, world.state.path()).await.err().expect("refused");
    assert!(matches!(refused, Error::Occupied { .. }), "{refused}");
    assert_eq!(fs::read_dir(world.file("")).unwrap().count(), 1);
    assert!(!world.state.path().join(CURSOR).exists());
}

#[tokio::test]
async fn a_mirror_is_not_read_as_openclaws() {
    let world = World::new().await;
    world.open().await;
    world.say("one").await;
    world.catch_up().await;
    let (folder, wish) = (world.state.path(), Wish::default());
    let refused = import(&world.store, &world.fence, millis(NOW), folder, &wish).await.unwrap_err();
    assert!(matches!(refused, Error::Mirror { .. }), "{refused}");
}

#[tokio::test]
async fn the_mirror_ends_when_it_is_told_to() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    stop.cancel();
    mirror(Arc::new(Memory::default()), world.state.path().to_owned(), stop).await;
}

#[tokio::test]
async fn what_an_export_of_ours_holds_is_known_when_it_is_read_back() {
    let world = World::new().await;
    world.open().await;
    world.say("one").await;
    world.say("two").await;
    let before = world.session().await;
    let exported = world.export().await;
    let (store, fence, wish) = (&world.store, &world.fence, Wish::default());
    let read = import(store, fence, millis(NOW), exported.path(), &wish).await.unwrap();
    assert_eq!((read.entries, read.added), (2, 0));
    let after = world.session().await;
    assert_eq!((after.id, after.head), (before.id, before.head));
}
