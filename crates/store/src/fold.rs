//! How an event changes a session: the one fold that every store applies.

use claw_domain::{EntryBody, EventBody, EventHeader, Session, Settings, Usage, millis};

/// The session after an event, given the session before it. `None` means that there is no session.
///
/// Events are folded in the order of their ids, whatever order they were committed in, and their
/// times to the millisecond, so that two stores that hold the same events show the same session.
/// Events of other kinds leave it as it was. An event for a session that does not exist is `None`
/// still, except for the one that opens it.
pub fn fold_session(
    before: Option<Session>,
    header: &EventHeader,
    body: &EventBody,
) -> Option<Session> {
    let at = millis(header.at.as_millisecond());
    if let EventBody::SessionOpened { id, agent, chat, .. } = body {
        let key = header.session.clone()?;
        let (settings, last_target) = before
            .map_or((Settings::default(), None), |session| (session.settings, session.last_target));
        return Some(Session {
            key,
            id: *id,
            agent: agent.clone(),
            kind: *chat,
            created_at: at,
            updated_at: at,
            newest: header.id,
            head: None,
            tokens_sum: 0,
            context_start: None,
            prefix: None,
            compactions: 0,
            usage: Usage::default(),
            cost: 0.0,
            prompt_tokens: 0,
            model: None,
            last_target,
            aborted_last_run: false,
            settings,
        });
    }
    let mut session = before?;
    session.newest = session.newest.max(header.id);
    match body {
        EventBody::SessionOpened { .. } => unreachable!("returned above"),
        EventBody::SessionSet { settings } => session.settings = settings.clone(),
        EventBody::SessionDeleted => return None,
        EventBody::SessionSeen { target } => session.last_target = Some(target.clone()),
        EventBody::EntryAdded(entry) if entry.session == session.id => {
            session.head = Some(entry.id);
            session.tokens_sum = entry.tokens_sum;
            if let EntryBody::Compaction { .. } = entry.body {
                session.context_start = None;
                session.prefix = None;
                session.compactions += 1;
            }
        }
        EventBody::PrefixEpoch { .. } => session.prefix = Some(header.id),
        EventBody::ContextTrimmed { start, .. } => session.context_start = Some(*start),
        EventBody::Used(record) => {
            session.usage.add(&record.usage);
            // A price that is no number (configured as infinite) must not eat the sum.
            session.cost += record.cost.filter(|cost| cost.is_finite()).unwrap_or(0.0);
            session.prompt_tokens = record.usage.prompt();
            session.model = Some(record.model.clone());
        }
        EventBody::RunFinished { ending, .. } => {
            session.aborted_last_run = matches!(ending, claw_domain::Ending::Stopped { .. });
        }
        EventBody::EntryAdded(_)
        | EventBody::RunStarted { .. }
        | EventBody::AnswerFailed { .. }
        | EventBody::ToolStarted { .. }
        | EventBody::StopAsked { .. }
        | EventBody::GrantGiven { .. }
        | EventBody::DevicePaired { .. }
        | EventBody::DeviceRemoved { .. } => return Some(session),
    }
    session.updated_at = session.updated_at.max(at);
    Some(session)
}
