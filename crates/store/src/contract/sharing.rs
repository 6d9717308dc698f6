//! Checks of what gateways that share a store take from each other, and when.

use claw_domain::{InboxId, NodeId, Operator, Origin};

use super::world::{LEASE_MS, World, at, key, target};
use crate::{Change, Claim, Error, Fence, Holding, InboxState, Lease};

const NEIGHBOUR: NodeId = NodeId(21);
const THIRD: NodeId = NodeId(22);

/// A gateway that came to the store beside the first one, for as long as that one is there.
async fn join(world: &World, node: NodeId, until: i64) -> Fence {
    let fence = world.store.claim(&Lease::Member(node), node, at(0), at(until)).await.unwrap();
    fence.expect("a place of its own is free")
}

fn account() -> Holding {
    Holding::Account("telegram".into(), "default".into())
}

fn lane(session: &str) -> Holding {
    Holding::Lane(key(session))
}

fn claim(now: i64) -> Claim {
    Claim { now: at(now), limit: 100, agents_elsewhere: Vec::new() }
}

async fn holds(world: &World, fence: &Fence, holding: &Holding, now: i64) -> bool {
    world.store.hold(fence, holding, at(now)).await.unwrap()
}

async fn claimed(world: &World, fence: &Fence, claim: &Claim) -> Vec<InboxId> {
    let rows = world.store.claim_inbox(fence, claim).await.unwrap();
    assert!(rows.iter().all(|row| row.fence == *fence), "{rows:?}");
    rows.iter().map(|row| row.id).collect()
}

/// A row admitted to a session, given up by the first gateway.
async fn left(world: &World, external: &str, session: &str) -> InboxId {
    let row = world.receive(external).await;
    let state = InboxState::Admitted { rule: "dm-open".into(), session: key(session), at: at(4) };
    world.commit(vec![Change::Advance(row.id, state), Change::Leave(row.id)]).await;
    row.id
}

pub(super) async fn a_holding_has_one_holder(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    for holding in [account(), lane("agent:main:main")] {
        assert!(holds(&world, &world.fence, &holding, 0).await);
        assert!(holds(&world, &world.fence, &holding, 1).await, "it is held already");
        assert!(!holds(&world, &neighbour, &holding, 1).await);
    }
}

pub(super) async fn giving_up_frees_only_ones_own(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    assert!(holds(&world, &world.fence, &account(), 0).await);
    world.store.release(&neighbour, &[account()]).await.unwrap();
    assert!(!holds(&world, &neighbour, &account(), 0).await);
    world.store.release(&world.fence, &[account()]).await.unwrap();
    assert!(holds(&world, &neighbour, &account(), 0).await);
}

pub(super) async fn what_a_dead_gateway_held_is_free_and_its_late_commit_refused(world: World) {
    let dead = join(&world, NEIGHBOUR, 10).await;
    let alive = join(&world, THIRD, LEASE_MS).await;
    assert!(holds(&world, &dead, &account(), 0).await);
    assert!(!holds(&world, &alive, &account(), 9).await);
    world.store.commit(&dead, Vec::new()).await.unwrap();

    assert!(holds(&world, &alive, &account(), 10).await);
    let late = world.store.commit(&dead, Vec::new()).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    let late = world.store.hold(&dead, &account(), at(11)).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    let again = join(&world, NEIGHBOUR, LEASE_MS).await;
    assert!(again.epoch > alive.epoch, "an epoch is given once: {again:?}, {alive:?}");
    assert!(!holds(&world, &again, &account(), 12).await);
}

pub(super) async fn an_old_lease_that_nobody_wanted_goes_on(world: World) {
    let slow = join(&world, NEIGHBOUR, 10).await;
    assert!(holds(&world, &slow, &account(), 0).await);
    assert!(holds(&world, &slow, &account(), 50).await);
    world.store.commit(&slow, Vec::new()).await.unwrap();
    assert_eq!(join(&world, NEIGHBOUR, LEASE_MS).await, slow);
}

pub(super) async fn rows_of_the_living_are_left_to_them(world: World) {
    let neighbour = join(&world, NEIGHBOUR, 2 * LEASE_MS).await;
    assert!(holds(&world, &neighbour, &account(), 0).await);
    let row = world.receive("1").await;
    assert_eq!(claimed(&world, &neighbour, &claim(LEASE_MS - 1)).await, []);
    // The first gateway's lease is over.
    assert_eq!(claimed(&world, &neighbour, &claim(LEASE_MS)).await, [row.id]);
    assert_eq!(claimed(&world, &neighbour, &claim(LEASE_MS)).await, [], "once");
    let late = world.store.commit(&world.fence, Vec::new()).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
}

