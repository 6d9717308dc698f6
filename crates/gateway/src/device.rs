//! What is known of a paired device, and the tokens that follow from it.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use claw_domain::{DeviceId, Secret};
use claw_guard::{Role, Scopes};
use claw_protocol::connect::ClientInfo;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A device that was let in, in OpenClaw's words. Holds no token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paired {
    pub(crate) device_id: String,
    pub(crate) public_key: String,
    #[serde(flatten)]
    pub(crate) about: About,
    #[serde(default)]
    pub(crate) roles: BTreeSet<String>,
    #[serde(default)]
    pub(crate) scopes: BTreeSet<String>,
    #[serde(default)]
    pub(crate) tokens: BTreeMap<String, Token>,
    #[serde(default)]
    pub(crate) created_at_ms: i64,
    #[serde(default)]
    pub(crate) approved_at_ms: i64,
    /// What another program wrote beside it.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What a device says of itself, for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote_ip: Option<String>,
}

/// The facts of one token. The token itself is made from them again whenever it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Token {
    pub(crate) role: String,
    pub(crate) scopes: BTreeSet<String>,
    /// A new one makes every earlier token of the role worthless. 0 is a token that was never ours.
    #[serde(default)]
    pub(crate) generation: u64,
    #[serde(default)]
    pub(crate) created_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at_ms: Option<i64>,
}

/// Makes and checks device tokens with a key that never leaves the gateway.
pub(crate) struct Mint(hmac::Key);

