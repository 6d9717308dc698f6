use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{export::Names, mark::line_id};

fn transcript(now: i64) -> Transcript {
    Transcript::new(About {
        key: "agent:main:main".into(),
        agent: "main".into(),
        chat: ChatKind::Direct,
        session: "s".into(),
        file: "s.jsonl".into(),
        listed: true,
        now: millis(now),
    })
}

/// The events of lines after a header, and what was told of them.
fn read(version: u64, lines: &[Value]) -> (Vec<NewEvent>, Vec<String>) {
    let header = json!({"type": "session", "version": version, "id": "s",
        "timestamp": "2026-01-01T00:00:00Z"});
    let mut transcript = transcript(i64::MAX);
    let (mut events, mut told) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip([&header].into_iter().chain(lines)) {
        let read = transcript.line(number, line.to_string().as_bytes());
        events.extend(read.events);
        told.extend(read.problem);
    }
    (events, told)
}

fn entries(events: &[NewEvent]) -> Vec<&Entry> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::EntryAdded(entry) => Some(entry),
            _ => None,
        })
        .collect()
}

#[test]
fn the_events_of_a_file_ascend_whatever_its_times_are() {
    let line = |id: &str, at: &str| json!({"type": "label", "id": id, "timestamp": at});
    let lines = [
        line("a", "2026-01-02T00:00:00Z"),
        line("b", "2026-01-01T00:00:00Z"),
        line("c", "never"),
        json!({"type": "label", "id": "d"}),
    ];
    let (events, told) = read(3, &lines);
    assert_eq!(told, [""; 0]);
    assert!(events.is_sorted_by(|a, b| a.header.id < b.header.id));
    let times: Vec<_> = entries(&events).iter().map(|entry| entry.at.to_string()).collect();
    let (first, second) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    assert_eq!(times, [first, second, first, first, first]);
}

#[test]
fn what_a_model_takes_is_counted_along_each_branch() {
    let said = |id: &str, parent: &str, text: &str| {
        json!({"type": "message", "id": id, "parentId": parent,
            "message": {"role": "user", "content": text}})
    };
    let answer = json!({"type": "message", "id": "d", "parentId": "a", "message": {"role": "assistant",
        "content": [{"type": "text", "text": "x"}], "usage": {"output": 50}}});
    let lines =
        [said("a", "", "12345678"), said("b", "a", "1234"), said("c", "a", "12345"), answer];
    let sums: Vec<_> = entries(&read(3, &lines).0).iter().map(|entry| entry.tokens_sum).collect();
    assert_eq!(sums, [0, 2, 3, 4, 52]);
}

#[test]
fn a_line_that_we_once_wrote_keeps_its_id_but_in_a_fork() {
    let own = EntryId::generate();
    let line = json!({"type": "label", "id": own});
    assert_eq!(entries(&read(3, std::slice::from_ref(&line)).0)[1].id, own);
    let fork = json!({"type": "session", "version": 3, "id": "s", "parentSession": "/p.jsonl"});
    let mut transcript = transcript(0);
    transcript.line(1, fork.to_string().as_bytes());
    let forked = transcript.line(2, line.to_string().as_bytes()).events;
    assert_ne!(entries(&forked)[0].id, own);
    assert_eq!(line_id(entries(&forked)[0]), Some(own.to_string()));
}

/// Reads lines and writes them again.
fn round(version: u64, lines: &[Value]) -> Vec<Value> {
    let (events, _) = read(version, lines);
    let mut names = Names::default();
    let mut written = Vec::new();
    for entry in entries(&events) {
        if Mark::of(entry).is_none() {
            written.push(names.line(entry));
        }
        names.learn(entry);
    }
    written
}

#[test]
fn a_compaction_that_names_no_line_comes_out_as_it_went_in() {
    let line =
        |kept: Value| json!({"type": "compaction", "summary": "s", "firstKeptEntryId": kept});
    let lines = [line(Value::Null), line("gone".into()), line(7.into())];
    assert_eq!(round(3, &lines), lines);
}

fn any_line() -> impl Strategy<Value = Value> {
    let block = prop_oneof![
        "[a-z]{0,4}".prop_map(|text| json!({"type": "text", "text": text})),
        "[a-z]{0,4}".prop_map(
            |text| json!({"type": "thinking", "thinking": text, "thinkingSignature": "s"})
        ),
        Just(
            json!({"type": "toolCall", "id": "t", "name": "n", "arguments": {"a": [1, {}]}, "x": null})
        ),
        Just(json!({"type": "image", "data": "aGk=", "mimeType": "image/png"})),
        Just(json!({"type": "later"})),
        Just(json!(7)),
    ];
    let content = prop_oneof![
        "[a-z]{0,4}".prop_map(Value::from),
        prop::collection::vec(block, 0..3).prop_map(Value::from),
        Just(Value::Null),
    ];
    let role =
        prop_oneof![Just("user"), Just("assistant"), Just("toolResult"), Just("bashExecution")];
    let fields = prop::collection::btree_map(
        "timestamp|summary|firstKeptEntryId|tokensBefore|stopReason|provider|model|toolCallId|toolName|usage|details|isError|x",
        prop_oneof![
            Just(json!("a")),
            Just(json!("2026-01-01T00:00:00.5Z")),
            Just(json!(3)),
            Just(json!(0.1)),
            Just(Value::Null),
            Just(json!({"input": 1, "output": -1, "cost": {"total": 1e-9}})),
        ],
        0..6,
    );
    let kind = "message|message|compaction|custom_message|branch_summary|label|later";
    let id = prop::option::of("[a-c]");
    (kind, id.clone(), prop::option::of(id), role, content, fields).prop_map(
        |(kind, id, parent, role, content, fields)| {
            let fields: Map<String, Value> = fields.into_iter().collect();
            let mut message = fields.clone();
            message.extend([("role".into(), role.into()), ("content".into(), content.clone())]);
            let mut line = fields;
            line.extend([
                ("type".into(), kind.into()),
                ("content".into(), content),
                ("message".into(), message.into()),
            ]);
            line.extend(id.map(|id| ("id".into(), id.into())));
            line.extend(parent.map(|parent| ("parentId".into(), json!(parent))));
            Value::Object(line)
        },
    )
}

proptest! {
    #[test]
    fn every_line_comes_out_as_it_went_in(
        version in 1..4_u64,
        lines in prop::collection::vec(any_line(), 0..8),
    ) {
        prop_assert_eq!(round(version, &lines), lines);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(lines in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
        let mut transcript = transcript(0);
        for (number, line) in (1..).zip(&lines) {
            transcript.line(number, line);
        }
    }
}
