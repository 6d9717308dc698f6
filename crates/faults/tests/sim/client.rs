//! A client of the gateways: it asks at one of them, and at another one when that one is gone.

use std::{sync::Arc, time::Duration};

use claw_delivery::Submitted;
use claw_domain::{Inbound, InboundKind, MessageText, Operator, Origin, RunId, millis};

use super::{
    history::external_id,
    story::{Act, Story},
    world::World,
};

/// The channel of what clients say.
pub(crate) const CHANNEL: &str = "client";

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks, and listens until it is told the end.
pub(crate) async fn ask(world: Arc<World>, act: Act) {
    let run = RunId::from(external_id(&act));
    let dice = world.story.dice.about("client").about(&external_id(&act));
    for attempt in 0.. {
        let dice = dice.nth(attempt);
        let door = world.crowd.door(dice).await;
        let told = async {
            // Those who waited for the same door come one after another, in an order that the seed knows.
            tokio::time::sleep(Duration::from_millis(dice.about("knock").within(1..5_000))).await;
            match door.delivery.submit(inbound(&world.story, &act)).await {
                Ok(Submitted::Closed { .. }) => true,
                Ok(_) => {
                    door.ears.end_of(&run).await;
                    true
                }
                Err(_) => false,
            }
        };
        let told = tokio::select! {
            biased;
            () = door.gate.dies() => false,
            told = told => told,
        };
        if told {
            return world.crowd.answered(run);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn inbound(story: &Story, act: &Act) -> Inbound {
    let external = external_id(act);
    Inbound {
        channel: CHANNEL.into(),
        account: "default".into(),
        external_id: external.as_str().into(),
        at: millis(0),
        origin: Origin::Operator(Operator {
            client: "simulated".into(),
            session: story.session(act.chat).into(),
            run: external.into(),
            extra_system_prompt: None,
            timeout_ms: None,
        }),
        kind: InboundKind::Message(MessageText {
            text: format!("{} v0", Story::tag(act.chat, act.what.number())),
            ..MessageText::default()
        }),
    }
}
