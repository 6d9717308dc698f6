//! Checks of sessions: the fold of their events, and the list of them.

use claw_domain::{ChatKind, Ending, EventBody, Session, SessionKey, Settings, StopCause, Usage};

use super::{
    log::used,
    world::{World, at, compaction, key, said, target},
};
use crate::{Change, NewEvent, SessionFilter};

pub(super) async fn a_reset_opens_a_new_life_and_keeps_settings(world: World) {
    let main = key("agent:main:main");
    let first = world.open(&main).await;
    let settings = Settings { label: Some("work".into()), ..Settings::default() };
    let last_target = target("42", Some("3"));
    world.chain(&main, first, None, &[5]).await;
    world
        .commit(vec![
            world.event(Some(&main), EventBody::SessionSet { settings: settings.clone() }),
            world.event(Some(&main), EventBody::SessionSeen { target: last_target.clone() }),
            world.event(Some(&main), EventBody::Used(used(&"r".into(), 1))),
        ])
        .await;

    let id = world.id();
    let header = world.header(Some(&main));
    let opened = EventBody::SessionOpened {
        id,
        agent: "main".into(),
        chat: ChatKind::Group,
        why: "reset".into(),
    };
    world.commit(vec![Change::Log(NewEvent { header: header.clone(), body: opened })]).await;

    let expected = Session {
        key: main.clone(),
        id,
        agent: "main".into(),
        kind: ChatKind::Group,
        created_at: header.at,
        updated_at: header.at,
        newest: header.id,
        head: None,
        tokens_sum: 0,
        context_start: None,
        prefix: None,
        compactions: 0,
        usage: Usage::default(),
        cost: 0.0,
        prompt_tokens: 0,
        model: None,
        last_target: Some(last_target),
        aborted_last_run: false,
        settings,
    };
    assert_eq!(session(&world, &main).await, expected);
}

pub(super) async fn a_deleted_session_is_gone(world: World) {
    let main = key("agent:main:main");
    world.open(&main).await;
    world.commit(vec![world.event(Some(&main), EventBody::SessionDeleted)]).await;
    assert_eq!(world.store.session(&main).await.unwrap(), None);
    assert_eq!(world.store.sessions(&SessionFilter::default()).await.unwrap(), []);
    world.open(&main).await;
    assert_eq!(session(&world, &main).await.settings, Settings::default());
}

pub(super) async fn usage_and_cost_add_up(world: World) {
    let main = key("agent:main:main");
    world.open(&main).await;
    for times in [1, 10] {
        world
            .commit(vec![world.event(Some(&main), EventBody::Used(used(&"r".into(), times)))])
            .await;
    }
    let mut no_number = used(&"r".into(), 0);
    no_number.cost = Some(f64::INFINITY);
    world.commit(vec![world.event(Some(&main), EventBody::Used(no_number))]).await;
    world.commit(vec![world.event(Some(&main), EventBody::Used(used(&"r".into(), 0)))]).await;
    let after = session(&world, &main).await;
    assert_eq!(after.usage, Usage { input: 11, output: 22, cache_read: 33, cache_write: 44 });
    assert_eq!((after.cost, after.prompt_tokens), (0.75, 0));
    assert_eq!(after.model, Some(used(&"r".into(), 1).model));
}

pub(super) async fn a_prefix_lasts_until_a_compaction(world: World) {
    let main = key("agent:main:main");
    let id = world.open(&main).await;
    let chain = world.chain(&main, id, None, &[5]).await;
    let header = world.header(Some(&main));
    let model = used(&"r".into(), 1).model;
    let epoch = EventBody::PrefixEpoch {
        model,
        system: "You are".into(),
        tools: "t".into(),
        why: "first".into(),
    };
    world.commit(vec![Change::Log(NewEvent { header: header.clone(), body: epoch })]).await;
    world.chain(&main, id, chain.last(), &[5]).await;
    let before = session(&world, &main).await;
    assert_eq!((before.prefix, before.compactions), (Some(header.id), 0));

    world.add(&main, &world.entry(id, chain.last(), 1, compaction(chain[0].id))).await;
    let after = session(&world, &main).await;
    assert_eq!((after.prefix, after.compactions), (None, 1));
}

