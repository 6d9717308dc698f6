//! A gateway's place among those that share a store, and how it is kept.

use std::{sync::Arc, time::Duration};

use claw_domain::NodeId;
use claw_store::{Error, Fence, Lease, Store};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::outbox::later;

/// A lease is renewed so many times before it is over.
const RENEWALS: u32 = 6;

/// The lease of one gateway on a store that many share.
///
/// What this gateway holds, it holds under this lease: lanes, channel accounts, rows. When it is
/// lost, all of that is lost at once, and every commit is refused; what remains is to start over.
pub struct Membership {
    store: Arc<dyn Store>,
    lease: Lease,
    fence: Fence,
    /// How long the lease is taken for at a time.
    span: Duration,
    good_until: watch::Sender<Instant>,
    lost: CancellationToken,
}

impl Membership {
    /// Takes the place of the gateway `node`. The caller has made sure that no other process of
    /// this installation runs (the lock on its state folder does), so a lease that a dead one left
    /// behind is taken over at once, with a new epoch that shuts its late commits out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn join(
        store: Arc<dyn Store>,
        node: NodeId,
        span: Duration,
    ) -> Result<Arc<Self>, Error> {
        let lease = Lease::Member(node);
        let holder = NodeId(uuid::Uuid::new_v4().as_u64_pair().0 | 1);
        let asked = Instant::now();
        let until = later(store.now().await?, span);
        let taken = store.claim(&lease, holder, claw_domain::Timestamp::MAX, until).await?;
        let fence = taken.ok_or_else(|| Error::Fenced { what: lease.name() })?;
        info!(lease = lease.name(), epoch = fence.epoch, "joined the gateways of this store");
        let good_until = watch::Sender::new(asked + span);
        Ok(Arc::new(Self { store, lease, fence, span, good_until, lost: CancellationToken::new() }))
    }

    /// Proof of the lease.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// How long a send may take: before it begins, twice as much must be left of the lease, which
    /// is renewed when five sixths of it are left.
    pub fn send_deadline(&self) -> Duration {
        self.span / RENEWALS
    }

    /// Fires when the lease is over, or somebody else has it.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Says that a commit was refused: the lease is somebody else's.
    pub(crate) fn was_fenced(&self, error: &Error) {
        if matches!(error, Error::Fenced { .. }) && !self.lost.is_cancelled() {
            warn!(lease = self.lease.name(), "another gateway has taken over: starting over");
            self.lost.cancel();
        }
    }

    /// Waits until the lease is good for so long. `false` when it is lost.
    pub(crate) async fn good_for(&self, time: Duration) -> bool {
        let mut good_until = self.good_until.subscribe();
        loop {
            if self.lost.is_cancelled() {
                return false;
            }
            if good_until.borrow_and_update().saturating_duration_since(Instant::now()) >= time {
                return true;
            }
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return false,
                _ = good_until.changed() => {}
            }
        }
    }

    /// Renews the lease until `stop` fires or it is lost.
    pub async fn keep(&self, stop: CancellationToken) {
        let pause = self.span / RENEWALS;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.lost.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let asked = Instant::now();
            match tokio::time::timeout(pause, self.renew()).await {
                Ok(Ok(Some(fence))) if fence == self.fence => {
                    self.good_until.send_replace(asked + self.span);
                }
                Ok(Ok(_)) => self.was_fenced(&Error::fenced(&self.fence)),
                Ok(Err(error)) => warn!(%error, "the place among the gateways was not renewed"),
                Err(_elapsed) => warn!("the store did not answer in time to renew the lease"),
            }
            if *self.good_until.borrow() <= Instant::now() && !self.lost.is_cancelled() {
                warn!("the lease is over and could not be renewed: starting over");
                self.lost.cancel();
            }
        }
    }

    async fn renew(&self) -> Result<Option<Fence>, Error> {
        let now = self.store.now().await?;
        self.store.claim(&self.lease, self.fence.owner, now, later(now, self.span)).await
    }

    /// Gives the place up, so that others take over at once.
    pub async fn leave(&self) {
        let Ok(now) = self.store.now().await else { return };
        if let Err(error) = self.store.claim(&self.lease, self.fence.owner, now, now).await {
            warn!(%error, "the lease could not be given up; it ends by itself");
        }
    }
}
