//! Why a gateway could not be spoken to.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use claw_protocol::close;
use claw_protocol::frame::ErrorShape;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Why a gateway could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no `ws://host:port` or `wss://host:port`.
    #[error("`{url}` is not the address of a gateway: {reason}")]
    Address {
        /// The address, without user name and password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The address would send secrets over the network unencrypted.
    #[error("refusing to send credentials to `{host}` without encryption")]
    PlainTextRefused {
        /// The host.
        host: String,
    },
    /// No connection could be made.
    #[error("no gateway at {url}")]
    Unreachable {
        /// The address.
        url: String,
        /// What the network said.
        #[source]
        source: io::Error,
    },
    /// What answered does not speak WebSocket, or not over this kind of encryption.
    #[error("{url} is not a gateway")]
    NotAGateway {
        /// The address.
        url: String,
        /// What the handshake said.
        #[source]
        source: Box<SocketError>,
    },
    /// This machine has no certificates to recognise a gateway by.
    #[error("no usable certificate authorities on this machine")]
    NoCertificates,
    /// The connection ended, or the gateway refused it.
    #[error("gateway closed ({code}): {reason}")]
    Closed {
        /// The close code; 1006 when none arrived.
        code: u16,
        /// The gateway's reason.
        reason: String,
        /// The gateway's answer to `connect`, when that is why it closed.
        answer: Option<Box<ErrorShape>>,
    },
    /// The gateway took too long.
    #[error("gateway timeout after {}ms", after.as_millis())]
    Timeout {
        /// How long we waited.
        after: Duration,
    },
    /// The gateway answered a call with an error.
    #[error("{}", .0.message)]
    Call(Box<ErrorShape>),
    /// The call is larger than this gateway accepts.
    #[error("the call has {bytes} bytes and the gateway accepts {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The gateway's limit.
        bytes_max: usize,
    },
    /// The gateway's `hello-ok` could not be read.
    #[error("the gateway's greeting could not be read")]
    Hello(#[source] serde_json::Error),
    /// The device's key could not be read or written.
    #[error("the device identity in {} cannot be used", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                Some("start the gateway with `rusty-claw gateway run`".into())
            }
            Self::Address { .. } => Some("write it as ws://127.0.0.1:18789".into()),
            Self::PlainTextRefused { .. } => {
                Some("use wss://, or reach the gateway through a tunnel to this machine".into())
            }
            Self::NoCertificates => Some("install the package `ca-certificates`".into()),
            Self::Closed { answer: Some(answer), .. } => {
                let request = answer.details.as_ref()?.get("requestId")?.as_str()?;
                Some(format!("approve the request {request} on the gateway, then try again"))
            }
            Self::Identity { path, .. } => Some(format!(
                "move {} away to be given a new identity, which must be paired again",
                path.display()
            )),
            Self::Unreachable { .. }
            | Self::NotAGateway { .. }
            | Self::Closed { answer: None, .. }
            | Self::Timeout { .. }
            | Self::Call(_)
            | Self::TooLarge { .. }
            | Self::Hello(_) => None,
        }
    }

    /// The end of a connection, with the close frame if one arrived.
    pub(crate) fn closed(frame: Option<CloseFrame>) -> Self {
        let (code, reason) = match frame {
            Some(frame) => (frame.code.into(), frame.reason.to_string()),
            None => (close::ABNORMAL, "the connection was lost".to_owned()),
        };
        let reason = if reason.is_empty() { "no reason given".into() } else { reason };
        Self::Closed { code, reason, answer: None }
    }
}

#[cfg(test)]
mod tests {
    use claw_protocol::frame::ErrorCode;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gateway_that_is_not_running_can_be_started() {
        let refused = Error::Unreachable {
            url: "ws://127.0.0.1:18789/".into(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        assert_eq!(refused.to_string(), "no gateway at ws://127.0.0.1:18789/");
        let hint = refused.hint().expect("there is something to do");
        assert_eq!(hint, "start the gateway with `rusty-claw gateway run`");
    }

    #[test]
    fn a_pairing_that_waits_names_its_request() {
        let answer = ErrorShape::new(ErrorCode::NotPaired, "pairing required")
            .with_details(json!({"requestId": "r-1"}));
        let error = Error::Closed {
            code: 1008,
            reason: "pairing required".into(),
            answer: Some(Box::new(answer)),
        };
        assert_eq!(error.to_string(), "gateway closed (1008): pairing required");
        let hint = error.hint().expect("there is something to do");
        assert_eq!(hint, "approve the request r-1 on the gateway, then try again");
    }

    #[test]
    fn a_lost_connection_says_so() {
        let error = Error::closed(None);
        assert_eq!(error.to_string(), "gateway closed (1006): the connection was lost");
    }
}
