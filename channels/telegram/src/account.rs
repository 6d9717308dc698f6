//! One account as it runs: every default filled in, every contradiction refused.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use claw_domain::{AccountId, Secret};

#[cfg(doc)]
use crate::TOKEN_ENV;
use crate::{
    ConfigError,
    config::{AccountConfig, ChunkMode, Config, DmPolicy, Group, GroupPolicy, Peer, ReplyToMode},
};

/// The account that exists when none is named.
const DEFAULT_ACCOUNT: &str = "default";

/// Telegram's own server.
const API_ROOT: &str = "https://api.telegram.org";

/// Longest text of one message, in UTF-16 units after entity parsing (Bot API, `sendMessage`).
pub(crate) const TEXT_UTF16_MAX: usize = 4096;

/// `textChunkLimit` when it is not given.
const TEXT_CHUNK_LIMIT: usize = 4000;

/// `timeoutSeconds` when it is not given.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest token file that is read. A token has about 46 bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// One account with every default filled in.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whether it is used.
    pub enabled: bool,
    /// Its name for people.
    pub name: Option<String>,
    /// Where its token is.
    pub token: TokenSource,
    /// The Bot API's address, without a slash at its end.
    pub api_root: String,
    /// Who may write to it, as plain data.
    pub access: Access,
    /// Longest text of one message, in UTF-16 units, at most 4096.
    pub text_chunk_limit: usize,
    /// Where a long answer is split.
    pub chunk_mode: ChunkMode,
    /// Which parts are replies.
    pub reply_to_mode: ReplyToMode,
    /// Whether links have previews.
    pub link_preview: bool,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Who may write: plain data, decided upon elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// For direct messages.
    pub dm_policy: DmPolicy,
    /// Ids for direct messages, or `*`.
    pub allow_from: Vec<String>,
    /// For groups.
    pub group_policy: GroupPolicy,
    /// Ids for groups, or `*`; those of `allow_from` when the key is not given.
    pub group_allow_from: Vec<String>,
    /// Rules by chat id or `*`. Any entry makes it an allowlist of groups.
    pub groups: BTreeMap<String, Group>,
}

/// Where a token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// It stood in the configuration.
    Given(Secret),
    /// A file holds it.
    File(PathBuf),
    /// The environment variable [`TOKEN_ENV`] holds it, or nothing does.
    Environment,
    /// Nothing holds it: an account with a name of its own does not look at the environment.
    Nowhere,
}

impl TokenSource {
    /// The token; `environment` is the value of [`TOKEN_ENV`]. `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, or is empty.
    pub fn load(&self, environment: Option<Secret>) -> Result<Option<Secret>, ConfigError> {
        Ok(match self {
            Self::Given(token) => Some(token.clone()),
            Self::File(path) => Some(read_token(path)?),
            Self::Environment => environment.filter(|token| !token.is_empty()),
            Self::Nowhere => None,
        })
    }
}

impl Config {
    /// Every account, ordered by name, with all defaults filled in.
    ///
    /// # Errors
    /// When keys contradict each other; see [`ConfigError`].
    pub fn accounts(&self) -> Result<Vec<Account>, ConfigError> {
        let none = AccountConfig::default();
        if self.accounts.is_empty() {
            return Ok(vec![self.account(DEFAULT_ACCOUNT, &none)?]);
        }
        if let Some(name) =
            self.default_account.as_ref().filter(|name| !self.accounts.contains_key(*name))
        {
            return Err(ConfigError::UnknownAccount { name: name.clone() });
        }
        let mut inheriting = self.accounts.iter().filter(|(_, own)| {
            own.bot_token.is_none() && own.token_file.is_none() && own.enabled != Some(false)
        });
        let shared = self.bot_token.is_some() || self.token_file.is_some();
        if let (true, Some((first, _)), Some((second, _))) =
            (shared, inheriting.next(), inheriting.next())
        {
            return Err(ConfigError::SharedToken { first: first.clone(), second: second.clone() });
        }
        self.accounts.iter().map(|(id, own)| self.account(id, own)).collect()
    }

    /// The account that sends when a message names none.
    pub fn default_account(&self) -> AccountId {
        let named = self.default_account.as_deref();
        let first = || match self.accounts.contains_key(DEFAULT_ACCOUNT) {
            true => None,
            false => self.accounts.keys().next().map(String::as_str),
        };
        named.or_else(first).unwrap_or(DEFAULT_ACCOUNT).into()
    }

