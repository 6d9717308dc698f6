//! Whatever a projection says that the log does not, or says otherwise, is found.

mod support;

use std::{path::Path, sync::Arc};

use claw_domain::{
    EntryBody, EventBody, ModelRef, SessionKey, Usage, UsageRecord, UserMessage, millis,
};
use claw_log::{Difference, verify};
use claw_store::Store;
use claw_store_sqlite::Sqlite;
use serde_json::json;
use support::{Installation, NOW};
use tempfile::TempDir;

/// A store in which there is something of every projection, closed.
async fn filled(path: &Path) {
    let store = Arc::new(Sqlite::open(path).await.unwrap());
    let here = Installation::on(store.clone(), 1).await;
    let (main, other) = (SessionKey::from("agent:main:main"), SessionKey::from("agent:main:other"));
    for key in [&main, &other] {
        here.open(key, 1, "first").await;
        for text in ["one", "two", "three"] {
            here.say(key, 2, EntryBody::User(UserMessage::text(text))).await;
        }
    }
    let used = UsageRecord {
        run: "r".into(),
        model: ModelRef { provider: "anthropic".into(), model: "claude".into() },
        usage: Usage { input: 1, output: 2, cache_read: 3, cache_write: 4 },
        cost: Some(0.1),
        took_ms: 1,
        api: "anthropic-messages".into(),
    };
    for _ in 0..3 {
        here.log(Some(&main), 3, EventBody::Used(used.clone())).await;
    }
    let grant = EventBody::GrantGiven {
        channel: "telegram".into(),
        account: "default".into(),
        peer: "42".into(),
        by: "pairing".into(),
    };
    here.log(None, 4, grant).await;
    let device = EventBody::DevicePaired { device: "d1".into(), record: json!({ "scopes": [] }) };
    here.log(None, 4, device).await;
    store.close().await.unwrap();
}

/// What is found when the file was changed by other hands, once plain and once partly folded.
async fn check(sql: &str, projection: &str, key: &str) -> Difference {
    let mut first = None;
    for fold in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("claw.sqlite");
        filled(&path).await;
        if fold {
            let store = Arc::new(Sqlite::open(&path).await.unwrap());
            let here = Installation::on(store.clone(), 1).await;
            claw_log::fold(&*store, &here.fence, millis(NOW + 4)).await.unwrap();
            support::assert_clean(&*store).await;
            store.close().await.unwrap();
        }
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        assert_eq!(conn.execute(sql, []).unwrap(), 1, "{sql}");
        drop(conn);
        let report = verify(&Sqlite::open(&path).await.unwrap()).await.unwrap();
        let [difference] = &report.differences[..] else {
            panic!("folded: {fold}, {sql}: {:#?}", report.differences)
        };
        assert_eq!((difference.projection, difference.key.as_str()), (projection, key), "{sql}");
        first.get_or_insert_with(|| difference.clone());
    }
    first.expect("two rounds")
}

#[tokio::test]
async fn a_store_that_nobody_touched_is_clean() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    filled(&path).await;
    let report = verify(&Sqlite::open(&path).await.unwrap()).await.unwrap();
    assert_eq!((report.events, report.sessions, report.entries), (13, 2, 6));
    assert!(report.is_clean(), "{:#?}", report.differences);
}

#[tokio::test]
async fn a_changed_session_is_found_and_told_by_its_fields() {
    let sql = "UPDATE sessions SET record = json_set(record, '$.tokens_sum', 7)
        WHERE key = 'agent:main:other'";
    let difference = check(sql, "sessions", "agent:main:other").await;
    assert_eq!(difference.expected, json!({ "tokens_sum": 9 }));
    assert_eq!(difference.found, json!({ "tokens_sum": 7 }));
}

#[tokio::test]
async fn a_missing_session_is_found() {
    let sql = "DELETE FROM sessions WHERE key = 'agent:main:main'";
    let difference = check(sql, "sessions", "agent:main:main").await;
    assert_eq!(difference.expected["agent"], "main");
    assert!(difference.found.is_null());
}

#[tokio::test]
async fn a_session_that_was_made_up_is_found() {
    let sql = "INSERT INTO sessions SELECT 'agent:main:new', agent, updated_at,
        json_set(record, '$.key', 'agent:main:new') FROM sessions LIMIT 1";
    assert!(check(sql, "sessions", "agent:main:new").await.expected.is_null());
}

/// The second entry of the first session, as the installation numbered it.
const ENTRY: &str = "00000000-0000-0001-0000-000000000004";
const ENTRY_BYTES: &str = "x'00000000000000010000000000000004'";

#[tokio::test]
async fn a_changed_entry_is_found() {
    for column in ["tokens = 4", "parent = NULL", "session = zeroblob(16)"] {
        let sql = format!("UPDATE entries SET {column} WHERE id = {ENTRY_BYTES}");
        let difference = check(&sql, "entries", ENTRY).await;
        assert_ne!(difference.expected, difference.found, "{column}");
    }
}

#[tokio::test]
async fn an_entry_that_was_made_up_is_found() {
    let sql = format!(
        "INSERT INTO entries SELECT zeroblob(16), session, id, 1, seq FROM entries
            WHERE id = {ENTRY_BYTES}"
    );
    let difference = check(&sql, "entries", "count").await;
    assert_eq!((difference.expected, difference.found), (json!(6), json!(7)));
}

#[tokio::test]
async fn a_missing_entry_is_found_with_what_it_breaks() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    filled(&path).await;
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    let sql = format!("DELETE FROM entries WHERE id = {ENTRY_BYTES}");
    assert_eq!(conn.execute(&sql, []).unwrap(), 1);
    drop(conn);
    let report = verify(&Sqlite::open(&path).await.unwrap()).await.unwrap();
    let keys: Vec<_> = report.differences.iter().map(|difference| &difference.key).collect();
    // The entry itself, the one below it, whose path breaks off, and the number.
    assert_eq!(keys.len(), 3, "{:#?}", report.differences);
    assert_eq!((keys[0].as_str(), keys[2].as_str()), (ENTRY, "count"));
}

#[tokio::test]
async fn changed_usage_is_found() {
    let difference = check("UPDATE usage SET output = 0", "usage", "all").await;
    assert_eq!(
        (&difference.expected["output"], &difference.found["output"]),
        (&json!(6), &json!(0))
    );
}

#[tokio::test]
async fn whoever_was_let_in_behind_the_logs_back_is_found() {
    let key = "telegram:default:666";
    let sql = "INSERT INTO grants SELECT channel, account, '666', at FROM grants";
    assert!(check(sql, "grants", key).await.expected.is_null());
    let key = "telegram:default:42";
    check("UPDATE grants SET at = at + 1", "grants", key).await;
    assert!(check("DELETE FROM grants", "grants", key).await.found.is_null());
}

#[tokio::test]
async fn a_device_that_was_given_more_is_found() {
    let sql = "UPDATE devices SET record = json_set(record, '$.scopes', json('[\"admin\"]'))";
    let difference = check(sql, "devices", "d1").await;
    assert_eq!(difference.expected, json!({ "scopes": [] }));
    assert_eq!(difference.found, json!({ "scopes": ["admin"] }));
    assert!(check("DELETE FROM devices", "devices", "d1").await.found.is_null());
}
