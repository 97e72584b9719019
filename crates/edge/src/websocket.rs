//! WebSocket: one message is one frame. The subprotocol says in which encoding.

mod frames;
mod socket;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use skep_core::{Connection, Credentials, Form};
use skep_protocol::{Code, Encoding, Error};

use crate::driver::drive;
use crate::edge::Shared;
use crate::http::{Problem, credentials};
use crate::seats::Seat;
#[cfg(fuzzing)]
pub use frames::web_socket_frames_in;
use socket::SocketWire;

/// What is appended to a client's key before it is hashed (RFC 6455, 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `GET /ws`. The token comes as Bearer, or in the first frame: browsers cannot set headers here.
pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    seat: Option<Extension<Seat>>,
    mut request: Request,
) -> Result<Response, Problem> {
    if request.method() != Method::GET {
        return Err(unshaken(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is asked for by GET"));
    }
    let upgraded = request.extensions_mut().remove::<OnUpgrade>();
    let headers = request.headers();
    let accept = accept(headers).map_err(|text| unshaken(StatusCode::BAD_REQUEST, text))?;
    let upgraded =
        upgraded.ok_or_else(|| unshaken(StatusCode::UPGRADE_REQUIRED, "this connection cannot become another"))?;
    let credentials = credentials(headers)?;
    let chosen = choose(offered(headers))?;
    let seat = match seat {
        Some(Extension(seat)) => seat,
        None => shared.seat()?,
    };
    let encoding = chosen.unwrap_or(Encoding::Json);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => serve(upgraded, encoding, shared, credentials, seat).await,
            Err(error) => tracing::debug!(%error, "no WebSocket came of a handshake"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let said = response.headers_mut();
    said.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    said.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    said.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(encoding) = chosen {
        said.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(encoding.subprotocol()));
    }
    Ok(response)
}

/// Checks what a client says when it opens a WebSocket; answers what proves that we understood it.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    if !names(headers, header::CONNECTION, "upgrade") {
        return Err("header Connection does not say upgrade");
    }
    if !names(headers, header::UPGRADE, "websocket") {
        return Err("header Upgrade does not say websocket");
    }
    if !names(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Err("header Sec-WebSocket-Version is not 13");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("header Sec-WebSocket-Key is missing")?;
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(KEY_SUFFIX).finalize();
    HeaderValue::try_from(STANDARD.encode(hash)).map_err(|_| "header Sec-WebSocket-Key is not understood")
}

/// Whether one of the words of a header is this one.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    words(headers, name).any(|said| said.eq_ignore_ascii_case(word.as_bytes()))
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii)
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    words(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

fn unshaken(status: StatusCode, text: &str) -> Problem {
    Problem::with_status(status, Error::new(Code::InvalidFrame, format!("{text}; expected a WebSocket handshake")))
}

/// The encoding of the offered subprotocols; none when none is offered.
fn choose<'a>(offered: impl Iterator<Item = &'a [u8]>) -> Result<Option<Encoding>, Error> {
    let mut unknown = Vec::new();
    for offer in offered {
        match [Encoding::Compact, Encoding::Json].into_iter().find(|e| offer == e.subprotocol().as_bytes()) {
            Some(encoding) => return Ok(Some(encoding)),
            None => unknown.push(std::str::from_utf8(offer).unwrap_or("?")),
        }
    }
    if unknown.is_empty() {
        return Ok(None);
    }
    let (json, compact) = (Encoding::Json.subprotocol(), Encoding::Compact.subprotocol());
    let text = format!("subprotocol {}: expected {json} or {compact}, or none for {json}", unknown.join(", "));
    Err(Error::new(Code::UnsupportedVersion, text))
}

async fn serve(upgraded: Upgraded, encoding: Encoding, shared: Arc<Shared>, credentials: Credentials, seat: Seat) {
    let (hub, form) = (shared.hub.clone(), Form::Encoded(encoding));
    let connection = Connection::new(hub.clone(), form, credentials, hub.now());
    let wire = SocketWire::new(TokioIo::new(upgraded), encoding);
    drive(wire, form, connection, hub, &shared.shutdown).await;
    drop(seat);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(names: &[&'static str]) -> Result<Option<Encoding>, Error> {
        let line = (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::try_from(names.join(", ")).unwrap());
        choose(super::offered(&names.iter().take(1).map(|_| line.clone()).collect()))
    }

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_it_says_and_what_is_no_handshake_is_named() {
        let mut headers = HeaderMap::new();
        for (name, value, missing) in [
            (header::CONNECTION, "keep-alive, Upgrade", "Connection"),
            (header::UPGRADE, "WebSocket", "Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13", "Version"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==", "Key"),
        ] {
            assert!(accept(&headers).unwrap_err().contains(missing));
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(accept(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_first_known_subprotocol_is_chosen_and_unknown_ones_alone_are_refused() {
        assert_eq!(offered(&[]).unwrap(), None);
        assert_eq!(offered(&["skep.v1.json"]).unwrap(), Some(Encoding::Json));
        assert_eq!(offered(&["skep.v9.x", "skep.v1.msgpack"]).unwrap(), Some(Encoding::Compact));
        let error = offered(&["mqtt"]).unwrap_err();
        assert!(error.text.contains("mqtt") && error.text.contains("skep.v1.json"), "{error}");
    }
}
