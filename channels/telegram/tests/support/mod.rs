//! A channel that is connected to a fake.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use claw_channel::{Channel, Delivered, Error};
use claw_channel_telegram::{Telegram, TelegramOptions};
use claw_domain::{Action, ExternalId, Outbound, Secret, SystemClock, Target};
use claw_testkit::telegram::TOKEN;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A person and her private chat, which have the same number.
pub(crate) const ANNA: i64 = 7;

/// A bot with the fake's token and everything else as by default.
pub(crate) fn telegram(url: &str) -> Telegram {
    with_token(url, TOKEN)
}

/// A bot with a token of your choice.
pub(crate) fn with_token(url: &str, token: &str) -> Telegram {
    claw_testkit::init();
    let options = TelegramOptions {
        account: "default".into(),
        token: Secret::new(token),
        api_root: url.into(),
        timeout: Duration::from_secs(10),
        text_max: 4096,
        link_preview: true,
    };
    Telegram::new(options, reqwest::Client::new(), Arc::new(SystemClock))
}

/// Carries out an action in Anna's chat.
pub(crate) async fn deliver(telegram: &Telegram, action: Action) -> Result<Delivered, Error> {
    let target = Target {
        channel: "telegram".into(),
        account: "default".into(),
        chat: ANNA.to_string().into(),
        thread: None,
    };
    telegram.deliver(&Outbound { target, action, idempotency_key: "test".into() }).await
}

/// A message of text alone.
pub(crate) fn text(text: &str, reply_to: Option<ExternalId>) -> Action {
    Action::Send { text: text.into(), reply_to, silent: false }
}

/// A server that answers what a test says: for the cases in which the Bot API, or what stands
/// before it, does what the fake never does.
pub(crate) struct Scripted {
    pub(crate) url: String,
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// `answer` gets the method and how often it was called before; it gives status and body.
    pub(crate) async fn start(
        answer: impl Fn(&str, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn({
            let calls = calls.clone();
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let method = read_method(&mut stream).await;
                    let before = {
                        let mut calls = calls.lock().unwrap();
                        calls.push(method.clone());
                        calls.iter().filter(|call| **call == method).count() - 1
                    };
                    let (status, body) = answer(&method, before);
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    // A client that has heard enough hangs up.
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { url, calls, serving }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Reads one request and gives the last part of its path.
async fn read_method(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            if body.len() >= length {
                return head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            }
        }
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return String::new();
        }
    }
}
