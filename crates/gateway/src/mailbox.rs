//! What waits for one socket, and what happens when it waits too long.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use claw_protocol::close;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{limits::CALLS_MAX, locked};

/// How an event fares at a socket that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It must arrive: a socket that cannot take it is closed.
    Must,
    /// It may be dropped.
    May,
    /// Only the newest of its name counts: it replaces one that waits, and may be dropped.
    Newest(&'static str),
}

/// What a socket's task does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write this.
    Send(Utf8Bytes),
    /// Close with this code and reason.
    Close(u16, &'static str),
}

/// The bytes that wait for all sockets together.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) used: AtomicUsize,
    pub(crate) socket_max: usize,
    pub(crate) total_max: usize,
}

/// The frames that wait for one socket.
///
/// Responses are bounded by the number of calls that run at one time, events by bytes.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    bell: Notify,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    event_bytes: usize,
    /// Size of the frame that is being written, and whether it is an event.
    writing: Option<(usize, bool)>,
    /// Calls that run, and responses that wait.
    calls: usize,
    responses: usize,
    closing: Option<(u16, &'static str)>,
}

#[derive(Debug)]
struct Item {
    frame: Utf8Bytes,
    /// `None` for a response.
    patience: Option<Patience>,
}

impl Mailbox {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { state: Mutex::default(), bell: Notify::new(), budget }
    }

    /// Puts an event at the end, or closes the socket when it must arrive and there is no room.
    pub(crate) fn event(&self, frame: Utf8Bytes, patience: Patience) {
        let mut state = locked(&self.state);
        if state.closing.is_some() {
            return;
        }
        if let Patience::Newest(_) = patience {
            self.forget(&mut state, patience);
        }
        // What waits already counts, so that one large frame never closes a socket that keeps up.
        let lags = state.event_bytes > 0;
        let own = state.event_bytes > self.budget.socket_max;
        let all = self.budget.used.load(Ordering::Relaxed) > self.budget.total_max;
        if own || (lags && all) {
            if patience == Patience::Must {
                self.drop_all(&mut state);
                state.closing = Some((close::POLICY_VIOLATION, close::REASON_SLOW_CONSUMER));
            }
        } else {
            state.event_bytes += frame.len();
            self.budget.used.fetch_add(frame.len(), Ordering::Relaxed);
            state.queue.push_back(Item { frame, patience: Some(patience) });
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Notes that a call runs.
    pub(crate) fn call_began(&self) {
        locked(&self.state).calls += 1;
    }

    /// Notes that a call is over, or needs no more than waiting.
    pub(crate) fn call_ended(&self) {
        locked(&self.state).calls -= 1;
        self.bell.notify_one();
    }

    /// Puts a response at the end.
    pub(crate) fn response(&self, frame: Utf8Bytes) {
        let mut state = locked(&self.state);
        if state.closing.is_none() {
            self.budget.used.fetch_add(frame.len(), Ordering::Relaxed);
            state.responses += 1;
            state.queue.push_back(Item { frame, patience: None });
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Closes the socket once what waits was sent.
    pub(crate) fn close(&self, code: u16, reason: &'static str) {
        locked(&self.state).closing.get_or_insert((code, reason));
        self.bell.notify_one();
    }

    /// Whether so many calls run that nothing more may be read.
    pub(crate) fn is_busy(&self) -> bool {
        let state = locked(&self.state);
        state.calls + state.responses >= CALLS_MAX
    }

    /// What to do next. The frame handed out before counts as sent.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(crate) async fn next(&self) -> Step {
        loop {
            if let Some(step) = self.step() {
                return step;
            }
            self.bell.notified().await;
        }
    }

    /// Fires when the socket is to be closed without waiting for what it has not taken.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(crate) async fn overflowed(&self) {
        loop {
            let full = (close::POLICY_VIOLATION, close::REASON_SLOW_CONSUMER);
            if locked(&self.state).closing == Some(full) {
                return;
            }
            self.bell.notified().await;
        }
    }

    fn step(&self) -> Option<Step> {
        let mut state = locked(&self.state);
        self.written(&mut state);
        let Some(item) = state.queue.pop_front() else {
            return state.closing.map(|(code, reason)| Step::Close(code, reason));
        };
        let is_event = item.patience.is_some();
        state.responses -= usize::from(!is_event);
        state.writing = Some((item.frame.len(), is_event));
        Some(Step::Send(item.frame))
    }

    /// Takes the frame that was written out of the sums.
    fn written(&self, state: &mut State) {
        if let Some((bytes, is_event)) = state.writing.take() {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            if is_event {
                state.event_bytes -= bytes;
            }
        }
    }

    fn forget(&self, state: &mut State, patience: Patience) {
        let State { queue, event_bytes, .. } = state;
        queue.retain(|item| {
            let stays = item.patience != Some(patience);
            if !stays {
                *event_bytes -= item.frame.len();
                self.budget.used.fetch_sub(item.frame.len(), Ordering::Relaxed);
            }
            stays
        });
    }

    fn drop_all(&self, state: &mut State) {
        let bytes: usize = state.queue.drain(..).map(|item| item.frame.len()).sum();
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        let writing = state.writing.map_or(0, |(bytes, is_event)| if is_event { bytes } else { 0 });
        state.event_bytes = writing;
        state.responses = 0;
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *locked(&self.state));
        self.written(&mut state);
        self.drop_all(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(socket_max: usize, total_max: usize) -> Mailbox {
        Mailbox::new(Arc::new(Budget { used: AtomicUsize::new(0), socket_max, total_max }))
    }

    /// All steps up to now.
    fn steps(mailbox: &Mailbox) -> Vec<Step> {
        let closes = |step: &Step| matches!(step, Step::Close(..));
        let mut steps = Vec::new();
        while let Some(step) = mailbox.step() {
            let last = closes(&step);
            steps.push(step);
            if last {
                break;
            }
        }
        steps
    }

    fn send(frame: &'static str) -> Step {
        Step::Send(frame.into())
    }

    const SLOW: Step = Step::Close(1008, "slow consumer");

    #[test]
    fn what_may_be_dropped_is_dropped_and_what_must_arrive_closes() {
        let mailbox = mailbox(4, 100);
        mailbox.event("aaaaa".into(), Patience::Must);
        mailbox.event("b".into(), Patience::May);
        assert_eq!(steps(&mailbox), [send("aaaaa")]);
        mailbox.event("ccccc".into(), Patience::Must);
        mailbox.event("d".into(), Patience::Must);
        assert_eq!(steps(&mailbox), [SLOW]);
        assert_eq!(mailbox.budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn news_replace_what_was_not_sent_and_keep_their_place_in_the_sequence() {
        let mailbox = mailbox(100, 100);
        mailbox.event("health 1".into(), Patience::Newest("health"));
        mailbox.event("presence 2".into(), Patience::Newest("presence"));
        mailbox.event("chat 3".into(), Patience::Must);
        mailbox.event("health 4".into(), Patience::Newest("health"));
        assert_eq!(steps(&mailbox), [send("presence 2"), send("chat 3"), send("health 4")]);
    }

    #[test]
    fn news_never_close_a_socket() {
        let mailbox = mailbox(4, 100);
        mailbox.event("aaaaa".into(), Patience::Must);
        mailbox.event("health".into(), Patience::Newest("health"));
        assert_eq!(steps(&mailbox), [send("aaaaa")]);
    }

    #[test]
    fn a_frame_larger_than_the_limit_reaches_a_socket_that_keeps_up() {
        let mailbox = mailbox(4, 8);
        mailbox.event("a".into(), Patience::Must);
        mailbox.event("a large frame".into(), Patience::Must);
        assert_eq!(steps(&mailbox), [send("a"), send("a large frame")]);
    }

    #[test]
    fn when_all_sockets_together_hold_too_much_those_that_lag_pay() {
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), socket_max: 100, total_max: 5 });
        let (slow, quick) = (Mailbox::new(budget.clone()), Mailbox::new(budget));
        slow.event("aaaaaa".into(), Patience::Must);
        quick.event("bb".into(), Patience::Must);
        slow.event("bb".into(), Patience::Must);
        assert_eq!(steps(&quick), [send("bb")]);
        assert_eq!(steps(&slow), [SLOW]);
    }

    #[test]
    fn responses_are_never_dropped_and_hold_up_reading_instead() {
        let mailbox = mailbox(1, 1);
        for _ in 0..CALLS_MAX {
            assert!(!mailbox.is_busy());
            mailbox.call_began();
            mailbox.response("yes".into());
            mailbox.call_ended();
        }
        assert!(mailbox.is_busy());
        assert_eq!(steps(&mailbox).len(), CALLS_MAX);
        assert!(!mailbox.is_busy());
    }

    #[test]
    fn a_stopping_gateway_lets_what_waits_go_out_first() {
        let mailbox = mailbox(100, 100);
        mailbox.event("shutdown".into(), Patience::Must);
        mailbox.close(1012, "service restart");
        mailbox.event("late".into(), Patience::Must);
        assert_eq!(steps(&mailbox), [send("shutdown"), Step::Close(1012, "service restart")]);
    }
}
