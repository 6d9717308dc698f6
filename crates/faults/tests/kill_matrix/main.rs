//! Strikes a real gateway at every point that a conversation passes, and reads in the books of the
//! fakes whether anything was lost or doubled.
//!
//! One test kills the process and starts it again; the other lets the call fail, before it was made
//! or though it was, and goes on. The normal run takes a sample that holds every kind of point (see
//! `choice`); with `CLAW_SOAK=1` it is every point each time that it is passed.

mod choice;
mod judge;
mod report;
mod talk;
mod world;

use choice::{Extent, Spot, failures, pairs, spots};
use claw_faults::Passed;
use futures_util::{StreamExt, stream};
use judge::judge;
use report::Report;
use world::{Story, tell};

/// Conversations at one time, more than processors, since each waits a good deal.
const AT_ONCE: usize = 3;

/// The same for conversations with failures, which wait for a second try.
const FAILING_AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_a_gateway_loses_nothing_and_doubles_only_in_the_window() {
    let is_soak = std::env::var("CLAW_SOAK").is_ok_and(|value| value == "1");
    let extent = if is_soak { Extent::All } else { Extent::Sample };
    let mut report = Report::default();
    let passed = undisturbed(&mut report).await;

    let singles = spots(&passed, extent);
    println!("{} points are passed, {} runs with a kill follow", passed.len(), singles.len());
    let all = singles.iter().map(|spot| vec![spot.clone()]).collect();
    let killed = strike_all(all, AT_ONCE, &mut report).await;

    let doubles: Vec<_> = pairs(&killed, extent).into_iter().map(Vec::from).collect();
    println!("{} runs with a second kill follow", doubles.len());
    strike_all(doubles, AT_ONCE, &mut report).await;

    println!("{report}\n{}", report.figures("processes killed"));
    report.demand(&singles);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_any_call_fails_once_a_gateway_tries_again_and_doubles_only_what_it_cannot_know() {
    let mut report = Report::default();
    let passed = undisturbed(&mut report).await;
    let spots = failures(&passed);
    let all = spots.iter().map(|spot| vec![spot.clone()]).collect();
    strike_all(all, FAILING_AT_ONCE, &mut report).await;
    println!("{report}");
    report.demand(&spots);
}

/// What a process passes when nothing happens to it.
async fn undisturbed(report: &mut Report) -> Vec<Passed> {
    claw_testkit::init();
    let story = tell(&[]).await.unwrap_or_else(|why| panic!("undisturbed: {why}"));
    report.add(&story, judge(&story));
    report.demand(&[]);
    story.lives[0].passed.clone()
}

/// Has a conversation for each list of points. Gives back, for those whose first process was
/// struck, what its successor passed.
async fn strike_all(
    all: Vec<Vec<Spot>>,
    at_once: usize,
    report: &mut Report,
) -> Vec<(Spot, Vec<Passed>)> {
    let told = |spots: Vec<Spot>| async move {
        let story = tell(&spots).await;
        (spots, story)
    };
    let mut stories = stream::iter(all).map(told).buffer_unordered(at_once);
    let mut successors = Vec::new();
    while let Some((spots, story)) = stories.next().await {
        match story {
            Ok(story) => {
                report.add(&story, judge(&story));
                successors.extend(successor(story));
            }
            Err(why) => report.failed(&spots, &why),
        }
        if let Some(progress) = report.progress() {
            println!("{progress}");
        }
    }
    successors
}

fn successor(mut story: Story) -> Option<(Spot, Vec<Passed>)> {
    let is_struck = story.lives.first()?.struck.is_some() && story.lives.len() > 1;
    is_struck.then(|| (story.spots.swap_remove(0), story.lives.swap_remove(1).passed))
}
