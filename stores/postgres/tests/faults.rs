//! Servers that go away, answers that are lost, and ways that are cut.

mod support;

use std::{sync::Arc, time::Duration};

use claw_domain::Secret;
use claw_store::{Error, Lease, Store};
use claw_store_postgres::{Options, Postgres};
use claw_testkit::PgServer;
use futures_util::future::join_all;
use support::{
    LEASE_MS, NOW, Plain, event, fresh, join, logged, open,
    proxy::{Fault, Proxy},
};
use tokio::sync::mpsc;

/// The same database by another port.
fn through(url: &str, server: &PgServer, proxy: &Proxy) -> String {
    url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port))
}

#[tokio::test]
async fn a_server_that_restarts_or_crashes_amid_commits_loses_nothing() {
    let Some(mut server) = PgServer::start().await else { return };
    let url = fresh(&server).await;
    let store = Arc::new(open(&url).await);
    let fence = join(&store, 1).await;
    let (progress, mut made) = mpsc::unbounded_channel();
    let committers = (0..4_u64).map(|committer| {
        let (store, progress) = (Arc::clone(&store), progress.clone());
        tokio::spawn(async move {
            for number in 0..50 {
                let changes = vec![event(committer, number)];
                store.commit(&fence, changes).await.unwrap();
                progress.send(()).unwrap();
            }
        })
    });
    let committers: Vec<_> = committers.collect();
    for after in [20, 40] {
        for _ in 0..after {
            made.recv().await.unwrap();
        }
        if after == 20 {
            server.stop().await;
        } else {
            server.crash().await;
        }
        server.again().await;
    }
    for committer in committers {
        committer.await.unwrap();
    }
    let mut log = logged(&store).await;
    log.sort_unstable();
    let all = (0..4).flat_map(|committer| (0..50).map(move |number| (committer, number)));
    assert_eq!(log, all.collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_looked_up_and_done_once() {
    let Some(server) = PgServer::start().await else { return };
    // `C` 0 0 0 11 `COMMIT` is the server's word that it has committed (PostgreSQL, "Message
    // Formats", CommandComplete).
    for fault in [Fault::CutBefore("COMMIT\0"), Fault::CutAnswer("COMMIT\0")] {
        let url = fresh(&server).await;
        let proxy = Proxy::to(server.port()).await;
        let store = open(&through(&url, &server, &proxy)).await;
        let fence = join(&store, 1).await;
        proxy.arm(fault);
        let commits = (0..3).map(|number| store.commit(&fence, vec![event(1, number)]));
        let done = join_all(commits).await;
        assert!(done.iter().all(Result::is_ok), "{fault:?}: {done:?}");
        proxy.done().await;
        let plain = Plain::new(&url).await;
        assert_eq!(logged(&store).await, [(1, 0), (1, 1), (1, 2)], "{fault:?}");
        assert_eq!(plain.number("SELECT newest FROM log").await, 3);
        // So is other work.
        proxy.arm(fault);
        let other = claw_domain::NodeId(2);
        let (now, until) = (claw_domain::millis(NOW), claw_domain::millis(NOW + LEASE_MS));
        let taken = store.claim(&Lease::Member(other), other, now, until).await.unwrap();
        assert!(taken.is_some());
        proxy.done().await;
        assert_eq!(plain.number("SELECT count(*) FROM leases").await, 2);
    }
}

#[tokio::test]
async fn a_gateway_that_stands_still_in_a_transaction_stops_no_other() {
    let Some(server) = PgServer::start().await else { return };
    let url = fresh(&server).await;
    let proxy = Proxy::to(server.port()).await;
    let options = Options { stall_max: Duration::from_millis(300), ..Options::default() };
    let stuck = Postgres::open(&Secret::new(through(&url, &server, &proxy)), options).await;
    let stuck = Arc::new(stuck.unwrap());
    let other = open(&url).await;
    let fences = [join(&stuck, 1).await, join(&other, 2).await];
    // It has the lock, and does not hear that it has.
    proxy.arm(Fault::HoldAnswer("BEGIN\0"));
    let waiting = tokio::spawn({
        let stuck = Arc::clone(&stuck);
        async move { stuck.commit(&fences[0], vec![event(1, 1)]).await }
    });
    proxy.done().await;
    other.commit(&fences[1], vec![event(2, 1)]).await.unwrap();
    assert_eq!(logged(&other).await, [(2, 1)]);
    // When it wakes, its transaction is gone, and it makes the commit again.
    proxy.release();
    waiting.await.unwrap().unwrap();
    assert_eq!(logged(&other).await, [(2, 1), (1, 1)]);
}

#[tokio::test]
async fn a_server_that_stays_away_fails_calls_in_time_and_is_found_again() {
    let Some(mut server) = PgServer::start().await else { return };
    let url = fresh(&server).await.replace("claw@", "claw:canary-7@");
    let options = Options { retry_for: Duration::from_millis(300), ..Options::default() };
    let store = Postgres::open(&Secret::new(&url), options.clone()).await.unwrap();
    let fence = join(&store, 1).await;
    store.commit(&fence, vec![event(1, 1)]).await.unwrap();
    server.stop().await;
    let opened = Postgres::open(&Secret::new(&url), options).await;
    let failures = [
        store.commit(&fence, vec![event(1, 2)]).await.unwrap_err(),
        store.totals().await.unwrap_err(),
        opened.err().unwrap(),
    ];
    for error in failures {
        let Error::Engine(source) = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains(&format!("127.0.0.1:{}", server.port())), "{source}");
        // SEC-96
        assert!(!format!("{error} {error:?} {source}").contains("canary"), "{error:?}");
    }
    server.again().await;
    store.commit(&fence, vec![event(1, 3)]).await.unwrap();
    assert_eq!(logged(&store).await, [(1, 1), (1, 3)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_password_is_sent_to_the_server_and_shown_to_nobody() {
    let Some(mut server) = PgServer::start().await else { return };
    let url = fresh(&server).await;
    let rules = server.folder().join("data/pg_hba.conf");
    let old = std::fs::read_to_string(&rules).unwrap();
    let locked = format!("host all locked 127.0.0.1/32 scram-sha-256\n{old}");
    std::fs::write(&rules, locked).unwrap();
    let plain = Plain::new(&url).await;
    plain.run("CREATE ROLE locked LOGIN PASSWORD 'canary-right'; GRANT ALL ON SCHEMA public TO locked").await;
    server.restart().await;
    let with = |password: &str| Secret::new(url.replace("claw@", &format!("locked:{password}@")));
    let store = Postgres::open(&with("canary-right"), Options::default()).await.unwrap();
    store.writable().await.unwrap();
    let error = Postgres::open(&with("canary-wrong"), Options::default()).await.err().unwrap();
    let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
    assert!(text.contains("password authentication failed") && !text.contains("canary"), "{text}");
}
