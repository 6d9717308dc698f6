//! How a method of the Bot API is called: HTTP with deadlines, limits, and no token in any error.

use std::{error::Error as _, fmt::Debug, path::PathBuf, time::Duration};

use async_trait::async_trait;
use claw_domain::Secret;
use frankenstein::AsyncTelegramApi;
use reqwest::multipart::{Form, Part};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// How long Telegram holds a `getUpdates` call open when nothing happens, in seconds.
pub(crate) const POLL_SECS: u32 = 30;

/// Largest answer that is read. A hundred updates of the longest messages stay far below it.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Longest piece of somebody else's error text that is kept, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// One bot's access to the Bot API.
pub(crate) struct Api {
    client: reqwest::Client,
    root: String,
    token: Secret,
    timeout: Duration,
}

impl Api {
    pub(crate) fn new(
        client: reqwest::Client,
        root: &str,
        token: Secret,
        timeout: Duration,
    ) -> Self {
        Self { client, root: root.trim_end_matches('/').to_owned(), token, timeout }
    }

    fn post(&self, method: &str) -> reqwest::RequestBuilder {
        let held_open = if method == "getUpdates" {
            Duration::from_secs(POLL_SECS.into())
        } else {
            Duration::ZERO
        };
        let url = format!("{}/bot{}/{method}", self.root, self.token.expose());
        self.client.post(url).timeout(self.timeout + held_open)
    }

    async fn answer<Output: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Output, ApiError> {
        let mut response = request.send().await.map_err(|error| self.transport(error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ApiError::Transport(format!(
                    "the answer is larger than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success()
            && let Ok(output) = serde_json::from_slice(&body)
        {
            return Ok(output);
        }
        Err(self.refusal(status.as_u16(), &body))
    }

    fn refusal(&self, status: u16, body: &[u8]) -> ApiError {
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => {
                let parameters = refusal.parameters.unwrap_or_default();
                ApiError::Answer {
                    code: refusal.error_code,
                    description: self.clean(&refusal.description),
                    retry_after: parameters.retry_after.map(Duration::from_secs),
                    migrated_to: parameters.migrate_to_chat_id,
                }
            }
            // A proxy's page, or half an answer. The status is all that can be trusted.
            Err(_) if (200..300).contains(&status) => {
                ApiError::Transport(format!("status {status} with an answer that cannot be read"))
            }
            Err(_) => ApiError::Answer {
                code: status.into(),
                description: "an answer that cannot be read".into(),
                retry_after: None,
                migrated_to: None,
            },
        }
    }

    fn transport(&self, error: reqwest::Error) -> ApiError {
        // The address holds the token.
        let error = error.without_url();
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            source = error.source();
        }
        ApiError::Transport(self.clean(&detail))
    }

    /// A foreign text, cut, and without the token should somebody echo it.
    fn clean(&self, text: &str) -> String {
        let text = if self.token.is_empty() {
            text.to_owned()
        } else {
            text.replace(self.token.expose(), "***")
        };
        text.chars().take(DETAIL_CHARS_MAX).collect()
    }
}

/// The answer to a call that failed. Read here because the library keeps `retry_after` in 16
/// bits, and a flood wait can be a day.
#[derive(Deserialize)]
struct Refusal {
    error_code: u64,
    #[serde(default)]
    description: String,
    parameters: Option<Parameters>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

#[async_trait]
impl AsyncTelegramApi for Api {
    type Error = ApiError;

    async fn request<Params, Output>(
        &self,
        method: &str,
        params: Option<Params>,
    ) -> Result<Output, ApiError>
    where
        Params: Serialize + Debug + Send,
        Output: DeserializeOwned,
    {
        let request = self.post(method);
        self.answer(match &params {
            Some(params) => request.json(params),
            None => request,
        })
        .await
    }

    async fn request_with_form_data<Params, Output>(
        &self,
        method: &str,
        params: Params,
        files: Vec<(&str, PathBuf)>,
    ) -> Result<Output, ApiError>
    where
        Params: Serialize + Debug + Send,
        Output: DeserializeOwned,
    {
        let unreadable = |error: &dyn std::fmt::Display| {
            ApiError::Transport(format!("the upload cannot be read: {error}"))
        };
        let fields: Map<String, Value> = serde_json::to_value(&params)
            .and_then(serde_json::from_value)
            .map_err(|error| unreadable(&error))?;
        let mut form = Form::new();
        for (key, value) in fields {
            form = match value {
                _ if files.iter().any(|(file, _)| *file == key) => form,
                Value::String(text) => form.text(key, text),
                other => form.text(key, other.to_string()),
            };
        }
        for (key, path) in files {
            let part = Part::file(path).await.map_err(|error| unreadable(&error))?;
            form = form.part(key.to_owned(), part);
        }
        self.answer(self.post(method).multipart(form)).await
    }
}

#[cfg(test)]
mod tests {
    use claw_testkit::{FakeTelegram, telegram::TOKEN};
    use frankenstein::{response::MethodResponse, types::Message};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_upload_carries_its_fields_beside_its_file() {
        claw_testkit::init();
        let server = FakeTelegram::start().await;
        server.join(7);
        let api = Api::new(
            reqwest::Client::new(),
            &server.url(),
            Secret::new(TOKEN),
            Duration::from_secs(10),
        );
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into();
        let params = json!({ "chat_id": 7, "text": "see file", "document": "attach://document" });
        let answer =
            api.request_with_form_data("sendMessage", params, vec![("document", file)]).await;
        let sent: MethodResponse<Message> = answer.expect("the fake takes multipart");
        assert_eq!(sent.result.text.as_deref(), Some("see file"));

        let missing = vec![("document", "/nowhere/at/all".into())];
        let failed =
            api.request_with_form_data::<_, Value>("sendMessage", json!({}), missing).await;
        assert!(failed.unwrap_err().to_string().starts_with("the upload cannot be read: "));
    }
}
