//! A way to the server that can be cut or held at a chosen word.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    task::JoinSet,
};

/// What is done to the first connection on which a word passes. Each is done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Cut it before the client's word reaches the server.
    CutBefore(&'static str),
    /// Let the server answer with its word, and cut it instead of handing the answer on.
    CutAnswer(&'static str),
    /// Hand on neither the server's answer with its word nor anything after it, until released.
    HoldAnswer(&'static str),
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    server: SocketAddr,
    fault: Mutex<Option<Fault>>,
    /// Rung when the fault was done.
    done: Notify,
    held: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port_here = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            fault: Mutex::new(None),
            done: Notify::new(),
            held: watch::Sender::new(true),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { port: port_here, shared, _tasks: tasks }
    }

    /// Does this to the next connection that it fits.
    pub(crate) fn arm(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = Some(fault);
    }

    /// Waits until the fault was done.
    pub(crate) async fn done(&self) {
        self.shared.done.notified().await;
    }

    /// Hands on what is held.
    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut ways = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(shared.server).await else { continue };
        let shared = Arc::clone(&shared);
        ways.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // When one direction ends, both do.
            tokio::select! {
                () = asks(from_client, to_server, &shared) => {}
                () = answers(from_server, to_client, &shared) => {}
            }
        });
    }
}

impl Shared {
    /// Whether the fault is one of these and its word is in `bytes`; then it is done.
    fn strikes(&self, bytes: &[u8], fits: impl Fn(Fault) -> Option<&'static str>) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        let word = fault.and_then(fits)?.as_bytes();
        if !bytes.windows(word.len()).any(|window| window == word) {
            return None;
        }
        self.done.notify_one();
        fault.take()
    }
}

async fn asks(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buf = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buf).await {
        let cut = |fault| match fault {
            Fault::CutBefore(word) => Some(word),
            _ => None,
        };
        if shared.strikes(&buf[..count], cut).is_some()
            || to.write_all(&buf[..count]).await.is_err()
        {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buf = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buf).await {
        let cut = |fault| match fault {
            Fault::CutAnswer(word) | Fault::HoldAnswer(word) => Some(word),
            Fault::CutBefore(_) => None,
        };
        match shared.strikes(&buf[..count], cut) {
            Some(Fault::HoldAnswer(_)) => {
                let mut held = shared.held.subscribe();
                if held.wait_for(|held| !held).await.is_err() {
                    return;
                }
            }
            Some(_) => return,
            None => {}
        }
        if to.write_all(&buf[..count]).await.is_err() {
            return;
        }
    }
}