pub(super) async fn the_head_follows_the_newest_entry_of_this_life(world: World) {
    let main = key("agent:main:main");
    let first = world.open(&main).await;
    let old = world.chain(&main, first, None, &[5, 7]).await;
    let head = session(&world, &main).await;
    assert_eq!((head.head, head.tokens_sum), (Some(old[1].id), 12));

    let trimmed = EventBody::ContextTrimmed { start: old[1].id, dropped: 1 };
    let stopped = Ending::Stopped { cause: StopCause::Command, text: String::new() };
    let finished = EventBody::RunFinished { run: "r".into(), ending: stopped };
    world.commit(vec![world.event(Some(&main), trimmed), world.event(Some(&main), finished)]).await;
    let cut = session(&world, &main).await;
    assert_eq!((cut.context_start, cut.aborted_last_run), (Some(old[1].id), true));

    world.open(&main).await;
    let late = world.entry(first, old.last(), 3, said("late"));
    world.add(&main, &late).await;
    assert_eq!(session(&world, &main).await.head, None, "an entry of an earlier life");
    assert_eq!(world.store.history(first, late.id, 9).await.unwrap().len(), 3);
}

pub(super) async fn an_event_without_its_session_is_only_logged(world: World) {
    let gone = key("agent:main:gone");
    world.commit(vec![world.event(Some(&gone), EventBody::Used(used(&"r".into(), 1)))]).await;
    assert_eq!(world.store.session(&gone).await.unwrap(), None);
    assert_eq!(world.store.totals().await.unwrap().events, 1);
}

pub(super) async fn sessions_are_listed_newest_first(world: World) {
    let keys = ["agent:main:a", "agent:main:b", "agent:main:c"].map(key);
    for key in &keys {
        world.open(key).await;
    }
    world
        .commit(vec![
            world.event(Some(&keys[0]), EventBody::SessionSeen { target: target("1", None) }),
        ])
        .await;
    assert_eq!(
        listed(&world, SessionFilter::default()).await,
        [&keys[0], &keys[2], &keys[1]].map(Clone::clone)
    );

    // Of one instant, the key decides.
    let mut same = Vec::new();
    for key in [&keys[2], &keys[0], &keys[1]] {
        let mut header = world.header(Some(key));
        header.at = at(1_000_000);
        let body = EventBody::SessionSet { settings: Settings::default() };
        same.push(Change::Log(NewEvent { header, body }));
    }
    world.commit(same).await;
    assert_eq!(listed(&world, SessionFilter::default()).await, keys);
}

pub(super) async fn a_list_is_filtered_and_cut(world: World) {
    let keys = ["agent:main:a", "agent:ops:b", "agent:main:c"].map(key);
    for key in &keys {
        world.open(key).await;
    }
    let since = session(&world, &keys[1]).await.updated_at;
    let filter = |agent: Option<&str>, updated_since, limit| SessionFilter {
        agent: agent.map(Into::into),
        updated_since,
        limit,
    };
    let [a, b, c] = keys;
    assert_eq!(listed(&world, filter(Some("main"), None, None)).await, [c.clone(), a]);
    assert_eq!(listed(&world, filter(None, Some(since), None)).await, [c.clone(), b]);
    assert_eq!(listed(&world, filter(None, None, Some(1))).await, [c]);
    assert_eq!(listed(&world, filter(Some("nobody"), None, None)).await, []);
}

async fn session(world: &World, key: &SessionKey) -> Session {
    world.store.session(key).await.unwrap().expect("the session was opened")
}

async fn listed(world: &World, filter: SessionFilter) -> Vec<SessionKey> {
    world.store.sessions(&filter).await.unwrap().into_iter().map(|session| session.key).collect()
}
