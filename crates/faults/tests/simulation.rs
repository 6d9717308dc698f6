//! Thousands of made-up histories: people write, everything fails, processes die, and at the end
//! every message was answered once and in order, or its sender was told why not.
//!
//! A history is a function of its seed. `SIM_HISTORIES` says how many are played, from the seed
//! `SIM_FIRST` on; `SIM_SEED` plays one and prints its book. One in a hundred is played over SQLite,
//! the others over memory; in one of three, several gateways share the store.

mod sim;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use claw_domain::EntryBody;
use sim::{
    book::Book,
    history::{on_disk, play},
    judge::judge,
    platform::{Again, Arrival},
    story::{Ills, Story},
};

/// Enough for some fifteen seconds without optimization on two cores.
const HISTORIES: u64 = 1_000;

/// How many are played with `CLAW_SOAK=1`: some quarter of an hour.
const HISTORIES_SOAK: u64 = 50_000;

/// Histories are played by so many threads; each has a runtime of its own.
const THREADS: usize = 2;

/// How many histories are told when they went wrong.
const TOLD_MAX: usize = 10;

#[test]
fn whatever_fails_every_message_is_answered_once_and_in_order_or_its_sender_told() {
    if let Some(seed) = number("SIM_SEED") {
        let book = play(Story::of(seed));
        println!("{:#?}\n{}", book.story, book.tell());
        let wrong = judge(&book);
        assert!(wrong.is_empty(), "{}", told(seed, &wrong));
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let usual = if number("CLAW_SOAK") == Some(1) { HISTORIES_SOAK } else { HISTORIES };
    let end = first + number("SIM_HISTORIES").unwrap_or(usual);
    let sums = Sums::default();
    let began = Instant::now();
    let next = AtomicU64::new(first);
    thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    sums.add(&play(Story::of(seed)));
                }
            });
        }
    });
    let per_minute = (end - first) as f64 / began.elapsed().as_secs_f64() * 60.0;
    println!("figure: histories = {}", end - first);
    println!("figure: histories per minute = {per_minute:.0}");
    sums.tell();
    let wrong = sums.wrong.into_inner().expect("no thread panicked");
    let count = wrong.len();
    let told: Vec<String> = wrong.into_iter().take(TOLD_MAX).collect();
    assert!(told.is_empty(), "{count} histories went wrong\n{}", told.join("\n"));
}

/// Seeds that are played twice. Histories over SQLite, which has threads, may differ.
const TWICE: std::ops::Range<u64> = 0..100;

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in TWICE.filter(|seed| !on_disk(*seed)) {
        let (one, other) = (play(Story::of(seed)), play(Story::of(seed)));
        assert_eq!(one.tell(), other.tell(), "seed {seed}");
    }
}

/// A history in which several messages of one chat are answered, with deeds and without failures.
fn peaceful() -> Book {
    let is_rich = |book: &Book| book.deeds.len() > 1 && book.platform.arrivals.len() > 4;
    let mut books = (0..).map(|seed| play(Story { ills: Ills::NONE, ..Story::of(seed) }));
    books.find(is_rich).expect("there are endless seeds")
}

