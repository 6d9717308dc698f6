//! Who may speak to us: pairing requests, grants, devices.

use std::collections::{BTreeMap, HashMap};

use claw_domain::{AccountId, ChannelId, DeviceId, EventId, PeerId};
use claw_store::{Device, Error, Grant, PairingRequest};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, event_id, text},
    conn::{Conn, columns, values},
    error::Fault,
    readers::Readers,
};

const PUT_PAIRINGS: &str = "INSERT INTO pairings
    (channel, account, peer, name, code, created_at, expires_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
    $7::bigint[])
    ON CONFLICT (channel, account, peer) DO UPDATE SET name = excluded.name, code = excluded.code,
    created_at = excluded.created_at, expires_at = excluded.expires_at";
const DROP_PAIRINGS: &str = "DELETE FROM pairings
    USING unnest($1::text[], $2::text[], $3::text[]) AS old (channel, account, peer)
    WHERE pairings.channel = old.channel AND pairings.account = old.account
    AND pairings.peer = old.peer";
/// Who was let in before keeps the first date.
const GRANT: &str = "INSERT INTO grants (channel, account, peer, at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) ON CONFLICT DO NOTHING";
const REGISTER: &str = "INSERT INTO devices (id, event, record)
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[])
    ON CONFLICT (id) DO UPDATE SET event = excluded.event, record = excluded.record
    WHERE excluded.event > devices.event";

/// What the writer writes here.
pub(crate) const WRITER: [&str; 4] = [PUT_PAIRINGS, DROP_PAIRINGS, GRANT, REGISTER];

const PAIRINGS: &str =
    "SELECT channel, account, peer, name, code, created_at, expires_at FROM pairings
    WHERE $1::text IS NULL OR channel = $1 ORDER BY created_at, channel, account, peer";
const GRANTS: &str =
    "SELECT channel, account, peer, at FROM grants WHERE channel = $1 AND account = $2
    ORDER BY at, peer";
const ALL_GRANTS: &str =
    "SELECT channel, account, peer, at FROM grants ORDER BY channel, account, peer";
const GRANTED: &str = "SELECT 1 FROM grants WHERE channel = $1 AND account = $2 AND peer = $3";
const DEVICE: &str = "SELECT id, record FROM devices WHERE id = $1 AND record IS NOT NULL";
const DEVICES: &str = "SELECT id, record FROM devices WHERE record IS NOT NULL ORDER BY id";

/// A person on one of our accounts.
pub(crate) type PeerKey = (ChannelId, AccountId, PeerId);

/// What is known of each device by its newest event; `None` when that removed it.
pub(crate) type Devices = HashMap<DeviceId, (EventId, Option<Value>)>;

/// Keeps these pairing requests, and forgets those that are `None`.
pub(crate) async fn pair(
    conn: &Conn,
    requests: &BTreeMap<PeerKey, Option<PairingRequest>>,
) -> Result<(), Fault> {
    let kept: Vec<&PairingRequest> = requests.values().flatten().collect();
    let put = async {
        if kept.is_empty() {
            return Ok(0);
        }
        let channel: Vec<_> = kept.iter().map(|one| text(one.channel.as_str())).collect();
        let account: Vec<_> = kept.iter().map(|one| text(one.account.as_str())).collect();
        let peer: Vec<_> = kept.iter().map(|one| text(one.peer.as_str())).collect();
        let name: Vec<_> = kept.iter().map(|one| one.name.as_deref().map(text)).collect();
        let code: Vec<_> = kept.iter().map(|one| text(&one.code)).collect();
        let created: Vec<_> = kept.iter().map(|one| one.created_at.as_millisecond()).collect();
        let expires: Vec<_> = kept.iter().map(|one| one.expires_at.as_millisecond()).collect();
        conn.execute(PUT_PAIRINGS, values![channel account peer name code created expires]).await
    };
    let forget = async {
        let gone = requests.iter().filter(|(_, request)| request.is_none());
        let gone: Vec<&PeerKey> = gone.map(|(key, _)| key).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let channel: Vec<_> = gone.iter().map(|key| text(key.0.as_str())).collect();
        let account: Vec<_> = gone.iter().map(|key| text(key.1.as_str())).collect();
        let peer: Vec<_> = gone.iter().map(|key| text(key.2.as_str())).collect();
        conn.execute(DROP_PAIRINGS, values![channel account peer]).await
    };
    let (put, forgotten) = futures_util::join!(put, forget);
    put.and(forgotten).map(drop)
}

