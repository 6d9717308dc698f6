//! From what is known of a message to its steps in plain words. Pure.

use std::{collections::HashMap, fmt::Write as _};

use claw_domain::{
    Action, ChatKind, Ending, EntryBody, Event, EventBody, InboundKind, Origin, SessionKey,
    StopCause, Target, Timestamp, ToolCallId, ToolResult, UsageRecord,
};
use claw_store::{DeliveryState, InboxRow, InboxState, OutboxRow};

use super::{Ahead, Facts, Holder, OUTCOME_UNKNOWN, Pairing, Step, rules};

/// Longest text of a platform, or name of a tool, that is repeated. Unit: characters.
const SAID_CHARS_MAX: usize = 200;

/// The event that began the run.
pub(super) fn begun(events: &[Event]) -> Option<&Event> {
    events.iter().find(|event| matches!(event.body, EventBody::RunStarted { .. }))
}

/// The runs of `session` that ended after `row` came and before its own run began.
pub(super) fn ended_between(
    before: &[Event],
    row: &InboxRow,
    session: &SessionKey,
    begun: &Event,
) -> Vec<String> {
    let ended = before.iter().filter_map(|event| match &event.body {
        EventBody::RunFinished { run, .. } if event.header.session.as_ref() == Some(session) => {
            let waited_for = event.seq < begun.seq && event.header.at >= row.received_at;
            (waited_for && *run != row.run).then(|| run.to_string())
        }
        _ => None,
    });
    ended.collect()
}

pub(super) fn steps(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(row) = &facts.row {
        steps.push(received(row));
        steps.extend(admission(row, facts));
        steps.extend(queued(row, &facts.ahead));
    }
    steps.extend(turn(&facts.events, facts.row.as_ref()));
    steps.extend(facts.row.as_ref().and_then(|row| match row.state {
        InboxState::Closed { .. } => ended(row),
        InboxState::Received | InboxState::Admitted { .. } => Some(waiting(row, facts)),
    }));
    steps.extend(facts.parts.iter().map(|part| part_step(part, &facts.parts)));
    steps
}

fn step(at: Timestamp, step: &'static str, detail: impl Into<String>) -> Step {
    Step { at: at.as_millisecond(), step, ok: true, rule: None, detail: detail.into() }
}

fn failed(at: Timestamp, name: &'static str, detail: impl Into<String>) -> Step {
    Step { ok: false, ..step(at, name, detail) }
}

fn received(row: &InboxRow) -> Step {
    let inbound = &row.inbound;
    let what = match &inbound.kind {
        InboundKind::Message(_) => "a message".to_owned(),
        InboundKind::Edit { of, .. } => format!("an edit of {of}"),
        InboundKind::Reaction { of, .. } => format!("a reaction on {of}"),
        InboundKind::Button { .. } => "a press on a button".into(),
        InboundKind::MemberChange { .. } => "a change of a chat's members".into(),
    };
    let detail = match &inbound.origin {
        Origin::Operator(operator) => {
            format!("{what} from the gateway client {}, run {}", said(&operator.client), row.run)
        }
        Origin::Person { sender, address } => {
            let chat = match address.kind {
                ChatKind::Direct => "direct chat",
                ChatKind::Group => "group",
                ChatKind::Channel => "broadcast channel",
            };
            let place = place(&row.inbound.channel, &row.inbound.account);
            let thread =
                address.thread.as_ref().map_or(String::new(), |id| format!(", thread {id}"));
            let (id, chat_id) = (&inbound.external_id, &address.chat);
            format!(
                "{what} from {} in the {chat} {chat_id}{thread} on {place}, with the id {id}",
                sender.id
            )
        }
    };
    step(row.received_at, "received", detail)
}

/// Whether it was let in, and by which rule.
fn admission(row: &InboxRow, facts: &Facts) -> Vec<Step> {
    let to = |session: Option<&SessionKey>| {
        session.map_or(String::new(), |session| format!("; it belongs to the session {session}"))
    };
    let admitted = |rule: &str, at: Timestamp| {
        let detail = format!("{}{}", words(rule), to(facts.session.as_ref()));
        Step { rule: Some(rule.into()), ..step(at, "admitted", detail) }
    };
    match &row.state {
        InboxState::Received => Vec::new(),
        InboxState::Admitted { rule, at, .. } => vec![admitted(rule, *at)],
        InboxState::Closed { outcome, detail, rule, at } => {
            let begun = begun(&facts.events).map_or(row.received_at, |event| event.header.at);
            let admitted = rule.as_ref().map(|rule| admitted(rule, begun));
            let refused = (outcome == "refused").then(|| refused(row, detail, *at, facts));
            admitted.into_iter().chain(refused).collect()
        }
    }
}

