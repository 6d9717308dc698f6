//! Accepting connections, keeping the clocks, and stopping in order.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::IntoResponse};
use claw_protocol::{
    close,
    limits::{HEALTH_INTERVAL, TICK_INTERVAL},
};
use claw_store::SessionFilter;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit},
    time::{Instant, interval_at, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{
    gateway::Core,
    health::Age,
    http::{CameFrom, router, text},
    hub::News,
    limits::{
        CLOSE_TIMEOUT, DRAIN_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX, HTTP_LIFE_MAX,
        NEWS_INTERVAL,
    },
    mailbox::Patience,
    socket::{self, Visitor},
};

/// How long accepting pauses after a failure, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection's place among all that may be open; given back with its last holder.
type Place = Arc<OwnedSemaphorePermit>;

pub(crate) async fn serve(core: &Arc<Core>, listeners: Vec<TcpListener>, stop: CancellationToken) {
    learn_sessions(core).await;
    let acceptors = TaskTracker::new();
    let router = router(Arc::clone(core));
    if let Some(Ok(first)) = listeners.first().map(TcpListener::local_addr) {
        // Already set only when it is served twice, which changes nothing here.
        let _ = core.bound.set(first.ip());
    }
    for listener in listeners {
        acceptors.spawn(accept(Arc::clone(core), listener, router.clone(), stop.clone()));
    }
    acceptors.close();
    let clocks = async {
        tokio::join!(tick(core), watch_health(core), watch_presence(core));
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = clocks => {}
    }
    shut_down(core).await;
    acceptors.wait().await;
}

/// Takes over what sessions chose to see, which shapes the events of runs.
async fn learn_sessions(core: &Core) {
    match core.store.sessions(&SessionFilter::default()).await {
        Ok(sessions) => sessions.iter().for_each(|session| core.bus.learn(session)),
        Err(error) => warn!(%error, "the sessions' levels are not known"),
    }
}

/// Tells everybody, closes, and waits for all that was begun.
async fn shut_down(core: &Core) {
    let hub = core.bus.hub();
    core.stopping.cancel();
    hub.broadcast(
        "shutdown",
        Patience::Must,
        || json!({"reason": "gateway stopping", "restartExpectedMs": null}),
    );
    hub.close(close::SERVICE_RESTART, close::REASON_RESTART, |_| true);
    core.tasks.close();
    if timeout(DRAIN_TIMEOUT, core.tasks.wait()).await.is_err() {
        warn!(left = core.tasks.len(), "dropping what did not end in time");
        core.kill.cancel();
        core.tasks.wait().await;
    }
}

/// One timer for all sockets.
async fn tick(core: &Core) {
    let mut interval = interval_at(Instant::now() + TICK_INTERVAL, TICK_INTERVAL);
    loop {
        interval.tick().await;
        let ts = core.now_ms();
        core.bus.hub().broadcast("tick", Patience::Newest("tick"), || json!({"ts": ts}));
    }
}

/// Broadcasts `health` once a minute, and after a change.
async fn watch_health(core: &Core) {
    let mut pace = Pace::of(&core.health.changed, Some(HEALTH_INTERVAL));
    loop {
        pace.next().await;
        if core.bus.hub().is_empty() {
            continue;
        }
        match core.health(Age::Fresh).await {
            Ok(health) => core.bus.hub().broadcast_news(News::Health, health),
            Err(error) => warn!(%error, "health is not known"),
        }
    }
}

/// Broadcasts `presence` after a change.
async fn watch_presence(core: &Core) {
    let mut pace = Pace::of(&core.presence_changed, None);
    loop {
        pace.next().await;
        core.bus.hub().broadcast_news(News::Presence, json!({"presence": core.present()}));
    }
}

/// When news are due: after the bell has rung or a time has passed, and never twice in a second.
/// However often the bell rings meanwhile, they are due once after it.
struct Pace<'a> {
    bell: &'a Notify,
    at_least_every: Option<Duration>,
    not_before: Instant,
}

impl<'a> Pace<'a> {
    fn of(bell: &'a Notify, at_least_every: Option<Duration>) -> Self {
        Self { bell, at_least_every, not_before: Instant::now() }
    }

    async fn next(&mut self) {
        match self.at_least_every {
            // Either is a reason.
            Some(wait) => drop(timeout(wait, self.bell.notified()).await),
            None => self.bell.notified().await,
        }
        sleep_until(self.not_before).await;
        self.not_before = Instant::now() + NEWS_INTERVAL;
    }
}

