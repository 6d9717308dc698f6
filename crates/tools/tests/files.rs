//! The file tools as the turn calls them, on a real folder.

mod common;

use std::fs;

use common::{Bench, find};
use serde_json::{Value, json};

#[track_caller]
fn check(output: &claw_tool::Output, expected: Result<&str, &str>) {
    let answer = if output.is_error { Err(output.text.as_str()) } else { Ok(output.text.as_str()) };
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let bench = Bench::new();
    let written = bench.call("write", json!({"path": "a/b/c.md", "content": "one\ntwo\n"})).await;
    check(&written, Ok("wrote 8 bytes to `a/b/c.md`"));
    let added = bench
        .call("write", json!({"file_path": "a/b/c.md", "content": "three", "append": true}))
        .await;
    check(&added, Ok("added 5 bytes to `a/b/c.md`"));
    let absolute = bench.path().join("a/b/c.md");
    check(&bench.call("read", json!({"path": absolute})).await, Ok("one\ntwo\nthree"));
}

#[tokio::test]
async fn an_append_makes_a_missing_file() {
    let bench = Bench::new();
    bench.call("write", json!({"path": "log/today", "content": "x", "append": true})).await;
    check(&bench.call("read", json!({"path": "log/today"})).await, Ok("x"));
}

#[tokio::test]
async fn reading_goes_on_where_the_notice_says() {
    let bench = Bench::new();
    let text: String = (1..=2500).map(|line| format!("{line}\n")).collect();
    fs::write(bench.path().join("long"), text).unwrap();
    let first = bench.call("read", json!({"path": "long"})).await;
    assert!(
        first.text.starts_with("1\n2\n")
            && first.text.ends_with("\n2000\n[more follows; go on with offset=2001]")
    );
    let second = bench.call("read", json!({"path": "long", "offset": 2001})).await;
    assert!(second.text.starts_with("2001\n") && second.text.ends_with("\n2500\n"));
    let few =
        bench.call("read", json!({"path": "long", "offset": 7, "limit": 2, "unknown": 1})).await;
    check(&few, Ok("7\n8\n[more follows; go on with offset=9]"));
}

#[tokio::test]
async fn reading_never_gives_more_than_the_turn_takes() {
    let bench = Bench { output_max: 1000, ..Bench::new() };
    fs::write(bench.path().join("lines"), "ż".repeat(49) + &"\nabc".repeat(9000)).unwrap();
    fs::write(bench.path().join("line"), "x".repeat(200_000)).unwrap();
    for path in ["lines", "line"] {
        let output = bench.call("read", json!({"path": path})).await;
        assert!(!output.is_error && output.text.len() <= 1000, "{path}: {}", output.text.len());
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_clearly() {
    let bench = Bench::new();
    fs::write(bench.path().join("picture"), b"\x89PNG\0\0").unwrap();
    fs::write(bench.path().join("short"), "a\nb\n").unwrap();
    fs::create_dir(bench.path().join("folder")).unwrap();
    for (arguments, expected) in [
        (json!({"path": "picture"}), "`picture` is a binary file, not text"),
        (json!({"path": "none"}), "`none` does not exist"),
        (json!({"path": "folder"}), "`folder` is not a regular file"),
        (
            json!({"path": "short", "offset": 4}),
            "`short` has only 2 lines; line 4 is beyond its end",
        ),
        (
            json!({"path": "../x"}),
            "`../x` is outside the workspace; only files beneath it can be reached",
        ),
        (
            json!({"path": "/etc/passwd"}),
            "`/etc/passwd` is outside the workspace; give the path relative to it",
        ),
        (json!({}), "the arguments of `read` do not fit: missing field `path`"),
    ] {
        check(&bench.call("read", arguments).await, Err(expected));
    }
    let broken = bench.call("read", Value::String("{\"path\": ".to_owned())).await;
    assert!(
        broken.is_error && broken.text.starts_with("the arguments of `read` do not fit: "),
        "{}",
        broken.text
    );
}

#[tokio::test]
async fn a_passage_that_occurs_once_is_replaced() {
    let bench = Bench::new();
    fs::write(bench.path().join("f"), "one\r\ntwo\r\n").unwrap();
    let edited =
        bench.call("edit", json!({"path": "f", "oldText": "one\ntwo", "newText": "1\n2"})).await;
    check(&edited, Ok("edited `f`"));
    assert_eq!(fs::read_to_string(bench.path().join("f")).unwrap(), "1\r\n2\r\n");
    let aliases =
        bench.call("edit", json!({"file_path": "f", "old_string": "1", "new_string": ""})).await;
    check(&aliases, Ok("edited `f`"));
    assert_eq!(fs::read_to_string(bench.path().join("f")).unwrap(), "\r\n2\r\n");
}

#[tokio::test]
async fn an_edit_that_is_unclear_changes_nothing_and_says_why() {
    let bench = Bench::new();
    fs::write(bench.path().join("f"), "a b a").unwrap();
    for (old, new, expected) in [
        ("a", "c", "the text to replace occurs 2 times in `f`; give more of what stands around it"),
        (
            "x",
            "c",
            "the text to replace does not occur in `f`; read the file and give it exactly as it stands there",
        ),
        (
            "",
            "c",
            "the arguments of `edit` do not fit: `oldText` is empty; use `write` to make a file",
        ),
        ("a", "a", "the arguments of `edit` do not fit: `oldText` and `newText` are the same"),
    ] {
        check(
            &bench.call("edit", json!({"path": "f", "oldText": old, "newText": new})).await,
            Err(expected),
        );
    }
    assert_eq!(fs::read_to_string(bench.path().join("f")).unwrap(), "a b a");
}

#[tokio::test]
async fn a_plan_touches_nothing_and_runs_only_with_its_own_tool() {
    let bench = Bench::new();
    let plan =
        find("write").plan(&json!({"path": "f", "content": "x"}), &bench.plan_context()).unwrap();
    assert!(!bench.path().join("f").exists());
    for name in ["read", "edit", "exec"] {
        let output = find(name).run(plan.clone(), &bench.run_context()).await;
        check(&output, Err(&format!("this plan is not for `{name}`")));
    }
    assert!(!bench.path().join("f").exists());
}
