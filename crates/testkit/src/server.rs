//! A loopback HTTP server whose network a test can break.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::AbortOnDropHandle,
};

use crate::book::lock;

/// Largest request body that a fake reads (Anthropic's limit for one request, 32 MB).
const BODY_BYTES_MAX: usize = 32 << 20;

/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a router until dropped; open connections are cut then.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    network: Network,
    _accepting: AbortOnDropHandle<()>,
}

/// The wire between a fake and its clients. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Network(Arc<Mutex<Link>>);

#[derive(Debug, Default)]
struct Link {
    down: bool,
    /// Cancelled to cut the connections that carry it.
    connections: CancellationToken,
}

struct Wire {
    tcp: TcpListener,
    network: Network,
}

/// A connection that fails with "connection reset" once it is cut.
struct Connection {
    tcp: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Server {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    pub(crate) async fn start(port: u16, router: Router) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = tcp.local_addr()?;
        let network = Network::default();
        let wire = Wire { tcp, network: network.clone() };
        let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        let accepting = tokio::spawn(async move {
            // It never returns an error: failed accepts are retried by the listener.
            let _ = axum::serve(wire, router).await;
        });
        Ok(Self { address, network, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.network.go_down();
    }
}

impl Network {
    /// Cuts every open connection; new ones are taken at once.
    pub fn cut(&self) {
        let mut link = lock(&self.0);
        std::mem::take(&mut link.connections).cancel();
    }

    /// Cuts every open connection and drops new ones until [`Network::come_back`].
    pub fn go_down(&self) {
        lock(&self.0).down = true;
        self.cut();
    }

    /// Takes connections again.
    pub fn come_back(&self) {
        lock(&self.0).down = false;
    }

    fn carry(&self, tcp: TcpStream) -> Option<Connection> {
        let link = lock(&self.0);
        if link.down {
            return None;
        }
        let cut = Box::pin(link.connections.clone().cancelled_owned());
        Some(Connection { tcp, cut })
    }
}

impl axum::serve::Listener for Wire {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((tcp, address)) => {
                    // Small frames must not wait for an acknowledgement; without it they are
                    // only slower.
                    let _ = tcp.set_nodelay(true);
                    if let Some(connection) = self.network.carry(tcp) {
                        return (connection, address);
                    }
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Connection {
    fn poll_alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_alive(cx)?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_alive(cx)?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
