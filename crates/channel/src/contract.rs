//! The suite that every channel passes.
//!
//! An adapter's `tests/contract.rs` implements [`Platform`] over its fake and expands
//! [`contract_tests!`](crate::contract_tests) once; every promise of [`Channel`] becomes a test
//! of its own. A test skips only what [`Capability`](crate::Capability) says cannot be done, and
//! then checks that the channel says so.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use claw_domain::{Action, ChatId, ExternalId, Inbound, InboundKind, Outbound, Target};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{Accepted, Channel, Delivered, Error, Inbox, InboxError, Retry};

/// When a promise counts as broken. Much longer than any fake takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause before receiving again after a failure.
const BACK_OFF: Duration = Duration::from_millis(10);

/// A fake platform with one account of ours and one person who may write to it.
#[async_trait]
pub trait Platform: Send + Sync {
    /// The channel under test, connected to this platform.
    fn channel(&self) -> Arc<dyn Channel>;
    /// The chat in which the person writes.
    fn chat(&self) -> ChatId;
    /// The person writes.
    async fn says(&self, text: &str);
    /// The platform offers the last update once more.
    async fn repeats(&self);
    /// The next action is answered with the request to wait this long, in whole seconds.
    async fn throttles_next(&self, wait: Duration);
    /// Cuts the network.
    async fn goes_away(&self);
    /// Mends it.
    async fn comes_back(&self);
    /// The texts that stand in the chat from us, in order, as a reader sees them.
    async fn texts(&self) -> Vec<String>;
}

/// Makes one test of each promise; `$fresh` is an expression that gives a new [`Platform`],
/// evaluated in an async function.
#[macro_export]
macro_rules! contract_tests {
    ($fresh:expr) => {
        $crate::contract_tests!($fresh =>
            a_text_arrives_once
            an_update_that_is_offered_twice_is_one
            an_update_that_the_inbox_lost_is_offered_again
            stopping_ends_a_quiet_wait
            a_sent_text_has_an_id
            an_edit_replaces_the_text
            deleting_what_is_gone_succeeds
            reactions_and_typing_are_as_the_capability_says
            what_cannot_be_sent_is_refused_for_good
            a_request_to_wait_is_passed_on
            a_lost_network_is_reported_and_its_return_is_used
            health_follows_what_happens
        );
    };
    ($fresh:expr => $($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            $crate::contract::$promise(&$fresh).await;
        }
    )*};
}

/// What somebody writes comes in as one message with its text, place and kind.
pub async fn a_text_arrives_once(platform: &dyn Platform) {
    let receiving = Receiving::start(platform);
    platform.says("hello there").await;
    platform.says("and more").await;
    let kept = receiving.inbox.wait_for(2).await;
    receiving.stop().await;
    assert_eq!(texts_of(&kept), ["hello there", "and more"]);
    let channel = platform.channel();
    assert_eq!((&kept[0].channel, &kept[0].account), (channel.id(), channel.account()));
    let claw_domain::Origin::Person { address, .. } = &kept[0].origin else {
        panic!("not from a person: {:?}", kept[0].origin)
    };
    assert_eq!(address.chat, platform.chat());
}

/// The same update has the same external id, so that the inbox knows it.
pub async fn an_update_that_is_offered_twice_is_one(platform: &dyn Platform) {
    let receiving = Receiving::start(platform);
    platform.says("once").await;
    receiving.inbox.wait_for(1).await;
    platform.repeats().await;
    platform.says("after").await;
    let kept = receiving.inbox.wait_for(2).await;
    receiving.stop().await;
    assert_eq!(texts_of(&kept), ["once", "after"]);
}

/// The cursor stays where it is until the inbox has taken the update.
pub async fn an_update_that_the_inbox_lost_is_offered_again(platform: &dyn Platform) {
    let receiving = Receiving::start_failing(platform, 2);
    platform.says("do not lose me").await;
    let kept = receiving.inbox.wait_for(1).await;
    receiving.stop().await;
    assert_eq!(texts_of(&kept), ["do not lose me"]);
}

/// A stop does not wait for the next update.
pub async fn stopping_ends_a_quiet_wait(platform: &dyn Platform) {
    let receiving = Receiving::start(platform);
    platform.says("now it is quiet").await;
    receiving.inbox.wait_for(1).await;
    receiving.stop().await;
}

