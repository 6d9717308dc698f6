//! The rules of access in plain words.

/// What a rule says, for people. Rules are named where they decide: in the guard, and at the doors
/// of this crate.
pub(super) fn words(rule: &str) -> Option<&'static str> {
    Some(match rule {
        "operator-scope" => "a gateway client with the right scope",
        "allow-from" => "the sender is in the account's allowFrom",
        "dm-grant" => "the owner let the sender in by pairing",
        "group-allow-from" => "the sender may write in groups",
        "group-open" => "everybody may write in this group",
        "group-own-list" => "the sender is on this group's own list",
        "dm-disabled" => "the account takes no direct messages",
        "dm-pairing" => "the sender was not known and was given a pairing code",
        "pairing-pending" => "the sender is not known and has a pairing code already",
        "pairing-full" => "the sender is not known, and too many strangers wait already",
        "dm-not-paired" => "the sender is not known",
        "dm-not-listed" => "the sender is not in the account's allowFrom",
        "dm-open-without-star" => "the sender is not in allowFrom, which says no \"*\"",
        "group-disabled" => "the account takes no messages of groups",
        "group-not-listed" => "the group is not among the configured ones",
        "group-switched-off" => "the group is switched off in the configuration",
        "group-sender-not-listed" => "the sender may not write in groups",
        "group-not-mentioned" => "the message does not name us",
        "lane-full" => "too many messages wait in this conversation",
        _ => return None,
    })
}

/// What the owner can do about a refusal.
pub(super) fn hint(rule: &str, channel: &str) -> Option<String> {
    Some(match rule {
        "pairing-full" => format!("see who waits with `rusty-claw pairing list {channel}`"),
        "dm-disabled" => format!("dmPolicy under channels.{channel} decides it"),
        "dm-not-listed" | "dm-open-without-star" => {
            format!("allowFrom under channels.{channel} lets people in")
        }
        "group-disabled" | "group-sender-not-listed" => {
            format!("groupPolicy and groupAllowFrom under channels.{channel} decide it")
        }
        "group-not-listed" | "group-switched-off" => {
            format!("groups under channels.{channel} decides it")
        }
        "group-not-mentioned" => {
            format!("requireMention under channels.{channel}.groups decides it")
        }
        "lane-full" => "/stop drops what waits".into(),
        _ => return None,
    })
}

/// Whether a refusal ends when the owner pairs the sender.
pub(super) fn is_about_pairing(rule: &str) -> bool {
    matches!(rule, "dm-pairing" | "dm-not-paired" | "pairing-pending" | "pairing-full")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of a source file that look like the name of a rule, its tests left out.
    fn rules_in(source: &'static str) -> impl Iterator<Item = &'static str> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        code.split('"').skip(1).step_by(2).filter(|text| {
            text.contains('-') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        })
    }

    #[test]
    fn every_rule_that_decides_who_may_speak_has_words() {
        let guard: Vec<_> = rules_in(include_str!("../../../guard/src/speak.rs")).collect();
        assert!(guard.contains(&"dm-pairing") && guard.len() > 10, "{guard:?}");
        let ours =
            rules_in(include_str!("../pairing.rs")).chain(rules_in(include_str!("../admit.rs")));
        for rule in guard.into_iter().chain(ours) {
            assert!(words(rule).is_some(), "{rule}");
        }
    }
}
