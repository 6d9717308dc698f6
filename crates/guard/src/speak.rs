//! Who may speak to the agent from a channel, for every kind of event alike.

use std::collections::BTreeMap;

use claw_domain::{ChatId, ChatKind, InboundKind, PeerId, ThreadId};

use crate::AllowList;

/// What strangers' direct messages lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DmPolicy {
    /// A code that the owner approves.
    #[default]
    Pairing,
    /// Nothing: only those on the list and those who were approved may speak.
    Allowlist,
    /// An answer, provided that the list says `*`.
    Open,
    /// Nothing, whoever it is.
    Disabled,
}

/// Whose messages in groups are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupPolicy {
    /// Those of people on the list.
    #[default]
    Allowlist,
    /// Everybody's.
    Open,
    /// Nobody's.
    Disabled,
}

/// What a configuration says about one place; `None` follows what stands above it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaceRule {
    /// Whether we are there at all; `None` is yes.
    pub enabled: Option<bool>,
    /// Whether only messages that name us are heard; `None` is yes.
    pub require_mention: Option<bool>,
    /// Who is heard there, whatever the policy; replaces the list for all groups.
    pub allow_from: Option<AllowList>,
    /// The policy there.
    pub policy: Option<GroupPolicy>,
}

/// A group's rule and those of its topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupRule {
    /// The group's own.
    pub group: PlaceRule,
    /// By thread id; each overrides the group's.
    pub topics: BTreeMap<String, PlaceRule>,
}

/// Who may speak on one channel account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpeakPolicy {
    /// Direct messages.
    pub dm: DmPolicy,
    /// Who may write directly.
    pub allow_from: AllowList,
    /// Groups.
    pub group: GroupPolicy,
    /// Who may write in groups. Where nothing is configured, the caller puts `allow_from` here.
    pub group_allow_from: AllowList,
    /// Rules by chat id, or `*`. With any entry, groups that none names are not heard.
    pub groups: BTreeMap<String, GroupRule>,
}

/// What was done; all kinds pass the same gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A new message.
    Message,
    /// A changed message.
    Edit,
    /// A reaction set or taken back.
    Reaction,
    /// A press on a button of ours.
    Button,
    /// Somebody came or went.
    MemberChange,
}

impl From<&InboundKind> for EventKind {
    fn from(kind: &InboundKind) -> Self {
        match kind {
            InboundKind::Message(_) => Self::Message,
            InboundKind::Edit { .. } => Self::Edit,
            InboundKind::Reaction { .. } => Self::Reaction,
            InboundKind::Button { .. } => Self::Button,
            InboundKind::MemberChange { .. } => Self::MemberChange,
        }
    }
}

/// Somebody wants to be heard.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What was done.
    pub event: EventKind,
    /// In what kind of chat. Everything but a direct chat follows the group rules.
    pub kind: ChatKind,
    /// By whom.
    pub sender: &'a PeerId,
    /// In which chat.
    pub chat: &'a ChatId,
    /// In which thread of it.
    pub thread: Option<&'a ThreadId>,
    /// Whether it names us or answers us.
    pub mentions_us: bool,
    /// Whether it is a command of ours (`/stop`), which needs no mention and no less right.
    pub command_word: bool,
}

/// Whether the owner has approved the sender's direct messages. Says nothing about groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DmGrant {
    /// Approved.
    Given,
    /// Not approved.
    None,
}

/// Whether somebody is heard, and the rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speak {
    /// Heard.
    Admit {
        /// Why.
        rule: &'static str,
    },
    /// Not heard, and not told.
    Refuse {
        /// Why.
        rule: &'static str,
    },
    /// A stranger who is given a pairing code.
    Pair {
        /// Why.
        rule: &'static str,
    },
}

/// Whether this attempt is heard.
pub fn may_speak(policy: &SpeakPolicy, attempt: &Attempt<'_>, grant: DmGrant) -> Speak {
    match attempt.kind {
        ChatKind::Direct => may_speak_directly(policy, attempt, grant),
        ChatKind::Group | ChatKind::Channel => may_speak_in_group(policy, attempt),
    }
}

