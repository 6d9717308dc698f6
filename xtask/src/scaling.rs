//! What one PostgreSQL server carries with one, two and three gateways, and what more servers would.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use anyhow::{Context, Result};
use claw_testkit::{FakeAnthropic, FakeTelegram, PgServer};
use serde_json::json;

use crate::bench::{self, BURST, CHATS, Gateway};

/// Marks in docs/scaling.md between which the tables stand.
const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- /measured -->";

/// Runs of each number of gateways; the middle one counts.
const RUNS: usize = 3;

/// Measures, prints, and writes the tables of `docs/scaling.md`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let binary = bench::build(root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table =
        "| gateways | messages per second | lost | doubled |\n|---|---|---|---|\n".to_owned();
    let mut alone = 0.0;
    for gateways in 1..=3 {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(runtime.block_on(measure(&binary, gateways))?);
        }
        runs.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
        let (lost, doubled) =
            runs.iter().fold((0, 0), |sum, run| (sum.0 + run.lost, sum.1 + run.doubled));
        let per_s = runs[RUNS / 2].per_s;
        if gateways == 1 {
            alone = per_s;
        }
        table.push_str(&format!("| {gateways} | {per_s:.0} | {lost} | {doubled} |\n"));
    }
    table.push_str(&format!(
        "\n{RUNS} runs of {BURST} messages from {CHATS} chats each, the middle one; {}. The server, the gateways and the fakes of both vendors share these cores.\n",
        bench::machine()
    ));
    table.push_str(&partitioned(alone));
    println!("{table}");
    let page = root.join("docs/scaling.md");
    let text = fs::read_to_string(&page)?;
    let at = text.find(BEGIN).context("no mark")? + BEGIN.len();
    let until = text[at..].find(END).context("no end mark")? + at;
    fs::write(&page, format!("{}\n{table}\n{}", &text[..at], &text[until..]))?;
    Ok(())
}

async fn measure(binary: &Path, gateways: usize) -> Result<bench::Burst> {
    claw_testkit::init();
    let server = PgServer::start().await.context("no PostgreSQL on this machine")?;
    let telegram = FakeTelegram::start().await;
    let model = FakeAnthropic::start().await;
    let mut running = Vec::new();
    for _ in 0..gateways {
        let home = tempfile::tempdir()?;
        let port = bench::free_port()?;
        let mut config = bench::config(&telegram, &model, port);
        config["store"] = json!({ "url": server.url("postgres") });
        fs::write(home.path().join("config.json"), config.to_string())?;
        let gateway = Gateway::start(binary, home.path())?;
        gateway.ready(port).await?;
        running.push((gateway, home));
    }
    eprintln!("{gateways} gateways: {BURST} messages");
    let burst = bench::burst(&telegram, &running[0].0).await?;
    for (gateway, _home) in running {
        gateway.end()?;
    }
    Ok(burst)
}

/// Commits that one message takes: received, begun, ended, its reply claimed, its reply marked.
const COMMITS: u32 = 5;

/// Sessions that write in the simulation.
const SESSIONS: u32 = 10_000;

/// Messages in the simulation.
const MESSAGES: u32 = 200_000;

/// Most commits that one transaction takes (stores/postgres).
const GROUP_MAX: usize = 256;

/// Lanes divided over several servers, each with its own lock and log: a session, with its inbox and
/// outbox rows and its events, is always on the same one, chosen by its key's hash.
///
/// The time of a transaction is a flush and so much for each commit in it; the second is set so that
/// one server carries what was measured, and the first is what one commit costs alone.
fn partitioned(measured_per_s: f64) -> String {
    let flush_us = 1_000.0;
    let commit_us = 1e6 / (measured_per_s * f64::from(COMMITS)) - flush_us / GROUP_MAX as f64;
    let mut table = format!(
        "\nSimulated from the first row (a transaction is {:.1} ms and {:.2} ms for each commit in it; {MESSAGES} messages of {SESSIONS} sessions, {COMMITS} commits each, all there at once):\n\n| servers | messages per second | busiest server's share |\n|---|---|---|\n",
        flush_us / 1e3,
        commit_us / 1e3
    );
    for servers in [1, 2, 4, 8, 16] {
        let (per_s, share) = simulate(servers, flush_us, commit_us);
        table.push_str(&format!("| {servers} | {per_s:.0} | {:.1} % |\n", share * 100.0));
    }
    table
}

/// Runs the messages through; messages per second, and the busiest server's share of them.
fn simulate(servers: usize, flush_us: f64, commit_us: f64) -> (f64, f64) {
    // What waits at each server: commits that each message still needs.
    let mut waiting: Vec<Vec<u32>> = vec![Vec::new(); servers];
    let mut messages = vec![0_u32; servers];
    for message in 0..MESSAGES {
        let mut hasher = DefaultHasher::new();
        (message % SESSIONS).hash(&mut hasher);
        let server = usize::try_from(hasher.finish() % servers as u64).unwrap_or(0);
        waiting[server].push(COMMITS);
        messages[server] += 1;
    }
    // Each server works for itself; the event that comes next in time is looked at next.
    let mut events: BinaryHeap<Reverse<(u64, usize)>> =
        (0..servers).map(|server| Reverse((0, server))).collect();
    let mut end = 0;
    while let Some(Reverse((now, server))) = events.pop() {
        end = end.max(now);
        let queue = &mut waiting[server];
        if queue.is_empty() {
            continue;
        }
        let group: Vec<u32> = queue.drain(..queue.len().min(GROUP_MAX)).collect();
        let took = flush_us + commit_us * group.len() as f64;
        queue.extend(group.into_iter().map(|left| left - 1).filter(|left| *left > 0));
        events.push(Reverse((now + took as u64, server)));
    }
    let busiest = messages.into_iter().max().unwrap_or(0);
    (f64::from(MESSAGES) / (end as f64 / 1e6), f64::from(busiest) / f64::from(MESSAGES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_carries_what_was_measured_and_more_carry_more() {
        let commit_us = 1e6 / (1_000.0 * f64::from(COMMITS)) - 1_000.0 / GROUP_MAX as f64;
        let (one, share) = simulate(1, 1_000.0, commit_us);
        assert!((one - 1_000.0).abs() < 50.0, "{one}");
        assert!((share - 1.0).abs() < f64::EPSILON);
        let (four, _) = simulate(4, 1_000.0, commit_us);
        assert!(four > 3.0 * one, "{four}");
    }
}
