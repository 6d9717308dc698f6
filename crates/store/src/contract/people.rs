//! Checks of who may speak to us: pairing requests, grants, devices.

use claw_domain::{ChannelId, EventBody, EventHeader, PeerId};
use serde_json::json;

use super::world::{World, at};
use crate::{Change, Device, Grant, NewEvent, PairingRequest};

pub(super) async fn a_newer_pairing_request_replaces_the_older(world: World) {
    let older = request("telegram", "42", 1);
    let newer = PairingRequest { code: "NEWCODE2".into(), ..request("telegram", "42", 2) };
    world.commit(vec![Change::PutPairing(older)]).await;
    world.commit(vec![Change::PutPairing(newer.clone())]).await;
    assert_eq!(world.store.pairings(None).await.unwrap(), [newer]);
}

pub(super) async fn pairing_requests_are_listed_oldest_first_and_forgotten(world: World) {
    let [late, early, other] =
        [request("telegram", "1", 9), request("telegram", "2", 3), request("signal", "3", 5)];
    let mut second = request("telegram", "1", 7);
    second.account = "second".into();
    let all = [&late, &early, &other, &second].map(|request| Change::PutPairing(request.clone()));
    world.commit(all.into()).await;
    let telegram = ChannelId::from("telegram");
    assert_eq!(
        world.store.pairings(Some(&telegram)).await.unwrap(),
        [early.clone(), second.clone(), late.clone()]
    );
    assert_eq!(
        world.store.pairings(None).await.unwrap(),
        [early.clone(), other.clone(), second.clone(), late]
    );

    let forget = || Change::DropPairing(telegram.clone(), "default".into(), "1".into());
    world.commit(vec![forget()]).await;
    world.commit(vec![forget()]).await;
    assert_eq!(world.store.pairings(None).await.unwrap(), [early, other, second]);
}

pub(super) async fn a_grant_holds_for_its_own_account_only(world: World) {
    let header = world.header(None);
    world.commit(vec![granted(header.clone(), "42")]).await;
    let holds = async |channel: &str, account: &str, peer: &str| {
        world.store.granted(&channel.into(), &account.into(), &peer.into()).await.unwrap()
    };
    assert!(holds("telegram", "default", "42").await);
    for (channel, account, peer) in
        [("telegram", "default", "43"), ("telegram", "second", "42"), ("signal", "default", "42")]
    {
        assert!(!holds(channel, account, peer).await, "{channel} {account} {peer}");
    }
    assert_eq!(grants(&world, "default").await, [grant("42", &header)]);
    assert_eq!(grants(&world, "second").await, []);
}

pub(super) async fn a_second_grant_keeps_the_first_date(world: World) {
    let headers = [world.header(None), world.header(None), world.header(None)];
    world.commit(vec![granted(headers[0].clone(), "9"), granted(headers[1].clone(), "1")]).await;
    world.commit(vec![granted(headers[2].clone(), "9")]).await;
    assert_eq!(grants(&world, "default").await, [grant("9", &headers[0]), grant("1", &headers[1])]);
}

pub(super) async fn a_removed_device_is_gone(world: World) {
    let paired = |id: &str, role: &str| {
        world.event(
            None,
            EventBody::DevicePaired { device: id.into(), record: json!({ "role": role }) },
        )
    };
    world.commit(vec![paired("b", "operator"), paired("a", "node"), paired("a", "operator")]).await;
    let device = |id: &str| Device { id: id.into(), record: json!({ "role": "operator" }) };
    assert_eq!(world.store.devices().await.unwrap(), [device("a"), device("b")]);
    assert_eq!(world.store.device(&"a".into()).await.unwrap(), Some(device("a")));

    world.commit(vec![world.event(None, EventBody::DeviceRemoved { device: "a".into() })]).await;
    assert_eq!(world.store.device(&"a".into()).await.unwrap(), None);
    assert_eq!(world.store.devices().await.unwrap(), [device("b")]);
    world.commit(vec![paired("a", "operator")]).await;
    assert_eq!(world.store.device(&"a".into()).await.unwrap(), Some(device("a")));
}

pub(super) async fn the_newest_event_about_a_device_wins(world: World) {
    let [first, second, third] = [world.header(None), world.header(None), world.header(None)];
    let paired = |header, role: &str| {
        let body = EventBody::DevicePaired { device: "a".into(), record: json!({ "role": role }) };
        Change::Log(NewEvent { header, body })
    };
    world.commit(vec![paired(second, "newer"), paired(first, "older")]).await;
    let newer = Device { id: "a".into(), record: json!({ "role": "newer" }) };
    assert_eq!(world.store.device(&"a".into()).await.unwrap(), Some(newer));

    let fourth = world.header(None);
    let removed = Change::Log(NewEvent {
        header: fourth,
        body: EventBody::DeviceRemoved { device: "a".into() },
    });
    world.commit(vec![removed, paired(third, "older than its removal")]).await;
    assert_eq!(world.store.device(&"a".into()).await.unwrap(), None);
}

fn request(channel: &str, peer: &str, ms: i64) -> PairingRequest {
    PairingRequest {
        channel: channel.into(),
        account: "default".into(),
        peer: peer.into(),
        name: Some("Ann".into()),
        code: "ABCD2345".into(),
        created_at: at(ms),
        expires_at: at(ms + 3_600_000),
    }
}

fn granted(header: EventHeader, peer: &str) -> Change {
    let (channel, account, by) = ("telegram".into(), "default".into(), "pairing".into());
    Change::Log(NewEvent {
        header,
        body: EventBody::GrantGiven { channel, account, peer: peer.into(), by },
    })
}

fn grant(peer: &str, header: &EventHeader) -> Grant {
    Grant {
        channel: "telegram".into(),
        account: "default".into(),
        peer: PeerId::from(peer),
        at: header.at,
    }
}

async fn grants(world: &World, account: &str) -> Vec<Grant> {
    world.store.grants(&"telegram".into(), &account.into()).await.unwrap()
}
