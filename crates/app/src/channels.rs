//! From the configured channel accounts to running ones.

use std::sync::Arc;

use claw_channel_telegram::{self as telegram, Telegram, TelegramOptions};
use claw_delivery::{Account, Quote, ReplyStyle};
use claw_domain::{Clock, Secret};
use claw_guard::{AllowList, DmPolicy, GroupPolicy, GroupRule, IdForm, PlaceRule, SpeakPolicy};

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
