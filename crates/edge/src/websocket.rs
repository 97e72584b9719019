//! WebSocket: one message is one frame. The subprotocol says in which encoding.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use skep_core::{Connection, Credentials, Form, Incoming};
use skep_protocol::limits::{CONNECT_BYTES_MAX, FRAME_BYTES_MAX};
use skep_protocol::{Code, Encoding, Error};

use crate::driver::drive;
use crate::edge::Shared;
use crate::gate::Gate;
use crate::http::{Problem, credentials};
use crate::limits::{WEBSOCKET_READ_BYTES, WEBSOCKET_WRITE_BYTES};
use crate::seats::Seat;
use crate::wire::{Gone, Outbox, Wire};

/// What a sign of life counts towards the bound of a turn, so that a flood of pings ends it.
const CONTROL_BYTES: usize = 64;

/// `GET /ws`. The token comes as Bearer, or in the first frame: browsers cannot set headers here.
pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    seat: Option<Extension<Seat>>,
    gate: Option<Extension<Gate>>,
    headers: HeaderMap,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let mut request = request.map_err(|rejection| {
        let text = format!("{}; expected a WebSocket handshake", rejection.body_text());
        Problem::with_status(rejection.into_response().status(), Error::new(Code::InvalidFrame, text))
    })?;
    let credentials = credentials(&headers)?;
    let encoding = choose(request.requested_protocols())?;
    if let Some(encoding) = encoding {
        request.set_selected_protocol(HeaderValue::from_static(encoding.subprotocol()));
    }
    let seat = match seat {
        Some(Extension(seat)) => seat,
        None => shared.seat()?,
    };
    let gate = gate.map(|Extension(gate)| gate).unwrap_or_default();
    gate.narrow(CONNECT_BYTES_MAX + WEBSOCKET_READ_BYTES);
    let encoding = encoding.unwrap_or(Encoding::Json);
    let serve = move |socket| serve(SocketWire { socket, encoding, gate }, shared, credentials, seat);
    Ok(request
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .read_buffer_size(WEBSOCKET_READ_BYTES)
        .write_buffer_size(WEBSOCKET_WRITE_BYTES)
        .on_failed_upgrade(|error| tracing::debug!(%error, "no WebSocket came of a handshake"))
        .on_upgrade(serve))
}

/// The encoding of the offered subprotocols; none when none is offered.
fn choose<'a>(offered: impl Iterator<Item = &'a HeaderValue>) -> Result<Option<Encoding>, Error> {
    let mut unknown = Vec::new();
    for offer in offered {
        match [Encoding::Compact, Encoding::Json].into_iter().find(|e| offer.as_bytes() == e.subprotocol().as_bytes()) {
            Some(encoding) => return Ok(Some(encoding)),
            None => unknown.push(offer.to_str().unwrap_or("?")),
        }
    }
    if unknown.is_empty() {
        return Ok(None);
    }
    let (json, compact) = (Encoding::Json.subprotocol(), Encoding::Compact.subprotocol());
    let text = format!("subprotocol {}: expected {json} or {compact}, or none for {json}", unknown.join(", "));
    Err(Error::new(Code::UnsupportedVersion, text))
}

async fn serve(wire: SocketWire, shared: Arc<Shared>, credentials: Credentials, seat: Seat) {
    let (hub, form) = (shared.hub.clone(), Form::Encoded(wire.encoding));
    let connection = Connection::new(hub.clone(), form, credentials, hub.now());
    drive(wire, form, connection, hub, &shared.shutdown).await;
    drop(seat);
}

struct SocketWire {
    socket: WebSocket,
    encoding: Encoding,
    /// Narrow until it is known who speaks.
    gate: Gate,
}

impl SocketWire {
    fn message(&self, block: Bytes) -> Result<Message, Gone> {
        match self.encoding {
            Encoding::Compact => Ok(Message::Binary(block)),
            Encoding::Json => match Utf8Bytes::try_from(block) {
                Ok(text) => Ok(Message::Text(text)),
                Err(error) => Err(Gone::Closed(format!("a JSON frame is not text: {error}"))),
            },
        }
    }
}

impl Wire for SocketWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        let bytes: Bytes = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => text.into(),
            Some(Ok(Message::Binary(bytes))) => bytes,
            // Pings are answered below us; either is a sign of life.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Poll::Ready(Ok(CONTROL_BYTES)),
            Some(Ok(Message::Close(_))) | None => return Poll::Ready(Err(Gone::Closed("it closed".into()))),
            Some(Err(_)) if self.gate.is_shut() => {
                let text =
                    format!("first frame: at most {CONNECT_BYTES_MAX} bytes are taken before Connect is answered");
                return Poll::Ready(Err(Gone::Broken(Error::new(Code::TooLarge, text))));
            }
            Some(Err(error)) => {
                let text = format!("websocket: {error}; expected whole messages of at most {FRAME_BYTES_MAX} bytes");
                return Poll::Ready(Err(Gone::Broken(Error::new(Code::InvalidFrame, text))));
            }
        };
        let read = bytes.len().max(1);
        into.push(Incoming::Bytes(bytes));
        Poll::Ready(Ok(read))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        while !out.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            let Some(block) = out.pop() else { break };
            let message = self.message(block)?;
            Pin::new(&mut self.socket).start_send(message)?;
        }
        Pin::new(&mut self.socket).poll_flush(cx).map_err(Gone::from)
    }

    fn let_in(&mut self) {
        self.gate.open();
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.socket).poll_close(cx).map(|_| ())
    }
}

impl From<axum::Error> for Gone {
    fn from(error: axum::Error) -> Self {
        Gone::Closed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(names: &[&'static str]) -> Result<Option<Encoding>, Error> {
        let values: Vec<HeaderValue> = names.iter().map(|name| HeaderValue::from_static(name)).collect();
        choose(values.iter())
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
