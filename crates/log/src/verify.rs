//! Whether a store's projections are what its log makes.

use std::collections::{BTreeMap, BTreeSet};

use claw_domain::{Session, SessionKey, millis};
use claw_store::{Error, SessionFilter, Snapshot, Store};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    difference::{Difference, Differences},
    rebuild::Rebuilt,
};

/// How often what differs is looked at again while others commit, before it is told.
const ROUNDS_MAX: usize = 5;

/// What was looked at, and what is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Events in the log.
    pub events: u64,
    /// Events that were folded into the snapshot before.
    pub folded: u64,
    /// Sessions.
    pub sessions: u64,
    /// Entries of transcripts.
    pub entries: u64,
    /// What differs, at most 1,000.
    pub differences: Vec<Difference>,
    /// How much more differs.
    pub more: u64,
}

impl Report {
    /// Whether every projection is what the log makes.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Folds every projection again from the log, beginning at the snapshot, and compares it with what
/// the store says. Reads the log in pages. A gateway may be at work meanwhile: what differs is then
/// looked at again.
///
/// # Errors
/// When the store does not answer.
pub async fn verify(store: &dyn Store) -> Result<Report, Error> {
    let mut round = 1;
    loop {
        let before = store.snapshot().await?;
        let report = verify_from(store, &before).await?;
        let folded_since = store.snapshot().await?.until != before.until;
        if report.is_clean() || !folded_since || round == ROUNDS_MAX {
            return Ok(report);
        }
        round += 1;
    }
}

async fn verify_from(store: &dyn Store, snapshot: &Snapshot) -> Result<Report, Error> {
    let mut rebuilt = Rebuilt::begin(store, snapshot).await?;
    let mut in_tree = Differences::default();
    let mut round = 1;
    loop {
        rebuilt.catch_up(store, &mut in_tree).await?;
        let mut differences = in_tree.clone();
        compare(store, &rebuilt, &mut differences).await?;
        let quiet = store.events(rebuilt.seq, 1).await?.is_empty();
        if differences.told.is_empty() || quiet || round == ROUNDS_MAX {
            return Ok(Report {
                events: rebuilt.events,
                folded: snapshot.events,
                sessions: rebuilt.sessions().count() as u64,
                entries: rebuilt.entries,
                differences: differences.told,
                more: differences.more,
            });
        }
        round += 1;
    }
}

async fn compare(
    store: &dyn Store,
    rebuilt: &Rebuilt,
    differences: &mut Differences,
) -> Result<(), Error> {
    let nodes = store.snapshot().await?.nodes;
    if nodes != rebuilt.entries {
        let (expected, found) = (json!(rebuilt.entries), json!(nodes));
        differences.add(Difference { projection: "entries", key: "count".into(), expected, found });
    }
    compare_sessions(store, rebuilt, differences).await?;
    let usage = store.totals().await?.usage;
    if usage != rebuilt.usage {
        let (expected, found) = (json!(rebuilt.usage), json!(usage));
        differences.add(Difference { projection: "usage", key: "all".into(), expected, found });
    }
    let grants = store.all_grants().await?.into_iter();
    let grants = grants
        .map(|grant| ((grant.channel.clone(), grant.account.clone(), grant.peer.clone()), grant))
        .collect();
    differences.compare(
        "grants",
        &rebuilt.grants,
        &grants,
        |(channel, account, peer)| format!("{channel}:{account}:{peer}"),
        |grant| json!({ "at": grant.at }),
    );
    let devices = store.devices().await?.into_iter();
    let devices = devices.map(|device| (device.id.clone(), device)).collect();
    let paired = rebuilt.devices.iter();
    let paired = paired.filter_map(|(id, (_, device))| Some((id.clone(), device.clone()?)));
    differences.compare("devices", &paired.collect(), &devices, ToString::to_string, |device| {
        device.record.clone()
    });
    Ok(())
}

async fn compare_sessions(
    store: &dyn Store,
    rebuilt: &Rebuilt,
    differences: &mut Differences,
) -> Result<(), Error> {
    let mut found: BTreeMap<SessionKey, Session> = BTreeMap::new();
    for session in store.sessions(&SessionFilter::default()).await? {
        found.insert(session.key.clone(), session);
    }
    let keys: BTreeSet<_> = rebuilt.sessions().map(|(key, _)| key).chain(found.keys()).collect();
    for key in keys {
        let (expected, found) = (rebuilt.session(key), found.get(key));
        let same = match (expected, found) {
            (Some(expected), Some(found)) => same(expected, found),
            (expected, found) => expected.is_none() && found.is_none(),
        };
        if !same {
            let (expected, found) = apart(&json!(expected), &json!(found));
            let key = key.to_string();
            differences.add(Difference { projection: "sessions", key, expected, found });
        }
    }
    Ok(())
}

/// Whether two records say the same. Costs are sums of fractions that went through text, and times
/// were once kept more finely than the log's milliseconds.
fn same(expected: &Session, found: &Session) -> bool {
    let near = (expected.cost - found.cost).abs() <= 1e-9 * expected.cost.abs().max(1.0);
    let [created_at, updated_at] =
        [found.created_at, found.updated_at].map(|at| millis(at.as_millisecond()));
    let found = Session { created_at, updated_at, ..found.clone() };
    near && Session { cost: found.cost, ..expected.clone() } == found
}

/// The fields in which two records differ.
fn apart(expected: &Value, found: &Value) -> (Value, Value) {
    let (Value::Object(one), Value::Object(other)) = (expected, found) else {
        return (expected.clone(), found.clone());
    };
    let differs = |name: &&String| one.get(*name) != other.get(*name);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).filter(differs).collect();
    let only = |record: &serde_json::Map<String, Value>| {
        let field = |name: &&String| Some(((*name).clone(), record.get(*name)?.clone()));
        Value::Object(names.iter().filter_map(field).collect())
    };
    (only(one), only(other))
}
