//! A wire in between: passes TCP on to a server elsewhere, and a test can cut it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::book::lock;

/// Passes every connection on, as long as the wire is whole.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<Mutex<Wire>>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Wire {
    down: bool,
    /// Cancelled to cut the connections that carry it.
    connections: CancellationToken,
}

impl Proxy {
    /// Listens on 127.0.0.1, on a free port, and passes on to `to`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(to: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = tcp.local_addr()?;
        let wire = Arc::<Mutex<Wire>>::default();
        let carried = Arc::clone(&wire);
        let accepting = tokio::spawn(async move {
            // A connection that cannot be accepted is the client's to try again.
            while let Ok((client, _)) = tcp.accept().await {
                let cut = {
                    let wire = lock(&carried);
                    if wire.down {
                        continue;
                    }
                    wire.connections.clone()
                };
                tokio::spawn(async move {
                    tokio::select! {
                        () = cut.cancelled() => {}
                        _ended = pass(client, to) => {}
                    }
                });
            }
        });
        Ok(Self { address, wire, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection and drops new ones until [`Proxy::come_back`].
    pub fn go_down(&self) {
        let mut wire = lock(&self.wire);
        wire.down = true;
        std::mem::take(&mut wire.connections).cancel();
    }

    /// Takes connections again.
    pub fn come_back(&self) {
        lock(&self.wire).down = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_down();
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
