//! How a stranger becomes somebody who may write: a code, and the owner who approves it.

use std::{collections::VecDeque, time::Duration};

use claw_domain::{ChannelId, EventBody, Origin, Target, Timestamp, TraceId};
use claw_store::{Change, Fence, InboxRow, InboxState, PairingRequest, Store};
use ring::rand::{SecureRandom, SystemRandom};

use crate::{Error, Scribe, outbox::later, shared::Core};

/// What codes are made of: no letter or digit that looks like another (OpenClaw's alphabet).
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Characters of a code: 40 bits.
const CODE_LEN: usize = 8;

/// How long a code works.
const CODE_AGE_MAX: Duration = Duration::from_secs(3600);

/// Most strangers that wait on one channel; further ones are refused in silence.
const PENDING_MAX: usize = 3;

/// Most wrong codes in [`TRIES_WINDOW`]; then every code is refused for a while.
const TRIES_MAX: usize = 10;
const TRIES_WINDOW: Duration = Duration::from_secs(60);

/// Counts wrong codes. Pure: the time comes in.
#[derive(Debug, Default)]
pub struct Tries {
    wrong: VecDeque<Timestamp>,
}

impl Tries {
    /// Whether another code may be tried now.
    pub fn may_try(&mut self, now: Timestamp) -> bool {
        while self.wrong.front().is_some_and(|at| later(*at, TRIES_WINDOW) <= now) {
            self.wrong.pop_front();
        }
        self.wrong.len() < TRIES_MAX
    }

    /// Counts a wrong code.
    pub fn was_wrong(&mut self, now: Timestamp) {
        self.wrong.push_back(now);
    }
}

/// Gives a stranger a code, once: who asks again while it works hears nothing more.
pub(crate) async fn offer(core: &Core, row: &InboxRow, rule: &str) -> Result<(), Error> {
    let now = core.scribe.now();
    let Origin::Person { sender, address } = &row.inbound.origin else { return Ok(()) };
    let (channel, account) = (&row.inbound.channel, &row.inbound.account);
    let pending: Vec<_> = core
        .store
        .pairings(Some(channel))
        .await?
        .into_iter()
        .filter(|request| request.expires_at > now)
        .collect();
    let known =
        pending.iter().any(|request| request.account == *account && request.peer == sender.id);
    let detail = if known {
        "pairing-pending"
    } else if pending.len() >= PENDING_MAX {
        "pairing-full"
    } else {
        rule
    };
    let closed = InboxState::Closed {
        outcome: "refused".into(),
        detail: detail.into(),
        rule: None,
        at: now,
    };
    let mut changes = vec![Change::Advance(row.id, closed)];
    let mut rows = Vec::new();
    if detail == rule {
        let code = new_code()?;
        let text = format!(
            "I do not know you yet, so I may not answer.\n\nYour id: {}\nPairing code: {code}\n\nThe owner lets you in with:\nrusty-claw pairing approve {channel} {code}",
            sender.id
        );
        let target = Target {
            channel: channel.clone(),
            account: account.clone(),
            chat: address.chat.clone(),
            thread: address.thread.clone(),
        };
        rows = core.parts_of(&target, &text, None, row.trace, address.kind);
        changes.push(Change::PutPairing(PairingRequest {
            channel: channel.clone(),
            account: account.clone(),
            peer: sender.id.clone(),
            name: sender.name.clone(),
            code,
            created_at: now,
            expires_at: later(now, CODE_AGE_MAX),
        }));
    }
    core.outbox.commit_and_send(changes, rows).await
}

/// The requests that wait now.
///
/// # Errors
/// When the store fails.
pub async fn pending(
    store: &dyn Store,
    now: Timestamp,
    channel: Option<&ChannelId>,
) -> Result<Vec<PairingRequest>, Error> {
    let mut requests = store.pairings(channel).await?;
    requests.retain(|request| request.expires_at > now);
    Ok(requests)
}

/// Lets in whoever was given this code; case does not matter.
///
/// # Errors
/// [`Error::NoSuchCode`] when no live request has it, [`Error::TooManyTries`] after many such.
pub async fn approve(
    store: &dyn Store,
    fence: &Fence,
    scribe: &Scribe,
    tries: &std::sync::Mutex<Tries>,
    channel: &ChannelId,
    code: &str,
) -> Result<PairingRequest, Error> {
    let now = scribe.now();
    let code = code.trim().to_ascii_uppercase();
    let lock = || tries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !lock().may_try(now) {
        return Err(Error::TooManyTries);
    }
    let found =
        pending(store, now, Some(channel)).await?.into_iter().find(|request| request.code == code);
    let Some(request) = found else {
        lock().was_wrong(now);
        return Err(Error::NoSuchCode { channel: channel.clone(), code });
    };
    let granted = EventBody::GrantGiven {
        channel: request.channel.clone(),
        account: request.account.clone(),
        peer: request.peer.clone(),
        by: "pairing".into(),
    };
    let (_, event) = scribe.write(TraceId::generate(), None, None, granted);
    let forget =
        Change::DropPairing(request.channel.clone(), request.account.clone(), request.peer.clone());
    store.commit(fence, vec![event, forget]).await?;
    Ok(request)
}

fn new_code() -> Result<String, Error> {
    let mut bytes = [0; CODE_LEN];
    SystemRandom::new().fill(&mut bytes).map_err(|_no_detail| {
        Error::Store(claw_store::Error::Engine("the system gives no random numbers".into()))
    })?;
    // 256 is a multiple of 32, so every letter is equally likely.
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use claw_domain::millis;

    use super::*;

    #[test]
    fn codes_have_eight_clear_letters_and_differ() {
        let (one, two) = (new_code().unwrap(), new_code().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), CODE_LEN);
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)), "{one}");
    }

    #[test]
    fn the_eleventh_wrong_code_in_a_minute_is_not_looked_at() {
        let mut tries = Tries::default();
        for second in 0..10 {
            assert!(tries.may_try(millis(second * 1000)));
            tries.was_wrong(millis(second * 1000));
        }
        assert!(!tries.may_try(millis(59_999)));
        assert!(tries.may_try(millis(60_000)));
    }
}