/// Lets people in.
pub(crate) async fn grant(conn: &Conn, grants: &[Grant]) -> Result<(), Fault> {
    let channel: Vec<_> = grants.iter().map(|grant| text(grant.channel.as_str())).collect();
    let account: Vec<_> = grants.iter().map(|grant| text(grant.account.as_str())).collect();
    let peer: Vec<_> = grants.iter().map(|grant| text(grant.peer.as_str())).collect();
    let at: Vec<_> = grants.iter().map(|grant| grant.at.as_millisecond()).collect();
    conn.execute(GRANT, values![channel account peer at]).await.map(drop)
}

/// Notes what is known of devices, unless a newer event did so before.
pub(crate) async fn register(conn: &Conn, devices: &Devices) -> Result<(), Fault> {
    struct Known<'a> {
        id: std::borrow::Cow<'a, str>,
        event: Uuid,
        record: Option<String>,
    }
    let devices: Vec<Known<'_>> = devices
        .iter()
        .map(|(id, (event, record))| Known {
            id: text(id.as_str()),
            event: event_id(*event),
            record: record.as_ref().map(Value::to_string),
        })
        .collect();
    columns!(devices: id event record);
    conn.execute(REGISTER, values![id event record]).await.map(drop)
}

pub(crate) async fn pairings(
    readers: &Readers,
    channel: Option<&ChannelId>,
) -> Result<Vec<PairingRequest>, Error> {
    let channel = channel.map(|channel| text(channel.as_str()));
    readers.all(PAIRINGS, &[&channel], pairing).await
}

pub(crate) async fn grants(
    readers: &Readers,
    channel: &ChannelId,
    account: &AccountId,
) -> Result<Vec<Grant>, Error> {
    readers.all(GRANTS, &[&text(channel.as_str()), &text(account.as_str())], grant_of).await
}

pub(crate) async fn all_grants(readers: &Readers) -> Result<Vec<Grant>, Error> {
    readers.all(ALL_GRANTS, &[], grant_of).await
}

pub(crate) async fn granted(
    readers: &Readers,
    channel: &ChannelId,
    account: &AccountId,
    peer: &PeerId,
) -> Result<bool, Error> {
    let [channel, account, peer] = [channel.as_str(), account.as_str(), peer.as_str()].map(text);
    let found = readers.first(GRANTED, values![channel account peer], |_| Ok(())).await?;
    Ok(found.is_some())
}

pub(crate) async fn device(readers: &Readers, id: &DeviceId) -> Result<Option<Device>, Error> {
    readers.first(DEVICE, &[&text(id.as_str())], device_of).await
}

pub(crate) async fn devices(readers: &Readers) -> Result<Vec<Device>, Error> {
    readers.all(DEVICES, &[], device_of).await
}

fn grant_of(row: &Row) -> Result<Grant, Fault> {
    Ok(Grant { channel: row.text(0)?, account: row.text(1)?, peer: row.text(2)?, at: row.time(3)? })
}

fn pairing(row: &Row) -> Result<PairingRequest, Fault> {
    Ok(PairingRequest {
        channel: row.text(0)?,
        account: row.text(1)?,
        peer: row.text(2)?,
        name: row.text_if(3)?,
        code: row.text(4)?,
        created_at: row.time(5)?,
        expires_at: row.time(6)?,
    })
}

fn device_of(row: &Row) -> Result<Device, Fault> {
    Ok(Device { id: row.text(0)?, record: row.json(1, "device")? })
}
