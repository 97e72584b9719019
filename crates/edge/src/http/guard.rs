//! What every request passes before anything is answered: the steps of [`admit`], in their order.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use skep_core::Credentials;
use skep_protocol::{AgentId, Code, Error, content_is_json};

use super::problem::Problem;
use crate::edge::Shared;

/// The header that names the agent to act as.
const AGENT: &str = "skep-agent";

/// Admits a request, or answers why not.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    match admit(&shared, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(shared: &Shared, request: &mut Request) -> Result<(), Problem> {
    shared.hosts.check_host(request.uri(), request.headers())?;
    shared.hosts.check_origin(request.headers())?;
    if is_open(request.uri().path()) {
        return Ok(());
    }
    authenticate(shared, request).await?;
    check_content(request)
}

/// What anybody on this machine may ask: whether the hub lives.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Finds the party, and leaves it for the handlers. Before that nothing is said, not even
/// whether a path or an agent exists.
async fn authenticate(shared: &Shared, request: &mut Request) -> Result<(), Problem> {
    let headers = request.headers();
    // A WebSocket may bring its token in its first frame, as browsers have to; then that is judged.
    let later = request.uri().path() == "/ws" && headers.contains_key(header::UPGRADE);
    if later && !headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let token = bearer(headers)?;
    let agent = agent(headers);
    let credentials = Credentials { token, agent: agent.clone().ok().flatten() };
    let party = shared.hub.authenticate(credentials).await?;
    agent?;
    request.extensions_mut().insert(party);
    Ok(())
}

/// What a request brings to be known by.
pub(crate) fn credentials(headers: &HeaderMap) -> Result<Credentials, Error> {
    Ok(Credentials { token: bearer(headers)?, agent: agent(headers)? })
}

fn bearer(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => "",
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim().to_owned())),
        _ => Err(Error::new(Code::Unauthenticated, "expected one header Authorization: Bearer <token>")),
    }
}

fn agent(headers: &HeaderMap) -> Result<Option<AgentId>, Error> {
    headers.get(AGENT).map(|value| AgentId::new(value.to_str().unwrap_or("?"))).transpose()
}

/// Only JSON is taken: what a form of a foreign page can send is none.
fn check_content(request: &Request) -> Result<(), Problem> {
    if !matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
        return check_empty(request);
    }
    let is_json = match request.headers().get(header::CONTENT_TYPE) {
        None => request.body().is_end_stream(),
        Some(value) => value.to_str().is_ok_and(|value| content_is_json(Some(value))),
    };
    if is_json {
        return Ok(());
    }
    let text = "expected a body of JSON: send it with Content-Type: application/json or application/cloudevents+json";
    Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, Error::new(Code::InvalidArgument, text)))
}

/// What a look or a deletion says in a body would be ignored, and believed to be in force.
fn check_empty(request: &Request) -> Result<(), Problem> {
    if request.body().is_end_stream() || !request.uri().path().starts_with("/v1/") {
        return Ok(());
    }
    let (method, path) = (request.method(), request.uri().path());
    Err(Problem::argument(format!("body: {method} {path} takes none; its parameters stand in the query")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    #[test]
    fn a_token_comes_as_bearer_and_only_once() {
        assert_eq!(bearer(&headers(&[])).unwrap(), None);
        assert_eq!(bearer(&headers(&["bearer  t"])).unwrap().as_deref(), Some("t"));
        assert_eq!(bearer(&headers(&["Basic dTpw"])).unwrap_err().code, Code::Unauthenticated);
        assert_eq!(bearer(&headers(&["Bearer a", "Bearer b"])).unwrap_err().code, Code::Unauthenticated);
    }
}