fn refused(row: &InboxRow, rule: &str, at: Timestamp, facts: &Facts) -> Step {
    let channel = &row.inbound.channel;
    let mut detail = words(rule);
    let hint = match facts.pairing {
        Pairing::Pending(until) => {
            Some(format!("a pairing code waits until {until}: `rusty-claw pairing list {channel}`"))
        }
        Pairing::Granted => Some("the owner has let the sender in since; send it again".into()),
        Pairing::None => rules::hint(rule, channel.as_str()),
    };
    if let Some(hint) = hint {
        let _string = write!(detail, " ({hint})");
    }
    Step { rule: Some(rule.into()), ..failed(at, "refused", detail) }
}

fn queued(row: &InboxRow, ahead: &Ahead) -> Option<Step> {
    let count = ahead.runs.len();
    let detail = match count {
        0 => return None,
        1 => format!("it waited for the run {}", ahead.runs[0]),
        _ => format!("it waited for {count} runs, one after the other: {}", ahead.runs.join(", ")),
    };
    Some(step(row.received_at, "queued", detail))
}

/// What the log has of its turn.
fn turn(events: &[Event], row: Option<&InboxRow>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut names: HashMap<&ToolCallId, &str> = HashMap::new();
    let mut open: HashMap<&ToolCallId, usize> = HashMap::new();
    for event in events {
        let at = event.header.at;
        match &event.body {
            EventBody::RunStarted { run, .. } => {
                let after = row.map(|row| format!(" {} after it came", took(row.received_at, at)));
                let detail = format!("its turn began{}: run {run}", after.unwrap_or_default());
                steps.push(step(at, "turn", detail));
            }
            EventBody::Used(record) => steps.push(step(at, "model", answered(record))),
            EventBody::AnswerFailed { code, .. } => {
                steps.push(failed(at, "model", format!("the model failed for good: {code}")));
            }
            EventBody::ToolStarted { call, .. } => {
                let name = names.get(call).copied().unwrap_or("a tool");
                open.insert(call, steps.len());
                steps.push(failed(
                    at,
                    "tool",
                    format!("{}: it began and has no result", said(name)),
                ));
            }
            EventBody::StopAsked { cause, .. } => steps.push(step(at, "stop", stop_words(*cause))),
            EventBody::EntryAdded(entry) => match &entry.body {
                EntryBody::Assistant(message) => {
                    names.extend(message.tool_calls().map(|(id, name, _)| (id, name)));
                }
                EntryBody::ToolResult(result) => match open.remove(&result.call) {
                    Some(index) => came_back(&mut steps[index], result, at),
                    None => {
                        let why = "it was not run: refused, or the turn was stopped first";
                        steps.push(failed(at, "tool", format!("{}: {why}", said(&result.tool))));
                    }
                },
                _ => {}
            },
            EventBody::RunFinished { ending, .. } if row.is_none() => {
                let (ok, detail) = match ending {
                    Ending::Replied { .. } => (true, "answered".to_owned()),
                    Ending::Stopped { cause, .. } => (true, stop_words(*cause).to_owned()),
                    Ending::Failed { code, .. } => (false, format!("failed: {code}")),
                };
                steps.push(Step { ok, ..step(at, "ended", detail) });
            }
            _ => {}
        }
    }
    steps
}

fn answered(record: &UsageRecord) -> String {
    let usage = &record.usage;
    let mut text = format!(
        "{} answered in {}: {} tokens in",
        record.model,
        duration(record.took_ms),
        usage.prompt()
    );
    if usage.cache_read > 0 {
        let _string = write!(text, " ({} of them from its cache)", usage.cache_read);
    }
    let _string = write!(text, ", {} out", usage.output);
    if let Some(cost) = record.cost.filter(|cost| cost.is_finite()) {
        let _string = write!(text, ", {cost:.4} US dollars");
    }
    text
}

/// Turns the step of a tool's start into that of its whole work.
fn came_back(step: &mut Step, result: &ToolResult, at: Timestamp) {
    let ms = u64::try_from(at.as_millisecond() - step.at).unwrap_or(0);
    let name = said(&result.tool);
    if result.details["outcome"] == OUTCOME_UNKNOWN {
        step.detail = format!(
            "{name}: its outcome is unknown, since the gateway went down while it ran; the turn went on {} later",
            duration(ms)
        );
        return;
    }
    step.ok = !result.is_error;
    let how = if result.is_error { "failed after" } else { "done in" };
    step.detail = format!("{name}: {how} {}", duration(ms));
}

