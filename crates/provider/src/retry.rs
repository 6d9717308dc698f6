//! How a whole answer is got from a provider that may fail on the way.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use claw_domain::AssistantMessage;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Assembler, Error, ErrorKind, Event, Provider, Request, Retry};

/// How long an answer may take and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From asking to the first sign of an answer.
    pub first_byte: Duration,
    /// From one sign to the next.
    pub idle: Duration,
    /// The whole question, with all its attempts and the waits between them.
    pub total: Duration,
    /// Largest answer: text, thought and arguments together.
    pub answer_bytes_max: usize,
}

impl Default for Limits {
    /// 3 minutes to the first byte (a local model may have to be loaded), 90 s between bytes,
    /// 10 minutes in all (OpenClaw's `agents.defaults.timeoutSeconds`), 4 MiB.
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(180),
            idle: Duration::from_secs(90),
            total: Duration::from_secs(600),
            answer_bytes_max: 4 << 20,
        }
    }
}

/// When a failed call is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many calls are made at most; 0 counts as 1.
    pub attempts: usize,
    /// The wait after the first failure; it doubles with each further one.
    pub min: Duration,
    /// The longest wait of our own choosing.
    pub max: Duration,
    /// Whether up to as much again is added to each wait by chance.
    pub jitter: bool,
    /// The longest wait that a vendor may ask for; beyond it, its error is final.
    pub wait_max: Duration,
}

impl Default for RetryPolicy {
    /// Four calls, 0.5 s to 8 s apart; a vendor may ask for a minute.
    fn default() -> Self {
        Self {
            attempts: 4,
            min: Duration::from_millis(500),
            max: Duration::from_secs(8),
            jitter: true,
            wait_max: Duration::from_secs(60),
        }
    }
}

/// What can be shown while an answer grows. None of it is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The text grew.
    Text(Arc<str>),
    /// The thought grew.
    Thinking(Arc<str>),
    /// Something came that is not shown, such as a tool's arguments.
    Alive,
    /// What was shown so far is void: the call broke and is made again.
    Restarted,
}

