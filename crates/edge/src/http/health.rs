//! Whether the hub lives and whether it is ready: the only answers without a token, so they
//! say no more than that.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use skep_protocol::Code;

use crate::edge::Shared;

/// The code, and on a second line what to do.
const READ_ONLY: &str = "read_only\nthe store is damaged: stop the hub, run `skep verify`, then `skep repair`";

/// `GET /healthz`: the process answers.
pub(crate) async fn lives() -> &'static str {
    "ok"
}

/// `GET /readyz`: it takes publishes; if not, the code says why.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    let closing = shared.shutdown.is_cancelled().then_some(Code::ShuttingDown);
    match closing.or_else(|| shared.hub.trouble().map(|error| error.code)) {
        None => (StatusCode::OK, "ok"),
        // What the operator does next is no secret.
        Some(Code::ReadOnly) => (StatusCode::SERVICE_UNAVAILABLE, READ_ONLY),
        Some(code) => (StatusCode::SERVICE_UNAVAILABLE, code.as_str()),
    }
}
