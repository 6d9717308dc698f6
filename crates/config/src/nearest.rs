//! Which key was meant by one that nobody knows.

use crate::known;
use crate::path::Path;

/// The candidate that takes the fewest slips to become `key`, at most a third of its letters.
pub(crate) fn nearest<'k>(key: &str, candidates: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let slips_max = (key.len() / 3).max(1);
    // Lengths first, so that a key of a million letters costs nothing.
    let near = candidates.filter(|candidate| candidate.len().abs_diff(key.len()) <= slips_max);
    let near = near.map(|candidate| (slips(key, candidate), candidate));
    near.filter(|(slips, _)| *slips <= slips_max).min().map(|(_, candidate)| candidate)
}

/// The same key where it belongs, if it stands one step below just one key of the file.
pub(crate) fn elsewhere(key: &str) -> Option<Path> {
    let has_it = |known: &known::Known| known.keys().any(|(below, _)| below == key);
    let mut places = known::root().keys().filter(|(_, known)| has_it(known));
    let (section, _) = places.next()?;
    places.next().is_none().then(|| Path::root().key(section).key(key))
}

/// How many letters to insert, drop, change or swap with their neighbour lead from one word to the
/// other (optimal string alignment); case does not count.
fn slips(from: &str, to: &str) -> usize {
    let [from, to] = [from, to].map(|word| word.to_lowercase().chars().collect::<Vec<_>>());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        let cases =
            [("prot", "port", 1), ("", "ab", 2), ("same", "SAME", 0), ("kitten", "sitting", 3)];
        for (from, to, expected) in cases {
            assert_eq!(slips(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_a_near_key_is_named() {
        let near = |key| nearest(key, ["port", "bind", "customBindHost"].into_iter());
        assert_eq!(near("prot"), Some("port"));
        assert_eq!(near("custom_bind_host"), Some("customBindHost"));
        assert_eq!(near("host"), None);
        assert_eq!(near(&"x".repeat(1_000_000)), None);
    }
}
