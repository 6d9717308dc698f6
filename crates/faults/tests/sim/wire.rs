//! The way to the platform and back: it loses, delays and repeats, and keeps the order.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use claw_channel::{Capability, Channel, Delivered, Error, Health, Inbox, TextUnit};
use claw_domain::{AccountId, Action, ChannelId, Inbound, Outbound};
use tokio_util::sync::CancellationToken;

use super::{dice::Dice, gate::Gate, platform::Sent, world::World};

/// Longest text of the made-up platform: small, so that answers have parts.
pub(crate) const TEXT_MAX: usize = 120;

/// How long a part is on its way at most, and an answer. Unit: milliseconds.
const TRAVEL_MS_MAX: u64 = 2_000;

/// How long the gateway takes to notice that something was lost, at most. Unit: milliseconds.
const NOTICE_MS_MAX: u64 = 3_000;

/// One process's channel account.
pub(crate) struct Wire {
    pub(crate) world: Arc<World>,
    pub(crate) gate: Gate,
    pub(crate) life: u32,
    id: ChannelId,
    account: AccountId,
    capability: Capability,
}

impl Wire {
    pub(crate) fn new(world: Arc<World>, gate: Gate, life: u32) -> Self {
        let capability = Capability {
            text_max: TEXT_MAX,
            text_unit: TextUnit::Chars,
            edits: false,
            deletes: false,
            reactions: false,
            threads: false,
            typing: false,
            idempotent_sends: false,
        };
        Self { world, gate, life, id: "wire".into(), account: "default".into(), capability }
    }

    /// One request for updates. Returns them with the number of the first.
    async fn poll(&self, dice: Dice, offset: usize) -> Result<(usize, Vec<Inbound>), Error> {
        let ills = self.world.story.ills;
        let (there, back) = (dice.about("there"), dice.about("back"));
        self.world.take(&self.gate, there.within(1..200)).await;
        if self.world.fails(there, ills.network) {
            return Err(lost("the request for updates"));
        }
        let repeats = self.world.fails(dice.about("again"), ills.repeated);
        let again = if repeats { dice.within(1..4) as usize } else { 0 };
        let answer = self.world.platform.poll(offset, again).await;
        self.world.take(&self.gate, back.within(1..200)).await;
        if self.world.fails(back, ills.network) {
            return Err(lost("the updates"));
        }
        Ok(answer)
    }

    fn travel_ms_max(&self) -> u64 {
        TRAVEL_MS_MAX.min(self.world.story.delivery_ms_max() / 3)
    }

    /// The process is stopped after its last look at its lease. When it wakes it writes, and sees
    /// only then that the time for it is over.
    async fn wake_and_send(&self, chat: &str, key: &str, text: &str) -> Error {
        let (world, gate, life) = (Arc::clone(&self.world), self.gate.clone(), self.life);
        let (chat, key, text) = (chat.to_owned(), key.to_owned(), text.to_owned());
        let written = tokio::spawn(async move {
            gate.alive().await;
            let sent = Sent { at: world.clock.elapsed(), life, woken: true };
            world.platform.receive(sent, &chat, &key, &text);
        });
        let _ends_with_the_history = written.await;
        lost("the answer")
    }

    /// A request or an answer is lost: the gateway is told, or hears nothing until it gives up.
    async fn lose(&self, dice: Dice) -> Error {
        if dice.about("silence").falls(300) {
            pending::<()>().await;
        }
        let notice = NOTICE_MS_MAX.min(self.world.story.delivery_ms_max() / 3);
        self.world.take(&self.gate, dice.about("notice").within(1..notice)).await;
        lost("a part")
    }
}

#[async_trait]
impl Channel for Wire {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn account(&self) -> &AccountId {
        &self.account
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    async fn run(&self, inbox: &dyn Inbox, stop: CancellationToken) -> Result<(), Error> {
        let mut offset = 0;
        loop {
            let dice = self.world.roll("poll", &self.life.to_string());
            self.world.pass(&self.gate, dice).await;
            let polled = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                polled = self.poll(dice, offset) => polled,
            };
            let (first, updates) = polled?;
            let next = first + updates.len();
            inbox.accept(updates).await?;
            self.world.pass(&self.gate, dice.about("accepted")).await;
            offset = next;
        }
    }

    async fn deliver(&self, outbound: &Outbound) -> Result<Delivered, Error> {
        let (world, ills) = (&*self.world, self.world.story.ills);
        let (chat, key) = (outbound.target.chat.as_str(), outbound.idempotency_key.as_str());
        let Action::Send { text, .. } = &outbound.action else {
            return Err(Error::Unsupported { channel: "wire".into(), action: "do this" });
        };
        let dice = world.roll("send", chat);
        if world.stops(&self.gate, dice.about("written")) {
            return Err(self.wake_and_send(chat, key, text).await);
        }
        world.pass(&self.gate, dice.about("before")).await;
        let there = dice.about("there");
        if world.fails(there, ills.network) {
            return Err(self.lose(there).await);
        }
        world.take(&self.gate, there.within(1..self.travel_ms_max())).await;
        let throttled = dice.about("throttled");
        if world.fails(throttled, ills.throttled) {
            let wait = std::time::Duration::from_secs(throttled.about("wait").within(1..40));
            return Err(Error::Throttled { channel: "wire".into(), wait });
        }
        if world.fails(dice.about("refused"), ills.refused) {
            world.platform.refuse(key);
            return Err(Error::Refused { channel: "wire".into(), detail: "blocked".into() });
        }
        let sent = Sent { at: world.clock.elapsed(), life: self.life, woken: false };
        let arrival = world.platform.receive(sent, chat, key, text);
        world.pass(&self.gate, dice.about("arrived")).await;
        let back = dice.about("back");
        if world.fails(back, ills.network) {
            return Err(self.lose(back).await);
        }
        world.take(&self.gate, back.within(1..self.travel_ms_max())).await;
        world.pass(&self.gate, dice.about("after")).await;
        world.platform.told(arrival);
        Ok(Delivered { external_id: Some(format!("{arrival}").into()) })
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

fn lost(what: &str) -> Error {
    Error::Network { channel: "wire".into(), detail: format!("{what} got lost") }
}
