//! One process: the real delivery and the real agents over what outlives it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use claw_agent::{AgentSpec, Agents, BootstrapCaps, Identity, Limits, Models};
use claw_channel::{Channel, ChunkMode};
use claw_delivery::{Account, Delivery, Quote, ReplyStyle, Router, Scribe, SessionConfig};
use claw_domain::{Clock, IdSource, NodeId};
use claw_faults::{FaultyStore, Points};
use claw_guard::{AllowList, DmPolicy, IdForm, SpeakPolicy, ToolPolicy};
use claw_provider::RetryPolicy;
use claw_store::{Error as StoreError, Fence, Lease, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    deeds::Deed,
    gate::Gate,
    sick::Sick,
    story::Story,
    vendor::{Line, info},
    wire::{TEXT_MAX, Wire},
    world::World,
};

/// The installation. All of its processes write in its name.
pub(crate) const NODE: NodeId = NodeId(7);

/// How long turns may still go on when the process is asked to stop, as in the gateway.
const GRACE: Duration = Duration::from_secs(10);

/// A process that has taken up the work and receives.
pub(crate) struct Life {
    delivery: Delivery,
    gate: Gate,
    stop: CancellationToken,
    receiving: JoinHandle<()>,
}

impl Life {
    /// Starts a process in the order in which the gateway does.
    ///
    /// # Errors
    /// When the store fails; the process is over then.
    pub(crate) async fn begin(
        world: &Arc<World>,
        gate: &Gate,
        number: u32,
    ) -> Result<Self, claw_delivery::Error> {
        let points = Points::new(Sick::new(Arc::clone(world), gate.clone(), number));
        let store: Arc<dyn Store> = Arc::new(FaultyStore::new(Arc::clone(&world.store), points));
        let (fence, scribe) = take(world, &*store).await?;
        let line = || Line { world: Arc::clone(world), gate: gate.clone() };
        let agents = Arc::new(Agents::new(claw_agent::Parts {
            store: Arc::clone(&store),
            fence,
            scribe: scribe.clone(),
            listener: Arc::new(drop),
            models: Arc::new(line()) as Arc<dyn Models>,
            tools: vec![Arc::new(Deed::new(Arc::clone(world), gate.clone()))],
            command_environment: BTreeMap::new(),
            agents: vec![agent(world)],
            retry: RetryPolicy { jitter: false, ..RetryPolicy::default() },
            version: "simulated",
        }));
        let wire: Arc<dyn Channel> = Arc::new(Wire::new(Arc::clone(world), gate.clone(), number));
        let delivery = Delivery::new(claw_delivery::Parts {
            store,
            fence,
            scribe,
            turns: agents,
            listener: Arc::new(drop),
            router: router(&world.story),
            accounts: vec![Account {
                channel: Arc::clone(&wire),
                policy: policy(&world.story),
                style: ReplyStyle {
                    chunk_max: TEXT_MAX,
                    mode: ChunkMode::Length,
                    quote: Quote::Off,
                },
            }],
            concurrent_max: 3,
            sharing: None,
        });
        delivery.recover().await?;
        let stop = CancellationToken::new();
        let receiving = tokio::spawn(receive(wire, delivery.clone(), gate.clone(), stop.clone()));
        Ok(Self { delivery, gate: gate.clone(), stop, receiving })
    }

    /// Ends the process as a signal to stop does. It may be killed in the middle of that.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let gate = self.gate.clone();
        let ended = async {
            let _panicked = self.receiving.await;
            self.delivery.shutdown(GRACE).await;
        };
        tokio::select! {
            biased;
            () = gate.dies() => {}
            () = ended => gate.kill(),
        }
    }
}

/// Takes the store for a process, and the ids that it goes on from.
pub(crate) async fn take(world: &World, store: &dyn Store) -> Result<(Fence, Scribe), StoreError> {
    let now = world.clock.now();
    let claimed = store.claim(&Lease::Gateway, NODE, now, now).await?;
    let fence = claimed.expect("the lease is always over, as the gateway takes it");
    let ids = IdSource::new(NODE, store.last_event_id(NODE).await?);
    Ok((fence, Scribe::new(Arc::new(ids), Arc::new(world.clock))))
}

/// Keeps the channel receiving, as the gateway does.
async fn receive(wire: Arc<dyn Channel>, delivery: Delivery, gate: Gate, stop: CancellationToken) {
    let mut failures = 0;
    while let Err(_lost) = wire.run(&delivery, stop.clone()).await {
        gate.alive().await;
        failures = 60.min(failures + 1);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(failures)) => {}
        }
    }
}

fn agent(world: &World) -> AgentSpec {
    AgentSpec {
        id: "main".into(),
        name: None,
        identity: Identity::default(),
        workspace: Arc::clone(&world.workspace),
        caps: BootstrapCaps { file_max: 20_000, total_max: 150_000 },
        model: info().reference,
        thinking: None,
        tools: ToolPolicy::default(),
        context_tokens: None,
        zone: jiff::tz::TimeZone::UTC,
        limits: Limits::default(),
    }
}

fn router(story: &Story) -> Router {
    let scope = if story.shared { "main" } else { "per-peer" };
    let sessions: SessionConfig = serde_json::from_value(serde_json::json!({ "dmScope": scope }))
        .expect("it is a key of this section");
    Router::new(vec!["main".into()], Vec::new(), sessions)
}

fn policy(story: &Story) -> SpeakPolicy {
    let listed = story.chats.iter().filter(|chat| !chat.granted).map(|chat| &chat.peer);
    let form = IdForm { prefixes: &[], digits_only: true };
    SpeakPolicy {
        dm: DmPolicy::Pairing,
        allow_from: AllowList::parse(listed, form),
        ..SpeakPolicy::default()
    }
}
