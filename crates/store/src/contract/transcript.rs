//! Checks of transcripts: paths through the tree, and what of them a prompt holds.

use std::slice::from_ref;

use claw_domain::{Entry, EntryId, EventBody, SessionId, SessionKey};

use super::world::{World, answered, compaction, key, said, tool_result};
use crate::Error;

pub(super) async fn history_follows_parents_over_branches(world: World) {
    let (main, id) = opened(&world).await;
    let root = world.entry(id, None, 1, said("root"));
    let left = world.entry(id, Some(&root), 1, answered("left"));
    let right = world.entry(id, Some(&root), 1, tool_result("right"));
    let leaf = world.entry(id, Some(&left), 1, said("leaf"));
    for entry in [&root, &left, &right, &leaf] {
        world.add(&main, entry).await;
    }
    assert_eq!(history(&world, id, leaf.id, 9).await, [root.clone(), left, leaf]);
    assert_eq!(history(&world, id, right.id, 9).await, [root, right]);
}

pub(super) async fn history_is_cut_to_the_newest(world: World) {
    let (main, id) = opened(&world).await;
    let chain = world.chain(&main, id, None, &[1; 5]).await;
    assert_eq!(history(&world, id, chain[4].id, 2).await, chain[3..]);
    assert_eq!(history(&world, id, chain[2].id, 9).await, chain[..3]);
    assert_eq!(history(&world, id, chain[4].id, 0).await, []);
    assert_eq!(history(&world, id, world.id(), 9).await, []);
    assert_eq!(history(&world, world.id(), chain[4].id, 9).await, [], "another life");
}

pub(super) async fn an_entry_needs_its_parent(world: World) {
    let (main, id) = opened(&world).await;
    let orphan = Entry { parent: Some(world.id()), ..world.entry(id, None, 1, said("who?")) };
    let own_parent = Entry { parent: Some(orphan.id), ..orphan.clone() };
    for entry in [orphan, own_parent] {
        let refused =
            world.refusal(vec![world.event(Some(&main), EventBody::EntryAdded(entry))]).await;
        assert!(matches!(refused, Error::Missing { .. }), "{refused:?}");
    }
}

pub(super) async fn an_entry_id_is_taken_once(world: World) {
    let (main, id) = opened(&world).await;
    let entry = world.entry(id, None, 1, said("once"));
    world.add(&main, &entry).await;
    let refused = world.refusal(vec![world.event(Some(&main), EventBody::EntryAdded(entry))]).await;
    assert!(matches!(refused, Error::Exists { .. }), "{refused:?}");
}

pub(super) async fn context_is_what_fits_the_budget(world: World) {
    let (main, id) = opened(&world).await;
    let chain = world.chain(&main, id, None, &[1, 50, 20, 30]).await;
    let head = chain[3].id;
    assert_eq!(context(&world, id, head, None, 101).await, chain);
    assert_eq!(context(&world, id, head, None, 100).await, chain[1..]);
    assert_eq!(
        context(&world, id, head, None, 99).await,
        chain[2..],
        "an older small entry is not pulled in"
    );
    assert_eq!(context(&world, id, head, None, u64::MAX).await, chain);
}

pub(super) async fn context_holds_one_entry_however_large(world: World) {
    let (main, id) = opened(&world).await;
    let chain = world.chain(&main, id, None, &[0, 1000]).await;
    assert_eq!(context(&world, id, chain[1].id, None, 10).await, chain, "nothing costs nothing");
    let chain = world.chain(&main, id, None, &[1, 1000]).await;
    assert_eq!(context(&world, id, chain[1].id, None, 10).await, chain[1..]);
    assert_eq!(context(&world, id, world.id(), None, 10).await, []);
}

pub(super) async fn context_ends_at_its_start(world: World) {
    let (main, id) = opened(&world).await;
    let chain = world.chain(&main, id, None, &[1; 6]).await;
    assert_eq!(context(&world, id, chain[5].id, Some(chain[2].id), 100).await, chain[2..]);
    assert_eq!(context(&world, id, chain[5].id, Some(chain[5].id), 100).await, chain[5..]);
    assert_eq!(context(&world, id, chain[5].id, Some(chain[1].id), 2).await, chain[4..]);
}

