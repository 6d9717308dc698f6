//! What is configured: `config.get`.

use claw_guard::Scope;
use serde_json::{Value, json};

use super::{Answer, Call, Method, NOTHING, Reply, operator};
use crate::ConfigIssue;

pub(super) const METHODS: &[Method] = &[Method {
    name: "config.get",
    required: operator(Scope::Read),
    params: NOTHING,
    run: |call| Box::pin(get(call)),
}];

async fn get(call: &Call) -> Answer {
    let snapshot = call.core.config.snapshot();
    Ok(Reply::With(json!({
        "path": snapshot.path,
        "exists": snapshot.exists,
        "raw": snapshot.raw,
        "parsed": snapshot.parsed,
        "resolved": snapshot.resolved,
        "valid": snapshot.issues.is_empty(),
        "config": snapshot.config,
        "hash": snapshot.hash,
        "issues": shown(&snapshot.issues),
        "warnings": shown(&snapshot.warnings),
        "legacyIssues": [],
    })))
}

fn shown(issues: &[ConfigIssue]) -> Vec<Value> {
    issues.iter().map(|issue| json!({"path": issue.path, "message": issue.message})).collect()
}
