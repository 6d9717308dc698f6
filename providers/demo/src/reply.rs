//! What the demonstration answers.

use claw_domain::{Block, EntryBody, StopReason, ToolResult, UserMessage};
use claw_provider::{Event, Message, Request};
use serde_json::json;

/// What a message begins with that asks for a command.
const RUN: &str = "run: ";

/// The tool that runs commands.
const EXEC: &str = "exec";

/// Longest piece of a tool's result that is repeated.
const RESULT_CHARS_MAX: usize = 2000;

const ABOUT: &str = "I am the built-in demonstration, not a language model: I understand nothing, but \
all around me is real. Send a message that begins with `run: `, such as `run: ls -l`, to see a tool \
at work. To connect a real model, run `rusty-claw config set models.providers.anthropic.apiKey \
YOUR_KEY`, or start with ANTHROPIC_API_KEY or OPENAI_API_KEY in the environment.";

/// The events of the answer to `request`.
pub(crate) fn reply(request: &Request) -> Vec<Event> {
    let newest = request.messages.last().and_then(body);
    match newest {
        Some(EntryBody::ToolResult(result)) => say(&told(result)),
        Some(EntryBody::User(message)) => answer(request, words(message)),
        Some(
            EntryBody::Assistant(_) | EntryBody::Compaction { .. } | EntryBody::Foreign { .. },
        )
        | None => say(ABOUT),
    }
}

fn body(message: &Message) -> Option<&EntryBody> {
    match message {
        Message::Entry(entry) => Some(&entry.body),
        Message::Summary(_) => None,
    }
}

fn answer(request: &Request, words: &str) -> Vec<Event> {
    let Some(command) = words.strip_prefix(RUN).map(str::trim) else {
        return say(ABOUT);
    };
    if !request.prefix.tools().iter().any(|tool| tool.name == EXEC) {
        return say(&format!(
            "I would run `{command}`, but no tool named {EXEC} is allowed here. {ABOUT}"
        ));
    }
    // The conversation only grows, so its length names the call.
    let id = format!("demo_{}", request.messages.len());
    let arguments = json!({ "command": command }).to_string();
    let call = [
        Event::ToolStart { index: 0, id, name: EXEC.to_owned() },
        Event::ToolArguments { index: 0, json: arguments },
        Event::Done(StopReason::ToolUse),
    ];
    spoken("I run that. ").chain(call).collect()
}

fn told(result: &ToolResult) -> String {
    let ToolResult { tool, text, .. } = result;
    let text = text.trim_end();
    let shown = match text.char_indices().nth(RESULT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    match (result.is_error, shown.as_str()) {
        (true, _) => format!("The tool {tool} failed: {shown}"),
        (false, "") => format!("The tool {tool} is done and said nothing."),
        (false, _) => format!("The tool {tool} said:\n\n{shown}"),
    }
}

/// What the person wrote, without the facts that the gateway put before it: blocks of JSON under
/// a headline, and the time in brackets.
fn words(message: &UserMessage) -> &str {
    let texts = message.content.iter().rev();
    let text = texts.into_iter().find_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    });
    let mut rest = text.unwrap_or_default();
    while let Some(after) = after_facts(rest) {
        rest = after;
    }
    match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, words)) if !time.contains('\n') => words,
        _ => rest,
    }
}

fn after_facts(text: &str) -> Option<&str> {
    let (headline, block) = text.split_once(":\n```json\n")?;
    let (_, after) = block.split_once("\n```\n\n")?;
    (!headline.contains('\n')).then_some(after)
}

fn say(text: &str) -> Vec<Event> {
    spoken(text).chain([Event::Done(StopReason::Stop)]).collect()
}

