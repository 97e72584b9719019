//! A WebSocket: one binary message is one frame, the token travels as Bearer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::Deserialize;
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{Code, Encoding, Error};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, Response, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::encoded::Encoded;
use super::{Duplex, lost};
use crate::address::no_hub;

pub(super) async fn open(url: &Uri, token: Option<&str>) -> Result<impl Duplex + use<>, Error> {
    let request = request(url, token)?;
    let host = url.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let socket =
        TcpStream::connect((host, url.port_u16().unwrap_or(80))).await.map_err(|e| no_hub(&url.to_string(), &e))?;
    socket.set_nodelay(true).map_err(lost)?;
    let config =
        WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
    let (stream, _) =
        client_async_with_config(request, socket, Some(config)).await.map_err(|e| not_welcome(url, &e))?;
    Ok(Encoded::new(Binary(stream)))
}

fn request(url: &Uri, token: Option<&str>) -> Result<Request<()>, Error> {
    let invalid = |why: String| Error::new(Code::InvalidArgument, why);
    let mut request = url.into_client_request().map_err(|e| invalid(format!("address {url}: {e}")))?;
    let protocol = HeaderValue::from_static(Encoding::Compact.subprotocol());
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| invalid("the token holds characters that no header can carry".into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// Somebody answered, but not with a WebSocket of ours.
fn not_welcome(url: &Uri, error: &tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(answer) if answer.status().as_u16() == 401 => {
            Error::new(Code::Unauthenticated, format!("{url}: the hub does not know this token, or wants one"))
        }
        tungstenite::Error::Http(answer) if answer.status().as_u16() == 403 => {
            Error::new(Code::Forbidden, format!("{url}: the hub does not let this party in"))
        }
        tungstenite::Error::Http(answer) if answer.status().as_u16() == 503 => {
            said(answer).unwrap_or_else(|| no_hub(&url.to_string(), error))
        }
        other => no_hub(&url.to_string(), other),
    }
}

/// Why a hub takes nobody in now, in its own words, if they came with the answer.
fn said(answer: &Response<Option<Vec<u8>>>) -> Option<Error> {
    #[derive(Deserialize)]
    struct Problem {
        code: Code,
        detail: String,
    }
    let problem: Problem = serde_json::from_slice(answer.body().as_deref()?).ok()?;
    Some(Error::new(problem.code, problem.detail))
}

/// The binary messages of a WebSocket.
struct Binary(WebSocketStream<TcpStream>);

impl Stream for Binary {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let item = match ready!(self.0.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(bytes))) => Some(Ok(bytes)),
                // Pings are answered below us; a close is followed by the end.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => {
                    Some(Err(Error::new(Code::InvalidFrame, "frame: the hub sent text; expected binary messages")))
                }
                Some(Err(error)) => Some(Err(lost(error))),
                None => None,
            };
            return Poll::Ready(item);
        }
    }
}

impl Sink<Bytes> for Binary {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready_unpin(cx).map_err(lost)
    }

    fn start_send(mut self: Pin<&mut Self>, bytes: Bytes) -> Result<(), Error> {
        self.0.start_send_unpin(Message::Binary(bytes)).map_err(lost)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_flush_unpin(cx).map_err(lost)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_close_unpin(cx).map_err(lost)
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::Frame;
    use tokio_tungstenite::tungstenite::handshake::server::Response;

    use super::*;

    #[test]
    fn the_token_travels_as_bearer_and_the_subprotocol_is_asked_for() {
        let request = request(&Uri::from_static("ws://127.0.0.1:7537/ws"), Some("secret")).unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        assert_eq!(request.headers()["sec-websocket-protocol"], "skep.v1.msgpack");
        assert_eq!(request.headers()["host"], "127.0.0.1:7537");
        assert!(!format!("{request:?}").contains("secret"));
    }

    #[tokio::test]
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    async fn one_binary_message_is_one_frame_each_way() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Uri = format!("ws://{}/ws", listener.local_addr().unwrap()).parse().unwrap();
        let hub = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let agree = |request: &Request<()>, mut answer: Response| {
                let asked = request.headers()[header::SEC_WEBSOCKET_PROTOCOL].clone();
                answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, asked);
                Ok(answer)
            };
            let mut hub = tokio_tungstenite::accept_hdr_async(socket, agree).await.unwrap();
            let heard = [hub.next().await.unwrap().unwrap(), hub.next().await.unwrap().unwrap()];
            hub.send(heard[0].clone()).await.unwrap();
            hub.send(Message::text("not ours")).await.unwrap();
            heard.map(Message::into_data)
        });
        let mut link = Box::pin(open(&url, None).await.unwrap());
        link.send(vec![Frame::Ping(7), Frame::Pong(8)]).await.unwrap();
        let mut heard = Vec::new();
        let error = loop {
            match link.next().await.unwrap() {
                Ok(frames) => heard.extend(frames),
                Err(error) => break error,
            }
        };
        assert_eq!((heard, error.code), (vec![Frame::Ping(7)], Code::InvalidFrame));
        assert_eq!(hub.await.unwrap(), [&[0x92, 17, 7][..], &[0x92, 18, 8]]);
    }

    #[tokio::test]
    async fn where_nobody_listens_the_error_names_the_address_and_what_to_do() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Uri = format!("ws://{}/ws", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let Err(error) = open(&url, None).await else { panic!("nobody listens") };
        assert_eq!(error.code, Code::NoHub);
        assert!(
            error.text.contains(&url.to_string()) && error.text.contains("expected a Skep hub that listens there"),
            "{error}"
        );
    }
}
