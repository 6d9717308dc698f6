//! How an update of Telegram reads in our words.

use claw_domain::{
    AccountId, Address, ChatKind, ExternalId, Inbound, InboundKind, Origin, Sender, Timestamp,
    millis,
};
use frankenstein::{
    types::{
        CallbackQuery, Chat, ChatMember, ChatMemberUpdated, ChatType, MaybeInaccessibleMessage,
        Message, MessageReactionUpdated, ReactionType, User,
    },
    updates::{Update, UpdateContent},
};

use crate::{
    CHANNEL,
    message::{id_of, message_id, name_of, text_of},
};

/// What an update does not say by itself.
pub(crate) struct Context<'a> {
    pub(crate) account: &'a AccountId,
    /// Our own id and username, to know when we are meant.
    pub(crate) me: &'a User,
    /// For the updates that carry no time.
    pub(crate) now: Timestamp,
}

/// The update as an inbound event; `None` when it is nothing that somebody did to us: service
/// messages, other bots, and kinds of updates that we do not handle.
pub(crate) fn inbound(update: &Update, context: &Context<'_>) -> Option<Inbound> {
    let unique = || ExternalId::from(format!("update:{}", update.update_id));
    let (external_id, at, sender, address, kind) = match &update.content {
        UpdateContent::Message(message) => {
            let kind = InboundKind::Message(text_of(message, context.me)?);
            (
                id_of(message),
                seconds(message.date),
                sender_of(message)?,
                address_of_message(message),
                kind,
            )
        }
        UpdateContent::EditedMessage(message) => {
            // Two edits within one second carry the same date, so the update's own id tells them
            // apart.
            let id = format!("{}:edit:{}", id_of(message), update.update_id).into();
            let at = seconds(message.edit_date.unwrap_or(message.date));
            let kind =
                InboundKind::Edit { of: id_of(message), message: text_of(message, context.me)? };
            (id, at, sender_of(message)?, address_of_message(message), kind)
        }
        UpdateContent::MessageReaction(reaction) => {
            let kind = reaction_kind(reaction)?;
            let sender = match (&reaction.user, &reaction.actor_chat) {
                (Some(user), _) => person(user)?,
                (None, chat) => anonymous(chat.as_ref()?),
            };
            (unique(), seconds(reaction.date), sender, address(&reaction.chat, None), kind)
        }
        UpdateContent::CallbackQuery(query) => {
            let kind = InboundKind::Button { payload: query.data.clone()? };
            (unique(), context.now, person(&query.from)?, address_of_button(query)?, kind)
        }
        UpdateContent::MyChatMember(change) | UpdateContent::ChatMember(change) => {
            let kind = member_change(change)?;
            (
                unique(),
                seconds(change.date),
                person(&change.from)?,
                address(&change.chat, None),
                kind,
            )
        }
        _ => return None,
    };
    Some(Inbound {
        channel: CHANNEL.into(),
        account: context.account.clone(),
        external_id,
        at,
        origin: Origin::Person { sender, address },
        kind,
    })
}