/// Asks until an answer is whole, an error is final, or a limit is reached.
///
/// # Errors
/// The last call's error. [`ErrorKind::Stalled`] when a limit of time was reached.
///
/// # Cancel safety
/// Dropping the future ends the call; nothing goes on behind it. What was shown is void then.
pub async fn ask(
    provider: &dyn Provider,
    request: &Request,
    policy: &RetryPolicy,
    limits: &Limits,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<AssistantMessage, Error> {
    let deadline = Instant::now() + limits.total;
    let mut backoff = policy.backoff();
    loop {
        let mut shown = false;
        let mut show = |step| {
            shown = true;
            progress(step);
        };
        let error = match call(provider, request, limits, deadline, &mut show).await {
            Ok(message) => return Ok(message),
            Err(error) => error,
        };
        let Some(wait) = policy.wait(&error, &mut backoff) else { return Err(error) };
        if Instant::now() + wait >= deadline {
            return Err(error);
        }
        tracing::warn!(
            code = error.code(),
            wait_ms = wait.as_millis(),
            "model call failed and is made again"
        );
        if shown {
            progress(Progress::Restarted);
        }
        sleep(wait).await;
    }
}

impl RetryPolicy {
    fn backoff(&self) -> ExponentialBackoff {
        let builder = ExponentialBuilder::new()
            .with_min_delay(self.min)
            .with_max_delay(self.max)
            .with_max_times(self.attempts.saturating_sub(1));
        if self.jitter { builder.with_jitter().build() } else { builder.build() }
    }

    /// How long to wait before the next call, or `None` when there is none.
    fn wait(&self, error: &Error, backoff: &mut ExponentialBackoff) -> Option<Duration> {
        match error.retry() {
            Retry::Never => None,
            Retry::Later => backoff.next(),
            Retry::After(asked) if asked > self.wait_max => None,
            Retry::After(asked) => Some(backoff.next()?.max(asked)),
        }
    }
}

/// One call, from asking to the whole answer.
async fn call(
    provider: &dyn Provider,
    request: &Request,
    limits: &Limits,
    deadline: Instant,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<AssistantMessage, Error> {
    let waits = |wait| Wait { wait, total: limits.total, deadline };
    let asked = Instant::now();
    let mut events = waits(limits.first_byte).on(provider.stream(request)).await??;
    let mut answer = Assembler::new(limits.answer_bytes_max);
    let mut next = waits(limits.first_byte.saturating_sub(asked.elapsed()));
    while let Some(event) = next.on(events.next()).await? {
        let event = event?;
        match &event {
            Event::Text(text) if !text.is_empty() => progress(Progress::Text(text.as_str().into())),
            Event::Thinking(text) if !text.is_empty() => {
                progress(Progress::Thinking(text.as_str().into()));
            }
            _ => progress(Progress::Alive),
        }
        let is_done = matches!(event, Event::Done(_));
        answer.push(event)?;
        if is_done {
            break;
        }
        next = waits(limits.idle);
    }
    answer.finish(request.prefix.model().reference.clone(), provider.api())
}

/// How long the next step may take, and when all of them are over.
struct Wait {
    wait: Duration,
    total: Duration,
    deadline: Instant,
}

impl Wait {
    async fn on<F: Future>(&self, step: F) -> Result<F::Output, Error> {
        let until = Instant::now() + self.wait;
        timeout_at(until.min(self.deadline), step).await.map_err(|_| {
            let message = if until < self.deadline {
                format!("nothing came from the model for {} s", self.wait.as_secs_f32())
            } else {
                format!("the answer was not whole within {} s", self.total.as_secs_f32())
            };
            Error::new(ErrorKind::Stalled, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use async_trait::async_trait;
    use claw_domain::{ModelInfo, StopReason, Usage};
    use futures_util::stream;

    use super::*;
    use crate::{EventStream, Prefix, Thinking};

    /// Plays one call after the other.
    struct Scripted(Mutex<VecDeque<Call>>);

    enum Call {
        Refused(Error),
        Says(Vec<Result<Event, Error>>),
        FallsSilent(Vec<Event>),
        KeepsSaying(Event, Duration),
        NeverAccepts,
    }

    #[async_trait]
    impl Provider for Scripted {
        fn api(&self) -> &'static str {
            "scripted"
        }

        async fn stream(&self, _: &Request) -> Result<EventStream, Error> {
            let call = self.0.lock().unwrap().pop_front().expect("the test scripts every call");
            match call {
                Call::Refused(error) => Err(error),
                Call::Says(events) => Ok(stream::iter(events).boxed()),
                Call::FallsSilent(events) => {
                    Ok(stream::iter(events.into_iter().map(Ok)).chain(stream::pending()).boxed())
                }
                Call::KeepsSaying(event, pause) => {
                    let pause = move |event| async move {
                        sleep(pause).await;
                        Ok(event)
                    };
                    Ok(stream::repeat(event).then(pause).boxed())
                }
                Call::NeverAccepts => std::future::pending().await,
            }
        }

        async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
            Ok(Vec::new())
        }
    }

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 3,
        min: Duration::from_secs(1),
        max: Duration::from_secs(10),
        jitter: false,
        wait_max: Duration::from_secs(30),
    };

    fn request() -> Request {
        let model = ModelInfo {
            reference: "scripted/m".parse().unwrap(),
            name: "m".into(),
            context_window: 1000,
            output_max: 100,
            reasoning: false,
            images: false,
            cost: None,
        };
        let prefix = Arc::new(Prefix::new(model, "", Vec::new()));
        Request { prefix, messages: Vec::new(), output_max: 100, thinking: Thinking::Off }
    }

    struct Asked {
        answer: Result<AssistantMessage, Error>,
        shown: String,
        /// In test time.
        took: Duration,
        calls_left: usize,
    }

    async fn play(calls: Vec<Call>) -> Asked {
        let provider = Scripted(Mutex::new(calls.into()));
        let mut shown = String::new();
        let mut show = |step| match step {
            Progress::Text(text) | Progress::Thinking(text) => shown.push_str(&text),
            Progress::Alive => {}
            Progress::Restarted => shown.push('|'),
        };
        let asked = Instant::now();
        let answer = ask(&provider, &request(), &POLICY, &Limits::default(), &mut show).await;
        let calls_left = provider.0.lock().unwrap().len();
        Asked { answer, shown, took: asked.elapsed(), calls_left }
    }

    fn says(text: &str) -> Event {
        Event::Text(text.into())
    }

    fn whole(text: &str) -> Call {
        Call::Says(vec![Ok(says(text)), Ok(Event::Done(StopReason::Stop))])
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "scripted")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_says_who_gave_it_and_what_it_took() {
        let usage = Usage { input: 3, output: 1, cache_read: 0, cache_write: 0 };
        let call = vec![Ok(Event::Usage(usage)), Ok(says("hi")), Ok(Event::Done(StopReason::Stop))];
        let asked = play(vec![Call::Says(call)]).await;
        let expected = AssistantMessage {
            model: Some("scripted/m".parse().unwrap()),
            api: Some("scripted".into()),
            usage,
            ..AssistantMessage::injected("hi")
        };
        assert_eq!(asked.answer, Ok(expected));
        assert_eq!((asked.shown.as_str(), asked.took), ("hi", Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_answer_is_voided_and_asked_for_again() {
        let asked = play(vec![
            Call::Says(vec![Ok(says("ha")), Err(error(ErrorKind::Overloaded))]),
            Call::Says(vec![Ok(says("hal"))]),
            whole("hello"),
        ])
        .await;
        assert_eq!(asked.answer.unwrap().text(), "hello");
        assert_eq!(asked.shown, "ha|hal|hello");
        assert_eq!(asked.took, Duration::from_secs(1 + 2));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_voided_when_nothing_was_shown() {
        let asked = play(vec![Call::Refused(error(ErrorKind::Server)), whole("a")]).await;
        assert_eq!((asked.answer.is_ok(), asked.shown.as_str()), (true, "a"));
    }

    // SEC-107: retries are bounded, whatever the vendor says.
    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited() {
        let calls = (0..4).map(|_| Call::Refused(error(ErrorKind::Rate))).collect();
        let asked = play(calls).await;
        assert_eq!(asked.answer, Err(error(ErrorKind::Rate)));
        assert_eq!(asked.calls_left, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_repeats_itself_is_final() {
        for kind in [
            ErrorKind::Billing,
            ErrorKind::Auth,
            ErrorKind::ContextTooLong,
            ErrorKind::BadRequest,
            ErrorKind::TooLarge,
        ] {
            let asked = play(vec![Call::Refused(error(kind)), whole("a")]).await;
            assert_eq!((asked.answer, asked.calls_left), (Err(error(kind)), 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_vendors_wait_is_kept_up_to_a_limit() {
        let asks = |secs| {
            let retry_after = Some(Duration::from_secs(secs));
            Call::Refused(Error { retry_after, ..error(ErrorKind::Rate) })
        };
        let asked = play(vec![asks(30), asks(0), whole("a")]).await;
        assert!(asked.answer.is_ok());
        // Our own back-off is the least: a vendor that asks for no wait gets no storm.
        assert_eq!(asked.took, Duration::from_secs(30 + 2));
        let asked = play(vec![asks(31), whole("a")]).await;
        assert_eq!((asked.answer.unwrap_err().kind, asked.took), (ErrorKind::Rate, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_model_is_given_up_and_asked_again() {
        let limits = Limits::default();
        let asked = play(vec![Call::FallsSilent(vec![says("ha")]), whole("b")]).await;
        assert_eq!(asked.answer.unwrap().text(), "b");
        assert_eq!(asked.took, limits.idle + POLICY.min);
        let asked = play(vec![Call::NeverAccepts, whole("b")]).await;
        assert_eq!(asked.answer.unwrap().text(), "b");
        assert_eq!(asked.took, limits.first_byte + POLICY.min);
        let asked = play(vec![Call::FallsSilent(vec![]), whole("b")]).await;
        assert_eq!(asked.took, limits.first_byte + POLICY.min);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_count_but_the_total_holds() {
        let limits = Limits::default();
        let asked = play(vec![Call::KeepsSaying(Event::Alive, limits.idle / 2)]).await;
        let expected = Error::new(ErrorKind::Stalled, "the answer was not whole within 600 s");
        assert_eq!((asked.answer, asked.took), (Err(expected), limits.total));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_total_is_not_begun() {
        let limits = Limits { total: POLICY.min, ..Limits::default() };
        let calls = [Call::Refused(error(ErrorKind::Server)), whole("a")];
        let provider = Scripted(Mutex::new(calls.into()));
        let asked = Instant::now();
        let answer = ask(&provider, &request(), &POLICY, &limits, &mut |_| {}).await;
        assert_eq!(answer, Err(error(ErrorKind::Server)));
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_question_ends_the_call() {
        let provider = Scripted(Mutex::new([Call::FallsSilent(vec![says("ha")])].into()));
        let mut shown = 0;
        let mut show = |_| shown += 1;
        let request = request();
        let (policy, limits) = (POLICY, Limits::default());
        let question = ask(&provider, &request, &policy, &limits, &mut show);
        assert!(tokio::time::timeout(Duration::from_secs(1), question).await.is_err());
        assert_eq!(shown, 1);
    }
}
