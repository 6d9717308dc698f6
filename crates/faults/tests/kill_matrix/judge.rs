//! Whether the books of a conversation keep the promise: nothing lost, nothing doubled.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use claw_faults::{Passed, Phase, digest};

use crate::{
    choice::Blow,
    talk::{self, UNKNOWN, is_card},
    world::{Life, Story},
};

/// What the books of one conversation say.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What people wrote.
    pub(crate) messages: usize,
    /// Parts that should have been sent and were not.
    pub(crate) lost: usize,
    /// Parts sent twice though no process died between a sending and its mark.
    pub(crate) doubled: usize,
    /// Parts sent twice where one did, each with the point at which that one died.
    pub(crate) doubles: Vec<String>,
    /// Processes that died between a sending and its mark, whether a double came of it or not.
    pub(crate) died_in_window: usize,
    /// Tool calls whose outcome nobody knew, as the model was told.
    pub(crate) unknown: usize,
    /// From the end of each sending to the end of the commit of its mark.
    pub(crate) widths: Vec<Duration>,
    /// What is wrong, in words.
    pub(crate) faults: Vec<String>,
}

pub(crate) fn judge(story: &Story) -> Verdict {
    let mut verdict = Verdict { messages: story.said.len(), ..Verdict::default() };
    judge_answers(story, &mut verdict);
    judge_tools(story, &mut verdict);
    verdict.widths = story.lives.iter().flat_map(|life| widths(&life.passed)).collect();
    verdict
}

/// Each chat has its answers once and in order. A text that stands twice, one after the other, is
/// allowed as often as a process died with just that text sent and not marked, or was told that
/// just this sending had failed.
fn judge_answers(story: &Story, verdict: &mut Verdict) {
    let mut allowed: HashMap<String, Vec<String>> = HashMap::new();
    for life in &story.lives {
        let Some(point) = life.struck_at() else { continue };
        let open = open_sends(life);
        verdict.died_in_window += usize::from(!open.is_empty());
        for text in open {
            let name = format!("{}:{} {}", point.name, point.phase, point.kind());
            allowed.entry(text).or_default().push(name);
        }
    }
    for (chat, expected) in expected(story) {
        let mut sent: Vec<&str> = Vec::new();
        let in_chat = story.sent.iter().filter(|sent| sent.chat_id == chat);
        for text in in_chat.map(|sent| sent.shown.as_str()) {
            if sent.last() != Some(&text) {
                sent.push(text);
                continue;
            }
            match allowed.get_mut(&digest(text)).and_then(Vec::pop) {
                Some(name) => verdict.doubles.push(name),
                None => {
                    verdict.doubled += 1;
                    verdict.faults.push(format!("{chat} has `{text:.60}` twice"));
                }
            }
        }
        let (cards, answers): (Vec<&str>, Vec<&str>) =
            sent.into_iter().partition(|text| is_card(text));
        let (cards_expected, expected): (Vec<_>, Vec<_>) =
            expected.into_iter().partition(|text| is_card(text));
        let missing = expected.iter().filter(|text| !answers.contains(&text.as_str())).count();
        verdict.lost += missing + cards_expected.len().saturating_sub(cards.len());
        if cards.len() != cards_expected.len() {
            verdict.faults.push(format!("{chat} has {} status cards", cards.len()));
        }
        if answers != expected {
            let short: Vec<_> = answers.iter().map(|text| format!("{text:.20}")).collect();
            verdict.faults.push(format!("{chat} was sent {short:?}"));
        }
    }
}

/// For each chat, the texts that answer what was said in it, in order.
fn expected(story: &Story) -> BTreeMap<i64, Vec<String>> {
    let mut expected: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for line in &story.said {
        expected.entry(line.chat).or_default().extend(line.answers.iter().cloned());
    }
    expected
}

