//! What happens at a point that a call passes.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// On which side of a call a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing of the call was done.
    Before,
    /// All of the call was done; its caller does not know yet.
    After,
}

impl Phase {
    /// As plans and traces write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }

    /// The phase of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Before, Self::After].into_iter().find(|phase| phase.word() == word)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A point as a plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point<'a> {
    /// Trait and method: `store.commit`.
    pub name: &'static str,
    /// Before or after the call.
    pub phase: Phase,
    /// How often name and phase were passed, this time included: from 1.
    pub occurrence: u64,
    /// What the call was about; its first word says of which kind it is. Holds ids, never texts.
    pub detail: &'a str,
}

impl Point<'_> {
    /// The first word of the detail.
    pub fn kind(&self) -> &str {
        self.detail.split(' ').next().unwrap_or_default()
    }
}

/// What is done at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    GoOn,
    /// The call fails: before it without having been made, after it though all of it was done.
    /// Where a method has no error it goes on.
    Fail,
    /// The process dies as by `kill -9`: no destructor, no flush, no unwinding.
    Kill,
    /// The call waits this long. Where a method is not async it goes on at once.
    Delay(Duration),
}

/// Decides what happens at each point.
pub trait Plan: Send + Sync {
    /// Called once for every point that is passed, by whichever thread passes it.
    fn decide(&self, point: &Point<'_>) -> Action;
}

impl<F: Fn(&Point<'_>) -> Action + Send + Sync> Plan for F {
    fn decide(&self, point: &Point<'_>) -> Action {
        self(point)
    }
}

/// The points of one process or one simulated life: a plan, and how often each point was passed.
/// Clones are the same points.
#[derive(Clone)]
pub struct Points(Arc<Inner>);

struct Inner {
    plan: Box<dyn Plan>,
    passed: Mutex<HashMap<(&'static str, Phase), u64>>,
}

impl Points {
    /// Points at which `plan` decides.
    pub fn new(plan: impl Plan + 'static) -> Self {
        Self(Arc::new(Inner { plan: Box::new(plan), passed: Mutex::default() }))
    }

    /// Counts the point and gives what the plan says. [`Action::Kill`] is done here and does not
    /// come back.
    pub fn pass(&self, name: &'static str, phase: Phase, detail: &str) -> Action {
        let occurrence = {
            let mut passed = self.0.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passed.entry((name, phase)).or_default();
            *count += 1;
            *count
        };
        match self.0.plan.decide(&Point { name, phase, occurrence, detail }) {
            Action::Kill => die(),
            other => other,
        }
    }

    /// How often a point was passed so far.
    pub fn passed(&self, name: &'static str, phase: Phase) -> u64 {
        let passed = self.0.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.get(&(name, phase)).copied().unwrap_or(0)
    }

    /// Passes a point and waits as long as the plan says; whether the call fails here.
    pub(crate) async fn fails(&self, name: &'static str, phase: Phase, detail: &str) -> bool {
        match self.pass(name, phase, detail) {
            Action::Fail => true,
            Action::Delay(wait) => {
                tokio::time::sleep(wait).await;
                false
            }
            Action::GoOn | Action::Kill => false,
        }
    }

    /// Makes a call between its two points. A call that failed by itself says so in the detail of
    /// its second point.
    pub(crate) async fn around<T, E>(
        &self,
        name: &'static str,
        mut detail: String,
        failure: fn(Phase) -> E,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if self.fails(name, Phase::Before, &detail).await {
            return Err(failure(Phase::Before));
        }
        let answer = call.await;
        if answer.is_err() {
            detail.push_str(" failed");
        }
        if self.fails(name, Phase::After, &detail).await {
            return Err(failure(Phase::After));
        }
        answer
    }

    /// Makes a call that cannot wait or fail between its two points.
    pub(crate) fn around_now<T>(
        &self,
        name: &'static str,
        detail: &str,
        call: impl FnOnce() -> T,
    ) -> T {
        self.pass(name, Phase::Before, detail);
        let answer = call();
        self.pass(name, Phase::After, detail);
        answer
    }
}

fn die() -> ! {
    // It cannot fail: the process exists and may signal itself.
    let _sent = kill(Pid::this(), Signal::SIGKILL);
    // The kernel ends every thread; this one must do nothing more until then.
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_at(phase: Phase) -> Points {
        Points::new(
            move |point: &Point<'_>| {
                if point.phase == phase { Action::Fail } else { Action::GoOn }
            },
        )
    }

    async fn call(points: &Points, done: &mut bool) -> Result<u32, &'static str> {
        let failure = |phase: Phase| phase.word();
        points
            .around("test.call", "detail".into(), failure, async {
                *done = true;
                Ok(7)
            })
            .await
    }

    #[tokio::test]
    async fn a_call_that_fails_before_is_not_made() {
        let mut done = false;
        assert_eq!(call(&failing_at(Phase::Before), &mut done).await, Err("before"));
        assert!(!done);
    }

    #[tokio::test]
    async fn a_call_that_fails_after_is_made_and_its_caller_told_otherwise() {
        let mut done = false;
        assert_eq!(call(&failing_at(Phase::After), &mut done).await, Err("after"));
        assert!(done);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_call_waits_in_the_runtimes_time() {
        let points = Points::new(|_: &Point<'_>| Action::Delay(Duration::from_secs(60)));
        let began = tokio::time::Instant::now();
        assert_eq!(call(&points, &mut false).await, Ok(7));
        assert_eq!(began.elapsed(), Duration::from_secs(120));
    }

    #[tokio::test]
    async fn a_point_knows_how_often_it_was_passed_and_whether_the_call_failed() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let points = Points::new({
            let seen = Arc::clone(&seen);
            move |point: &Point<'_>| {
                let line = format!("{} {} {}", point.phase, point.occurrence, point.detail);
                seen.lock().unwrap().push(line);
                Action::GoOn
            }
        });
        for answer in [Ok(()), Err(())] {
            let call = async { answer };
            let _answer = points.around("test.call", "kind id".into(), |_| (), call).await;
        }
        assert_eq!(
            *seen.lock().unwrap(),
            ["before 1 kind id", "after 1 kind id", "before 2 kind id", "after 2 kind id failed"]
        );
        assert_eq!(points.passed("test.call", Phase::Before), 2);
    }
}