fn seconds(date: u64) -> Timestamp {
    millis(i64::try_from(date).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Who wrote; `None` for a bot. An anonymous administrator writes as the chat itself.
fn sender_of(message: &Message) -> Option<Sender> {
    match (&message.sender_chat, &message.from) {
        (Some(chat), _) => Some(anonymous(chat)),
        (None, from) => person(from.as_ref()?),
    }
}

fn person(user: &User) -> Option<Sender> {
    (!user.is_bot).then(|| Sender {
        id: user.id.to_string().into(),
        name: Some(name_of(user)),
        username: user.username.clone(),
    })
}

fn anonymous(chat: &Chat) -> Sender {
    Sender {
        id: chat.id.to_string().into(),
        name: chat.title.clone(),
        username: chat.username.clone(),
    }
}

fn address(chat: &Chat, thread: Option<i32>) -> Address {
    Address {
        chat: chat.id.to_string().into(),
        kind: match chat.type_field {
            ChatType::Private => ChatKind::Direct,
            ChatType::Group | ChatType::Supergroup => ChatKind::Group,
            ChatType::Channel => ChatKind::Channel,
        },
        thread: thread.map(|thread| thread.to_string().into()),
        title: chat.title.clone(),
    }
}

fn address_of_message(message: &Message) -> Address {
    // Plain reply chains carry a thread id too; only a topic can be written into.
    let thread = message.message_thread_id.filter(|_| message.is_topic_message == Some(true));
    address(&message.chat, thread)
}

fn address_of_button(query: &CallbackQuery) -> Option<Address> {
    Some(match query.message.as_ref()? {
        MaybeInaccessibleMessage::Message(message) => address_of_message(message),
        MaybeInaccessibleMessage::InaccessibleMessage(message) => address(&message.chat, None),
    })
}

/// What changed between the old and the new set of reactions. Only ordinary emoji count.
fn reaction_kind(reaction: &MessageReactionUpdated) -> Option<InboundKind> {
    let (old, new) = (&reaction.old_reaction, &reaction.new_reaction);
    let fresh = |from: &[ReactionType], against: &[ReactionType]| {
        from.iter().filter(|reaction| !against.contains(reaction)).find_map(|reaction| {
            match reaction {
                ReactionType::Emoji(emoji) => Some(emoji.emoji.clone()),
                ReactionType::CustomEmoji(_) | ReactionType::Paid(_) => None,
            }
        })
    };
    let added = fresh(new, old).map(|emoji| (emoji, false));
    let (emoji, removed) = added.or_else(|| fresh(old, new).map(|emoji| (emoji, true)))?;
    Some(InboundKind::Reaction {
        of: message_id(reaction.chat.id, reaction.message_id),
        emoji,
        removed,
    })
}

/// `None` when somebody's rights changed and nothing else.
fn member_change(change: &ChatMemberUpdated) -> Option<InboundKind> {
    let (before, _) = membership(&change.old_chat_member);
    let (now, user) = membership(&change.new_chat_member);
    (before != now)
        .then(|| InboundKind::MemberChange { member: user.id.to_string().into(), joined: now })
}

fn membership(member: &ChatMember) -> (bool, &User) {
    match member {
        ChatMember::Creator(member) => (true, &member.user),
        ChatMember::Administrator(member) => (true, &member.user),
        ChatMember::Member(member) => (true, &member.user),
        ChatMember::Restricted(member) => (member.is_member, &member.user),
        ChatMember::Left(member) => (false, &member.user),
        ChatMember::Kicked(member) => (false, &member.user),
    }
}

#[cfg(test)]
mod tests {
    use claw_domain::MessageText;
    use serde_json::{Value, json};

    use super::*;
    use crate::samples::{anna, group, me, message};

    const NOW: i64 = 1_800_000_000_000;

    fn translate(update: Value) -> Option<Inbound> {
        let context = Context { account: &"default".into(), me: &me(), now: millis(NOW) };
        inbound(&serde_json::from_value(update).expect("an update as Telegram writes it"), &context)
    }

    #[test]
    fn a_direct_message_keeps_who_where_and_when() {
        let direct =
            json!({ "chat": { "id": 7, "type": "private", "first_name": "Anna" }, "text": "hi" });
        let inbound = translate(json!({ "update_id": 1, "message": message(direct) })).unwrap();
        assert_eq!(
            inbound,
            Inbound {
                channel: "telegram".into(),
                account: "default".into(),
                external_id: "7:5".into(),
                at: millis(1_700_000_000_000),
                origin: Origin::Person {
                    sender: Sender {
                        id: "7".into(),
                        name: Some("Anna Lee".into()),
                        username: Some("anna".into())
                    },
                    address: Address {
                        chat: "7".into(),
                        kind: ChatKind::Direct,
                        thread: None,
                        title: None
                    },
                },
                kind: InboundKind::Message(MessageText {
                    text: "hi".into(),
                    mentions_us: false,
                    quoted: None
                }),
            }
        );
    }

    #[test]
    fn only_a_topic_is_a_thread() {
        let thread = |fields| match translate(json!({ "update_id": 1, "message": message(fields) }))
            .unwrap()
            .origin
        {
            Origin::Person { address, .. } => (address.kind, address.thread, address.title),
            Origin::Operator(_) => panic!("not from a channel"),
        };
        let team = Some("Team".to_owned());
        let topic = json!({ "text": "x", "message_thread_id": 3, "is_topic_message": true });
        assert_eq!(thread(topic), (ChatKind::Group, Some("3".into()), team.clone()));
        assert_eq!(
            thread(json!({ "text": "x", "message_thread_id": 3 })),
            (ChatKind::Group, None, team)
        );
    }

    #[test]
    fn other_bots_are_not_heard_but_an_anonymous_administrator_is() {
        let bot = json!({ "id": 1_087_968_824, "is_bot": true, "first_name": "Group" });
        let heard = |fields| translate(json!({ "update_id": 1, "message": message(fields) }));
        assert_eq!(heard(json!({ "text": "x", "from": bot })), None);
        let inbound = translate(
            json!({ "update_id": 1, "message": message(json!({ "text": "x", "from": bot, "sender_chat": group() })) }),
        );
        let Origin::Person { sender, .. } = inbound.unwrap().origin else {
            panic!("not from a channel")
        };
        assert_eq!(sender, Sender { id: "-100".into(), name: Some("Team".into()), username: None });
    }

    #[test]
    fn an_edit_names_its_message_and_is_unique_even_within_a_second() {
        let edit = |id: u32| {
            translate(json!({ "update_id": id, "edited_message": message(json!({ "text": "new", "edit_date": 1_700_000_009 })) })).unwrap()
        };
        let first = edit(11);
        assert_eq!(
            (first.external_id.as_str(), first.at),
            ("-100:5:edit:11", millis(1_700_000_009_000))
        );
        let text = MessageText { text: "new".into(), mentions_us: false, quoted: None };
        assert_eq!(first.kind, InboundKind::Edit { of: "-100:5".into(), message: text });
        assert_ne!(first.external_id, edit(12).external_id);
        assert_eq!(first, edit(11));
    }

    #[test]
    fn a_reaction_is_what_changed() {
        let emoji = |emoji: &str| json!({ "type": "emoji", "emoji": emoji });
        let kind = |old: Vec<Value>, new: Vec<Value>| {
            translate(json!({ "update_id": 3, "message_reaction": { "chat": group(), "message_id": 5, "user": anna(), "date": 1, "old_reaction": old, "new_reaction": new } })).map(|inbound| inbound.kind)
        };
        let changed = |emoji: &str, removed| {
            Some(InboundKind::Reaction { of: "-100:5".into(), emoji: emoji.into(), removed })
        };
        assert_eq!(kind(vec![], vec![emoji("👍")]), changed("👍", false));
        assert_eq!(kind(vec![emoji("👍")], vec![emoji("🔥")]), changed("🔥", false));
        assert_eq!(kind(vec![emoji("👍")], vec![]), changed("👍", true));
        assert_eq!(
            kind(vec![], vec![json!({ "type": "custom_emoji", "custom_emoji_id": "1" })]),
            None
        );
    }

    #[test]
    fn a_button_and_a_member_come_in_under_the_id_of_their_update() {
        let query = json!({ "id": "q", "from": anna(), "chat_instance": "c", "data": "yes:1", "message": message(json!({ "text": "?" })) });
        let button = translate(json!({ "update_id": 8, "callback_query": query })).unwrap();
        assert_eq!((button.external_id.as_str(), button.at), ("update:8", millis(NOW)));
        assert_eq!(button.kind, InboundKind::Button { payload: "yes:1".into() });

        let us = json!({ "id": 99, "is_bot": true, "first_name": "Claw" });
        let change = |old: &str, new: &str| {
            let member = |status: &str| json!({ "status": status, "user": us, "until_date": 0 });
            translate(json!({ "update_id": 9, "my_chat_member": { "chat": group(), "from": anna(), "date": 1, "old_chat_member": member(old), "new_chat_member": member(new) } })).map(|inbound| inbound.kind)
        };
        let joined = |joined| Some(InboundKind::MemberChange { member: "99".into(), joined });
        assert_eq!(change("left", "member"), joined(true));
        assert_eq!(change("member", "kicked"), joined(false));
        assert_eq!(change("left", "kicked"), None);
    }

    #[test]
    fn posts_of_a_broadcast_channel_are_not_heard() {
        assert_eq!(
            translate(
                json!({ "update_id": 1, "channel_post": message(json!({ "text": "news" })) })
            ),
            None
        );
    }
}