/// Every tool call ran at most once; the model was told its result, or that it is unknown, and
/// unknown is just what a killed process had begun and not recorded.
fn judge_tools(story: &Story, verdict: &mut Verdict) {
    let mut fault = |text: String| verdict.faults.push(text);
    for (call, runs) in counts(story.lives.iter().flat_map(|life| runs(&life.passed))) {
        if runs > 1 {
            fault(format!("the call {call} was run {runs} times"));
        }
    }
    let told = told(story);
    let lost: HashSet<&str> = told
        .values()
        .flatten()
        .filter(|told| told.text.contains(UNKNOWN))
        .map(|told| told.call.as_str())
        .collect();
    let struck = || story.lives.iter().filter(|life| life.struck.is_some());
    let begun: HashSet<String> = struck().flat_map(|life| calls(life).begun).collect();
    let killed = struck().filter(|life| life.is_killed());
    let left: HashSet<String> = killed.flat_map(|life| calls(life).left).collect();
    for call in &lost {
        if !begun.contains(*call) {
            fault(format!("the call {call} is called unknown, and no process died in it"));
        }
    }
    for call in &left {
        if !lost.contains(call.as_str()) {
            fault(format!("a process died in the call {call}, and the model was not told"));
        }
    }
    for line in &story.said {
        let name = line.text.trim_start_matches("question-");
        let told = told.get(name).map_or(&[][..], Vec::as_slice);
        if told.len() != line.calls.len() {
            fault(format!("{name} has {} results of {} calls", told.len(), line.calls.len()));
            continue;
        }
        for (call, told) in line.calls.iter().zip(told) {
            let lines = story.written.iter().filter(|line| line == call).count();
            let did = told.text.contains(&format!("did {call}"));
            let is_right = if did { lines == 1 } else { lines <= 1 && lost.contains(&*told.call) };
            if !is_right {
                fault(format!("{call} wrote {lines} lines, and the model was told {}", told.text));
            }
        }
    }
    verdict.unknown = lost.len();
}

/// What the model was told last about the calls of each question.
fn told(story: &Story) -> HashMap<String, Vec<talk::Told>> {
    story.asked.iter().filter_map(|asked| talk::question(&asked.body)).collect()
}

