//! Who is or was here lately, as `presence` shows it.

use std::collections::HashMap;

use claw_protocol::{
    connect::ConnectParams,
    hello::PresenceEntry,
    limits::{PRESENCE_ENTRIES_MAX, PRESENCE_TTL},
};

/// The clients that are or were here lately. Pure: times come in, in milliseconds since 1970.
///
/// When full, the entry that is oldest gives way.
#[derive(Debug, Default)]
pub(crate) struct Presence(HashMap<String, PresenceEntry>);

/// How a client is entered: the key of its entry, and the entry when it came.
pub(crate) fn entry(
    connect: &ConnectParams,
    connection: &str,
    ip: String,
    now: i64,
) -> Option<(String, PresenceEntry)> {
    let client = &connect.client;
    if client.is_command_line() {
        return None;
    }
    let device = connect.device.as_ref().map(|device| device.id.clone());
    let instance = device.clone().or_else(|| client.instance_id.clone());
    let key = instance.clone().unwrap_or_else(|| connection.to_owned());
    let host = client.display_name.clone().unwrap_or_else(|| client.id.clone());
    let entry = PresenceEntry {
        text: Some(format!("Node: {host} · mode {}", client.mode)),
        host: Some(host),
        ip: Some(ip),
        version: Some(client.version.clone()),
        platform: Some(client.platform.clone()),
        device_family: client.device_family.clone(),
        model_identifier: client.model_identifier.clone(),
        mode: Some(client.mode.clone()),
        device_id: device,
        roles: vec![connect.role().to_owned()],
        scopes: connect.scopes.clone(),
        instance_id: instance,
        reason: Some("connect".into()),
        ts: now,
        ..PresenceEntry::default()
    };
    Some((key, entry))
}

impl Presence {
    /// Enters a client that came.
    pub(crate) fn came(&mut self, key: String, entry: PresenceEntry) {
        if !self.0.contains_key(&key) && self.0.len() >= PRESENCE_ENTRIES_MAX {
            let oldest =
                self.0.iter().min_by_key(|(_, entry)| entry.ts).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, entry);
    }

    /// Marks a client that went.
    pub(crate) fn went(&mut self, key: &str, now: i64) {
        if let Some(entry) = self.0.get_mut(key) {
            entry.reason = Some("disconnect".into());
            entry.ts = now;
        }
    }

    /// The gateway's `own` entry, then the others, the newest first. Those that went long ago are
    /// forgotten.
    pub(crate) fn list(&mut self, own: PresenceEntry, now: i64) -> Vec<PresenceEntry> {
        let oldest = now - PRESENCE_TTL.as_millis() as i64;
        self.0.retain(|_, entry| entry.ts >= oldest || entry.reason.as_deref() == Some("connect"));
        let mut others: Vec<_> = self.0.values().cloned().collect();
        others.sort_by(|a, b| b.ts.cmp(&a.ts).then_with(|| a.instance_id.cmp(&b.instance_id)));
        std::iter::once(own).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn connect(client: Value) -> ConnectParams {
        ConnectParams::read(json!({"minProtocol": 3, "maxProtocol": 3, "client": client}))
            .expect("a valid connect")
    }

    fn own() -> PresenceEntry {
        PresenceEntry::gateway("box", "127.0.0.1", "1", "linux", 0)
    }

    /// `host reason` of everybody but the gateway.
    fn check(presence: &mut Presence, now: i64, expected: &[&str]) {
        let listed = presence.list(own(), now);
        let shown: Vec<_> = listed[1..]
            .iter()
            .map(|entry| {
                format!("{} {}", entry.host.as_deref().unwrap(), entry.reason.as_deref().unwrap())
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_client_is_listed_until_five_minutes_after_it_went() {
        let connect = connect(json!({
            "id": "node-host", "version": "1", "platform": "linux", "mode": "node",
            "displayName": "attic", "instanceId": "i-1",
        }));
        let (key, entry) = entry(&connect, "c-1", "10.0.0.2".into(), 0).expect("tracked");
        assert_eq!((key.as_str(), entry.text.as_deref()), ("i-1", Some("Node: attic · mode node")));
        let mut presence = Presence::default();
        presence.came(key.clone(), entry);
        check(&mut presence, 3_600_000, &["attic connect"]);
        presence.went(&key, 3_600_000);
        check(&mut presence, 3_900_000, &["attic disconnect"]);
        check(&mut presence, 3_900_001, &[]);
    }

    #[test]
    fn command_lines_are_not_listed() {
        let cli = json!({"id": "cli", "version": "1", "platform": "linux", "mode": "cli"});
        assert_eq!(entry(&connect(cli), "c-1", String::new(), 0), None);
    }

    #[test]
    fn the_list_is_bounded_and_the_oldest_gives_way() {
        let mut presence = Presence::default();
        for number in 0..=PRESENCE_ENTRIES_MAX {
            let entry = PresenceEntry { ts: number as i64, ..own() };
            presence.came(number.to_string(), entry);
        }
        let listed = presence.list(own(), 0);
        assert_eq!(listed.len(), 1 + PRESENCE_ENTRIES_MAX);
        assert_eq!(listed.last().map(|entry| entry.ts), Some(1));
    }
}