async fn accept(core: Arc<Core>, listener: TcpListener, router: Router, stop: CancellationToken) {
    loop {
        let accepted = async {
            // The place comes first: what cannot be served stays in the system's queue.
            let place = Arc::clone(&core.connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        let place = Arc::new(place.expect("the places are never closed"));
        match accepted {
            Ok((stream, address)) => {
                let serving = connection(Arc::clone(&core), stream, address, router.clone(), place);
                let kill = core.kill.clone();
                core.tasks.spawn(async move { kill.run_until_cancelled_owned(serving).await });
            }
            Err(error) => {
                warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Speaks HTTP on a connection until it ends or becomes a WebSocket.
async fn connection(
    core: Arc<Core>,
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    place: Place,
) {
    // Frames are small and are waited for.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%address, %error, "could not switch off delays");
    }
    let stopping = core.stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (core, router, place) = (Arc::clone(&core), router.clone(), Arc::clone(&place));
        async move {
            if wants_upgrade(&request) {
                return Ok::<_, Infallible>(upgrade(&core, request, address, place));
            }
            request.extensions_mut().insert(CameFrom(address));
            Ok(match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            })
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = sleep(HTTP_LIFE_MAX) => return,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match timeout(CLOSE_TIMEOUT, serving).await {
                Ok(served) => served,
                Err(_late) => return,
            }
        }
    };
    if let Err(error) = served {
        debug!(%address, %error, "a connection broke");
    }
}

fn wants_upgrade(request: &Request<Incoming>) -> bool {
    let lists = |name, token: &str| {
        request.headers().get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value.split(',').any(|word| word.trim().eq_ignore_ascii_case(token))
            })
        })
    };
    lists(header::UPGRADE, "websocket") && lists(header::CONNECTION, "upgrade")
}

/// Answers an upgrade on any path but `/rpc`, and serves the socket in a task of its own.
fn upgrade(
    core: &Arc<Core>,
    mut request: Request<Incoming>,
    address: SocketAddr,
    place: Place,
) -> Response<Body> {
    let refuse = |status: StatusCode| status.into_response();
    let path = request.uri().path();
    if path == "/rpc" || path.starts_with("/rpc/") {
        return refuse(StatusCode::NOT_FOUND);
    }
    let headers = request.headers();
    let Some(accept) = accept_key(&request) else {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return (StatusCode::UPGRADE_REQUIRED, version).into_response();
    };
    let visitor = visitor(headers, address);
    let Ok(stranger) = Arc::clone(&core.strangers).try_acquire_owned() else {
        return ([(header::RETRY_AFTER, "1")], refuse(StatusCode::SERVICE_UNAVAILABLE))
            .into_response();
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let serving = {
        let core = Arc::clone(core);
        async move {
            let parts =
                match upgraded.await.map(|upgraded| upgraded.downcast::<TokioIo<TcpStream>>()) {
                    Ok(Ok(parts)) => parts,
                    Ok(Err(_)) | Err(_) => {
                        debug!(%address, "a connection was lost while it was upgraded");
                        return;
                    }
                };
            let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
            socket::run(core, stream, early, visitor, stranger).await;
            drop(place);
        }
    };
    let kill = core.kill.clone();
    core.tasks.spawn(async move { kill.run_until_cancelled_owned(serving).await });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// The answer to a proper upgrade request (RFC 6455, section 4.2.1).
fn accept_key(request: &Request<Incoming>) -> Option<HeaderValue> {
    let headers = request.headers();
    let proper = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && text(headers, &header::SEC_WEBSOCKET_VERSION) == Some("13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| proper)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

fn visitor(headers: &HeaderMap, address: SocketAddr) -> Visitor {
    let forwarded = headers.keys().any(|name| claw_guard::is_forwarding_header(name.as_str()));
    let host = text(headers, &header::HOST).map(str::to_owned);
    // An Origin that is no text is a foreign one, not none.
    let origin = headers.get(header::ORIGIN);
    let origin = origin.map(|origin| origin.to_str().unwrap_or("null").to_owned());
    let peer = claw_guard::peer(address.ip(), host.as_deref(), forwarded);
    Visitor { address, peer, origin, host }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often news are due in a minute in which the bell rings so often.
    async fn check(rings: u32, at_least_every: Option<Duration>, expected: u32) {
        let bell = Notify::new();
        let mut due = 0;
        let ring = async {
            for _ in 0..rings {
                bell.notify_one();
                sleep(Duration::from_secs(60) / rings).await;
            }
            std::future::pending::<()>().await;
        };
        let count = async {
            let mut pace = Pace::of(&bell, at_least_every);
            loop {
                pace.next().await;
                due += 1;
            }
        };
        tokio::select! {
            () = ring => {}
            () = count => {}
            () = sleep(Duration::from_millis(59_500)) => {}
        }
        assert_eq!(due, expected, "{rings} rings");
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_due_at_once_and_at_most_once_a_second() {
        check(1, None, 1).await;
        check(4, None, 4).await;
        check(6000, None, 60).await;
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_due_unasked_after_their_time() {
        check(0, Some(Duration::from_secs(29)), 2).await;
    }
}