fn counts(all: impl Iterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

/// The calls whose tool was run.
fn runs(passed: &[Passed]) -> impl Iterator<Item = String> {
    let began = passed.iter().filter(|point| is(point, "tool.run", Phase::Before));
    began.filter_map(|point| point.detail.split(' ').nth(1).map(str::to_owned))
}

/// How far a process had come with tool calls when it was struck.
struct Calls {
    /// Their start may be on disk, their result may not be.
    begun: HashSet<String>,
    /// Their start is on disk, their result is not.
    left: HashSet<String>,
}

fn calls(life: &Life) -> Calls {
    let mut calls = Calls { begun: HashSet::new(), left: HashSet::new() };
    let passed = match life.struck {
        // It goes on after it; what it does then is another matter.
        Some((Blow::Fail, place)) => &life.passed[..=place],
        _ => &life.passed,
    };
    for point in passed.iter().filter(|point| point.name == "store.commit") {
        let done = point.phase == Phase::After && !failed(point);
        for call in ids(point, "started") {
            calls.begun.insert(call.into());
            if done {
                calls.left.insert(call.into());
            }
        }
        for call in ids(point, "result") {
            // From here on it may be on disk, so that it is not certain any more to be unknown.
            calls.left.remove(call);
            if done {
                calls.begun.remove(call);
            }
        }
    }
    calls
}

/// The texts, as digests, that a process may have sent without having marked them on disk when it
/// was killed, or whose sending it was told had failed.
fn open_sends(life: &Life) -> Vec<String> {
    let Some(struck_at) = life.struck_at() else { return Vec::new() };
    if !life.is_killed() {
        let lost = send(struck_at, Phase::After);
        return lost.map(|(_, text)| text.to_owned()).into_iter().collect();
    }
    let mut open: Vec<(&str, &str)> = Vec::new();
    for point in &life.passed {
        // A process that dies before it sends has sent nothing.
        if let Some(entry) = send(point, Phase::Before).filter(|_| point != struck_at) {
            open.push(entry);
        }
        if is(point, "store.commit", Phase::After) && !failed(point) {
            let marked: Vec<_> = ids(point, "sent").collect();
            open.retain(|(key, _)| !marked.contains(key));
        }
    }
    open.into_iter().map(|(_, text)| text.to_owned()).collect()
}

/// From the end of each sending to the end of the commit of its mark.
fn widths(passed: &[Passed]) -> Vec<Duration> {
    let mut sent: HashMap<&str, Duration> = HashMap::new();
    let mut widths = Vec::new();
    for point in passed {
        if let Some((key, _)) = send(point, Phase::After) {
            sent.insert(key, point.at);
        }
        if is(point, "store.commit", Phase::After) {
            let ends = ids(point, "sent").filter_map(|key| sent.remove(key));
            widths.extend(ends.map(|at| point.at.saturating_sub(at)));
        }
    }
    widths
}

/// Key and text of a sending, when the point is one in this phase.
fn send(point: &Passed, phase: Phase) -> Option<(&str, &str)> {
    let words: Vec<_> = point.detail.split(' ').collect();
    match words[..] {
        ["send", key, _chat, text] if is(point, "channel.deliver", phase) => Some((key, text)),
        _ => None,
    }
}

fn is(point: &Passed, name: &str, phase: Phase) -> bool {
    point.name == name && point.phase == phase
}

fn failed(point: &Passed) -> bool {
    point.detail.ends_with(" failed")
}

fn ids<'a>(point: &'a Passed, what: &'a str) -> impl Iterator<Item = &'a str> {
    let words = point.detail.split(' ');
    words
        .filter_map(move |word| word.split_once('=').filter(|(name, _)| *name == what))
        .map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use claw_testkit::telegram::Sent;

    use super::*;
    use crate::talk::{ADA, Line};

    fn point(name: &str, phase: Phase, detail: &str) -> Passed {
        let (at, occurrence) = (Duration::ZERO, 1);
        Passed { at, name: name.into(), phase, occurrence, detail: detail.into() }
    }

    fn deliver(phase: Phase, text: &str) -> Passed {
        point("channel.deliver", phase, &format!("send key {ADA} {}", digest(text)))
    }

    fn commit(phase: Phase, detail: &str) -> Passed {
        point("store.commit", phase, detail)
    }

    /// One question with these answers, of which these texts were sent by a process that passed
    /// this and was killed then.
    fn story(answers: &[&str], sent: &[&str], passed: Vec<Passed>) -> Story {
        let answers = answers.iter().map(|&text| text.to_owned()).collect();
        let sent = sent.iter().map(|&text| Sent {
            chat_id: ADA,
            message_id: 1,
            text: text.into(),
            shown: text.into(),
            parse_mode: None,
            reply_to: None,
            thread_id: None,
            silent: false,
            at_us: 0,
        });
        let struck = passed.len().checked_sub(1).map(|last| (Blow::Kill, last));
        Story {
            spots: Vec::new(),
            lives: vec![Life { passed, struck }],
            said: vec![Line { chat: ADA, text: "question-x".into(), answers, calls: &[] }],
            sent: sent.collect(),
            asked: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Lost, doubled, doubled in the window, and what is wrong.
    type Figures = (usize, usize, usize, usize);

    #[track_caller]
    fn check(story: &Story, expected: Figures) {
        let verdict = judge(story);
        let Verdict { lost, doubled, doubles, faults, .. } = verdict;
        assert_eq!((lost, doubled, doubles.len(), faults.len()), expected, "{faults:?}");
    }

    #[test]
    fn answers_once_and_in_order_are_right_and_all_else_is_not() {
        check(&story(&["a", "b"], &["a", "b"], vec![]), (0, 0, 0, 0));
        check(&story(&["a", "b"], &["b", "a"], vec![]), (0, 0, 0, 1));
        check(&story(&["a", "b"], &["a"], vec![]), (1, 0, 0, 1));
        check(&story(&["a", "b"], &["a", "a", "b"], vec![]), (0, 1, 0, 1));
        check(&story(&["a", "b"], &["a", "b", "a"], vec![]), (0, 0, 0, 1));
    }

    #[test]
    fn a_double_is_in_the_window_between_its_own_sending_and_its_mark_alone() {
        let twice = |passed| story(&["a", "b"], &["a", "a", "b"], passed);
        let (before, after) = (Phase::Before, Phase::After);
        let sent = || vec![deliver(before, "a"), deliver(after, "a")];
        let with = |points: Vec<Passed>| [sent(), points].concat();
        check(&twice(sent()), (0, 0, 1, 0));
        check(&twice(with(vec![commit(before, "deliverSent sent=key")])), (0, 0, 1, 0));
        let failed = commit(after, "deliverSent sent=key failed");
        check(&twice(with(vec![failed])), (0, 0, 1, 0));
        // Marked, another part's window, and killed before it was sent.
        let marked = with(vec![commit(after, "deliverSent sent=key")]);
        check(&twice(marked), (0, 1, 0, 1));
        check(&twice(vec![deliver(before, "b"), deliver(after, "b")]), (0, 1, 0, 1));
        check(&twice(vec![deliver(before, "a")]), (0, 1, 0, 1));
        let thrice = story(&["a"], &["a", "a", "a"], sent());
        check(&thrice, (0, 1, 1, 1));
    }

    #[test]
    fn a_call_runs_once_and_what_a_death_left_open_is_told() {
        let ran = || point("tool.run", Phase::Before, "exec call");
        let started = || commit(Phase::After, "toolStarted started=call");
        let recorded = commit(Phase::After, "toolResult result=call");
        let answered = |passed| story(&["a"], &["a"], passed);
        check(&answered(vec![started(), ran(), recorded]), (0, 0, 0, 0));
        check(&answered(vec![ran(), ran()]), (0, 0, 0, 1));
        check(&answered(vec![started(), ran()]), (0, 0, 0, 1));
    }
}
