//! Who is on a list of people: stable ids, or everybody.

use std::collections::BTreeSet;

use claw_domain::PeerId;

/// How a channel writes the ids of people in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdForm {
    /// Words that may stand before an id and a colon: `telegram:123`. Compared without case.
    pub prefixes: &'static [&'static str],
    /// Whether a stable id is digits only, with at most a minus before them.
    pub digits_only: bool,
}

/// A list of people as configured. Empty is nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    everybody: bool,
    ids: BTreeSet<String>,
    unmatchable: Vec<String>,
}

impl AllowList {
    /// Reads the entries of a configuration: `*`, an id, or a prefixed id.
    ///
    /// An entry that is no stable id (`@name`, a name where ids are digits) matches nobody, since
    /// a name can be given up by one person and taken by another; [`Self::unmatchable`] lists it.
    pub fn parse<Entry: AsRef<str>>(
        entries: impl IntoIterator<Item = Entry>,
        form: IdForm,
    ) -> Self {
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            let id = without_prefix(entry, form.prefixes);
            match id {
                "*" => list.everybody = true,
                _ if is_stable(id, form) => drop(list.ids.insert(id.to_owned())),
                _ => list.unmatchable.push(entry.to_owned()),
            }
        }
        list
    }

    /// Whether this person is on the list.
    pub fn contains(&self, person: &PeerId) -> bool {
        self.everybody || self.ids.contains(person.as_str())
    }

    /// Entries that can never match, for a warning about the configuration.
    pub fn unmatchable(&self) -> &[String] {
        &self.unmatchable
    }
}

fn without_prefix<'a>(entry: &'a str, prefixes: &[&str]) -> &'a str {
    match entry.split_once(':') {
        Some((word, id))
            if prefixes.iter().any(|prefix| prefix.eq_ignore_ascii_case(word.trim())) =>
        {
            id.trim()
        }
        _ => entry,
    }
}

fn is_stable(id: &str, form: IdForm) -> bool {
    if form.digits_only {
        let digits = id.strip_prefix('-').unwrap_or(id);
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    }
    !id.is_empty() && !id.starts_with('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELEGRAM: IdForm = IdForm { prefixes: &["telegram", "tg"], digits_only: true };

    #[track_caller]
    fn check(entries: &[&str], person: &str, expected: bool) {
        let list = AllowList::parse(entries, TELEGRAM);
        assert_eq!(list.contains(&PeerId::from(person)), expected, "{entries:?} and {person}");
    }

    #[test]
    fn an_empty_list_is_nobody() {
        // SEC-83
        check(&[], "1", false);
        check(&[""], "", false);
    }

    #[test]
    fn ids_match_with_and_without_prefix() {
        for entry in ["123", "telegram:123", "tg:123", "TG: 123", " 123 "] {
            check(&[entry], "123", true);
            check(&[entry], "1234", false);
        }
        check(&["*"], "123", true);
        check(&["tg:*"], "123", true);
        check(&["discord:123"], "123", false);
    }

    #[test]
    fn a_name_that_can_change_hands_matches_nobody_and_is_reported() {
        // SEC-79
        let entries = ["@alice", "alice", "tg:@alice", "77"];
        for person in ["@alice", "alice"] {
            check(&entries, person, false);
        }
        let list = AllowList::parse(entries, TELEGRAM);
        assert_eq!(list.unmatchable(), ["@alice", "alice", "tg:@alice"]);
    }

    #[test]
    fn where_ids_are_text_only_an_at_sign_marks_a_name() {
        let list = AllowList::parse(
            ["U024BE7LH", "@bob"],
            IdForm { prefixes: &["slack"], digits_only: false },
        );
        assert!(list.contains(&PeerId::from("U024BE7LH")));
        assert_eq!(list.unmatchable(), ["@bob"]);
    }
}
