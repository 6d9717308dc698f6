//! Which keys OpenClaw has, whether they work here or not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::path::{Path, Segment};
use crate::pattern::{Piece, pieces};

/// The list of paths; its head says where it comes from and how a line is written.
const LIST: &str = include_str!("../data/known.txt");

/// Endings of a key's name, in small letters, that make its value a secret wherever it stands.
/// They cover what plug-ins bring, whose keys no list can know.
const SECRET_ENDINGS: &[&str] =
    &["token", "password", "passphrase", "secret", "apikey", "api_key", "privatekey", "accesskey"];

/// What is known about one place, with everything below it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    keys: BTreeMap<String, Known>,
    any_key: Option<Box<Known>>,
    any_item: Option<Box<Known>>,
    /// Everything below is known.
    is_open: bool,
    /// Nothing need be said about it.
    is_quiet: bool,
    /// It is never shown, nor anything below it.
    is_secret: bool,
}

/// All known keys.
pub(crate) fn root() -> &'static Known {
    static ROOT: LazyLock<Known> = LazyLock::new(|| {
        let mut root = Known::default();
        for (path, flags) in lines() {
            root.insert(&pieces(&path), flags);
        }
        root
    });
    &ROOT
}

/// Whether what stands at `path` is never shown: the list says so, of it or of what it stands in,
/// or one of its keys is named like a secret.
pub(crate) fn is_secret(path: &Path) -> bool {
    let mut known = Some(root());
    path.segments().iter().any(|segment| {
        known = known.and_then(|known| known.step(segment));
        let is_named = matches!(segment, Segment::Key(key) if is_secret_name(key));
        is_named || known.is_some_and(|known| known.is_secret)
    })
}

fn is_secret_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Every path of the list with its flags, `NEW = OLD` written out.
pub(crate) fn lines() -> Vec<(String, &'static str)> {
    let given = || LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let paths = given().filter(|line| !line.contains(" = "));
    let paths: Vec<_> = paths.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect();
    let copies = given().filter_map(|line| line.split_once(" = ")).flat_map(|(new, old)| {
        let below = paths.iter().filter_map(move |(path, flags)| {
            let rest = path.strip_prefix(old)?;
            rest.starts_with(['.', '[']).then(|| (format!("{new}{rest}"), *flags))
        });
        below.collect::<Vec<_>>()
    });
    paths.iter().map(|(path, flags)| ((*path).to_owned(), *flags)).chain(copies).collect()
}

impl Known {
    /// What is known one step below.
    pub(crate) fn step(&self, segment: &Segment) -> Option<&Known> {
        let found = match segment {
            Segment::Key(key) => self.keys.get(key).or(self.any_key.as_deref()),
            Segment::Index(_) => self.any_item.as_deref(),
        };
        found.or(self.is_open.then_some(self))
    }

    /// Whether anything is known below.
    pub(crate) fn has_keys(&self) -> bool {
        self.is_open || !self.keys.is_empty() || self.any_key.is_some() || self.any_item.is_some()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.keys.iter().map(|(key, known)| (key.as_str(), known))
    }

    pub(crate) fn any_key(&self) -> Option<&Known> {
        self.any_key.as_deref()
    }

    pub(crate) fn any_item(&self) -> Option<&Known> {
        self.any_item.as_deref()
    }

    fn insert(&mut self, pieces: &[Piece], flags: &str) {
        let below = match pieces.first() {
            None => {
                self.is_quiet = flags.contains("quiet");
                self.is_secret = flags.contains("secret");
                return;
            }
            Some(Piece::Key(key)) => self.keys.entry(key.clone()).or_default(),
            Some(Piece::AnyKey) => self.any_key.get_or_insert_default(),
            Some(Piece::AnyItem) => self.any_item.get_or_insert_default(),
            Some(Piece::Rest) => {
                self.is_open = true;
                self
            }
        };
        below.insert(&pieces[1..], flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str) -> Option<&'static Known> {
        let path: Path = path.parse().unwrap();
        path.segments().iter().try_fold(root(), |known, segment| known.step(segment))
    }

    #[test]
    fn the_list_knows_openclaws_keys_and_no_others() {
        for path in [
            "gateway.port",
            "models.providers.any.models[3].cost.input",
            "agents.defaults.models[\"a/b\"].params.deep.er",
            "agents.list[0].sandbox.docker.image",
            "agents.list[0].groupChat.mentionPatterns",
            "channels.telegram.groups[\"-100\"].topics.7.skills",
            "channels.telegram.accounts.work.botToken",
            "channels.matrix.anything[0].at.all",
            "plugins.entries.x.config.y",
            "session.resetByType.thread.mode",
        ] {
            assert!(find(path).is_some(), "{path}");
        }
        for path in
            ["gateway.prot", "channels.telegram.bot", "agents.list.id", "plugins.entries.x.y"]
        {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn each_path_stands_once() {
        let mut paths: Vec<_> = lines().into_iter().map(|(path, _)| path).collect();
        paths.sort();
        let twice: Vec<_> = paths.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert_eq!(twice, Vec::<&[String]>::new());
    }

    #[test]
    fn a_name_can_say_that_it_is_a_secret() {
        for name in ["accessToken", "api_key", "APIKEY", "clientSecret", "password"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["maxTokens", "tokenFile", "contextTokens", "key"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
