//! Kills a real gateway at every point that a conversation passes, starts it again, and reads in
//! the books of the fakes whether anything was lost or doubled.
//!
//! The normal run takes a sample that holds every kind of point (see `choice`); with `CLAW_SOAK=1`
//! it is every point each time that it is passed.

mod choice;
mod judge;
mod report;
mod talk;
mod world;

use choice::{Extent, Spot, pairs, spots};
use claw_faults::Passed;
use futures_util::{StreamExt, stream};
use judge::judge;
use report::Report;
use world::{Story, tell};

/// Conversations at one time: more than processors, since each waits a good deal.
const AT_ONCE: usize = 3;

/// From how many conversations to the next a word of progress is printed.
const PROGRESS_EVERY: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_a_gateway_loses_nothing_and_doubles_only_in_the_window() {
    claw_testkit::init();
    let is_soak = std::env::var("CLAW_SOAK").is_ok_and(|value| value == "1");
    let extent = if is_soak { Extent::All } else { Extent::Sample };
    let mut report = Report::default();

    let whole = tell(&[]).await.unwrap_or_else(|why| panic!("without a kill: {why}"));
    let passed = whole.lives[0].passed.clone();
    report.add(&whole, judge(&whole));
    assert_eq!(report.faults, Vec::<String>::new(), "without a kill");

    let singles: Vec<Vec<Spot>> =
        spots(&passed, extent).into_iter().map(|spot| vec![spot]).collect();
    println!("{} points are passed, {} runs with a kill follow", passed.len(), singles.len());
    let killed = kill_all(singles, &mut report).await;

    let doubles = pairs(&killed, extent).into_iter().map(Vec::from).collect::<Vec<_>>();
    println!("{} runs with a second kill follow", doubles.len());
    kill_all(doubles, &mut report).await;

    println!("{report}");
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}

/// Has a conversation for each list of points. Gives back, for those whose first process was
/// killed, what its successor passed.
async fn kill_all(all: Vec<Vec<Spot>>, report: &mut Report) -> Vec<(Spot, Vec<Passed>)> {
    let told = |spots: Vec<Spot>| async move {
        let story = tell(&spots).await;
        (spots, story)
    };
    let mut stories = stream::iter(all).map(told).buffer_unordered(AT_ONCE);
    let mut successors = Vec::new();
    while let Some((spots, story)) = stories.next().await {
        match story {
            Ok(story) => {
                report.add(&story, judge(&story));
                successors.extend(successor(story));
            }
            Err(why) => report.failed(&format!("{spots:?}"), &why),
        }
        if report.conversations() % PROGRESS_EVERY == 0 {
            println!(
                "{} conversations, {} kills, {} faults",
                report.conversations(),
                report.kills(),
                report.faults.len()
            );
        }
    }
    successors
}

fn successor(mut story: Story) -> Option<(Spot, Vec<Passed>)> {
    let is_killed = story.lives.first()?.killed;
    (is_killed && story.lives.len() > 1)
        .then(|| (story.spots.swap_remove(0), story.lives.swap_remove(1).passed))
}
