//! How the WebSocket to a gateway is opened.

use std::sync::Arc;

use claw_protocol::limits::PAYLOAD_BYTES_MAX;
use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::Error;
use crate::target::Target;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects to `target`. Redirects are not followed.
pub(crate) async fn open(target: &Target) -> Result<Socket, Error> {
    let connector = if target.encrypted { tls().await? } else { Connector::Plain };
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
    let stream =
        stream.map_err(|source| Error::Unreachable { url: target.uri().to_string(), source })?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(PAYLOAD_BYTES_MAX))
        .max_frame_size(Some(PAYLOAD_BYTES_MAX));
    client_async_tls_with_config(target.uri().clone(), stream, Some(config), Some(connector))
        .await
        .map(|(socket, _)| socket)
        .map_err(|source| Error::NotAGateway {
            url: target.uri().to_string(),
            source: Box::new(source),
        })
}

/// The next text of the gateway.
///
/// # Errors
/// [`Error::Closed`] when there is none.
///
/// # Cancel safety
/// Cancel-safe: a frame that has half arrived is kept.
pub(crate) async fn next_text(socket: &mut Socket) -> Result<Utf8Bytes, Error> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(frame))) => return Err(Error::closed(frame)),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(Error::closed(None)),
        }
    }
}

/// Why a socket that was open is not any more.
pub(crate) fn broken(error: &SocketError) -> Error {
    match error {
        SocketError::ConnectionClosed
        | SocketError::AlreadyClosed
        | SocketError::Io(_)
        | SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Error::closed(None),
        other => Error::closed(Some(CloseFrame {
            code: claw_protocol::close::ABNORMAL.into(),
            reason: other.to_string().into(),
        })),
    }
}

/// rustls with ring and this machine's certificate authorities.
async fn tls() -> Result<Connector, Error> {
    // Reading the certificates blocks on the file system.
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.map_err(|_| Error::NoCertificates)?.certs);
    if roots.is_empty() {
        return Err(Error::NoCertificates);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the versions of TLS that rustls considers safe")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(config)))
}
