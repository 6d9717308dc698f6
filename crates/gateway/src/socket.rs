//! The life of one WebSocket: the shell around the handshake, and then frames in and frames out.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use claw_protocol::{
    close,
    connect::CHALLENGE_EVENT,
    frame::Event,
    limits::{PAYLOAD_BYTES_MAX, PRE_AUTH_FRAME_BYTES_MAX},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};
use tracing::{debug, info};
use uuid::Uuid;

use crate::{
    admission::{Admitted, admit},
    gateway::Core,
    handshake::{Handshake, Refusal},
    hub::Peer,
    limits::{SOCKET_BUFFER_BYTES, WRITE_TIMEOUT},
    locked,
    mailbox::Step,
    methods,
    wire::Wire,
};

type Socket = WebSocketStream<Wire>;

/// What the upgrade request told of a client.
pub(crate) struct Visitor {
    pub(crate) address: SocketAddr,
    pub(crate) peer: claw_guard::Peer,
    pub(crate) origin: Option<String>,
    pub(crate) host: Option<String>,
}

/// Serves a socket to its end. `stranger` is given back once the client is known.
pub(crate) async fn run(
    core: Arc<Core>,
    stream: TcpStream,
    early: Vec<u8>,
    visitor: Visitor,
    stranger: OwnedSemaphorePermit,
) {
    // Boxed: what greeting needs is not carried through the long life after it.
    let greeted = Box::pin(greet(&core, stream, early, visitor, stranger)).await;
    let Some((mut socket, admitted)) = greeted else { return };
    let (code, reason) = converse(&core, &mut socket, &admitted.peer).await;
    core.bus.hub().leave(admitted.peer.id);
    if let Some(key) = &admitted.presence {
        locked(&core.presence).went(key, core.now_ms());
        core.presence_changed();
    }
    info!(connection = %admitted.peer.id, code, reason, "a client is gone");
    if code != close::ABNORMAL {
        say_goodbye(&core, &mut socket, code, reason).await;
    }
}

/// From the challenge to the client's greeting; `None` when it was turned away.
async fn greet(
    core: &Arc<Core>,
    stream: TcpStream,
    early: Vec<u8>,
    visitor: Visitor,
    stranger: OwnedSemaphorePermit,
) -> Option<(Socket, Admitted)> {
    let config = WebSocketConfig::default()
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES)
        .max_message_size(Some(PAYLOAD_BYTES_MAX))
        .max_frame_size(Some(PAYLOAD_BYTES_MAX));
    let wire = Wire::new(stream, early, PRE_AUTH_FRAME_BYTES_MAX);
    let mut socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
    let nonce = Uuid::new_v4().to_string();
    let address = visitor.address;
    let handshake =
        Handshake { nonce, peer: visitor.peer, origin: visitor.origin, host: visitor.host };
    let introduced = tokio::select! {
        introduced = introduce(core, &mut socket, &handshake, address) => introduced,
        () = core.stopping.cancelled() => {
            Err(Refusal::silent(close::SERVICE_RESTART, close::REASON_RESTART))
        }
    };
    match introduced {
        Ok(admitted) => {
            drop(stranger);
            socket.get_mut().trust();
            Some((socket, admitted))
        }
        Err(refusal) => {
            debug!(%address, code = refusal.code, reason = %refusal.reason, "a client was turned away");
            if refusal.guessed {
                let wait = locked(&core.throttle).wrong(core.scribe.now(), address.ip());
                sleep(wait).await;
            }
            if let Some(answer) = refusal.answer {
                // Whether it arrives is the client's affair: the close follows either way.
                let answer = socket.send(Message::text(answer.encode()));
                let _ = timeout(core.bus.limits().goodbye, answer).await;
            }
            say_goodbye(core, &mut socket, refusal.code, &refusal.reason).await;
            None
        }
    }
}

async fn introduce(
    core: &Arc<Core>,
    socket: &mut Socket,
    handshake: &Handshake,
    address: SocketAddr,
) -> Result<Admitted, Refusal> {
    let challenge = json!({"nonce": handshake.nonce, "ts": core.now_ms()});
    let challenge = Event::targeted(CHALLENGE_EVENT, challenge).encode();
    let first = async {
        socket.send(Message::text(challenge)).await?;
        first_text(socket).await
    };
    let limits = core.bus.limits();
    let text = match timeout(limits.handshake, first).await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(Refusal::silent(code_of(&error), "")),
        Err(_late) => return Err(Refusal::silent(close::NORMAL, "")),
    };
    let claim = {
        let setup = core.setup.load();
        handshake.read(&text, core.now_ms(), &setup.auth, &setup.control_ui.allowed_origins)?
    };
    admit(core, claim, address.ip()).await
}

