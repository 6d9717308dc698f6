//! What a fake writes down, for tests to read and wait for.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

/// Longest wait for something to appear in a book; far above any honest run, so that only a
/// hang reaches it.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// An append-only list that keeps its newest `entries_max` entries and counts them all.
#[derive(Debug)]
pub(crate) struct Book<T> {
    entries: Mutex<Entries<T>>,
    total: watch::Sender<usize>,
    entries_max: usize,
}

#[derive(Debug)]
struct Entries<T> {
    kept: VecDeque<T>,
    forgotten: usize,
}

impl<T: Clone + Debug> Book<T> {
    pub(crate) fn new(entries_max: usize) -> Self {
        let entries = Mutex::new(Entries { kept: VecDeque::new(), forgotten: 0 });
        Self { entries, total: watch::Sender::new(0), entries_max }
    }

    /// Writes `entry` down; beyond `entries_max` the oldest is forgotten.
    pub(crate) fn write(&self, entry: T) {
        let total = {
            let mut entries = lock(&self.entries);
            entries.kept.push_back(entry);
            if entries.kept.len() > self.entries_max {
                entries.kept.pop_front();
                entries.forgotten += 1;
            }
            entries.forgotten + entries.kept.len()
        };
        // Two writers may arrive here out of order; the count never goes back.
        self.total.send_if_modified(|seen| {
            let newer = total > *seen;
            *seen = total.max(*seen);
            newer
        });
    }

    /// Everything kept, oldest first.
    pub(crate) fn all(&self) -> Vec<T> {
        lock(&self.entries).kept.iter().cloned().collect()
    }

    /// What is kept of the entries numbered `since` (from 0) and up.
    pub(crate) fn since(&self, since: usize) -> Vec<T> {
        let entries = lock(&self.entries);
        entries.kept.iter().skip(since.saturating_sub(entries.forgotten)).cloned().collect()
    }

    /// How many entries were ever written.
    pub(crate) fn total(&self) -> usize {
        *self.total.borrow()
    }

    /// Waits until `count` entries were written, then returns everything kept.
    ///
    /// # Panics
    /// When that takes longer than [`WAIT_MAX`]; the message shows the book.
    pub(crate) async fn wait_for(&self, count: usize, what: &str) -> Vec<T> {
        let mut total = self.total.subscribe();
        let reached = total.wait_for(|total| *total >= count);
        if tokio::time::timeout(WAIT_MAX, reached).await.is_err() {
            self.give_up(&format!("{count} {what}"));
        }
        self.all()
    }

    /// Waits until `enough` holds for what is kept, then returns it.
    ///
    /// # Panics
    /// As [`Book::wait_for`].
    pub(crate) async fn wait_until(&self, what: &str, enough: impl Fn(&[T]) -> bool) -> Vec<T> {
        let mut total = self.total.subscribe();
        let seen = async {
            loop {
                let all = self.all();
                // The sender lives as long as the book, so the wait itself cannot fail.
                if enough(&all) || total.changed().await.is_err() {
                    return all;
                }
            }
        };
        let seen = tokio::time::timeout(WAIT_MAX, seen).await;
        seen.unwrap_or_else(|_| self.give_up(what))
    }

    fn give_up(&self, what: &str) -> ! {
        panic!("waited in vain for {what}; the book has {}: {:#?}", self.total(), self.all())
    }
}

/// Locks `mutex`, also after a panic elsewhere: a failing test should report its own failure.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Microseconds since the Unix epoch, comparable between processes of one machine.
pub(crate) fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_book_forgets_the_oldest_and_still_counts() {
        let book = Book::new(2);
        for entry in ["a", "b", "c"] {
            book.write(entry);
        }
        assert_eq!(book.all(), ["b", "c"]);
        assert_eq!(book.total(), 3);
        assert_eq!(book.since(2), ["c"]);
        assert_eq!(book.since(0), ["b", "c"]);
    }

    #[tokio::test]
    async fn a_waiter_wakes_when_the_entry_is_written() {
        let book = Book::new(10);
        let (seen, ()) = tokio::join!(book.wait_for(1, "entries"), async { book.write(7) });
        assert_eq!(seen, [7]);
    }
}