pub(super) async fn context_puts_the_newest_compaction_first(world: World) {
    let (main, id) = opened(&world).await;
    let old = world.chain(&main, id, None, &[1; 3]).await;
    let first = world.entry(id, old.last(), 1, compaction(old[2].id));
    world.add(&main, &first).await;
    let middle = world.chain(&main, id, Some(&first), &[1; 3]).await;
    assert_eq!(
        context(&world, id, middle[2].id, None, 100).await,
        joined(&[from_ref(&first), &old[2..], &middle])
    );

    let second = world.entry(id, middle.last(), 1, compaction(middle[1].id));
    world.add(&main, &second).await;
    let new = world.chain(&main, id, Some(&second), &[1; 2]).await;
    let expected = joined(&[from_ref(&second), &middle[1..], &new]);
    assert_eq!(context(&world, id, new[1].id, None, 100).await, expected);
    assert_eq!(context(&world, id, second.id, None, 100).await, joined(&[&[second], &middle[1..]]));

    // What is kept may reach back beyond an older compaction, which the newer one has taken in.
    let third = world.entry(id, new.last(), 1, compaction(old[2].id));
    world.add(&main, &third).await;
    let expected = joined(&[from_ref(&third), &old[2..], &middle, &new]);
    assert_eq!(context(&world, id, third.id, None, 100).await, expected);
}

pub(super) async fn context_after_a_compaction_keeps_to_the_budget(world: World) {
    let (main, id) = opened(&world).await;
    let old = world.chain(&main, id, None, &[10; 4]).await;
    let mark = world.entry(id, old.last(), 10, compaction(old[0].id));
    world.add(&main, &mark).await;
    let new = world.chain(&main, id, Some(&mark), &[10; 2]).await;
    let head = new[1].id;
    assert_eq!(
        context(&world, id, head, None, 40).await,
        joined(&[from_ref(&mark), &old[3..], &new])
    );
    assert_eq!(context(&world, id, head, None, 20).await, new, "no room for the summary");
    assert_eq!(
        context(&world, id, head, Some(new[0].id), 100).await,
        new,
        "it starts after the compaction"
    );
    assert_eq!(
        context(&world, id, head, Some(old[2].id), 100).await,
        joined(&[&[mark], &old[2..], &new])
    );
}

pub(super) async fn a_compaction_may_keep_nothing(world: World) {
    let (main, id) = opened(&world).await;
    let old = world.chain(&main, id, None, &[1; 3]).await;
    let mut mark = world.entry(id, old.last(), 1, compaction(old[0].id));
    mark.body = compaction(mark.id);
    world.add(&main, &mark).await;
    let new = world.chain(&main, id, Some(&mark), &[1]).await;
    assert_eq!(context(&world, id, new[0].id, None, 100).await, joined(&[&[mark], &new]));
}

pub(super) async fn context_never_leaves_its_session(world: World) {
    let (main, id) = opened(&world).await;
    let chain = world.chain(&main, id, None, &[1; 2]).await;
    let other = world.open(&key("agent:main:other")).await;
    let foreign = world.entry(other, chain.last(), 1, said("grafted"));
    world.add(&key("agent:main:other"), &foreign).await;
    assert_eq!(context(&world, other, foreign.id, None, 100).await, [foreign]);
    assert_eq!(context(&world, other, chain[1].id, None, 100).await, []);
}

pub(super) async fn the_context_of_a_long_session_is_bounded(world: World) {
    let (main, id) = opened(&world).await;
    let mut chain: Vec<Entry> = Vec::new();
    for _ in 0..20 {
        let mut changes = Vec::new();
        for _ in 0..100 {
            let entry = world.entry(id, chain.last(), 10, said("and on"));
            changes.push(world.event(Some(&main), EventBody::EntryAdded(entry.clone())));
            chain.push(entry);
        }
        world.commit(changes).await;
    }
    let head = chain.last().expect("the chain is long").id;
    assert_eq!(context(&world, id, head, None, 75).await, chain[chain.len() - 7..]);
    assert_eq!(context(&world, id, head, Some(chain[0].id), 75).await, chain[chain.len() - 7..]);
    assert_eq!(history(&world, id, head, usize::MAX).await, chain);
}

async fn opened(world: &World) -> (SessionKey, SessionId) {
    let main = key("agent:main:main");
    let id = world.open(&main).await;
    (main, id)
}

async fn history(world: &World, session: SessionId, head: EntryId, limit: usize) -> Vec<Entry> {
    let entries = world.store.history(session, head, limit).await.unwrap();
    entries.iter().map(|entry| Entry::clone(entry)).collect()
}

async fn context(
    world: &World,
    session: SessionId,
    head: EntryId,
    start: Option<EntryId>,
    tokens_max: u64,
) -> Vec<Entry> {
    let entries = world.store.context(session, head, start, tokens_max).await.unwrap();
    entries.iter().map(|entry| Entry::clone(entry)).collect()
}

fn joined(pieces: &[&[Entry]]) -> Vec<Entry> {
    pieces.concat()
}