#[test]
fn the_judge_finds_whatever_is_done_to_a_right_history() {
    let right = peaceful();
    assert_eq!(judge(&right), Vec::<String>::new());
    let check = |complaint: &str, wrong: fn(&mut Book)| {
        let mut book = right.clone();
        wrong(&mut book);
        let found = judge(&book);
        assert!(found.iter().any(|line| line.contains(complaint)), "{complaint}: {found:?}");
    };
    check("was lost", |book| book.acts[0].row = None);
    check("is sent without reason", |book| drop(book.platform.arrivals.remove(0)));
    check("nobody had queued it", |book| book.platform.arrivals[0].key = "another".into());
    check("arrived again", |book| book.platform.arrivals[0].again = Again::Wrongly);
    check("was said twice", |book| {
        let second = Arrival { key: "another".into(), ..answer(book).clone() };
        book.platform.arrivals.push(second);
    });
    check("arrived after", |book| book.platform.arrivals.reverse());
    check("was answered with []", |book| book.acts.iter_mut().for_each(|act| act.parts.clear()));
    check("was carried out 2 times", |book| *book.deeds.values_mut().next().unwrap() += 1);
    check("is told as done and was not", |book| book.deeds.clear());
    check("on its path", |book| drop(book.conversations[0].path.pop()));
    check("has no result of", |book| {
        for conversation in &mut book.conversations {
            conversation.path.retain(|entry| !matches!(entry.body, EntryBody::ToolResult(_)));
            conversation.entries = conversation.path.len();
        }
    });
    check("the log says", |book| book.conversations[0].folded = None);
    check("ended 2 times", |book| {
        let kept = book.acts.iter_mut().find(|kept| !kept.endings.is_empty()).unwrap();
        kept.endings.push(kept.endings[0].clone());
    });
    check("its client was not told", |book| book.acts[0].was_told = false);
    check("was not heard", |book| book.unheard.push("the end of run x was not heard".into()));
    check("still open", |book| book.totals.inbox_open = 1);
}

/// The first arrival that answers a message of the model.
fn answer(book: &Book) -> &Arrival {
    let mut arrivals = book.platform.arrivals.iter();
    arrivals.find(|arrival| arrival.text.contains("[m")).expect("the history has answers")
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}` and not a number")))
}

fn told(seed: u64, wrong: &[String]) -> String {
    let lines: Vec<String> = wrong.iter().map(|line| format!("seed {seed}: {line}")).collect();
    format!(
        "{}\nSIM_SEED={seed} cargo test -p claw-faults --test simulation -- --nocapture",
        lines.join("\n")
    )
}

/// Sums over many histories.
#[derive(Default)]
struct Sums {
    sums: Mutex<[u64; FIGURES.len()]>,
    wrong: Mutex<Vec<String>>,
}

/// What is summed up over all histories, and how much of it a history has.
type Figure = (&'static str, fn(&Book) -> u64);

const FIGURES: [Figure; 15] = [
    ("over SQLite", |book| on_disk(book.story.seed).into()),
    ("with several gateways", |book| (book.story.gateways > 1).into()),
    ("messages in", |book| book.acts.len() as u64),
    ("parts sent", |book| book.platform.arrivals.len() as u64),
    ("lost", |book| book.lost() as u64),
    ("doubled", |book| book.again(Again::Wrongly) as u64),
    ("doubles in the window", |book| book.again(Again::InWindow) as u64),
    ("deaths", |book| book.counts.deaths),
    ("store failures", |book| book.counts.store_failures),
    ("failures of the network, the platform and the model", |book| book.counts.failures),
    ("gateways stopped for a while", |book| book.counts.stops),
    ("gateways cut off from the store", |book| book.counts.cuts),
    ("take-overs of the channel account", |book| book.counts.taken_over),
    ("commits fenced off", |book| book.counts.fenced),
    ("runs that were ended for a client", |book| book.told() as u64),
];

impl Sums {
    fn add(&self, book: &Book) {
        let figures = FIGURES.map(|(_, of)| of(book));
        let mut sums = self.sums.lock().expect("no thread panicked");
        sums.iter_mut().zip(figures).for_each(|(sum, more)| *sum += more);
        drop(sums);
        let wrong = judge(book);
        if !wrong.is_empty() {
            let told = format!("{}\n{}", told(book.story.seed, &wrong), book.tell());
            self.wrong.lock().expect("no thread panicked").push(told);
        }
    }

    /// Prints the figures, as those who keep them read them.
    fn tell(&self) {
        let sums = self.sums.lock().expect("no thread panicked");
        for ((what, _), sum) in FIGURES.iter().zip(*sums) {
            println!("figure: {what} = {sum}");
        }
    }
}