fn stop_words(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Rpc => "a client asked it to stop",
        StopCause::Command => "somebody sent /stop",
        StopCause::Timeout => "its time was up",
    }
}

/// How the row was closed; refusals are told where it was judged.
fn ended(row: &InboxRow) -> Option<Step> {
    let InboxState::Closed { outcome, detail, at, .. } = &row.state else { return None };
    let done = |text: String| Some(step(*at, "ended", text));
    match outcome.as_str() {
        "refused" => None,
        "replied" => done("answered".into()),
        "stopped" => done("stopped before its end".into()),
        "command" => done(format!("answered as the command /{detail}")),
        "replaced" => done("its words took the place of those of a message that waited".into()),
        "ignored" => done(format!("nothing is done about it: {detail}")),
        "failed" => {
            // What follows the code is for the sender and may repeat words of a provider.
            let code = detail.split(':').next().unwrap_or_default();
            Some(failed(*at, "ended", format!("failed: {code}; the sender was told")))
        }
        other => done(other.to_owned()),
    }
}

/// What an open row waits for.
fn waiting(row: &InboxRow, facts: &Facts) -> Step {
    let Some(begun) = begun(&facts.events) else {
        let before = match facts.ahead.waiting {
            0 => String::new(),
            1 => " behind one other".into(),
            count => format!(" behind {count} others"),
        };
        let detail = match facts.holder {
            Holder::Here => format!("it waits for its turn{before}"),
            Holder::Elsewhere => format!("it waits{before} at another gateway"),
            Holder::Nobody => format!("it waits{before}: no gateway has taken it up yet"),
        };
        return step(row.received_at, "waiting", detail);
    };
    let last = facts.events.last().unwrap_or(begun);
    let detail = match (facts.holder, &last.body) {
        (Holder::Nobody, _) => "its turn was left here and goes on when a gateway takes it up",
        (Holder::Elsewhere, _) => "another gateway goes on with its turn",
        (Holder::Here, EventBody::ToolStarted { .. }) => "a tool runs",
        (Holder::Here, _) => "the model is asked",
    };
    step(last.header.at, "waiting", detail)
}

fn part_step(part: &OutboxRow, parts: &[OutboxRow]) -> Step {
    let target = &part.outbound.target;
    let of = parts
        .iter()
        .filter(|other| other.order == part.order && other.outbound.target == *target)
        .count();
    let what = match &part.outbound.action {
        Action::Send { .. } if of > 1 => format!("part {} of {of}", part.part + 1),
        Action::Send { .. } => "the reply".into(),
        Action::Edit { message, .. } => format!("an edit of {message}"),
        Action::Delete { message } => format!("the deletion of {message}"),
        Action::React { message, .. } => format!("a reaction on {message}"),
        Action::Typing => "the typing mark".into(),
    };
    let what = format!("{what} to {}", target_words(target));
    let tries = |count: u32| match count {
        1 => "1 try".to_owned(),
        count => format!("{count} tries"),
    };
    match &part.state {
        DeliveryState::Pending { error: None, .. } => step(
            part.not_before,
            "part",
            format!("{what} waits to be sent, until {}", part.expires_at),
        ),
        DeliveryState::Pending { attempts, error: Some(error) } => failed(
            part.not_before,
            "part",
            format!(
                "{what} waits after {}: {}; not tried before {}, given up at {}",
                tries(*attempts),
                said(error),
                part.not_before,
                part.expires_at
            ),
        ),
        DeliveryState::Sent { external_id, attempts, at } => {
            let id = external_id.as_ref().map_or(String::new(), |id| format!(" as {id}"));
            step(*at, "part", format!("{what} was sent{id} with {}", tries(*attempts)))
        }
        DeliveryState::Dead { reason, attempts, at } => failed(
            *at,
            "part",
            format!("{what} was given up after {}: {}", tries(*attempts), said(reason)),
        ),
    }
}

fn words(rule: &str) -> String {
    rules::words(rule).map_or_else(|| format!("by the rule {rule}"), str::to_owned)
}

fn target_words(target: &Target) -> String {
    let place = place(&target.channel, &target.account);
    let thread = target.thread.as_ref().map_or(String::new(), |id| format!(", thread {id}"));
    format!("the chat {}{thread} on {place}", target.chat)
}

fn place(channel: &claw_domain::ChannelId, account: &claw_domain::AccountId) -> String {
    match account.as_str() {
        "default" => channel.to_string(),
        account => format!("{channel} ({account})"),
    }
}

/// What others wrote: one line, no longer than is useful.
fn said(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(SAID_CHARS_MAX).collect()
}

fn took(from: Timestamp, to: Timestamp) -> String {
    duration(u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0))
}

fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}
