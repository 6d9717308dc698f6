//! What an exported log looks like, and what is said of one that is not whole.

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use claw_domain::{Block, EntryBody, SessionKey, UserMessage};
use claw_log::{Error, Imported};
use serde_json::{Value, json};
use support::{Installation, story};
use tempfile::TempDir;

/// An installation with five events, two of which nobody but it may act on.
async fn five() -> Installation {
    let here = Installation::new(0xfeed).await;
    let key = SessionKey::from("agent:main:0");
    here.open(&key, 0, "first").await;
    for text in ["one", "two"] {
        here.say(&key, 1, EntryBody::User(UserMessage::text(text))).await;
    }
    here.step(13, 0, 2, 0).await;
    here.step(13, 0, 2, 1).await;
    here
}

/// What becomes of an export that was changed as text; and how many events were taken in.
async fn check(change: impl FnOnce(String) -> String) -> (Result<Imported, Error>, u64) {
    let file = String::from_utf8(five().await.exported().await).unwrap();
    let there = Installation::new(2).await;
    let imported = claw_log::import(&*there.store, &there.fence, change(file).as_bytes()).await;
    (imported, there.store.totals().await.unwrap().events)
}

/// The text without its last `count` lines.
fn without(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    lines[..lines.len() - count].concat()
}

#[tokio::test]
async fn a_line_is_an_event_and_nothing_else() {
    let file = five().await.exported().await;
    let lines: Vec<Value> = file
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let header = json!({
        "format": "rusty-claw-log", "version": 1, "node": "000000000000feed", "events": 5,
    });
    assert_eq!(lines[0], header);
    assert_eq!(lines.len(), 6);
    for line in &lines[1..] {
        let fields: Vec<_> = line.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["header", "body"]);
    }
}

#[tokio::test]
async fn a_file_appears_whole_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, "what was there").unwrap();
    let here = five().await;
    assert_eq!(claw_log::export_file(&*here.store, here.node, &path).await.unwrap(), 5);
    assert_eq!(fs::read(&path).unwrap(), here.exported().await);
    // SEC-65
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    // A store that fails leaves what was there.
    here.store.close().await.unwrap();
    claw_log::export_file(&*here.store, here.node, &path).await.unwrap_err();
    assert!(!fs::read(&path).unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_message_with_a_large_picture_and_odd_letters_comes_back_as_it_was() {
    let here = Installation::new(1).await;
    let key = SessionKey::from("agent:main:0");
    here.open(&key, 0, "first").await;
    let picture = Block::Image { mime: "image/png".into(), base64: "A".repeat(3 << 20).into() };
    let text = Block::Text { text: "\u{0} \u{2028} \n \u{1f99e}".into() };
    let content = vec![picture, text];
    here.say(&key, 1, EntryBody::User(UserMessage { content, said: None })).await;
    let there = Installation::new(2).await;
    there.merge(&here).await;
    assert_eq!(story(&*there.store).await, story(&*here.store).await);
}

#[tokio::test]
async fn a_cut_file_says_so_and_what_is_there_is_taken_in() {
    let (imported, taken) = check(|file| without(&file, 2)).await;
    let error = imported.unwrap_err();
    assert_eq!(error.to_string(), "the log was cut: 3 of 5 events are there");
    assert_eq!(taken, 3);
    // Cut in the middle of a line.
    let (imported, taken) = check(|file| file[..file.len() - 9].to_owned()).await;
    let error = imported.unwrap_err();
    assert_eq!(error.to_string(), "line 6 is no event that this program knows");
    assert_eq!(taken, 4);
}

#[tokio::test]
async fn a_broken_line_is_named_and_what_stands_before_it_is_taken_in() {
    let (imported, taken) = check(|file| file.replace("\"two\"", "two")).await;
    assert!(matches!(imported, Err(Error::Line { line: 4, .. })), "{imported:?}");
    assert_eq!(taken, 2);
    let unknown = |file: String| file.replace("\"kind\":\"grantGiven\"", "\"kind\":\"dreamt\"");
    let (imported, taken) = check(unknown).await;
    assert!(matches!(imported, Err(Error::Line { line: 5, .. })), "{imported:?}");
    assert_eq!(taken, 3);
    let more = |file: String| file.replace("{\"header\":", "{\"acts\":true,\"header\":");
    let (imported, taken) = check(more).await;
    assert!(matches!(imported, Err(Error::Line { line: 2, .. })), "{imported:?}");
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn a_line_too_many_is_refused() {
    let (imported, taken) = check(|file| file.clone() + file.lines().next_back().unwrap()).await;
    assert!(matches!(imported, Err(Error::TooMany { line: 7, expected: 5 })), "{imported:?}");
    assert_eq!(taken, 5);
}

#[tokio::test]
async fn an_entry_without_its_parent_is_refused_with_its_lines() {
    let without_root = |file: String| {
        let file = file.replace("\"events\":5", "\"events\":4");
        let lines: Vec<_> = file.split_inclusive('\n').collect();
        [&lines[..2], &lines[3..]].concat().concat()
    };
    let (imported, taken) = check(without_root).await;
    assert!(matches!(imported, Err(Error::Refused { first: 2, last: 5, .. })), "{imported:?}");
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn what_is_no_log_of_ours_is_refused_before_anything_is_read() {
    for text in ["", "\n", "{}\n", "[1]\n", "{\"format\":\"other\",\"version\":1}\n", "\u{0}\u{1}"]
    {
        let (imported, taken) = check(|_| text.to_owned()).await;
        assert!(matches!(imported, Err(Error::NoLog)), "{text:?}: {imported:?}");
        assert_eq!(taken, 0);
    }
    let newer = |file: String| file.replace("\"version\":1", "\"version\":2");
    let (imported, taken) = check(newer).await;
    assert!(matches!(imported, Err(Error::Newer { found: 2, known: 1 })), "{imported:?}");
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn a_second_run_goes_on_where_the_first_one_ended() {
    let file = String::from_utf8(five().await.exported().await).unwrap();
    let there = Installation::new(2).await;
    let cut = without(&file, 2);
    claw_log::import(&*there.store, &there.fence, cut.as_bytes()).await.unwrap_err();
    assert_eq!(there.take(file.as_bytes()).await, Imported { events: 5, known: 3 });
    assert_eq!(there.take(file.as_bytes()).await, Imported { events: 5, known: 5 });
    support::assert_acts_alone(&there).await;
}
