//! One process: the real delivery and the real agents over what outlives it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use claw_agent::{AgentSpec, Agents, BootstrapCaps, Identity, Limits, Models};
use claw_channel::{Channel, ChunkMode};
use claw_delivery::{
    Account, Delivery, Listener, Membership, Quote, ReplyStyle, Router, Scribe, SessionConfig,
};
use claw_domain::{Clock, IdSource, NodeId, Seq};
use claw_faults::{FaultyStore, Points};
use claw_guard::{AllowList, DmPolicy, IdForm, SpeakPolicy, ToolPolicy};
use claw_provider::RetryPolicy;
use claw_store::{Error as StoreError, Fence, Lease, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    crowd::{Door, Ears},
    deeds::Deed,
    gate::Gate,
    sick::Sick,
    story::Story,
    vendor::{Line, info},
    wire::{TEXT_MAX, Wire},
    world::World,
};

/// The installation of a gateway that has the store alone, or of the first of several. All of its
/// processes write in its name.
pub(crate) const NODE: NodeId = NodeId(7);

/// How long turns may still go on when the process is asked to stop, as in the gateway.
const GRACE: Duration = Duration::from_secs(10);

/// How often a gateway asks whether it may receive.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Which gateway a process is of, from 0, and the number of the process, which no other one has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) gateway: u32,
    pub(crate) life: u32,
}

impl Place {
    fn node(self) -> NodeId {
        NodeId(NODE.0 + u64::from(self.gateway))
    }
}

/// A process that has taken up the work and receives.
pub(crate) struct Life {
    world: Arc<World>,
    place: Place,
    delivery: Delivery,
    membership: Option<Arc<Membership>>,
    gate: Gate,
    stop: CancellationToken,
    receiving: JoinHandle<()>,
    /// Renews the lease until it is dropped.
    _keeper: Option<DropGuard>,
}

impl Life {
    /// Starts a process in the order in which the gateway does.
    ///
    /// # Errors
    /// When the store fails; the process is over then.
    pub(crate) async fn begin(
        world: &Arc<World>,
        gate: &Gate,
        place: Place,
    ) -> Result<Self, claw_delivery::Error> {
        let known = Arc::new(OnceLock::new());
        let sick = Sick::new(Arc::clone(world), gate.clone(), place.life, Arc::clone(&known));
        let store: Arc<dyn Store> =
            Arc::new(FaultyStore::new(Arc::clone(&world.store), Points::new(sick)));
        let (fence, scribe, joined) = match world.story.gateways {
            1 => {
                let (fence, scribe) = take(world, &*store).await?;
                (fence, scribe, None)
            }
            _ => join(world, &store, place).await?,
        };
        let _once = known.set(fence);
        let ears = Arc::new(Ears::default());
        let heard = Arc::clone(&ears);
        let listener: Listener = Arc::new(move |signal| heard.hear(signal));
        let line = || Line { world: Arc::clone(world), gate: gate.clone() };
        let agents = Arc::new(Agents::new(claw_agent::Parts {
            store: Arc::clone(&store),
            fence,
            scribe: scribe.clone(),
            listener: Arc::clone(&listener),
            models: Arc::new(line()) as Arc<dyn Models>,
            tools: vec![Arc::new(Deed::new(Arc::clone(world), gate.clone()))],
            command_environment: BTreeMap::new(),
            agents: vec![agent(world)],
            retry: RetryPolicy { jitter: false, ..RetryPolicy::default() },
            version: "simulated",
        }));
        let wire: Arc<dyn Channel> =
            Arc::new(Wire::new(Arc::clone(world), gate.clone(), place.life));
        let membership = joined.as_ref().map(|(membership, _)| Arc::clone(membership));
        let delivery = Delivery::new(claw_delivery::Parts {
            store,
            fence,
            scribe,
            turns: agents,
            listener,
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
            sharing: membership.clone().map(|membership| (membership, Vec::new())),
        });
        delivery.recover().await?;
        let since = newest(&*world.store).await?;
        let door = Door { delivery: delivery.clone(), gate: gate.clone(), ears, since };
        world.crowd.opens(place.gateway, door);
        let stop = CancellationToken::new();
        let receiving = Receiving {
            world: Arc::clone(world),
            place,
            wire,
            delivery: delivery.clone(),
            gate: gate.clone(),
            stop: stop.clone(),
        };
        Ok(Self {
            world: Arc::clone(world),
            place,
            delivery,
            membership,
            gate: gate.clone(),
            stop,
            receiving: tokio::spawn(receiving.run()),
            _keeper: joined.map(|(_, keeper)| keeper),
        })
    }

