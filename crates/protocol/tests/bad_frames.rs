//! What a recorded gateway answered to frames that are wrong, word for word.

use claw_protocol::frame::{FrameError, Request};
use claw_protocol::schema::Schema;
use serde_json::Value;

/// The parameter schemas of the methods that the recording calls wrongly.
const SCHEMAS: [(&str, &str); 2] = [
    ("chat.history", "{sessionKey: str+, limit?: int[1..1000]}"),
    (
        "chat.send",
        "{sessionKey: str+, message: str, thinking?: str, deliver?: bool, attachments?: any[], \
         timeoutMs?: int[0..], idempotencyKey: str+}",
    ),
];

/// The id and the message of the answer that `sent` gets, if it gets one for its form.
fn answer(sent: &str) -> Option<(String, String)> {
    let request = match Request::parse(sent) {
        Ok(request) => request,
        Err(FrameError::NotJson) => return None,
        Err(FrameError::NotRequest { id, problems }) => {
            return Some((id, format!("invalid request frame: {problems}")));
        }
    };
    let (method, notation) = SCHEMAS.iter().find(|(method, _)| *method == request.method)?;
    let schema = Schema::parse(notation).expect("the notation is right");
    let problems = schema.validate(&request.params);
    (!problems.is_empty()).then(|| (request.id, format!("invalid {method} params: {problems}")))
}

#[test]
fn wrong_frames_are_answered_as_recorded() {
    for line in include_str!("fixtures/bad-frames.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("the fixture is JSON");
        let sent = case["sent"].as_str().expect("each case has a text");
        let recorded = case["id"].as_str().zip(case["message"].as_str());
        let answer = answer(sent);
        assert_eq!(answer.as_ref().map(|(id, message)| (&**id, &**message)), recorded, "{sent}");
    }
}