    fn account(&self, id: &str, own: &AccountConfig) -> Result<Account, ConfigError> {
        macro_rules! pick {
            ($key:ident) => {
                own.$key.clone().or_else(|| self.$key.clone())
            };
        }
        let token_file = own.token_file.clone().map(TokenSource::File);
        let text_chunk_limit =
            pick!(text_chunk_limit).map_or(TEXT_CHUNK_LIMIT, |limit| limit.get() as usize);
        if text_chunk_limit > TEXT_UTF16_MAX {
            return Err(ConfigError::ChunkTooLong { limit: text_chunk_limit });
        }
        let api_root = pick!(api_root).unwrap_or_else(|| API_ROOT.to_owned());
        if !api_root.starts_with("https://") && !api_root.starts_with("http://") {
            return Err(ConfigError::ApiRoot { account: id.to_owned() });
        }
        Ok(Account {
            id: id.into(),
            enabled: self.enabled.unwrap_or(true) && own.enabled.unwrap_or(true),
            name: pick!(name),
            token: token_file
                .or_else(|| given(&own.bot_token))
                .or_else(|| self.token_file.clone().map(TokenSource::File))
                .or_else(|| given(&self.bot_token))
                .unwrap_or(if id == DEFAULT_ACCOUNT {
                    TokenSource::Environment
                } else {
                    TokenSource::Nowhere
                }),
            api_root: api_root.trim_end_matches('/').to_owned(),
            access: Access::new(
                pick!(dm_policy).unwrap_or_default(),
                pick!(allow_from).unwrap_or_default(),
                pick!(group_policy).unwrap_or_default(),
                pick!(group_allow_from),
                pick!(groups).unwrap_or_default(),
            )?,
            text_chunk_limit,
            chunk_mode: pick!(chunk_mode).unwrap_or_default(),
            reply_to_mode: pick!(reply_to_mode).unwrap_or_default(),
            link_preview: pick!(link_preview).unwrap_or(true),
            timeout: pick!(timeout_seconds)
                .map_or(TIMEOUT, |secs| Duration::from_secs(secs.get().into())),
        })
    }
}

impl Access {
    fn new(
        dm_policy: DmPolicy,
        allow_from: Vec<Peer>,
        group_policy: GroupPolicy,
        group_allow_from: Option<Vec<Peer>>,
        groups: BTreeMap<String, Group>,
    ) -> Result<Self, ConfigError> {
        for (key, list) in
            [("allowFrom", Some(&allow_from)), ("groupAllowFrom", group_allow_from.as_ref())]
        {
            check_peers(key, list)?;
        }
        for group in groups.values() {
            check_peers("groups.<id>.allowFrom", group.allow_from.as_ref())?;
        }
        let ids = |list: Vec<Peer>| list.iter().map(Peer::id).collect::<Vec<_>>();
        let allow_from = ids(allow_from);
        if dm_policy == DmPolicy::Open && !allow_from.iter().any(|id| id == "*") {
            return Err(ConfigError::OpenWithoutStar);
        }
        let group_allow_from = group_allow_from.map_or_else(|| allow_from.clone(), ids);
        Ok(Self { dm_policy, allow_from, group_policy, group_allow_from, groups })
    }
}

fn check_peers(key: &'static str, list: Option<&Vec<Peer>>) -> Result<(), ConfigError> {
    match list.into_iter().flatten().find(|peer| !peer.is_valid()) {
        Some(peer) => Err(ConfigError::NotAnId { key, value: peer.id() }),
        None => Ok(()),
    }
}

fn given(token: &Option<Secret>) -> Option<TokenSource> {
    token.clone().filter(|token| !token.is_empty()).map(TokenSource::Given)
}