/// A sent text stands in the chat, and its id can be used.
pub async fn a_sent_text_has_an_id(platform: &dyn Platform) {
    let first = send(platform, "first").await.expect("a short text is sent");
    let second = send(platform, "second").await.expect("a short text is sent");
    assert!(first.external_id.is_some(), "no id");
    assert_ne!(first.external_id, second.external_id);
    assert_eq!(platform.texts().await, ["first", "second"]);
}

/// Editing changes the text; editing to what it says already succeeds.
pub async fn an_edit_replaces_the_text(platform: &dyn Platform) {
    let message = sent_id(platform, "old").await;
    let edit = Action::Edit { message, text: "new".into() };
    if !platform.channel().capability().edits {
        return assert_unsupported(platform, edit).await;
    }
    deliver(platform, edit.clone()).await.expect("a message of ours is edited");
    deliver(platform, edit).await.expect("the same edit again succeeds");
    assert_eq!(platform.texts().await, ["new"]);
}

/// Deleting twice is deleting.
pub async fn deleting_what_is_gone_succeeds(platform: &dyn Platform) {
    let message = sent_id(platform, "soon gone").await;
    let delete = Action::Delete { message };
    if !platform.channel().capability().deletes {
        return assert_unsupported(platform, delete).await;
    }
    deliver(platform, delete.clone()).await.expect("a message of ours is deleted");
    deliver(platform, delete).await.expect("deleting what is gone succeeds");
    assert_eq!(platform.texts().await, [""; 0]);
}

/// Reactions and typing work, or are refused as unsupported.
pub async fn reactions_and_typing_are_as_the_capability_says(platform: &dyn Platform) {
    let message = sent_id(platform, "like me").await;
    let capability = *platform.channel().capability();
    for (action, supported) in [
        (
            Action::React { message: message.clone(), emoji: Some("👍".into()) },
            capability.reactions,
        ),
        (Action::React { message, emoji: None }, capability.reactions),
        (Action::Typing, capability.typing),
    ] {
        if supported {
            deliver(platform, action).await.expect("the capability says that it can");
        } else {
            assert_unsupported(platform, action).await;
        }
    }
}

/// A text that is too long or blank fails in a way that is never tried again.
pub async fn what_cannot_be_sent_is_refused_for_good(platform: &dyn Platform) {
    let too_long = "x".repeat(platform.channel().capability().text_max + 1);
    for text in [too_long.as_str(), " \n "] {
        let error = send(platform, text).await.expect_err("it cannot be sent");
        assert_eq!(error.retry(), Retry::Never, "{error}");
    }
    assert_eq!(platform.texts().await, [""; 0]);
}

/// The platform's own waiting time reaches the retry layer, and nothing was sent.
pub async fn a_request_to_wait_is_passed_on(platform: &dyn Platform) {
    let wait = Duration::from_secs(7);
    platform.throttles_next(wait).await;
    let error = send(platform, "too fast").await.expect_err("the platform asked to wait");
    assert_eq!(error.retry(), Retry::After(wait), "{error}");
    send(platform, "later").await.expect("only one action is refused");
    assert_eq!(platform.texts().await, ["later"]);
}

/// Without a network an action may be tried later; with it, both ways work again.
pub async fn a_lost_network_is_reported_and_its_return_is_used(platform: &dyn Platform) {
    let receiving = Receiving::start(platform);
    platform.says("before").await;
    receiving.inbox.wait_for(1).await;
    platform.goes_away().await;
    let error = send(platform, "lost").await.expect_err("there is no network");
    assert_eq!(error.retry(), Retry::Later, "{error}");
    platform.comes_back().await;
    platform.says("after").await;
    let kept = receiving.inbox.wait_for(2).await;
    send(platform, "answer").await.expect("the network is back");
    receiving.stop().await;
    assert_eq!(texts_of(&kept), ["before", "after"]);
    assert_eq!(platform.texts().await, ["answer"]);
}

