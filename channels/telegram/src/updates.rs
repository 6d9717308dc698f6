//! How waiting updates are fetched.

use frankenstein::{
    AsyncTelegramApi, methods::GetUpdatesParams, response::MethodResponse, types::AllowedUpdate,
    updates::Update,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use tracing::warn;

use crate::{
    api::{Api, POLL_SECS},
    error::ApiError,
};

/// Updates of one poll. The Bot API gives at most this many at once.
const UPDATES_MAX: u32 = 100;

/// The kinds of updates that we ask for. Reactions and members come only when they are named.
const UPDATES: [AllowedUpdate; 6] = [
    AllowedUpdate::Message,
    AllowedUpdate::EditedMessage,
    AllowedUpdate::MessageReaction,
    AllowedUpdate::CallbackQuery,
    AllowedUpdate::MyChatMember,
    AllowedUpdate::ChatMember,
];

/// Waits until there are updates from `offset` on, or until Telegram ends the wait with none.
/// The updates before `offset` are confirmed by this: Telegram forgets them.
pub(crate) async fn updates(api: &Api, offset: Option<i64>) -> Result<Vec<RawUpdate>, ApiError> {
    let params = GetUpdatesParams {
        offset,
        limit: Some(UPDATES_MAX),
        timeout: Some(POLL_SECS),
        allowed_updates: Some(UPDATES.to_vec()),
    };
    let answer: MethodResponse<Vec<RawUpdate>> = api.request("getUpdates", Some(params)).await?;
    Ok(answer.result)
}

/// An update as it came. It is read on its own, so that one that we cannot read, as after a
/// change of the Bot API, does not hold up the others for ever.
pub(crate) struct RawUpdate {
    pub(crate) update_id: i64,
    raw: Box<RawValue>,
}

impl RawUpdate {
    /// The update; `None`, and a line in the log, when it cannot be read.
    pub(crate) fn read(&self) -> Option<Update> {
        serde_json::from_str(self.raw.get())
            .inspect_err(|error| {
                // The words of the error can quote the message; its place cannot.
                warn!(
                    update = self.update_id,
                    column = error.column(),
                    "skipped an update that cannot be read"
                );
            })
            .ok()
    }
}

impl<'de> Deserialize<'de> for RawUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Head {
            update_id: i64,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let head: Head = serde_json::from_str(raw.get()).map_err(de::Error::custom)?;
        Ok(Self { update_id: head.update_id, raw })
    }
}
