//! One commit: its changes in order, each to the table that it is about.

use claw_domain::EventBody;
use claw_store::{Change, Committed, Fence, NewEvent};
use rusqlite::Connection;

use crate::{delivery, error::Fault, event, lease, people, retention, session::Folds, transcript};

/// Carries out all changes; when one fails, the caller takes back the others.
pub(crate) fn commit(
    conn: &Connection,
    fence: &Fence,
    changes: Vec<Change>,
) -> Result<Committed, Fault> {
    lease::hold(conn, fence)?;
    let mut sessions = Folds::default();
    let (mut received, mut replaced, mut orders) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Log(event) => log(conn, &mut sessions, &event, false)?,
            Change::Import(event) => import(conn, &mut sessions, &event)?,
            Change::Receive(row) => received.push(delivery::receive(conn, &row)?),
            Change::Advance(id, to) => delivery::advance(conn, id, &to)?,
            Change::Leave(id) => delivery::leave(conn, id)?,
            Change::Replace(id, message) => replaced.push(delivery::replace(conn, id, message)?),
            Change::Enqueue(row) => orders.push(delivery::enqueue(conn, &row)?),
            Change::Deliver(id, to, not_before) => delivery::deliver(conn, id, &to, not_before)?,
            Change::PutPairing(request) => people::put_pairing(conn, &request)?,
            Change::DropPairing(channel, account, peer) => {
                people::drop_pairing(conn, &channel, &account, &peer)?;
            }
        }
    }
    sessions.write(conn)?;
    Ok(Committed { seq: event::newest(conn)?, received, replaced, orders })
}

/// Appends an event of another installation, where it is new and matters.
fn import(conn: &Connection, sessions: &mut Folds, event: &NewEvent) -> Result<(), Fault> {
    if event::known(conn, event.header.id)? || retention::is_needless(conn, event)? {
        return Ok(());
    }
    retention::look_again(conn, event.header.id)?;
    log(conn, sessions, event, true)
}

/// Appends an event and brings every projection up to it.
fn log(
    conn: &Connection,
    sessions: &mut Folds,
    event: &NewEvent,
    imported: bool,
) -> Result<(), Fault> {
    let seq = event::append(conn, event, imported)?;
    let NewEvent { header, body } = event;
    sessions.fold(conn, header, body, imported)?;
    match body {
        EventBody::EntryAdded(entry) => transcript::add(conn, entry, seq),
        EventBody::Used(record) => event::used(conn, &record.usage),
        // Whom another installation let in is its own affair.
        EventBody::GrantGiven { .. }
        | EventBody::DevicePaired { .. }
        | EventBody::DeviceRemoved { .. }
            if imported =>
        {
            Ok(())
        }
        EventBody::GrantGiven { channel, account, peer, .. } => {
            people::grant(conn, header, channel, account, peer)
        }
        EventBody::DevicePaired { device, record } => {
            people::register(conn, header, device, Some(record))
        }
        EventBody::DeviceRemoved { device } => people::register(conn, header, device, None),
        EventBody::SessionOpened { .. }
        | EventBody::SessionSet { .. }
        | EventBody::SessionDeleted
        | EventBody::SessionSeen { .. }
        | EventBody::ContextTrimmed { .. }
        | EventBody::PrefixEpoch { .. }
        | EventBody::RunStarted { .. }
        | EventBody::AnswerFailed { .. }
        | EventBody::ToolStarted { .. }
        | EventBody::StopAsked { .. }
        | EventBody::RunFinished { .. } => Ok(()),
    }
}