/// Health tells whether it receives, when something last happened, and what went wrong last.
pub async fn health_follows_what_happens(platform: &dyn Platform) {
    let channel = platform.channel();
    assert!(!channel.health().connected, "connected before it runs");
    let receiving = Receiving::start(platform);
    platform.says("are you there").await;
    receiving.inbox.wait_for(1).await;
    let health = channel.health();
    assert!(health.connected && health.connected_at.is_some(), "{health:?}");
    assert!(health.last_inbound_at.is_some(), "{health:?}");
    receiving.stop().await;
    assert!(!channel.health().connected, "connected after it stopped");

    platform.throttles_next(Duration::from_secs(1)).await;
    send(platform, "no").await.expect_err("the platform asked to wait");
    assert!(channel.health().last_error.is_some(), "the failure is not shown");
    send(platform, "yes").await.expect("only one action is refused");
    let health = channel.health();
    assert_eq!(health.last_error, None);
    assert!(health.last_outbound_at.is_some());
}

async fn send(platform: &dyn Platform, text: &str) -> Result<Delivered, Error> {
    deliver(platform, Action::Send { text: text.into(), reply_to: None, silent: false }).await
}

async fn sent_id(platform: &dyn Platform, text: &str) -> ExternalId {
    let delivered = send(platform, text).await.expect("a short text is sent");
    delivered.external_id.expect("a sent text has an id")
}

async fn deliver(platform: &dyn Platform, action: Action) -> Result<Delivered, Error> {
    let channel = platform.channel();
    let target = Target {
        channel: channel.id().clone(),
        account: channel.account().clone(),
        chat: platform.chat(),
        thread: None,
    };
    let outbound = Outbound { target, action, idempotency_key: "contract".into() };
    timeout(PATIENCE, channel.deliver(&outbound)).await.expect("an action ends in time")
}

async fn assert_unsupported(platform: &dyn Platform, action: Action) {
    let result = deliver(platform, action).await;
    assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
}

fn texts_of(updates: &[Inbound]) -> Vec<&str> {
    updates
        .iter()
        .map(|update| match &update.kind {
            InboundKind::Message(message) => message.text.as_str(),
            other => panic!("not a message: {other:?}"),
        })
        .collect()
}

/// A channel that receives, started again after failures as the gateway does.
struct Receiving {
    inbox: Arc<Recorder>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Receiving {
    fn start(platform: &dyn Platform) -> Self {
        Self::start_failing(platform, 0)
    }

    fn start_failing(platform: &dyn Platform, failures: usize) -> Self {
        let (channel, stop) = (platform.channel(), CancellationToken::new());
        let inbox = Arc::new(Recorder::failing(failures));
        let task = tokio::spawn({
            let (inbox, stop) = (inbox.clone(), stop.clone());
            async move {
                while let Err(error) = channel.run(&*inbox, stop.clone()).await {
                    assert_ne!(error.retry(), Retry::Never, "{error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
                assert!(stop.is_cancelled(), "receiving ended by itself");
            }
        });
        Self { inbox, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("a stop ends it").expect("receiving went well");
    }
}

/// An inbox that keeps what it takes, each external id once, after some failures.
struct Recorder {
    failures: Mutex<usize>,
    kept: watch::Sender<Vec<Inbound>>,
}

impl Recorder {
    fn failing(failures: usize) -> Self {
        Self { failures: Mutex::new(failures), kept: watch::Sender::new(Vec::new()) }
    }

    async fn wait_for(&self, count: usize) -> Vec<Inbound> {
        let mut kept = self.kept.subscribe();
        let waited = timeout(PATIENCE, kept.wait_for(|kept| kept.len() >= count)).await;
        match waited {
            Ok(kept) => kept.expect("the sender lives in self").clone(),
            Err(_) => panic!("waited for {count} updates, got {:?}", self.kept.borrow()),
        }
    }

    fn fails_now(&self) -> bool {
        let mut left = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        fails
    }
}

#[async_trait]
impl Inbox for Recorder {
    async fn accept(&self, updates: Vec<Inbound>) -> Result<Accepted, InboxError> {
        // An empty batch cannot fail: it would use up a failure meant for an update.
        if !updates.is_empty() && self.fails_now() {
            return Err(InboxError("the disk is full".into()));
        }
        let mut accepted = Accepted::default();
        self.kept.send_if_modified(|kept| {
            for update in updates {
                if kept.iter().any(|known| known.external_id == update.external_id) {
                    accepted.known += 1;
                } else {
                    accepted.new += 1;
                    kept.push(update);
                }
            }
            accepted.new > 0
        });
        Ok(accepted)
    }
}
