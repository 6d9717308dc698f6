//! A gateway of one test: it accepts connections and does what the test says.

use claw_protocol::connect::ConnectParams;
use claw_protocol::device::{Challenge, WithoutNonce, check};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

pub(crate) const NONCE: &str = "n-1";
pub(crate) const NOW_MS: i64 = 1_795_252_604_682;

/// The gateway, before anybody has connected.
pub(crate) struct Gateway(TcpListener);

/// The gateway's end of one connection.
pub(crate) struct Peer(WebSocketStream<TcpStream>);

impl Gateway {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.0.local_addr().expect("it is bound"))
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().await.expect("somebody connects");
        Peer(accept_async(stream).await.expect("a WebSocket"))
    }

    /// Answers a connection as a server does that does not encrypt.
    pub(crate) async fn hang_up(&self) {
        let (mut stream, _) = self.0.accept().await.expect("somebody connects");
        // A client that has hung up first needs no answer.
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    }

    /// Accepts a connection and lets it in; returns what it said in `connect`.
    pub(crate) async fn welcome(&self, tick_interval_ms: u64) -> (Peer, ConnectParams) {
        let mut peer = self.accept().await;
        let (id, connect) = peer.connect_request().await;
        peer.answer(&id, hello(tick_interval_ms)).await;
        (peer, connect)
    }
}

impl Peer {
    /// Sends the challenge and reads a `connect` whose signature, if any, must be good.
    pub(crate) async fn connect_request(&mut self) -> (String, ConnectParams) {
        let challenge = json!({"nonce": NONCE, "ts": NOW_MS});
        self.send(json!({"type": "event", "event": "connect.challenge", "payload": challenge}))
            .await;
        let request = self.request().await;
        assert_eq!(request["method"], "connect");
        let connect = ConnectParams::read(request["params"].clone()).expect("a valid connect");
        if let Some(device) = &connect.device {
            let challenge =
                Challenge { nonce: NONCE, now_ms: NOW_MS, without_nonce: WithoutNonce::Refused };
            check(&connect, device, &challenge).expect("a good signature");
        }
        (request["id"].as_str().expect("an id").into(), connect)
    }

    pub(crate) async fn request(&mut self) -> Value {
        let message = self.0.next().await.expect("a frame").expect("a whole frame");
        let text = message.to_text().expect("a text frame");
        serde_json::from_str(text).expect("JSON")
    }

    /// The close frame that ends the connection.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        let closed = match self.0.next().await {
            Some(Ok(Message::Close(Some(frame)))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("expected a close frame, got {other:?}"),
        };
        // Reading on sends our half of the goodbye.
        while let Some(Ok(_)) = self.0.next().await {}
        closed
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.expect("the client reads");
    }

    pub(crate) async fn answer(&mut self, id: &str, payload: Value) {
        self.send(json!({"type": "res", "id": id, "ok": true, "payload": payload})).await;
    }

    pub(crate) async fn refuse(&mut self, id: &str, code: &str, message: &str) {
        let error = json!({"code": code, "message": message});
        self.send(json!({"type": "res", "id": id, "ok": false, "error": error})).await;
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.0.close(Some(frame)).await.expect("the client is there");
        while let Some(Ok(_)) = self.0.next().await {}
    }
}

/// The recorded `hello-ok`, with another tick interval.
fn hello(tick_interval_ms: u64) -> Value {
    let mut hello: Value =
        serde_json::from_str(include_str!("../fixtures/hello.json")).expect("JSON");
    hello["policy"]["tickIntervalMs"] = tick_interval_ms.into();
    hello
}