fn may_speak_directly(policy: &SpeakPolicy, attempt: &Attempt<'_>, grant: DmGrant) -> Speak {
    if policy.dm == DmPolicy::Disabled {
        return Speak::Refuse { rule: "dm-disabled" };
    }
    if policy.allow_from.contains(attempt.sender) {
        return Speak::Admit { rule: "allow-from" };
    }
    if grant == DmGrant::Given {
        return Speak::Admit { rule: "dm-grant" };
    }
    match (policy.dm, attempt.event) {
        // A code answers words; a stranger's reaction or press is not worth one.
        (DmPolicy::Pairing, EventKind::Message) => Speak::Pair { rule: "dm-pairing" },
        (DmPolicy::Pairing, _) => Speak::Refuse { rule: "dm-not-paired" },
        (DmPolicy::Allowlist, _) => Speak::Refuse { rule: "dm-not-listed" },
        (DmPolicy::Open, _) => Speak::Refuse { rule: "dm-open-without-star" },
        (DmPolicy::Disabled, _) => Speak::Refuse { rule: "dm-disabled" },
    }
}

fn may_speak_in_group(policy: &SpeakPolicy, attempt: &Attempt<'_>) -> Speak {
    let place = match place(policy, attempt) {
        Ok(place) => place,
        Err(rule) => return Speak::Refuse { rule },
    };
    let listed = match (place.allow_from, place.policy) {
        (_, GroupPolicy::Disabled) => return Speak::Refuse { rule: "group-disabled" },
        (Some(list), _) => list.contains(attempt.sender).then_some("group-own-list"),
        (None, GroupPolicy::Open) => Some("group-open"),
        (None, GroupPolicy::Allowlist) => {
            policy.group_allow_from.contains(attempt.sender).then_some("group-allow-from")
        }
    };
    let Some(rule) = listed else { return Speak::Refuse { rule: "group-sender-not-listed" } };
    let addressed =
        attempt.mentions_us || attempt.command_word || attempt.event == EventKind::Button;
    if place.require_mention && !addressed {
        return Speak::Refuse { rule: "group-not-mentioned" };
    }
    Speak::Admit { rule }
}

/// The rules of one place, all questions answered.
struct Place<'a> {
    require_mention: bool,
    allow_from: Option<&'a AllowList>,
    policy: GroupPolicy,
}