    /// Ends the process as a signal to stop does. It may be killed in the middle of that.
    pub(crate) async fn end(self) {
        self.over(GRACE).await;
    }

    /// Returns when the process knows that another gateway has its place.
    pub(crate) async fn lost(&self) {
        match &self.membership {
            Some(membership) => membership.lost().cancelled().await,
            None => std::future::pending().await,
        }
        self.gate.alive().await;
    }

    /// Drops all that the process has, after it has lost its place.
    pub(crate) async fn drop_all(self) {
        self.over(Duration::ZERO).await;
    }

    async fn over(self, grace: Duration) {
        self.world.crowd.closes(self.place.gateway);
        self.stop.cancel();
        let ended = async {
            self.delivery.shutdown(grace).await;
            let _panicked = self.receiving.await;
            if let (Some(membership), false) = (&self.membership, grace.is_zero()) {
                membership.leave().await;
            }
        };
        tokio::select! {
            biased;
            () = self.gate.dies() => {}
            () = ended => self.gate.kill(),
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

/// What a gateway begins with: its proof, its pen, and its place among several, kept until dropped.
type Joined = (Fence, Scribe, Option<(Arc<Membership>, DropGuard)>);

/// Takes a place among several gateways.
async fn join(world: &World, store: &Arc<dyn Store>, place: Place) -> Result<Joined, StoreError> {
    let (node, span) = (place.node(), Duration::from_millis(world.story.lease_ms));
    let membership = Membership::join(Arc::clone(store), node, span).await?;
    let stop = CancellationToken::new();
    let (keeper, stopped) = (Arc::clone(&membership), stop.clone());
    tokio::spawn(async move { keeper.keep(stopped).await });
    let keeper = stop.drop_guard();
    let ids = IdSource::new(node, store.last_event_id(node).await?);
    let clock = world.clock.ahead(world.story.ills.skew_ms * i64::from(place.gateway));
    let scribe = Scribe::new(Arc::new(ids), Arc::new(clock));
    Ok((membership.fence(), scribe, Some((membership, keeper))))
}

/// The place of the newest event.
async fn newest(store: &dyn Store) -> Result<Seq, StoreError> {
    let events = store.events(Seq(0), usize::MAX >> 1).await?;
    Ok(events.last().map_or(Seq(0), |event| event.seq))
}

/// What keeps the channel receiving, as the gateway does.
struct Receiving {
    world: Arc<World>,
    place: Place,
    wire: Arc<dyn Channel>,
    delivery: Delivery,
    gate: Gate,
    stop: CancellationToken,
}

impl Receiving {
    async fn run(self) {
        if !self.hold_account().await {
            return;
        }
        self.world.crowd.receives(self.place.gateway);
        let mut failures = 0;
        while let Err(_lost) = self.wire.run(&self.delivery, self.stop.clone()).await {
            self.gate.alive().await;
            failures = 60.min(failures + 1);
            if !self.pause(Duration::from_secs(failures)).await {
                return;
            }
        }
    }

    /// Waits until this gateway is the one that receives. `false` when it stops first.
    async fn hold_account(&self) -> bool {
        loop {
            let held = self.delivery.hold_account(self.wire.id(), self.wire.account()).await;
            if let Ok(true) = held {
                return true;
            }
            if !self.pause(ASK_EVERY).await {
                return false;
            }
        }
    }

    /// `false` when the process is asked to stop meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
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
