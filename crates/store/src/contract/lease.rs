//! Checks of leases and of the fences that commits carry.

use claw_domain::{EventBody, NodeId};

use super::world::{LEASE_MS, NODE, World, at, closed, target};
use crate::{Change, DeliveryState, Error, Fence, Lease};

const RIVAL: NodeId = NodeId(8);

pub(super) async fn a_held_lease_is_given_to_nobody_else(world: World) {
    let last_moment = at(LEASE_MS - 1);
    assert_eq!(
        world.store.claim(&Lease::Gateway, RIVAL, last_moment, at(LEASE_MS)).await.unwrap(),
        None
    );
    world.commit(Vec::new()).await;
}

pub(super) async fn an_expired_lease_is_taken_over_with_a_higher_epoch(world: World) {
    let fence = take_over(&world).await;
    assert_eq!(fence.owner, RIVAL);
    assert!(fence.epoch > world.fence.epoch);
    // The first holder is a rival like any other now.
    assert_eq!(
        world.store.claim(&Lease::Gateway, NODE, at(LEASE_MS), at(LEASE_MS + 1)).await.unwrap(),
        None
    );
}

pub(super) async fn renewing_keeps_the_epoch(world: World) {
    let renewed = world.store.claim(&Lease::Gateway, NODE, at(1), at(2 * LEASE_MS)).await.unwrap();
    assert_eq!(renewed, Some(world.fence));
    // The new end holds.
    assert_eq!(
        world.store.claim(&Lease::Gateway, RIVAL, at(LEASE_MS), at(LEASE_MS + 1)).await.unwrap(),
        None
    );
}

pub(super) async fn leases_do_not_stand_in_each_others_way(world: World) {
    let mut epochs = vec![world.fence.epoch];
    for lease in [Lease::Member(RIVAL), Lease::Member(NODE)] {
        let fence = world
            .store
            .claim(&lease, RIVAL, at(0), at(LEASE_MS))
            .await
            .unwrap()
            .expect("it is free");
        world.store.commit(&fence, Vec::new()).await.unwrap();
        epochs.push(fence.epoch);
    }
    world.commit(Vec::new()).await;
    assert!(epochs.is_sorted_by(|a, b| a < b), "an epoch names its lease: {epochs:?}");
}

pub(super) async fn a_commit_with_an_old_epoch_does_nothing(world: World) {
    let fence = take_over(&world).await;
    let refused = world.refusal(vec![world.event(None, EventBody::SessionDeleted)]).await;
    assert!(matches!(refused, Error::Fenced { .. }), "{refused:?}");
    assert!(matches!(world.store.adopt(&world.fence).await, Err(Error::Fenced { .. })));
    assert_eq!(world.store.totals().await.unwrap().events, 0);
    world.store.commit(&fence, Vec::new()).await.unwrap();
}

pub(super) async fn a_fence_of_somebody_elses_epoch_is_refused(world: World) {
    let forged = Fence { owner: RIVAL, epoch: world.fence.epoch };
    assert!(matches!(world.store.commit(&forged, Vec::new()).await, Err(Error::Fenced { .. })));
}

pub(super) async fn adopting_takes_open_rows_and_leaves_done_ones(world: World) {
    let open = world.receive("open").await;
    let done = world.receive("done").await;
    let rows = world.enqueue(&target("1", None), &[0, 0]).await;
    world
        .commit(vec![
            Change::Advance(done.id, closed("replied")),
            Change::Deliver(
                rows[1].id,
                DeliveryState::Sent { external_id: None, attempts: 1, at: at(1) },
                None,
            ),
        ])
        .await;

    let fence = take_over(&world).await;
    world.store.adopt(&fence).await.unwrap();

    let inbox_fence = async |external: &str| {
        let row = world
            .store
            .inbox_row(&"telegram".into(), &"default".into(), &external.into())
            .await
            .unwrap();
        row.expect("it was received").fence
    };
    let outbox_fence =
        async |index: usize| world.store.outbox_of(rows[index].trace).await.unwrap()[0].fence;
    assert_eq!((inbox_fence("open").await, inbox_fence("done").await), (fence, world.fence));
    assert_eq!((outbox_fence(0).await, outbox_fence(1).await), (fence, world.fence));
    assert_eq!(open.fence, world.fence);
}

/// The rival takes the gateway's lease at the instant of its end.
async fn take_over(world: &World) -> Fence {
    let end = at(LEASE_MS);
    let fence = world.store.claim(&Lease::Gateway, RIVAL, end, at(2 * LEASE_MS)).await.unwrap();
    fence.expect("the lease has expired")
}
