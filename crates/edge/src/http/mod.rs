//! HTTP: every path in one table. Each request passes [`guard`], calls a
//! [`Session`](skep_core::Session) of its own, and is answered in JSON.

mod agents;
mod extract;
mod guard;
mod health;
mod history;
mod hosts;
mod metrics;
mod problem;
mod publish;
mod queues;
mod receive;
mod request;
mod settle;
mod status;
#[cfg(test)]
mod tests;
mod trace;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Serialize;
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{Code, Error};

pub(crate) use guard::credentials;
pub(crate) use hosts::Hosts;
pub(crate) use problem::Problem;

use crate::edge::Shared;
use crate::websocket;

/// What a handler answers.
pub(crate) type Answered = Result<Response, Problem>;

/// Every path, behind the guard.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(health::lives))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/ws", get(websocket::upgrade))
        .route("/v1/send/{agent}", post(publish::send))
        .route("/v1/publish", post(publish::publish_event))
        .route("/v1/publish/{topic}", post(publish::publish_to))
        .route("/v1/request/{topic}", post(request::request))
        .route("/v1/inbox/{agent}", get(queues::inbox))
        .route("/v1/inbox/{agent}/receive", post(receive::receive_inbox))
        .route("/v1/settle", post(settle::settle))
        .route("/v1/ack/{lease}", post(settle::ack))
        .route("/v1/nack/{lease}", post(settle::nack))
        .route("/v1/reject/{lease}", post(settle::reject))
        .route("/v1/extend/{lease}", post(settle::extend))
        .route("/v1/queues", get(queues::list))
        .route("/v1/queues/{queue}", get(queues::show).put(queues::declare).delete(queues::delete))
        .route("/v1/queues/{queue}/messages", get(queues::messages))
        .route("/v1/queues/{queue}/receive", post(receive::receive))
        .route("/v1/queues/{queue}/purge", post(queues::purge))
        .route("/v1/queues/{queue}/redrive", post(queues::redrive))
        .route("/v1/agents", get(agents::list))
        .route("/v1/agents/{agent}", put(agents::register).delete(agents::deregister))
        .route("/v1/agents/{agent}/workspaces/{workspace}", put(agents::join).delete(agents::leave))
        .route("/v1/replay", get(history::replay))
        .route("/v1/trace", get(trace::search))
        .route("/v1/trace/{message}", get(trace::events))
        .route("/v1/messages/{message}", get(trace::message))
        .route("/v1/conversations/{conversation}", get(trace::conversation))
        .route("/v1/status", get(history::status))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(FRAME_BYTES_MAX))
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

async fn unknown_path(uri: Uri) -> Problem {
    let text = format!("no path {}; expected one such as /v1/send/{{agent}}, /v1/queues or /v1/status", uri.path());
    Error::new(Code::NotFound, text).into()
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let text = format!("{} does not take {method}; the header Allow says what it takes", uri.path());
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, Error::new(Code::InvalidArgument, text))
}

/// A body of JSON.
pub(crate) fn json(body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).expect("what is answered is JSON");
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}
