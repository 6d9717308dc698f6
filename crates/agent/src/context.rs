//! Which part of a transcript a model is shown, always in a valid shape.

use std::{collections::VecDeque, sync::Arc};

use claw_domain::{Block, Entry, EntryBody, EntryId, StopReason, ToolResult};
use claw_provider::Message;
use serde_json::Value;

/// What a prompt holds of a transcript.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    /// The entries, oldest first.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Where prompts begin from now on, when the window was overfull: the first kept entry, and how
    /// many of the given entries were left out.
    pub(crate) trimmed: Option<(EntryId, u64)>,
}

/// Fits entries into `tokens_max`. `whole` says whether they go back to where prompts begin; when
/// they do not, or take too much, the oldest exchanges are left out down to half the window at
/// once, so that the provider's cache is broken once and not with every message.
pub(crate) fn window(mut entries: Vec<Arc<Entry>>, whole: bool, tokens_max: u64) -> Window {
    let total: u64 = entries.iter().map(|entry| entry.tokens).sum();
    if whole && total <= tokens_max {
        return Window { entries, trimmed: None };
    }
    let keep_max = tokens_max / 2;
    let mut kept = 0;
    let mut start = entries.len();
    let is_user = |entry: &Entry| matches!(entry.body, EntryBody::User(_));
    let last_user = entries.iter().rposition(|entry| is_user(entry)).unwrap_or(0);
    for (index, entry) in entries.iter().enumerate().rev() {
        kept += entry.tokens;
        if kept > keep_max {
            break;
        }
        if is_user(entry) {
            start = index;
        }
    }
    // The newest exchange is kept whatever it takes: without it there is nothing to answer.
    let start = start.min(last_user);
    let Some(first) = entries.get(start) else { return Window { entries, trimmed: None } };
    let trimmed = (first.id, start as u64);
    entries.drain(..start);
    Window { entries, trimmed: Some(trimmed) }
}

/// The entries as a conversation that every provider takes: each tool call is followed by its
/// result, in order; results without a call, empty answers and marks are left out.
pub(crate) fn messages(entries: &[Arc<Entry>], left_out: bool) -> Vec<Message> {
    let mut messages = Vec::with_capacity(entries.len() + 1);
    if left_out {
        messages.push(Message::Summary(LEFT_OUT.into()));
    }
    let mut open: VecDeque<(Arc<Entry>, claw_domain::ToolCallId, String)> = VecDeque::new();
    for entry in entries {
        match &entry.body {
            EntryBody::ToolResult(result) => {
                let Some(place) = open.iter().position(|(_, call, _)| *call == result.call) else {
                    continue;
                };
                for (asked, call, tool) in open.drain(..place) {
                    messages.push(no_result(&asked, call, tool));
                }
                open.pop_front();
                messages.push(Message::Entry(Arc::clone(entry)));
                continue;
            }
            EntryBody::Compaction { summary, .. } => {
                messages.push(Message::Summary(summary.as_str().into()));
                continue;
            }
            EntryBody::Foreign { .. } => continue,
            EntryBody::User(_) | EntryBody::Assistant(_) => {}
        }
        for (asked, call, tool) in open.drain(..) {
            messages.push(no_result(&asked, call, tool));
        }
        if let EntryBody::Assistant(message) = &entry.body {
            let says = message.content.iter().any(|block| match block {
                Block::Text { text } => !text.trim().is_empty(),
                Block::ToolCall { .. } | Block::Image { .. } => true,
                Block::Thinking { .. } | Block::RedactedThinking { .. } => false,
            });
            // What the gateway wrote in the assistant's place was never the model's word.
            if !says || message.model.is_none() || message.stop == StopReason::Error {
                continue;
            }
            open.extend(
                message
                    .tool_calls()
                    .map(|(call, tool, _)| (Arc::clone(entry), call.clone(), tool.to_owned())),
            );
        }
        messages.push(Message::Entry(Arc::clone(entry)));
    }
    for (asked, call, tool) in open {
        messages.push(no_result(&asked, call, tool));
    }
    messages
}

const LEFT_OUT: &str =
    "[Earlier messages of this conversation are left out, since they no longer fit.]";

/// A result in the place of one that the transcript does not hold.
fn no_result(asked: &Entry, call: claw_domain::ToolCallId, tool: String) -> Message {
    let text = "No result of this call is known.".into();
    let result = ToolResult { call, tool, text, is_error: true, details: Value::Null };
    let entry = Entry {
        id: EntryId::generate(),
        parent: Some(asked.id),
        body: EntryBody::ToolResult(result),
        ..asked.clone()
    };
    Message::Entry(Arc::new(entry))
}

