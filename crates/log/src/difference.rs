//! Where a store and its log differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// Differences that are told one by one; of more only the number is kept.
const DIFFERENCES_MAX: usize = 1_000;

/// One thing that a projection says otherwise than the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Which: `sessions`, `entries`, `usage`, `grants`, `devices`.
    pub projection: &'static str,
    /// Of what.
    pub key: String,
    /// What the log makes; null for nothing.
    pub expected: Value,
    /// What the store says; null for nothing.
    pub found: Value,
}

/// Differences up to the limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Differences {
    pub(crate) told: Vec<Difference>,
    pub(crate) more: u64,
}

impl Differences {
    pub(crate) fn add(&mut self, difference: Difference) {
        if self.told.len() < DIFFERENCES_MAX {
            self.told.push(difference);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn compare<K: Ord, V: PartialEq>(
        &mut self,
        projection: &'static str,
        expected: &BTreeMap<K, V>,
        found: &BTreeMap<K, V>,
        name: impl Fn(&K) -> String,
        show: impl Fn(&V) -> Value,
    ) {
        let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
        for key in keys {
            let (expected, found) = (expected.get(key), found.get(key));
            if expected != found {
                let [expected, found] =
                    [expected, found].map(|value| value.map_or(Value::Null, &show));
                self.add(Difference { projection, key: name(key), expected, found });
            }
        }
    }
}
