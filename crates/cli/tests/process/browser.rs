//! A real browser: Chromium, driven over its DevTools socket.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long the page may take to show what it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. Dropping it ends the process.
pub(crate) struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    session: String,
    last: u64,
}

impl Browser {
    /// Starts `program` with an empty profile under `folder` and opens an empty page.
    pub(crate) async fn start(program: &Path, folder: &Path) -> Self {
        let mut child = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (tx, rx) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut tx = Some(tx);
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("DevTools listening on ")
                    && let Some(tx) = tx.take()
                {
                    // The receiver is gone only when the test has failed already.
                    let _gone = tx.send(url.trim().to_owned());
                }
            }
        });
        let url = tokio::time::timeout(PATIENCE, rx)
            .await
            .expect("the browser listens")
            .expect("it lives");
        let (socket, _) = connect_async(url).await.expect("DevTools answers");
        let mut browser = Self { child, socket, session: String::new(), last: 0 };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        browser.call("Page.enable", json!({})).await;
        browser
    }

    /// Opens an address.
    pub(crate) async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    /// Loads the page again.
    pub(crate) async fn reload(&mut self) {
        self.call("Page.reload", json!({})).await;
    }

    /// Gives the window another size.
    pub(crate) async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The value of an expression.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let evaluate =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", evaluate).await;
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&mut self, expression: &str) {
        let patience = tokio::time::Instant::now() + PATIENCE;
        while self.value(expression).await != json!(true) {
            if tokio::time::Instant::now() > patience {
                let text = self.value("document.body.innerText").await;
                panic!(
                    "never: {expression}\nThe page shows:\n{}",
                    text.as_str().unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types a text where the cursor is, and presses Enter.
    pub(crate) async fn types(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
        for kind in ["rawKeyDown", "keyUp"] {
            let key =
                json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13});
            self.call("Input.dispatchKeyEvent", key).await;
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut call = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_empty() {
            call["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(call.to_string())).await.expect("the browser lives");
        loop {
            let frame =
                tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("an answer comes");
            let Message::Text(text) = frame.expect("the browser lives").expect("a frame") else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if frame["id"] == json!(self.last) {
                assert!(frame.get("error").is_none(), "{method}: {frame}");
                return frame["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