/// Tokens that a text takes, estimated where no provider has counted: four bytes each.
pub(crate) fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use claw_domain::{AssistantMessage, SessionId, UserMessage, millis};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry(tokens: u64, body: EntryBody) -> Arc<Entry> {
        let session = SessionId(uuid::Uuid::nil());
        Arc::new(Entry {
            id: EntryId::generate(),
            session,
            parent: None,
            at: millis(0),
            run: None,
            tokens,
            tokens_sum: 0,
            body,
            other: serde_json::Map::new(),
        })
    }

    fn user(tokens: u64) -> Arc<Entry> {
        entry(tokens, EntryBody::User(UserMessage::text("u")))
    }

    fn says(text: &str) -> Arc<Entry> {
        entry(
            1,
            EntryBody::Assistant(AssistantMessage {
                model: "p/m".parse().ok(),
                ..AssistantMessage::injected(text)
            }),
        )
    }

    fn calls(ids: &[&str]) -> Arc<Entry> {
        let content = ids
            .iter()
            .map(|id| Block::ToolCall {
                id: (*id).into(),
                name: "exec".into(),
                arguments: json!({}),
            })
            .collect();
        entry(
            1,
            EntryBody::Assistant(AssistantMessage {
                content,
                model: "p/m".parse().ok(),
                ..AssistantMessage::injected("")
            }),
        )
    }

    fn result(id: &str) -> Arc<Entry> {
        let result = ToolResult {
            call: id.into(),
            tool: "exec".into(),
            text: "r".into(),
            is_error: false,
            details: Value::Null,
        };
        entry(1, EntryBody::ToolResult(result))
    }

    /// The conversation in one letter per message: user, assistant, `r`esult, `?` made-up result.
    fn shape(entries: &[Arc<Entry>]) -> String {
        let known = |entry: &Entry| entries.iter().any(|have| have.id == entry.id);
        messages(entries, false)
            .iter()
            .map(|message| match message {
                Message::Summary(_) => 's',
                Message::Entry(entry) => match &entry.body {
                    EntryBody::User(_) => 'u',
                    EntryBody::Assistant(_) => 'a',
                    EntryBody::ToolResult(_) if known(entry) => 'r',
                    EntryBody::ToolResult(_) => '?',
                    EntryBody::Compaction { .. } => 'c',
                    EntryBody::Foreign { .. } => 'f',
                },
            })
            .collect()
    }

    #[test]
    fn a_broken_transcript_is_shown_as_a_valid_one() {
        assert_eq!(
            shape(&[user(1), calls(&["a", "b"]), result("a"), result("b"), says("x")]),
            "uarra"
        );
        assert_eq!(shape(&[user(1), calls(&["a", "b"]), result("b"), user(1)]), "ua?ru");
        assert_eq!(shape(&[user(1), calls(&["a"])]), "ua?");
        assert_eq!(shape(&[result("a"), user(1), says("")]), "u");
        assert_eq!(shape(&[user(1), calls(&["a"]), result("a"), result("a"), says("x")]), "uara");
    }

    #[test]
    fn a_record_of_another_program_is_shown_to_no_model() {
        let foreign = || entry(0, EntryBody::Foreign { kind: "x".into(), record: json!({}) });
        let talk =
            [foreign(), user(1), calls(&["a"]), foreign(), result("a"), foreign(), says("x")];
        assert_eq!(shape(&talk), "uara");
    }

    fn check(sizes: &[u64], whole: bool, tokens_max: u64, kept: &[u64], dropped: Option<u64>) {
        let entries: Vec<_> = sizes
            .iter()
            .map(|tokens| {
                if *tokens % 2 == 0 {
                    user(*tokens)
                } else {
                    entry(*tokens, says("a").body.clone())
                }
            })
            .collect();
        let window = window(entries, whole, tokens_max);
        assert_eq!(window.entries.iter().map(|entry| entry.tokens).collect::<Vec<_>>(), kept);
        assert_eq!(window.trimmed.map(|(_, dropped)| dropped), dropped);
    }

    #[test]
    fn an_overfull_window_drops_whole_exchanges_down_to_half() {
        // Even sizes are user messages.
        check(&[10, 11, 12, 13], true, 100, &[10, 11, 12, 13], None);
        check(&[20, 21, 10, 11], true, 60, &[10, 11], Some(2));
    }

    #[test]
    fn the_newest_exchange_is_kept_whatever_it_takes() {
        check(&[10, 11, 500, 13], true, 100, &[500, 13], Some(2));
        check(&[500], false, 100, &[500], Some(0));
    }

    #[test]
    fn entries_that_do_not_go_back_to_the_start_are_cut_as_well() {
        check(&[21, 10, 11, 12, 13], false, 100, &[10, 11, 12, 13], Some(1));
    }

    proptest! {
        #[test]
        fn every_call_has_exactly_one_result_right_after_it(kinds in prop::collection::vec(0..6_u8, 0..30)) {
            let entries: Vec<_> = kinds.iter().map(|kind| match kind {
                0 => user(1), 1 => says("x"), 2 => calls(&["a"]), 3 => calls(&["a", "b"]), 4 => result("a"), _ => result("b"),
            }).collect();
            let mut open: VecDeque<claw_domain::ToolCallId> = VecDeque::new();
            for message in messages(&entries, false) {
                let Message::Entry(entry) = message else { continue };
                match &entry.body {
                    EntryBody::ToolResult(result) => prop_assert_eq!(open.pop_front(), Some(result.call.clone())),
                    EntryBody::Assistant(message) => {
                        prop_assert!(open.is_empty());
                        open.extend(message.tool_calls().map(|(call, ..)| call.clone()));
                    }
                    _ => prop_assert!(open.is_empty()),
                }
            }
            prop_assert!(open.is_empty());
        }
    }
}
