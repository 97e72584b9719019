//! The TCP listener: accepts, bounds, and at the end waits for its connections.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::edge::Shared;
use crate::http::Problem;
use crate::limits::{ACCEPT_PAUSE, DRAIN_MAX, FAREWELL_MAX, FIRST_BYTE_MAX, HTTP_HEAD_MAX};
use crate::seats::Seat;
use crate::stalled::Stalled;

/// Serves HTTP and WebSocket until shutdown; then stops accepting, lets requests finish for
/// a bounded time, and cuts what is left.
pub(crate) async fn serve_tcp(shared: Arc<Shared>, listener: TcpListener, router: Router) {
    let turned_away = Arc::new(Semaphore::new(shared.turned_away_max));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => log_end(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(&shared, stream, &router, &turned_away, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain(&shared, &mut connections).await;
}

/// Waits for connections that were told to end, those that became WebSockets too; after a
/// bounded time they are cut.
pub(crate) async fn drain(shared: &Shared, connections: &mut JoinSet<()>) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            log_end(ended);
        }
        shared.seats.all_free().await;
    };
    if timeout(DRAIN_MAX, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections did not end in time and are cut");
        connections.shutdown().await;
    }
}

pub(crate) fn log_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a fault of the hub");
    }
}

fn admit(
    shared: &Arc<Shared>,
    stream: TcpStream,
    router: &Router,
    turned_away: &Arc<Semaphore>,
    connections: &mut JoinSet<()>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "a connection was gone before it was served");
    }
    if let Some(seat) = shared.seats.take_leaving(shared.seats.kept_from_tcp()) {
        connections.spawn(serve_one(shared.clone(), stream, router.clone(), seat));
    } else if let Ok(permit) = turned_away.clone().try_acquire_owned() {
        connections.spawn(turn_away(stream, shared.full().into(), permit));
    }
}

async fn serve_one(shared: Arc<Shared>, stream: TcpStream, router: Router, seat: Seat) {
    if !is_heard(&shared, &stream).await {
        return tracing::debug!("a connection said nothing");
    }
    let stream = TokioIo::new(Stalled::new(stream));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        // A request that becomes a WebSocket takes the seat along.
        request.extensions_mut().insert(seat.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_MAX)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// Whether a connection says anything soon, or ends.
async fn is_heard(shared: &Shared, stream: &TcpStream) -> bool {
    let mut first = [0];
    tokio::select! {
        // Not only ready: that may be said where there is nothing to read.
        heard = timeout(FIRST_BYTE_MAX, stream.peek(&mut first)) => matches!(heard, Ok(Ok(_))),
        () = shared.shutdown.cancelled() => false,
    }
}

/// Answers the first request with why it is not served.
async fn turn_away(stream: TcpStream, problem: Problem, permit: OwnedSemaphorePermit) {
    let service = service_fn(move |_: hyper::Request<Incoming>| {
        let response: Response = problem.clone().into_response();
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    let _ = timeout(FAREWELL_MAX, connection).await;
    drop(permit);
}
