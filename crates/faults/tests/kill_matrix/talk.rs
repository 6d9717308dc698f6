//! The conversation: what people write, what the model answers, and what must come of it.

use std::path::Path;

use claw_testkit::{Answer, Asked, Reply};
use serde_json::{Value, json};

pub(crate) const ADA: i64 = 1001;
pub(crate) const BOB: i64 = 1002;

/// The longest part of a reply; the long answer is made of parts of nearly this length.
pub(crate) const PART_MAX: usize = 400;

/// What a model reads of a call that a killed process left.
pub(crate) const UNKNOWN: &str = "The outcome of this call is unknown";

/// How the card that answers `/status` begins.
const CARD: &str = "🦞";

/// Something that a person writes, and the texts that answer it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) chat: i64,
    pub(crate) text: String,
    pub(crate) answers: Vec<String>,
    /// The tool calls that the model makes for it, each with one line that it adds to the file.
    pub(crate) calls: &'static [&'static str],
}

/// What people write, in groups: a group is written when all before it are answered.
pub(crate) fn talk() -> Vec<Vec<Line>> {
    vec![
        vec![line(ADA, "a1"), line(BOB, "b1")],
        vec![line(ADA, "a2"), line(BOB, "b2"), line(ADA, "a3"), status(BOB), line(BOB, "b3")],
    ]
}

/// One more message in each chat. Whatever is still to be sent before comes before its answer.
pub(crate) fn last_words(round: usize) -> Vec<Line> {
    vec![line(ADA, &format!("a{}", 90 + round)), line(BOB, &format!("b{}", 90 + round))]
}

/// Whether a text is the card that answers `/status`, which goes round the queue.
pub(crate) fn is_card(text: &str) -> bool {
    text.starts_with(CARD)
}

fn line(chat: i64, name: &str) -> Line {
    let answers = match name {
        "a2" => (1..=3).map(long_part).collect(),
        name => vec![format!("answer {name}")],
    };
    Line { chat, text: format!("question-{name}"), answers, calls: calls(name) }
}

fn status(chat: i64) -> Line {
    Line { chat, text: "/status".into(), answers: vec![CARD.into()], calls: &[] }
}

fn long_part(number: usize) -> String {
    format!("part {number} of the answer a2{}", " and on".repeat(PART_MAX / 8))
}

/// `b2` makes its calls one after the other, `a3` both in one answer.
fn calls(name: &str) -> &'static [&'static str] {
    match name {
        "a3" => &["a3-first", "a3-second"],
        "b2" => &["b2-first", "b2-second"],
        _ => &[],
    }
}

/// What the model says: a function of the conversation alone, so that asking again changes nothing.
pub(crate) fn answer(asked: &Asked, file: &Path) -> Answer {
    let Some((name, results)) = question(&asked.body) else {
        return Reply::text("no question").into();
    };
    let call = |what: &str| {
        (
            "exec",
            json!({ "command": format!("echo {what} >> {}; echo did {what}", file.display()) }),
        )
    };
    let reply = match (name.as_str(), calls(&name), results.len()) {
        ("a3", [first, second], 0) => {
            let ((tool, first), (_, second)) = (call(first), call(second));
            Reply::tool(tool, first).and_tool(tool, second)
        }
        ("b2", calls, done) if done < calls.len() => {
            let (tool, arguments) = call(calls[done]);
            Reply::tool(tool, arguments)
        }
        ("a2", ..) => Reply::text((1..=3).map(long_part).collect::<Vec<_>>().join("\n\n")),
        _ => Reply::text(format!("answer {name}")),
    };
    reply.into()
}

/// A tool's result as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) call: String,
    pub(crate) text: String,
}

/// The name of the newest question in a request, and the results that follow it.
pub(crate) fn question(body: &Value) -> Option<(String, Vec<Told>)> {
    let mut results = Vec::new();
    for message in body["messages"].as_array()?.iter().rev() {
        if message["role"] != "user" {
            continue;
        }
        let text = message["content"].to_string();
        if let Some(at) = text.find("question-") {
            let rest = &text[at + "question-".len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            results.reverse();
            return Some((rest[..end].to_owned(), results));
        }
        let blocks = message["content"].as_array().into_iter().flatten().rev();
        results.extend(blocks.filter(|block| block["type"] == "tool_result").map(|block| Told {
            call: block["tool_use_id"].as_str().unwrap_or_default().to_owned(),
            text: block["content"].to_string(),
        }));
    }
    None
}
