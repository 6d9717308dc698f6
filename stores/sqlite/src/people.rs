//! Who may speak to us: pairing requests, grants, devices.

use claw_domain::{AccountId, ChannelId, DeviceId, EventHeader, PeerId};
use claw_store::{Device, Grant, PairingRequest};
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use crate::{
    column::{Columns, event_id},
    error::Fault,
};

const PUT_PAIRING: &str = "INSERT INTO pairings
    (channel, account, peer, name, code, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET name = excluded.name, code = excluded.code,
    created_at = excluded.created_at, expires_at = excluded.expires_at";
const DROP_PAIRING: &str = "DELETE FROM pairings WHERE channel = ? AND account = ? AND peer = ?";
const PAIRINGS: &str =
    "SELECT channel, account, peer, name, code, created_at, expires_at FROM pairings
    WHERE ?1 IS NULL OR channel = ?1 ORDER BY created_at, channel, account, peer";
const GRANT: &str =
    "INSERT INTO grants (channel, account, peer, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
const GRANTS: &str =
    "SELECT channel, account, peer, at FROM grants WHERE channel = ? AND account = ?
    ORDER BY at, peer";
const ALL_GRANTS: &str =
    "SELECT channel, account, peer, at FROM grants ORDER BY channel, account, peer";
const GRANTED: &str = "SELECT 1 FROM grants WHERE channel = ? AND account = ? AND peer = ?";
const REGISTER: &str = "INSERT INTO devices (id, event, record) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET event = excluded.event, record = excluded.record
    WHERE excluded.event > devices.event";
const DEVICE: &str = "SELECT id, record FROM devices WHERE id = ? AND record IS NOT NULL";
const DEVICES: &str = "SELECT id, record FROM devices WHERE record IS NOT NULL ORDER BY id";

pub(crate) fn put_pairing(conn: &Connection, request: &PairingRequest) -> Result<(), Fault> {
    let row = params![
        request.channel.as_str(),
        request.account.as_str(),
        request.peer.as_str(),
        request.name,
        request.code,
        request.created_at.as_millisecond(),
        request.expires_at.as_millisecond(),
    ];
    conn.prepare_cached(PUT_PAIRING)?.execute(row)?;
    Ok(())
}

pub(crate) fn drop_pairing(
    conn: &Connection,
    channel: &ChannelId,
    account: &AccountId,
    peer: &PeerId,
) -> Result<(), Fault> {
    conn.prepare_cached(DROP_PAIRING)?.execute([
        channel.as_str(),
        account.as_str(),
        peer.as_str(),
    ])?;
    Ok(())
}

pub(crate) fn pairings(
    conn: &Connection,
    channel: Option<&ChannelId>,
) -> Result<Vec<PairingRequest>, Fault> {
    let channel = channel.map(ChannelId::as_str);
    conn.prepare_cached(PAIRINGS)?.query_and_then([channel], pairing)?.collect()
}

/// Lets a sender in; who was let in before keeps the first date.
pub(crate) fn grant(
    conn: &Connection,
    header: &EventHeader,
    channel: &ChannelId,
    account: &AccountId,
    peer: &PeerId,
) -> Result<(), Fault> {
    let row =
        params![channel.as_str(), account.as_str(), peer.as_str(), header.at.as_millisecond()];
    conn.prepare_cached(GRANT)?.execute(row)?;
    Ok(())
}

pub(crate) fn grants(
    conn: &Connection,
    channel: &ChannelId,
    account: &AccountId,
) -> Result<Vec<Grant>, Fault> {
    let key = [channel.as_str(), account.as_str()];
    conn.prepare_cached(GRANTS)?.query_and_then(key, grant_of)?.collect()
}

pub(crate) fn all_grants(conn: &Connection) -> Result<Vec<Grant>, Fault> {
    conn.prepare_cached(ALL_GRANTS)?.query_and_then([], grant_of)?.collect()
}

fn grant_of(row: &Row<'_>) -> Result<Grant, Fault> {
    Ok(Grant { channel: row.text(0)?, account: row.text(1)?, peer: row.text(2)?, at: row.time(3)? })
}

pub(crate) fn granted(
    conn: &Connection,
    channel: &ChannelId,
    account: &AccountId,
    peer: &PeerId,
) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(GRANTED)?.exists([channel.as_str(), account.as_str(), peer.as_str()])?)
}

/// Sets what is known of a device, or with `None` removes it, unless a newer event did so before.
pub(crate) fn register(
    conn: &Connection,
    header: &EventHeader,
    id: &DeviceId,
    record: Option<&Value>,
) -> Result<(), Fault> {
    let row = params![id.as_str(), event_id(header.id), record.map(Value::to_string)];
    conn.prepare_cached(REGISTER)?.execute(row)?;
    Ok(())
}

pub(crate) fn device(conn: &Connection, id: &DeviceId) -> Result<Option<Device>, Fault> {
    conn.prepare_cached(DEVICE)?.query_and_then([id.as_str()], device_row)?.next().transpose()
}

pub(crate) fn devices(conn: &Connection) -> Result<Vec<Device>, Fault> {
    conn.prepare_cached(DEVICES)?.query_and_then([], device_row)?.collect()
}

fn pairing(row: &Row<'_>) -> Result<PairingRequest, Fault> {
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

fn device_row(row: &Row<'_>) -> Result<Device, Fault> {
    Ok(Device { id: row.text(0)?, record: row.json(1, "device")? })
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 6] = [PUT_PAIRING, DROP_PAIRING, GRANT, GRANTED, REGISTER, DEVICE];