async fn first_text(socket: &mut Socket) -> Result<Utf8Bytes, Error> {
    loop {
        match socket.next().await.unwrap_or(Err(Error::ConnectionClosed))? {
            Message::Text(text) => return Ok(text),
            // What is not text is not JSON either.
            Message::Binary(_) => return Ok(Utf8Bytes::default()),
            Message::Close(_) => return Err(Error::ConnectionClosed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Frames in and frames out until either side ends it; why it ended.
async fn converse(core: &Arc<Core>, socket: &mut Socket, peer: &Arc<Peer>) -> (u16, &'static str) {
    loop {
        tokio::select! {
            step = peer.mailbox.next() => match step {
                Step::Close(code, reason) => return (code, reason),
                Step::Send(frame) => if let Err(end) = send(core, socket, frame, peer).await {
                    return end;
                },
            },
            // A client with many calls under way is not read until one of them is answered.
            message = socket.next(), if !peer.mailbox.is_busy() => match message {
                Some(Ok(Message::Text(text))) => methods::dispatch(core, peer, &text),
                Some(Ok(Message::Close(_))) => return (close::NORMAL, ""),
                None => return (close::ABNORMAL, ""),
                Some(Ok(_)) => {}
                Some(Err(error)) => return (code_of(&error), ""),
            },
        }
    }
}

/// Writes one frame, or gives the socket up when it does not take it.
async fn send(
    core: &Core,
    socket: &mut Socket,
    frame: Utf8Bytes,
    peer: &Peer,
) -> Result<(), (u16, &'static str)> {
    let slow = (close::POLICY_VIOLATION, close::REASON_SLOW_CONSUMER);
    let gone = (close::ABNORMAL, close::REASON_SLOW_CONSUMER);
    let mut writing = pin!(write(socket, frame));
    tokio::select! {
        biased;
        written = &mut writing => return written.map_err(|_gone| (close::ABNORMAL, "")),
        () = peer.mailbox.overflowed() => {}
        () = sleep(WRITE_TIMEOUT) => {}
    }
    // A close frame is understood only between two whole frames.
    match timeout(core.bus.limits().goodbye, writing).await {
        Ok(Ok(())) => Err(slow),
        Ok(Err(_)) | Err(_) => Err(gone),
    }
}

/// Writes a text frame. A large one goes past the socket's buffer, which would keep its size.
async fn write(socket: &mut Socket, frame: Utf8Bytes) -> Result<(), Error> {
    if frame.len() <= SOCKET_BUFFER_BYTES / 2 {
        return socket.send(Message::Text(frame)).await;
    }
    socket.flush().await?;
    let (header, length) = header(frame.len());
    let wire = socket.get_mut();
    wire.write_all(&header[..length]).await?;
    wire.write_all(frame.as_bytes()).await?;
    Ok(())
}

/// The header of a whole, unmasked text frame (RFC 6455, section 5.2), and its length.
fn header(payload: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = 0x81;
    match u16::try_from(payload) {
        Ok(short) if short < 126 => {
            header[1] = short as u8;
            (header, 2)
        }
        Ok(short) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&short.to_be_bytes());
            (header, 4)
        }
        Err(_) => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
            (header, 10)
        }
    }
}

/// What a socket is closed with after a failure of reading.
fn code_of(error: &Error) -> u16 {
    match error {
        Error::Capacity(_) => close::TOO_LARGE,
        Error::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge => close::TOO_LARGE,
        Error::Protocol(_) => close::PROTOCOL_ERROR,
        _ => close::ABNORMAL,
    }
}

/// Closes, and reads until the client has closed too, for a short while.
async fn say_goodbye(core: &Core, socket: &mut Socket, code: u16, reason: &str) {
    if code == close::ABNORMAL {
        return;
    }
    let frame = CloseFrame { code: code.into(), reason: close::reason(reason).to_owned().into() };
    let goodbye = async {
        match socket.close(Some(frame)).await {
            Ok(()) => while let Some(Ok(_)) = socket.next().await {},
            // The client closed first: only the answer to that has to leave.
            Err(_) => drop(socket.flush().await),
        }
    };
    if timeout(core.bus.limits().goodbye, goodbye).await.is_err() {
        debug!("a client did not answer our close");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_frame_has_the_shortest_form() {
        let check = |payload, expected: &[u8]| {
            let (header, length) = header(payload);
            assert_eq!(&header[..length], expected);
        };
        check(125, &[0x81, 125]);
        check(126, &[0x81, 126, 0, 126]);
        check(65_535, &[0x81, 126, 255, 255]);
        check(65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
