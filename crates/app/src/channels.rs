//! From the configured channel accounts to running ones, and what keeps them running.

use std::{sync::Arc, time::Duration};

use claw_channel::{Channel, Inbox, Retry};
use claw_channel_telegram::{self as telegram, Telegram, TelegramOptions};
use claw_delivery::{Account, Quote, ReplyStyle, RetrySchedule};
use claw_domain::{Clock, Secret};
use claw_guard::{AllowList, DmPolicy, GroupPolicy, GroupRule, IdForm, PlaceRule, SpeakPolicy};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::engine::Engine;

/// Telegram's ids are numbers.
const TELEGRAM_IDS: IdForm = IdForm { prefixes: &["telegram", "tg"], digits_only: true };

/// The configured accounts that are enabled and have what they need. Problems are for people.
pub(crate) fn accounts(
    telegram: Option<&telegram::Config>,
    client: &reqwest::Client,
    clock: &Arc<dyn Clock>,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Account>, Vec<String>) {
    let (mut accounts, mut problems) = (Vec::new(), Vec::new());
    let Some(config) = telegram else { return (accounts, problems) };
    let configured = match config.accounts() {
        Ok(configured) => configured,
        Err(error) => {
            problems.push(format!("channels.telegram: {error}"));
            return (accounts, problems);
        }
    };
    let token_in_env = || {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        set(telegram::TOKEN_ENV).or_else(|| set("OPENCLAW_TELEGRAM_BOT_TOKEN")).map(Secret::new)
    };
    for account in configured.into_iter().filter(|account| account.enabled) {
        match account.token.load(token_in_env()) {
            Ok(Some(token)) => accounts.push(telegram_account(&account, token, client, clock)),
            Ok(None) => problems.push(format!(
                "channels.telegram: the account `{}` has no botToken and is left out",
                account.id
            )),
            Err(error) => problems.push(format!("channels.telegram: {error}")),
        }
    }
    (accounts, problems)
}

fn telegram_account(
    account: &telegram::Account,
    token: Secret,
    client: &reqwest::Client,
    clock: &Arc<dyn Clock>,
) -> Account {
    let channel =
        Telegram::new(TelegramOptions::new(account, token), client.clone(), Arc::clone(clock));
    let style = ReplyStyle {
        chunk_max: account.text_chunk_limit,
        mode: match account.chunk_mode {
            telegram::ChunkMode::Length => claw_channel::ChunkMode::Length,
            telegram::ChunkMode::Newline => claw_channel::ChunkMode::Newline,
        },
        quote: match account.reply_to_mode {
            telegram::ReplyToMode::Off => Quote::Off,
            telegram::ReplyToMode::First => Quote::First,
            telegram::ReplyToMode::All => Quote::All,
        },
    };
    Account { channel: Arc::new(channel), policy: telegram_policy(&account.access), style }
}

fn telegram_policy(access: &telegram::Access) -> SpeakPolicy {
    let list = |ids: &[String]| AllowList::parse(ids, TELEGRAM_IDS);
    let group_policy = |policy: telegram::GroupPolicy| match policy {
        telegram::GroupPolicy::Open => GroupPolicy::Open,
        telegram::GroupPolicy::Disabled => GroupPolicy::Disabled,
        telegram::GroupPolicy::Allowlist => GroupPolicy::Allowlist,
    };
    let rule = |group: &telegram::Group| GroupRule {
        group: PlaceRule {
            enabled: group.enabled,
            require_mention: group.require_mention,
            allow_from: group.allow_from.as_ref().map(|ids| {
                let ids: Vec<String> = ids.iter().map(telegram::Peer::id).collect();
                list(&ids)
            }),
            policy: group.group_policy.map(group_policy),
        },
        topics: std::collections::BTreeMap::new(),
    };
    SpeakPolicy {
        dm: match access.dm_policy {
            telegram::DmPolicy::Pairing => DmPolicy::Pairing,
            telegram::DmPolicy::Allowlist => DmPolicy::Allowlist,
            telegram::DmPolicy::Open => DmPolicy::Open,
            telegram::DmPolicy::Disabled => DmPolicy::Disabled,
        },
        allow_from: list(&access.allow_from),
        group: group_policy(access.group_policy),
        group_allow_from: list(&access.group_allow_from),
        groups: access.groups.iter().map(|(chat, group)| (chat.clone(), rule(group))).collect(),
    }
}

/// How long an account must have run for its failures before to be forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Keeps accounts receiving until they are stopped: an account that fails is run again with
/// back-off, or given up when its error says so; either way `went_down` is called.
pub(crate) fn run_all(
    engine: &Arc<Engine>,
    inbox: &Arc<dyn Inbox>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    went_down: impl Fn() + Clone + Send + 'static,
) {
    for channel in &engine.channels {
        let (channel, inbox, stop) = (Arc::clone(channel), Arc::clone(inbox), stop.child_token());
        let (engine, went_down) = (Arc::clone(engine), went_down.clone());
        tasks.spawn(async move {
            if engine.hold_account(&*channel, &stop).await {
                keep_running(channel, inbox, stop, went_down).await;
            }
        });
    }
}

async fn keep_running(
    channel: Arc<dyn Channel>,
    inbox: Arc<dyn Inbox>,
    stop: CancellationToken,
    went_down: impl Fn(),
) {
    let schedule = RetrySchedule::default();
    let mut attempts = 0;
    loop {
        info!(channel = %channel.id(), account = %channel.account(), "receiving");
        let began = tokio::time::Instant::now();
        let Err(failure) = channel.run(&*inbox, stop.child_token()).await else { return };
        if stop.is_cancelled() {
            return;
        }
        went_down();
        attempts = if began.elapsed() > HEALTHY_AFTER { 1 } else { attempts + 1 };
        let wait = match failure.retry() {
            Retry::Never => {
                let hint = failure.hint().unwrap_or_default();
                error!(channel = %channel.id(), account = %channel.account(), error = %failure, hint, "gave up receiving");
                return;
            }
            Retry::Later => schedule.wait(attempts, u128::from(attempts)),
            Retry::After(wait) => wait,
        };
        warn!(channel = %channel.id(), account = %channel.account(), error = %failure, wait_ms = wait.as_millis() as u64, "will receive again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
