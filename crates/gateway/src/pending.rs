//! Devices that wait for their owner's word.

use std::collections::HashMap;

use claw_guard::{Role, Scopes};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::device::About;

/// How long a request waits. Unit: milliseconds.
const AGE_MS_MAX: i64 = 5 * 60 * 1000;

/// How many devices may wait. A further one is refused without being noted.
const REQUESTS_MAX: usize = 64;

/// A device's wish to be let in. It never changes: another wish is another request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    pub(crate) device_id: String,
    pub(crate) public_key: String,
    pub(crate) role: Role,
    pub(crate) scopes: Scopes,
    pub(crate) about: About,
    /// Whether the device is paired already and wants more.
    pub(crate) is_repair: bool,
}

/// A wish that waits, under the id by which it is approved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) wish: Wish,
    pub(crate) ts: i64,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// It is a new request, to be shown to whoever may decide.
    Anew(Box<Request>),
    /// The very same wish waits already, under this id.
    Again(String),
    /// Too many wait.
    Full,
}

/// The devices that wait. Pure: times come in, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Pending(HashMap<String, Request>);

impl Pending {
    /// Notes a wish. A device has one request at a time: a different wish takes the place of the
    /// one before, under a new id, so that nobody approves what was not shown.
    pub(crate) fn ask(&mut self, wish: Wish, now: i64) -> Asked {
        self.forget_old(now);
        let known = self.0.values().find(|request| request.wish.device_id == wish.device_id);
        if let Some(Request { id, wish: before, .. }) = known {
            if *before == wish {
                return Asked::Again(id.clone());
            }
            let id = id.clone();
            self.0.remove(&id);
        }
        if self.0.len() >= REQUESTS_MAX {
            return Asked::Full;
        }
        let request = Request { id: Uuid::new_v4().to_string(), wish, ts: now };
        self.0.insert(request.id.clone(), request.clone());
        Asked::Anew(request.into())
    }

    /// The request under an id, which stays.
    pub(crate) fn find(&mut self, id: &str, now: i64) -> Option<Request> {
        self.forget_old(now);
        self.0.get(id).cloned()
    }

    /// Takes a request out, decided.
    pub(crate) fn take(&mut self, id: &str, now: i64) -> Option<Request> {
        self.forget_old(now);
        self.0.remove(id)
    }

    /// All that wait, the oldest first.
    pub(crate) fn list(&mut self, now: i64) -> Vec<Request> {
        self.forget_old(now);
        let mut requests: Vec<_> = self.0.values().cloned().collect();
        requests.sort_by(|a, b| (a.ts, &a.id).cmp(&(b.ts, &b.id)));
        requests
    }

    fn forget_old(&mut self, now: i64) {
        self.0.retain(|_, request| now - request.ts < AGE_MS_MAX);
    }
}

impl Request {
    /// The request as clients see it.
    pub(crate) fn shown(&self) -> Value {
        let Wish { device_id, public_key, role, scopes, about, is_repair } = &self.wish;
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        let mut shown = json!({
            "requestId": self.id, "deviceId": device_id, "publicKey": public_key,
            "role": role.as_str(), "roles": [role.as_str()], "scopes": scopes,
            "silent": false, "isRepair": is_repair, "ts": self.ts,
        });
        if let (Some(shown), Value::Object(about)) = (shown.as_object_mut(), json!(about)) {
            shown.extend(about);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(device: &str, scopes: &[&str]) -> Wish {
        Wish {
            device_id: device.into(),
            public_key: "key".into(),
            role: Role::Operator,
            scopes: Scopes::parse(scopes),
            about: About::default(),
            is_repair: false,
        }
    }

    fn id(asked: Asked) -> String {
        match asked {
            Asked::Anew(request) => request.id,
            Asked::Again(id) => id,
            Asked::Full => panic!("there is room"),
        }
    }

    #[test]
    fn a_wider_wish_is_another_request_and_the_first_can_no_longer_be_approved() {
        // SEC-11
        let mut pending = Pending::default();
        let narrow = id(pending.ask(wish("d", &["operator.read"]), 0));
        assert_eq!(pending.ask(wish("d", &["operator.read"]), 1), Asked::Again(narrow.clone()));
        let wide = id(pending.ask(wish("d", &["operator.admin"]), 2));
        assert_ne!(narrow, wide);
        assert_eq!(pending.take(&narrow, 3), None);
        assert_eq!(pending.list(3).len(), 1);
    }

    #[test]
    fn a_request_waits_five_minutes() {
        let mut pending = Pending::default();
        let id = id(pending.ask(wish("d", &[]), 0));
        assert!(pending.find(&id, AGE_MS_MAX - 1).is_some());
        assert_eq!(pending.take(&id, AGE_MS_MAX), None);
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        // SEC-76
        let mut pending = Pending::default();
        for number in 0..REQUESTS_MAX {
            assert!(matches!(pending.ask(wish(&number.to_string(), &[]), 0), Asked::Anew(_)));
        }
        assert_eq!(pending.ask(wish("one more", &[]), 0), Asked::Full);
    }
}