fn place<'a>(policy: &'a SpeakPolicy, attempt: &Attempt<'_>) -> Result<Place<'a>, &'static str> {
    let star = policy.groups.get("*");
    let named = policy.groups.get(attempt.chat.as_str()).or(star);
    if named.is_none() && !policy.groups.is_empty() {
        return Err("group-not-listed");
    }
    let topic =
        named.zip(attempt.thread).and_then(|(rule, thread)| rule.topics.get(thread.as_str()));
    let group = named.map(|rule| &rule.group);
    let layers = || [topic, group].into_iter().flatten();
    if layers().any(|rule| rule.enabled == Some(false)) {
        return Err("group-switched-off");
    }
    let require_mention =
        layers().chain(star.map(|rule| &rule.group)).find_map(|rule| rule.require_mention);
    Ok(Place {
        require_mention: require_mention.unwrap_or(true),
        allow_from: layers().find_map(|rule| rule.allow_from.as_ref()),
        policy: layers().find_map(|rule| rule.policy).unwrap_or(policy.group),
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::IdForm;

    const ALL_EVENTS: [EventKind; 5] = [
        EventKind::Message,
        EventKind::Edit,
        EventKind::Reaction,
        EventKind::Button,
        EventKind::MemberChange,
    ];

    fn people(entries: &[&str]) -> AllowList {
        AllowList::parse(entries, IdForm { prefixes: &["telegram", "tg"], digits_only: true })
    }

    fn group(rule: PlaceRule) -> GroupRule {
        GroupRule { group: rule, topics: BTreeMap::new() }
    }

    struct From<'a> {
        sender: &'a str,
        kind: ChatKind,
        chat: &'a str,
        thread: Option<&'a str>,
        event: EventKind,
        mentions_us: bool,
        command_word: bool,
    }

    const DIRECT: From<'_> = From {
        sender: "7",
        kind: ChatKind::Direct,
        chat: "7",
        thread: None,
        event: EventKind::Message,
        mentions_us: false,
        command_word: false,
    };
    const GROUP: From<'_> =
        From { kind: ChatKind::Group, chat: "-100", mentions_us: true, ..DIRECT };

    fn ask(policy: &SpeakPolicy, from: &From<'_>, grant: DmGrant) -> Speak {
        let thread = from.thread.map(ThreadId::from);
        let attempt = Attempt {
            event: from.event,
            kind: from.kind,
            sender: &PeerId::from(from.sender),
            chat: &ChatId::from(from.chat),
            thread: thread.as_ref(),
            mentions_us: from.mentions_us,
            command_word: from.command_word,
        };
        may_speak(policy, &attempt, grant)
    }

    #[track_caller]
    fn check(policy: &SpeakPolicy, from: &From<'_>, expected: Speak) {
        assert_eq!(ask(policy, from, DmGrant::None), expected);
    }

    fn dm(dm: DmPolicy, allow: &[&str]) -> SpeakPolicy {
        SpeakPolicy { dm, allow_from: people(allow), ..SpeakPolicy::default() }
    }

    #[test]
    fn a_stranger_gets_a_code_and_a_listed_sender_an_answer() {
        check(&dm(DmPolicy::Pairing, &[]), &DIRECT, Speak::Pair { rule: "dm-pairing" });
        check(&dm(DmPolicy::Pairing, &["tg:7"]), &DIRECT, Speak::Admit { rule: "allow-from" });
        check(&dm(DmPolicy::Allowlist, &["8"]), &DIRECT, Speak::Refuse { rule: "dm-not-listed" });
        check(&dm(DmPolicy::Disabled, &["*"]), &DIRECT, Speak::Refuse { rule: "dm-disabled" });
    }

    #[test]
    fn open_direct_messages_need_the_star() {
        check(&dm(DmPolicy::Open, &["*"]), &DIRECT, Speak::Admit { rule: "allow-from" });
        check(&dm(DmPolicy::Open, &[]), &DIRECT, Speak::Refuse { rule: "dm-open-without-star" });
    }

    #[test]
    fn an_approved_sender_is_heard_in_direct_messages_and_not_in_groups() {
        // SEC-80
        let policy = dm(DmPolicy::Pairing, &[]);
        assert_eq!(ask(&policy, &DIRECT, DmGrant::Given), Speak::Admit { rule: "dm-grant" });
        assert_eq!(
            ask(&policy, &GROUP, DmGrant::Given),
            Speak::Refuse { rule: "group-sender-not-listed" }
        );
    }

    #[test]
    fn every_kind_of_event_of_a_stranger_is_kept_out() {
        // SEC-81
        for kind in [ChatKind::Direct, ChatKind::Group, ChatKind::Channel] {
            for event in ALL_EVENTS {
                let answer =
                    ask(&SpeakPolicy::default(), &From { kind, event, ..GROUP }, DmGrant::None);
                assert!(!matches!(answer, Speak::Admit { .. }), "{kind:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_command_word_gives_a_stranger_nothing() {
        // SEC-87
        let command = From { command_word: true, ..DIRECT };
        check(&dm(DmPolicy::Allowlist, &[]), &command, Speak::Refuse { rule: "dm-not-listed" });
        let command = From { command_word: true, mentions_us: false, ..GROUP };
        check(&SpeakPolicy::default(), &command, Speak::Refuse { rule: "group-sender-not-listed" });
    }

    #[test]
    fn a_group_hears_those_who_name_us() {
        let policy = SpeakPolicy { group_allow_from: people(&["7"]), ..SpeakPolicy::default() };
        check(&policy, &GROUP, Speak::Admit { rule: "group-allow-from" });
        let plain = From { mentions_us: false, ..GROUP };
        check(&policy, &plain, Speak::Refuse { rule: "group-not-mentioned" });
        check(
            &policy,
            &From { command_word: true, ..plain },
            Speak::Admit { rule: "group-allow-from" },
        );
        check(
            &policy,
            &From { event: EventKind::Button, ..plain },
            Speak::Admit { rule: "group-allow-from" },
        );
        check(
            &policy,
            &From { sender: "8", ..GROUP },
            Speak::Refuse { rule: "group-sender-not-listed" },
        );
    }

    #[test]
    fn any_named_group_shuts_the_others() {
        let named = PlaceRule { require_mention: Some(false), ..PlaceRule::default() };
        let policy = SpeakPolicy {
            group: GroupPolicy::Open,
            groups: [("-100".to_owned(), group(named))].into(),
            ..SpeakPolicy::default()
        };
        check(&policy, &From { mentions_us: false, ..GROUP }, Speak::Admit { rule: "group-open" });
        check(&policy, &From { chat: "-200", ..GROUP }, Speak::Refuse { rule: "group-not-listed" });
    }

    #[test]
    fn a_group_of_its_own_list_hears_that_list_alone() {
        let own = PlaceRule { allow_from: Some(people(&["9"])), ..PlaceRule::default() };
        let policy = SpeakPolicy {
            group: GroupPolicy::Open,
            group_allow_from: people(&["*"]),
            groups: [("-100".to_owned(), group(own)), ("*".to_owned(), GroupRule::default())]
                .into(),
            ..SpeakPolicy::default()
        };
        check(&policy, &GROUP, Speak::Refuse { rule: "group-sender-not-listed" });
        check(&policy, &From { sender: "9", ..GROUP }, Speak::Admit { rule: "group-own-list" });
        check(&policy, &From { chat: "-200", ..GROUP }, Speak::Admit { rule: "group-open" });
    }

    #[test]
    fn a_topic_overrides_its_group_and_the_star_fills_in_the_mention() {
        let free = PlaceRule { require_mention: Some(false), ..PlaceRule::default() };
        let off = PlaceRule { enabled: Some(false), ..PlaceRule::default() };
        let rule =
            GroupRule { group: PlaceRule::default(), topics: [("5".to_owned(), off)].into() };
        let policy = SpeakPolicy {
            group: GroupPolicy::Open,
            groups: [("-100".to_owned(), rule), ("*".to_owned(), group(free))].into(),
            ..SpeakPolicy::default()
        };
        let plain = From { mentions_us: false, ..GROUP };
        check(&policy, &plain, Speak::Admit { rule: "group-open" });
        check(
            &policy,
            &From { thread: Some("5"), ..plain },
            Speak::Refuse { rule: "group-switched-off" },
        );
        check(&policy, &From { thread: Some("6"), ..plain }, Speak::Admit { rule: "group-open" });
    }

    #[test]
    fn a_disabled_place_hears_not_even_its_own_list() {
        let own = PlaceRule {
            allow_from: Some(people(&["*"])),
            policy: Some(GroupPolicy::Disabled),
            ..PlaceRule::default()
        };
        let policy =
            SpeakPolicy { groups: [("*".to_owned(), group(own))].into(), ..SpeakPolicy::default() };
        check(&policy, &GROUP, Speak::Refuse { rule: "group-disabled" });
    }

    proptest! {
        /// SEC-16: whatever is done, by whomever, in whatever place, empty lists admit nobody.
        #[test]
        fn empty_lists_are_nobody(
            dm in select(vec![DmPolicy::Pairing, DmPolicy::Allowlist, DmPolicy::Open, DmPolicy::Disabled]),
            kind in select(vec![ChatKind::Direct, ChatKind::Group, ChatKind::Channel]),
            event in select(ALL_EVENTS.to_vec()),
            sender in "-?[0-9a-z@*]{0,6}",
            named in any::<bool>(),
            own_list in any::<bool>(),
            mentions_us in any::<bool>(),
            command_word in any::<bool>(),
        ) {
            let rule = PlaceRule { allow_from: own_list.then(AllowList::default), ..PlaceRule::default() };
            let groups = named.then(|| ("*".to_owned(), group(rule))).into_iter().collect();
            let policy = SpeakPolicy { dm, groups, ..SpeakPolicy::default() };
            let from = From { sender: &sender, kind, event, mentions_us, command_word, ..GROUP };
            let answer = ask(&policy, &from, DmGrant::None);
            let admitted = matches!(answer, Speak::Admit { .. });
            prop_assert!(!admitted, "{:?}", answer);
        }
    }
}
