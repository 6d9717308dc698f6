//! The way to the platform and back: it loses, delays and repeats, and keeps the order.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use claw_channel::{Capability, Channel, Delivered, Error, Health, Inbox, TextUnit};
use claw_domain::{AccountId, Action, ChannelId, Clock, Inbound, Outbound};
use tokio_util::sync::CancellationToken;

use super::{dice::Dice, gate::Gate, world::World};

/// Longest text of the made-up platform: small, so that answers have parts.
pub(crate) const TEXT_MAX: usize = 120;

/// How long the gateway waits for a delivery. Unit: milliseconds.
const DELIVERY_MS_MAX: i64 = 30_000;

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

    fn wall(&self) -> i64 {
        self.world.clock.now().as_millisecond()
    }

    /// A request or an answer is lost: the gateway is told, or hears nothing until it gives up.
    async fn lose(&self, dice: Dice, key: &str, began: i64, held: bool) -> Error {
        // Where it was held, the gateway's patience would end at a time that no seed knows.
        if dice.about("silence").falls(300) && !held {
            self.world.waits.lost(key, began + DELIVERY_MS_MAX);
            pending::<()>().await;
        }
        self.world.take(&self.gate, dice.about("notice").within(1..3_000)).await;
        self.world.waits.lost(key, self.wall());
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
        let (began, elapsed) = (self.wall(), world.clock.elapsed() as i64);
        let held = world.waits.rest(key, self.life, elapsed, began);
        world.take(&self.gate, held).await;
        let dice = world.roll("send", chat);
        world.pass(&self.gate, dice.about("before")).await;
        let there = dice.about("there");
        if world.fails(there, ills.network) {
            return Err(self.lose(there, key, began, held > 0).await);
        }
        world.take(&self.gate, there.within(1..2_000)).await;
        world.waits.not_lost(key);
        let throttled = dice.about("throttled");
        if world.fails(throttled, ills.throttled) {
            let wait = std::time::Duration::from_secs(throttled.about("wait").within(1..40));
            return Err(Error::Throttled { channel: "wire".into(), wait });
        }
        if world.fails(dice.about("refused"), ills.refused) {
            world.platform.refuse(key);
            return Err(Error::Refused { channel: "wire".into(), detail: "blocked".into() });
        }
        let arrival = world.platform.receive(world.clock.elapsed(), self.life, chat, key, text);
        world.pass(&self.gate, dice.about("arrived")).await;
        let back = dice.about("back");
        if world.fails(back, ills.network) {
            return Err(self.lose(back, key, began, held > 0).await);
        }
        world.take(&self.gate, back.within(1..2_000)).await;
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
