//! The conversations: `sessions.list|preview|resolve|patch|reset|delete`.

mod change;
mod settings;
mod show;

use claw_domain::{ChatKind, Session};
use claw_guard::Scope;
use claw_protocol::session::SessionKind;

use super::{Answer, Call, Failure, Method, Reply, failed, operator, refused, within};

pub(super) use change::change;
pub(super) use settings::thinking_level;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "sessions.list",
        required: operator(Scope::Read),
        params: "{limit?: int[1..], activeMinutes?: int[1..], includeGlobal?: bool, \
                 includeUnknown?: bool, includeDerivedTitles?: bool, includeLastMessage?: bool, \
                 label?: str+≤64, spawnedBy?: str+, agentId?: str+, search?: str}",
        run: |call| Box::pin(show::list(call)),
    },
    Method {
        name: "sessions.preview",
        required: operator(Scope::Read),
        params: "{keys: str+[]{1..64}, limit?: int[1..], maxChars?: int[20..]}",
        run: |call| Box::pin(show::preview(call)),
    },
    Method {
        name: "sessions.resolve",
        required: operator(Scope::Admin),
        params: "{key?: str+, sessionId?: str+, label?: str+≤64, agentId?: str+, spawnedBy?: str+, \
                 includeGlobal?: bool, includeUnknown?: bool}",
        run: |call| Box::pin(show::resolve(call)),
    },
    Method {
        name: "sessions.patch",
        required: operator(Scope::Admin),
        params: r#"{
            key: str+, label?: str+≤64 | null, thinkingLevel?: str+ | null,
            verboseLevel?: str+ | null, reasoningLevel?: str+ | null,
            responseUsage?: "off" | "tokens" | "full" | "on" | null, elevatedLevel?: str+ | null,
            execHost?: str+ | null, execSecurity?: str+ | null, execAsk?: str+ | null,
            execNode?: str+ | null, model?: str+ | null, spawnedBy?: str+ | null,
            spawnDepth?: int[0..] | null, sendPolicy?: "allow" | "deny" | null,
            groupActivation?: "mention" | "always" | null
        }"#,
        run: |call| Box::pin(change::patch(call)),
    },
    Method {
        name: "sessions.reset",
        required: operator(Scope::Admin),
        params: r#"{key: str+, reason?: "new" | "reset"}"#,
        run: |call| Box::pin(change::reset(call)),
    },
    Method {
        name: "sessions.delete",
        required: operator(Scope::Admin),
        params: "{key: str+, deleteTranscript?: bool}",
        run: |call| Box::pin(change::delete(call)),
    },
];

/// Who a session is with, in the protocol's words.
pub(super) fn kind_of(session: &Session) -> SessionKind {
    match (session.key.as_str(), session.kind) {
        ("global", _) => SessionKind::Global,
        ("unknown", _) => SessionKind::Unknown,
        (_, ChatKind::Direct) => SessionKind::Direct,
        (_, ChatKind::Group | ChatKind::Channel) => SessionKind::Group,
    }
}
