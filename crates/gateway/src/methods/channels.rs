//! How the channels are doing: `channels.status`.

use claw_guard::Scope;
use serde_json::{Map, Value, json};

use super::{Answer, Call, Method, Reply, operator};
use crate::{
    ChannelAccount,
    health::{channels, channels_in_order},
};

pub(super) const METHODS: &[Method] = &[Method {
    name: "channels.status",
    required: operator(Scope::Read),
    params: "{probe?: bool, timeoutMs?: int[0..]}",
    run: |call| Box::pin(status(call)),
}];

/// The accounts as they report themselves; nothing is probed.
async fn status(call: &Call) -> Answer {
    let all = call.core.channels.accounts();
    let (order, labels) = channels_in_order(&all);
    let mut accounts = Map::new();
    let mut defaults = Map::new();
    let mut meta = Vec::new();
    for channel in &order {
        let own: Vec<_> = all.iter().filter(|account| account.channel == *channel).collect();
        let first = own.first().map(|account| account.account.as_str());
        let default = own.iter().find(|account| account.account == "default");
        let default = default.map(|account| account.account.as_str()).or(first);
        defaults.insert(channel.clone(), json!(default));
        accounts.insert(channel.clone(), own.into_iter().map(shown).collect());
        meta.push(json!({"id": channel, "label": labels[channel], "detailLabel": labels[channel]}));
    }
    Ok(Reply::With(json!({
        "ts": call.core.now_ms(),
        "channelOrder": order,
        "channelLabels": labels,
        "channelDetailLabels": labels,
        "channelMeta": meta,
        "channels": channels(&all),
        "channelAccounts": accounts,
        "channelDefaultAccountId": defaults,
    })))
}

fn shown(account: &ChannelAccount) -> Value {
    let mut shown = json!({
        "accountId": account.account, "enabled": account.enabled,
        "configured": account.configured, "running": account.running,
        "connected": account.connected,
    });
    let known = [
        ("name", json!(account.name)),
        ("lastError", json!(account.last_error)),
        ("lastStartAt", json!(account.last_start_at)),
        ("lastInboundAt", json!(account.last_inbound_at)),
        ("lastOutboundAt", json!(account.last_outbound_at)),
        ("dmPolicy", json!(account.dm_policy)),
    ];
    for (key, value) in known.into_iter().filter(|(_, value)| !value.is_null()) {
        shown[key] = value;
    }
    shown
}
