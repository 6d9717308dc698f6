//! Heavy use for a long time on a small disk: with retention the file stops growing. The normal run
//! is two months of light use; with `CLAW_SOAK=1` it is a year of 300 messages a day, twice.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use claw_domain::millis;
use claw_store::Store;
use claw_store_sqlite::Sqlite;
use support::{NOW, gateway::Gateway};
use tempfile::TempDir;

const DAY_MS: i64 = 24 * 3_600_000;

/// Chats that write in turn. Each begins a new life every day.
const CHATS: usize = 8;
struct Use {
    days: i64,
    messages_a_day: usize,
    retention_days: i64,
}

#[tokio::test]
async fn a_file_stops_growing_once_the_retention_has_passed() {
    if std::env::var("CLAW_SOAK").is_ok_and(|value| value == "1") {
        // In memory, where there is such a place: it is the size that is measured, not the disk.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => TempDir::new_in(memory).unwrap(),
            false => TempDir::new().unwrap(),
        };
        for retention_days in [90, 365] {
            let path = folder.path().join(format!("{retention_days}.sqlite"));
            let year = Use { days: 365, messages_a_day: 300, retention_days };
            tell(&year, &live(&path, &year).await);
        }
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let months = Use { days: 45, messages_a_day: 3, retention_days: 30 };
    let lived = live(&path, &months).await;
    let (at_retention, at_end) = (lived.sizes[31], *lived.sizes.last().unwrap());
    assert!(at_end <= at_retention * 6 / 5, "{at_retention} bytes grew to {at_end}");
    assert!(lived.messages_kept <= 31 * 3, "{} messages are kept", lived.messages_kept);
}

/// What was measured.
struct Lived {
    /// The size of the file at the end of each day. Unit: bytes.
    sizes: Vec<u64>,
    messages_kept: u64,
    events_kept: u64,
    /// The longest that other commits waited for a step of folding.
    longest_step: Duration,
}

fn tell(year: &Use, lived: &Lived) {
    let of = format!("retention {} days", year.retention_days);
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    for day in [90, 180, 365] {
        println!("figure: {of}: file after {day} days = {}", mb(lived.sizes[day - 1]));
    }
    println!("figure: {of}: events in the log at the end = {}", lived.events_kept);
    println!(
        "figure: {of}: longest step of folding = {:.1} ms",
        lived.longest_step.as_secs_f64() * 1e3
    );
}

/// Lives through it day by day, folding at the end of each, and checks the log at the end.
async fn live(path: &Path, plan: &Use) -> Lived {
    let store = Sqlite::open(path).await.unwrap();
    let mut gateway = Gateway::on(store).await;
    let (mut sizes, mut longest_step) = (Vec::new(), Duration::ZERO);
    for day in 0..plan.days {
        for number in 0..plan.messages_a_day {
            let ms = DAY_MS * i64::try_from(number).unwrap()
                / i64::try_from(plan.messages_a_day).unwrap();
            gateway.now = millis(NOW + day * DAY_MS + ms);
            gateway.answer(number % CHATS, number < CHATS).await;
        }
        let before = millis(NOW + (day + 1 - plan.retention_days) * DAY_MS);
        loop {
            let began = Instant::now();
            let step = gateway.store.fold(&gateway.fence, before, 100).await.unwrap();
            longest_step = longest_step.max(began.elapsed());
            if !step.more {
                break;
            }
        }
        sizes.push(size(path));
    }
    let report = claw_log::verify(&gateway.store).await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.differences);
    let filter = claw_store::RowFilter { states: Vec::new(), limit: usize::MAX };
    let messages_kept = gateway.store.inbox(&filter).await.unwrap().len() as u64;
    gateway.store.close().await.unwrap();
    Lived { sizes, messages_kept, events_kept: report.events, longest_step }
}

/// The file with its write-ahead log.
fn size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path.to_owned(), PathBuf::from(log)].iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}
