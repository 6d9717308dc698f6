//! The tokens that gateways gave this device: `identity/device-auth.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use claw_domain::{Clock, Secret, SystemClock};
use claw_protocol::hello::HelloAuth;
use serde::{Deserialize, Serialize};

use crate::files::{Existing, write_private};
use crate::target::Target;

/// The file of tokens, one per role.
pub(crate) struct Tokens {
    path: PathBuf,
    device_id: String,
}

/// The file, in OpenClaw's format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenFile {
    version: u32,
    device_id: String,
    tokens: BTreeMap<String, StoredToken>,
}

/// A token. Without `Debug`, so that it cannot be printed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredToken {
    token: String,
    role: String,
    scopes: Vec<String>,
    updated_at_ms: i64,
    /// The gateway that gave it, which OpenClaw does not write down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
}

impl Tokens {
    pub(crate) fn new(path: PathBuf, device_id: String) -> Self {
        Self { path, device_id }
    }

    pub(crate) fn device_id(&self) -> &str {
        &self.device_id
    }

    /// The token for `role` at `target`; a token of another gateway is never shown to this one.
    pub(crate) fn find(&self, role: &str, target: &Target) -> Option<Secret> {
        let token = self.read().tokens.remove(role)?;
        token.belongs_to(target).then(|| Secret::new(token.token))
    }

    /// Keeps the token of a `hello-ok`.
    pub(crate) fn store(&self, auth: &HelloAuth, target: &Target) -> io::Result<()> {
        let Some(token) = &auth.device_token else { return Ok(()) };
        let mut file = self.read();
        let stored = StoredToken {
            token: token.expose().into(),
            role: auth.role.clone(),
            scopes: auth.scopes.clone(),
            updated_at_ms: SystemClock.now().as_millisecond(),
            gateway: Some(target.origin()),
        };
        file.tokens.insert(auth.role.clone(), stored);
        self.write(&file)
    }

    /// Forgets the token for `role` that `target` no longer accepts.
    pub(crate) fn forget(&self, role: &str, target: &Target) -> io::Result<()> {
        let mut file = self.read();
        match file.tokens.remove(role) {
            Some(token) if token.belongs_to(target) => self.write(&file),
            _ => Ok(()),
        }
    }

    /// The file's tokens. They are a convenience: what cannot be read counts as none.
    fn read(&self) -> TokenFile {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        serde_json::from_str::<TokenFile>(&text)
            .ok()
            .filter(|file| file.device_id == self.device_id)
            .unwrap_or_else(|| TokenFile {
                version: 1,
                device_id: self.device_id.clone(),
                tokens: BTreeMap::new(),
            })
    }

    fn write(&self, file: &TokenFile) -> io::Result<()> {
        let text = serde_json::to_string_pretty(file)?;
        write_private(&self.path, &format!("{text}\n"), Existing::Replace)
    }
}

impl StoredToken {
    /// A token that names no gateway is only believed to be of this machine's.
    fn belongs_to(&self, target: &Target) -> bool {
        match &self.gateway {
            Some(gateway) => *gateway == target.origin(),
            None => target.is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::PlainText;

    fn target(url: &str) -> Target {
        Target::parse(url, PlainText::Anywhere).expect(url)
    }

    fn granted(token: &str) -> HelloAuth {
        HelloAuth {
            device_token: Some(Secret::new(token)),
            role: "operator".into(),
            scopes: vec!["operator.read".into()],
            issued_at_ms: None,
        }
    }

    fn tokens(folder: &tempfile::TempDir) -> Tokens {
        Tokens::new(folder.path().join("identity/device-auth.json"), "d".into())
    }

    fn found(tokens: &Tokens, url: &str) -> Option<String> {
        tokens.find("operator", &target(url)).map(|token| token.expose().to_owned())
    }

    const HERE: &str = "ws://127.0.0.1:1";

    #[test]
    fn a_token_is_shown_to_its_own_gateway_only() {
        // SEC-01
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = tokens(&folder);
        tokens.store(&granted("t"), &target("wss://example.org")).expect("stored");
        assert_eq!(found(&tokens, "wss://example.org:443/x"), Some("t".into()));
        for elsewhere in ["wss://example.com", "ws://example.org:443", HERE] {
            assert_eq!(found(&tokens, elsewhere), None, "{elsewhere}");
        }
        tokens.forget("operator", &target("wss://example.com")).expect("nothing to do");
        assert!(found(&tokens, "wss://example.org").is_some());
        tokens.forget("operator", &target("wss://example.org")).expect("forgotten");
        assert_eq!(found(&tokens, "wss://example.org"), None);
    }

    #[test]
    fn a_token_that_openclaw_stored_is_used_on_this_machine_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = tokens(&folder);
        let theirs = r#"{"version":1,"deviceId":"d","tokens":{"operator":
            {"token":"t","role":"operator","scopes":[],"updatedAtMs":5}}}"#;
        write_private(&tokens.path, theirs, Existing::Replace).expect("written");
        assert_eq!(found(&tokens, HERE), Some("t".into()));
        assert_eq!(found(&tokens, "wss://example.org"), None);
    }

    #[test]
    fn a_file_that_is_broken_or_of_another_device_holds_no_tokens() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = tokens(&folder);
        for text in ["", "{", r#"{"version":1,"deviceId":"other","tokens":{}}"#] {
            write_private(&tokens.path, text, Existing::Replace).expect("written");
            assert_eq!(found(&tokens, HERE), None, "{text}");
        }
        tokens.store(&granted("new"), &target(HERE)).expect("replaced");
        assert_eq!(found(&tokens, HERE), Some("new".into()));
    }
}