pub(super) async fn a_row_that_was_left_is_claimed_with_its_lane(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    let first = left(&world, "1", "agent:main:main").await;
    let second = left(&world, "2", "agent:main:main").await;
    let one = Claim { limit: 1, ..claim(1) };
    assert_eq!(claimed(&world, &neighbour, &one).await, [first], "the oldest first");
    assert!(!holds(&world, &world.fence, &lane("agent:main:main"), 1).await);
    assert_eq!(claimed(&world, &world.fence, &claim(1)).await, [], "the lane is the neighbour's");
    assert_eq!(claimed(&world, &neighbour, &claim(1)).await, [second]);
}

pub(super) async fn rows_of_a_lane_go_to_who_holds_it(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    assert!(holds(&world, &neighbour, &lane("agent:main:main"), 0).await);
    let theirs = left(&world, "1", "agent:main:main").await;
    let free = left(&world, "2", "agent:main:other").await;
    assert_eq!(claimed(&world, &world.fence, &claim(1)).await, [free]);
    assert_eq!(claimed(&world, &neighbour, &claim(1)).await, [theirs]);
}

pub(super) async fn what_nobody_looked_at_yet_is_claimed_with_its_account(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    let rows = [world.receive("1").await.id, world.receive("2").await.id];
    world.commit(rows.map(Change::Leave).into()).await;
    let one = Claim { limit: 1, ..claim(1) };
    assert_eq!(claimed(&world, &neighbour, &one).await, rows[..1], "the oldest first");
    assert!(!holds(&world, &world.fence, &account(), 1).await);
    assert_eq!(
        claimed(&world, &world.fence, &claim(1)).await,
        [],
        "the account is the neighbour's"
    );
    assert_eq!(claimed(&world, &neighbour, &claim(1)).await, rows[1..]);
}

pub(super) async fn nothing_newer_is_claimed_before_what_nobody_looked_at(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    assert!(holds(&world, &world.fence, &account(), 0).await);
    let first = world.receive("1").await.id;
    world.commit(vec![Change::Leave(first)]).await;
    let second = left(&world, "2", "agent:main:main").await;
    assert_eq!(claimed(&world, &neighbour, &claim(1)).await, [], "it may be the same session's");
    assert_eq!(claimed(&world, &world.fence, &claim(1)).await, [first, second]);
}

pub(super) async fn a_clients_message_that_nobody_looked_at_goes_with_its_lane(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    let mut row = world.inbox_row("1");
    row.inbound.origin = Origin::Operator(Operator {
        client: "cli".into(),
        session: key("agent:main:main"),
        run: "run-1".into(),
        extra_system_prompt: None,
        timeout_ms: None,
    });
    world.commit(vec![Change::Receive(Box::new(row.clone())), Change::Leave(row.id)]).await;
    assert!(holds(&world, &neighbour, &lane("agent:main:main"), 1).await);
    assert_eq!(claimed(&world, &world.fence, &claim(1)).await, [], "the lane is the neighbour's");
    assert_eq!(claimed(&world, &neighbour, &claim(1)).await, [row.id]);
}

pub(super) async fn rows_of_agents_elsewhere_are_left(world: World) {
    left(&world, "1", "agent:pinned:main").await;
    let free = left(&world, "2", "agent:main:main").await;
    let pinned = Claim { agents_elsewhere: vec!["pinned".into()], ..claim(1) };
    assert_eq!(claimed(&world, &world.fence, &pinned).await, [free]);
}

pub(super) async fn waiting_parts_go_to_who_holds_their_account(world: World) {
    let neighbour = join(&world, NEIGHBOUR, LEASE_MS).await;
    let mut rows = world.enqueue(&target("1", None), &[0, 1, 0]).await;
    rows.extend(world.enqueue(&target("2", None), &[0]).await);
    assert_eq!(world.store.claim_outbox(&neighbour, 10).await.unwrap(), []);

    assert!(holds(&world, &neighbour, &account(), 0).await);
    let mut claimed = world.store.claim_outbox(&neighbour, 2).await.unwrap();
    claimed.extend(world.store.claim_outbox(&neighbour, 10).await.unwrap());
    let ids = |rows: &[crate::OutboxRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&claimed), ids(&rows), "in order, each once");
    assert!(claimed.iter().all(|row| row.fence == neighbour));
}