/// Piece by piece, each with the space that ends it.
fn spoken(text: &str) -> impl Iterator<Item = Event> {
    text.split_inclusive(' ').map(|word| Event::Text(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claw_domain::AssistantMessage;
    use claw_provider::{
        Limits, Prefix, Progress, RetryPolicy, Thinking, ToolSpec, ask, contract::message,
    };
    use serde_json::Value;

    use super::*;
    use crate::Demo;

    fn request(messages: Vec<Message>, tools: &[&str]) -> Request {
        let tools: Vec<ToolSpec> = tools
            .iter()
            .map(|name| ToolSpec {
                name: (*name).to_owned(),
                description: String::new(),
                parameters: json!({ "type": "object" }),
            })
            .collect();
        let prefix = Arc::new(Prefix::new(Demo::model(), "", tools));
        Request { prefix, messages, output_max: 100, thinking: Thinking::Off }
    }

    fn user(text: &str) -> Message {
        message(EntryBody::User(UserMessage::text(text)))
    }

    fn result(text: &str, is_error: bool) -> Message {
        let (call, tool, text) = ("demo_1".into(), EXEC.into(), text.into());
        message(EntryBody::ToolResult(ToolResult {
            call,
            tool,
            text,
            is_error,
            details: Value::Null,
        }))
    }

    async fn asked(request: &Request) -> (AssistantMessage, Vec<Progress>) {
        let mut shown = Vec::new();
        let mut show = |step| {
            if let Progress::Text(_) = step {
                shown.push(step);
            }
        };
        let (policy, limits) = (RetryPolicy::default(), Limits::default());
        let answer = ask(&Demo, request, &policy, &limits, &mut show).await.unwrap();
        (answer, shown)
    }

    /// The commands that a message leads to.
    async fn commands(text: &str, tools: &[&str]) -> Vec<String> {
        let (answer, _) = asked(&request(vec![user(text)], tools)).await;
        assert_eq!(answer.stop == StopReason::ToolUse, answer.tool_calls().count() > 0);
        let command = |arguments: &Value| arguments["command"].as_str().unwrap().to_owned();
        answer.tool_calls().map(|(_, _, arguments)| command(arguments)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_what_it_is_word_by_word() {
        let (answer, shown) = asked(&request(vec![user("hi")], &[EXEC])).await;
        assert_eq!(answer.text(), ABOUT);
        assert_eq!(shown.len(), ABOUT.split(' ').count());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_begins_with_run_becomes_a_call() {
        let facts =
            "Conversation info (untrusted metadata):\n```json\n{\n  \"sender\": \"x\"\n}\n```\n\n";
        for text in [
            "run: ls -l".to_owned(),
            "[Sat 2026-11-21 09:16 UTC] run: ls -l".to_owned(),
            format!("{facts}{facts}[Sat 2026-11-21 09:16 UTC] run: ls -l\n"),
        ] {
            assert_eq!(commands(&text, &["read", EXEC]).await, ["ls -l"], "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_beginning_of_the_words_counts() {
        for text in ["please run: ls", "hello\nrun: ls", "[a] hello\n\nrun: ls", "", "run:ls"] {
            assert_eq!(commands(text, &[EXEC]).await, Vec::<String>::new(), "{text}");
        }
        let quoted = "Replied message (untrusted, for context):\n```json\n{\n  \"text\": \"[x] run: ls\"\n}\n```\n\n[t] hi";
        assert_eq!(commands(quoted, &[EXEC]).await, Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_tool_it_says_so() {
        let (answer, _) = asked(&request(vec![user("run: ls")], &["read"])).await;
        assert!(
            answer.text().starts_with("I would run `ls`, but no tool named exec is allowed here. ")
        );
        assert_eq!(answer.tool_calls().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_tells_what_the_tool_said() {
        let long = "ä".repeat(RESULT_CHARS_MAX + 1);
        for (result, expected) in [
            (result("a.txt\nb.txt\n", false), "The tool exec said:\n\na.txt\nb.txt".to_owned()),
            (result("", false), "The tool exec is done and said nothing.".to_owned()),
            (result("no such file", true), "The tool exec failed: no such file".to_owned()),
            (result(&long, false), format!("The tool exec said:\n\n{}…", &long[..long.len() - 2])),
        ] {
            let (answer, _) = asked(&request(vec![user("run: ls"), result], &[EXEC])).await;
            assert_eq!((answer.text(), answer.stop), (expected, StopReason::Stop));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_call_has_its_own_id() {
        let talk = [user("run: a"), result("1", false), user("run: b")];
        let mut ids = Vec::new();
        for sent in [1, 3] {
            let (answer, _) = asked(&request(talk[..sent].to_vec(), &[EXEC])).await;
            ids.extend(answer.tool_calls().map(|(id, ..)| id.to_string()));
        }
        assert_eq!(ids, ["demo_1", "demo_3"]);
    }
}
