//! How a gateway stops: no new work, what is under way ends, nothing is lost or done twice.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use claw_testkit::script::{Gate, Reply};
use nix::sys::signal::Signal;
use process::{command, world::World};

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_under_way_ends_and_new_work_is_refused_and_waits_for_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let gate = Gate::new();
    world.model.answer(Reply::text("one").held_by(&gate));
    let gateway = world.start();
    world.says("first");
    world.model.wait_for_requests(1).await;
    gateway.signal(Signal::SIGTERM);
    gateway.prints("stopping");

    let (status, ready) = gateway.get("/ready");
    assert_eq!(status, 503);
    assert_eq!(ready["reason"], "no new work is taken: the gateway is stopping");
    let params = r#"{"sessionKey": "main", "message": "hi", "idempotencyKey": "k-1"}"#;
    let call = ["gateway", "call", "chat.send", "--params", params];
    let refused = command(home.path()).args(call).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("the gateway is stopping"), "{said}");
    world.says("second");
    gate.open();
    assert_eq!(world.shown(1).await, ["one"]);
    let (code, log) = gateway.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(world.telegram.updates_pending(), 1, "the platform keeps what was not taken");

    let gateway = world.start();
    assert_eq!(world.shown(2).await[1], "echo: second");
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(world.telegram.sent().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_the_next_start_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let gate = Gate::new();
    world.model.answer(Reply::text("never seen").held_by(&gate));
    let gateway = world.start();
    world.says("first");
    world.model.wait_for_requests(1).await;
    gateway.signal(Signal::SIGTERM);
    gateway.prints("stopping");
    gateway.signal(Signal::SIGTERM);
    let (code, log) = gateway.ended();
    assert_eq!(code, Some(128 + Signal::SIGTERM as i32), "{log}");

    world.model.answer(Reply::text("one"));
    let gateway = world.start();
    assert_eq!(world.shown(1).await, ["one"]);
    world.says("second");
    assert_eq!(world.shown(2).await, ["one", "echo: second"]);
    assert_eq!(gateway.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_the_platform_put_off_waits_in_the_store_and_does_not_hold_the_stop_up() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    world.telegram.throttle_next(1, 2);
    let gateway = world.start();
    world.says("first");
    gateway.prints("will send again");
    assert_eq!(gateway.terminate(), Some(0));
    assert!(world.telegram.sent().is_empty());

    let gateway = world.start();
    assert_eq!(world.shown(1).await, ["echo: first"]);
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(world.telegram.sent().len(), 1);
}
