//! How a vendor is spoken to over HTTP: headers, refusals, and bodies within limits.

use std::{error::Error as _, fmt, time::Duration};

use bytes::Bytes;
use claw_domain::Secret;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::{
    Client, RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};

use crate::{Error, ErrorKind, Sse, SseLimits, sse_events};

/// Largest body of a refusal that is read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Largest body that is read whole; a list of models is far smaller.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Longest time for a body that is read whole. Streams have no limit of their own.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest piece of a vendor's words that an error repeats.
const QUOTE_CHARS_MAX: usize = 300;

/// Shorter secrets than this are not looked for in a vendor's words: they would match by chance.
const SECRET_BYTES_MIN: usize = 6;

/// One vendor's server and what it must be told with every request.
///
/// The client should follow no redirects: they would carry our keys to another server. A redirect
/// is an error here.
pub struct Http {
    client: Client,
    headers: HeaderMap,
    secrets: Vec<Secret>,
    refusal: fn(u16, &str) -> Error,
}

impl Http {
    /// Sends `headers` with every request; `refusal` classifies a status that is no success, with
    /// its body.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] for a header that cannot be sent; its value is not shown.
    pub fn new(
        client: Client,
        headers: impl IntoIterator<Item = (String, Secret)>,
        refusal: fn(u16, &str) -> Error,
    ) -> Result<Self, Error> {
        let mut http = Self { client, headers: HeaderMap::new(), secrets: Vec::new(), refusal };
        for (name, value) in headers {
            let unfit =
                || Error::new(ErrorKind::BadRequest, format!("the header {name:?} cannot be sent"));
            let header: HeaderName = name.parse().map_err(|_| unfit())?;
            let mut content = HeaderValue::from_str(value.expose()).map_err(|_| unfit())?;
            content.set_sensitive(true);
            http.headers.insert(header, content);
            http.keep_out(&value);
        }
        Ok(http)
    }

    /// Posts `body`, which is JSON, and returns the events of the answer.
    ///
    /// # Errors
    /// What the vendor's refusal is; [`ErrorKind::Network`] when it cannot be reached or answers
    /// with something that is no event stream.
    pub async fn post(
        &self,
        url: &str,
        body: Vec<u8>,
        limits: SseLimits,
    ) -> Result<BoxStream<'static, Result<Sse, Error>>, Error> {
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let response = self.send(request).await?;
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type =
            content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if let Some(other) = content_type.filter(|value| !is_event_stream(value)) {
            let start = self.text(response).await;
            let message =
                format!("the server sent {} and no event stream: {}", quote(&other), quote(&start));
            return Err(Error::new(ErrorKind::Network, message));
        }
        Ok(sse_events(response.bytes_stream().map_err(broken), limits))
    }

    /// Gets a body whole.
    ///
    /// # Errors
    /// As [`Http::post`]; [`ErrorKind::TooLarge`] for a body of more than 4 MiB.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, Error> {
        let response = self.send(self.client.get(url).timeout(BODY_WAIT_MAX)).await?;
        let (body, is_whole) = read(response, BODY_BYTES_MAX).await?;
        if is_whole {
            return Ok(body);
        }
        let message = format!("the server's answer is larger than {BODY_BYTES_MAX} bytes");
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.headers(self.headers.clone()).send().await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_redirection() {
            let message =
                format!("the server redirects us ({}), which is not followed", status.as_u16());
            return Err(Error::new(ErrorKind::BadRequest, message));
        }
        let retry_after = retry_after(response.headers());
        let text = self.text(response).await;
        Err(Error { retry_after, ..(self.refusal)(status.as_u16(), &text) })
    }

    /// The start of a body that is shown to people.
    async fn text(&self, response: Response) -> String {
        let read = tokio::time::timeout(BODY_WAIT_MAX, read(response, REFUSAL_BYTES_MAX)).await;
        match read {
            // Some servers repeat the key that they refuse.
            Ok(Ok((body, _))) => self.without_secrets(String::from_utf8_lossy(&body).into_owned()),
            // The status alone says enough.
            Ok(Err(_)) | Err(_) => String::new(),
        }
    }

    /// Also finds the key inside `Bearer KEY`.
    fn keep_out(&mut self, value: &Secret) {
        let key = value.expose().rsplit(' ').next().unwrap_or_default();
        if key.len() >= SECRET_BYTES_MIN {
            self.secrets.push(Secret::new(key));
        }
    }

    fn without_secrets(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.expose(), "***"))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// What a vendor said, on one line and cut to what helps.
pub fn quote(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Reads up to `bytes_max` bytes; says whether that was all.
async fn read(response: Response, bytes_max: usize) -> Result<(Vec<u8>, bool), Error> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(broken)?;
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// Seconds, as vendors send them; the header's other form, a date, counts as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(secs).ok()
}

/// The whole chain of causes, without the address: one that a person wrote may hold a key.
fn broken(error: reqwest::Error) -> Error {
    let kind = if error.is_builder() { ErrorKind::BadRequest } else { ErrorKind::Network };
    let error = error.without_url();
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    Error::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_short_line() {
        assert_eq!(quote("  <h1>\n\tSign\u{1b} in</h1>\r\n"), "<h1> Sign in</h1>");
        assert_eq!(quote(&"ä".repeat(301)), format!("{}…", "ä".repeat(300)));
    }

    #[test]
    fn only_an_event_stream_is_one() {
        for (content_type, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/html", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_event_stream(content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds() {
        let check = |text: &str, expected: Option<Duration>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers), expected, "{text}");
        };
        check("7", Some(Duration::from_secs(7)));
        check(" 0.5", Some(Duration::from_millis(500)));
        for odd in ["", "-1", "NaN", "inf", "1e300", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            check(odd, None);
        }
    }
}