impl Mint {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
    }

    /// The token of one device, role and generation: 43 characters of base64url.
    pub(crate) fn token(&self, device: &str, role: &str, generation: u64) -> Secret {
        let text = format!("{device}|{role}|{generation}");
        let tag = hmac::sign(&self.0, text.as_bytes());
        Secret::new(URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Whether `offered` lets `device` in as `role` with the scopes that it asks for.
    pub(crate) fn admits(
        &self,
        device: &Paired,
        role: Role,
        asked: &Scopes,
        offered: &str,
    ) -> bool {
        let Some(token) = device.tokens.get(role.as_str()) else { return false };
        let right = self.token(&device.device_id, role.as_str(), token.generation).matches(offered);
        // Checked on use as well as on issue: both the token and the device must cover it.
        let covered =
            device.covers(role, asked) && Scopes::parse(&token.scopes).grant(asked) == *asked;
        right && token.generation > 0 && token.revoked_at_ms.is_none() && covered
    }
}

impl Paired {
    pub(crate) fn new(id: &DeviceId, public_key: String, now: i64) -> Self {
        Self {
            device_id: id.to_string(),
            public_key,
            about: About::default(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            tokens: BTreeMap::new(),
            created_at_ms: now,
            approved_at_ms: now,
            other: Map::new(),
        }
    }

    /// Whether the device was let in as `role` with at least these scopes.
    pub(crate) fn covers(&self, role: Role, asked: &Scopes) -> bool {
        self.roles.contains(role.as_str()) && Scopes::parse(&self.scopes).grant(asked) == *asked
    }

    /// Lets the device in as `role` with these scopes, beside what it has.
    pub(crate) fn let_in(&mut self, role: Role, scopes: &Scopes, about: About, now: i64) {
        self.roles.insert(role.as_str().to_owned());
        self.scopes.extend(words(scopes));
        self.about = about;
        self.approved_at_ms = now;
    }

    /// Makes sure that there is a token for `role` that covers `scopes`. Whether that changed
    /// anything.
    pub(crate) fn ensure_token(&mut self, role: Role, scopes: &Scopes, now: i64) -> bool {
        let known = self.tokens.get(role.as_str());
        let usable = known.is_some_and(|token| {
            token.generation > 0
                && token.revoked_at_ms.is_none()
                && Scopes::parse(&token.scopes).grant(scopes) == *scopes
        });
        if usable {
            return false;
        }
        let mut all: BTreeSet<String> = words(scopes).collect();
        all.extend(known.into_iter().flat_map(|token| token.scopes.iter().cloned()));
        let generation = known.map_or(0, |token| token.generation) + 1;
        let role = role.as_str().to_owned();
        let token = Token {
            role: role.clone(),
            scopes: all,
            generation,
            created_at_ms: now,
            revoked_at_ms: None,
        };
        self.tokens.insert(role, token);
        true
    }

    /// The device as `device.pair.list` shows it.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!(self);
        let tokens = self.tokens.values().map(|token| {
            let mut token = json!(token);
            if let Some(fields) = token.as_object_mut() {
                fields.shift_remove("generation");
            }
            token
        });
        shown["tokens"] = tokens.collect();
        shown
    }
}

impl About {
    pub(crate) fn of(client: &ClientInfo, ip: String) -> Self {
        Self {
            display_name: client.display_name.clone(),
            platform: Some(client.platform.clone()),
            client_id: Some(client.id.clone()),
            client_mode: Some(client.mode.clone()),
            remote_ip: Some(ip),
        }
    }
}

fn words(scopes: &Scopes) -> impl Iterator<Item = String> + '_ {
    scopes.iter().map(|scope| scope.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &[&str] = &["operator.read"];
    const ADMIN: &[&str] = &["operator.admin"];

    fn paired(scopes: &[&str]) -> Paired {
        let scopes = Scopes::parse(scopes);
        let mut device = Paired::new(&"d".into(), "key".into(), 1);
        device.let_in(Role::Operator, &scopes, About::default(), 1);
        device.ensure_token(Role::Operator, &scopes, 1);
        device
    }

    fn mint() -> Mint {
        Mint::new(&Secret::new("a key of this gateway"))
    }

    #[track_caller]
    fn check(device: &Paired, role: Role, asked: &[&str], expected: bool) {
        let token = mint().token("d", role.as_str(), 1);
        assert_eq!(mint().admits(device, role, &Scopes::parse(asked), token.expose()), expected);
    }

    #[test]
    fn a_token_admits_its_device_in_its_role_with_no_more_than_its_scopes() {
        // SEC-12
        check(&paired(READ), Role::Operator, READ, true);
        check(&paired(READ), Role::Operator, &[], true);
        check(&paired(READ), Role::Operator, ADMIN, false);
        check(&paired(ADMIN), Role::Operator, READ, true);
        check(&paired(ADMIN), Role::Node, &[], false);
    }

    #[test]
    fn a_token_is_worth_no_more_than_its_device_is_now() {
        // SEC-12: the device's own scopes were narrowed after the token was made.
        let mut device = paired(ADMIN);
        device.scopes = BTreeSet::from(["operator.read".to_owned()]);
        check(&device, Role::Operator, ADMIN, false);
        check(&device, Role::Operator, READ, true);
    }

    #[test]
    fn a_revoked_or_renewed_token_admits_nobody() {
        let mut revoked = paired(READ);
        revoked.tokens.get_mut("operator").expect("made").revoked_at_ms = Some(2);
        check(&revoked, Role::Operator, READ, false);
        let mut renewed = paired(READ);
        renewed.let_in(Role::Operator, &Scopes::parse(ADMIN), About::default(), 2);
        assert!(renewed.ensure_token(Role::Operator, &Scopes::parse(ADMIN), 2));
        check(&renewed, Role::Operator, READ, false);
    }

    #[test]
    fn a_token_that_covers_the_wish_is_kept() {
        let mut device = paired(ADMIN);
        assert!(!device.ensure_token(Role::Operator, &Scopes::parse(READ), 2));
    }

    #[test]
    fn a_token_is_43_letters_that_differ_by_device_role_and_generation() {
        let mint = mint();
        let tokens =
            [("d", "operator", 1), ("e", "operator", 1), ("d", "node", 1), ("d", "operator", 2)]
                .map(|(device, role, generation)| {
                    mint.token(device, role, generation).expose().to_owned()
                });
        assert!(tokens.iter().all(|token| token.len() == 43), "{tokens:?}");
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn an_imported_device_needs_a_token_of_ours() {
        let imported: Paired = serde_json::from_value(json!({
            "deviceId": "d", "publicKey": "key", "role": "operator", "roles": ["operator"],
            "scopes": ["operator.read"], "createdAtMs": 1, "approvedAtMs": 1,
            "tokens": {"operator": {"token": "theirs", "role": "operator", "scopes": ["operator.read"], "createdAtMs": 1}},
        }))
        .expect("OpenClaw's shape reads");
        let zeroth = mint().token("d", "operator", 0);
        assert!(!mint().admits(&imported, Role::Operator, &Scopes::parse(READ), zeroth.expose()));
        assert_eq!(json!(imported)["role"], "operator", "what we do not know is kept");
        assert_eq!(imported.shown()["tokens"][0]["token"], Value::Null, "no token is shown");
    }
}