fn read_token(path: &Path) -> Result<Secret, ConfigError> {
    let unreadable = |source| ConfigError::TokenFile { path: path.to_owned(), source };
    // Anything but a plain file could hold up the start, or never end.
    let file = fs::metadata(path).map_err(unreadable)?;
    if !file.is_file() || file.len() > TOKEN_FILE_BYTES_MAX {
        return Err(ConfigError::TokenFileContent { path: path.to_owned() });
    }
    let token = Secret::new(fs::read_to_string(path).map_err(unreadable)?.trim());
    if token.is_empty() {
        Err(ConfigError::TokenFileContent { path: path.to_owned() })
    } else {
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accounts(config: serde_json::Value) -> Result<Vec<Account>, ConfigError> {
        serde_json::from_value::<Config>(config).expect("the keys are known").accounts()
    }

    fn only(config: serde_json::Value) -> Account {
        let [account] = accounts(config).unwrap().try_into().expect("one account");
        account
    }

    #[test]
    fn an_empty_section_is_one_closed_account_with_the_token_of_the_environment() {
        let account = only(json!({}));
        assert_eq!(account.id, "default".into());
        assert_eq!(account.access, Access::default());
        assert_eq!(
            (account.access.dm_policy, account.access.group_policy),
            (DmPolicy::Pairing, GroupPolicy::Allowlist)
        );
        assert_eq!(
            (account.text_chunk_limit, account.timeout, account.link_preview),
            (4000, TIMEOUT, true)
        );
        assert!(account.enabled);
        let token = account.token.load(Some(Secret::new("1:env"))).unwrap();
        assert_eq!(token.unwrap().expose(), "1:env");
        assert!(account.token.load(None).unwrap().is_none());
    }

    #[test]
    fn an_account_takes_from_above_what_it_leaves_out() {
        let all = accounts(json!({
            "dmPolicy": "allowlist", "allowFrom": [1, "tg:2"], "textChunkLimit": 1000, "apiRoot": "http://[::1]:9/",
            "accounts": { "a": { "botToken": "1:a", "allowFrom": ["3"] }, "b": { "enabled": false, "textChunkLimit": 50 } },
        }))
        .unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|account| {
                (
                    account.id.as_str(),
                    account.enabled,
                    &account.access.allow_from[..],
                    account.text_chunk_limit,
                )
            })
            .collect();
        let (a, b) = (["3".to_owned()], ["1".to_owned(), "2".to_owned()]);
        assert_eq!(seen, [("a", true, &a[..], 1000), ("b", false, &b[..], 50)]);
        assert_eq!(
            (all[0].api_root.as_str(), all[0].access.dm_policy),
            ("http://[::1]:9", DmPolicy::Allowlist)
        );
    }

    #[test]
    fn the_nearest_token_wins_and_a_file_wins_over_the_text_beside_it() {
        let source = |config| match only(config).token {
            TokenSource::Given(token) => token.expose().to_owned(),
            TokenSource::File(path) => path.display().to_string(),
            TokenSource::Environment => "environment".to_owned(),
            TokenSource::Nowhere => "nowhere".to_owned(),
        };
        for (config, expected) in [
            (json!({ "botToken": "top", "tokenFile": "/top" }), "/top"),
            (json!({ "botToken": "top", "accounts": { "a": {} } }), "top"),
            (json!({ "tokenFile": "/top", "accounts": { "a": { "botToken": "own" } } }), "own"),
            (json!({ "accounts": { "a": { "botToken": "own", "tokenFile": "/own" } } }), "/own"),
            (json!({ "accounts": { "default": {} } }), "environment"),
            (json!({ "accounts": { "a": {} } }), "nowhere"),
            (json!({ "botToken": "" }), "environment"),
        ] {
            assert_eq!(source(config.clone()), expected, "{config}");
        }
    }

    #[test]
    fn groups_fall_back_to_the_ids_of_direct_messages() {
        let access =
            only(json!({ "allowFrom": [7], "groups": { "-100": { "requireMention": false } } }))
                .access;
        assert_eq!(access.group_allow_from, ["7"]);
        assert_eq!(access.groups["-100"].require_mention, Some(false));
        assert_eq!(
            only(json!({ "allowFrom": [7], "groupAllowFrom": [] })).access.group_allow_from,
            [""; 0]
        );
    }

    /// SEC-79: a name that can change hands is in no allowlist.
    #[test]
    fn contradictions_are_refused_with_the_way_out() {
        for (config, said) in [
            (json!({ "dmPolicy": "open" }), "dmPolicy `open` needs \"*\" in allowFrom"),
            (json!({ "allowFrom": ["@anna"] }), "allowFrom takes numeric user ids, not `@anna`"),
            (
                json!({ "groups": { "*": { "allowFrom": ["bob"] } } }),
                "groups.<id>.allowFrom takes numeric user ids, not `bob`",
            ),
            (
                json!({ "textChunkLimit": 5000 }),
                "textChunkLimit is 5000, but Telegram takes at most 4096",
            ),
            (
                json!({ "apiRoot": "localhost" }),
                "apiRoot of account `default` is no http or https address",
            ),
            (
                json!({ "botToken": "1:a", "accounts": { "a": {}, "b": {} } }),
                "the accounts `a` and `b` share one token",
            ),
            (
                json!({ "defaultAccount": "x", "accounts": { "a": {} } }),
                "defaultAccount names `x`, which is not under accounts",
            ),
        ] {
            let error = accounts(config.clone()).expect_err("it contradicts itself");
            assert_eq!(error.to_string(), said, "{config}");
            assert!(error.hint().is_some(), "{config}");
        }
    }

    #[test]
    fn a_token_file_that_is_missing_empty_or_huge_is_an_error_without_its_content() {
        let folder =
            std::env::temp_dir().join(format!("claw-telegram-token-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let load = |name: &str, content: Option<&str>| {
            let path = folder.join(name);
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            TokenSource::File(path).load(None)
        };
        assert_eq!(load("good", Some(" 1:x\n")).unwrap().unwrap().expose(), "1:x");
        let huge = "canary".repeat(1000);
        for (name, content) in
            [("missing", None), ("empty", Some("\n")), ("huge", Some(huge.as_str()))]
        {
            let error = load(name, content).expect_err("there is no token in it");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
