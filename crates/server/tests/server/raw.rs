//! A connection without manners: it says any bytes, and tells what it was answered.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use skep_protocol::{Code, Connect, Encoding, Error, Frame, Welcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::hub::{Hub, soon};

pub(crate) enum Raw {
    WebSocket(Box<WebSocketStream<TcpStream>>, Encoding),
    Unix(UnixStream),
}

/// What came.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Frame(Frame),
    /// Nothing comes any more.
    Closed,
}

impl Raw {
    /// All three kinds, with a session each.
    pub(crate) async fn all(hub: &Hub) -> [Raw; 3] {
        let mut all = [
            Raw::web_socket(hub, Encoding::Json).await,
            Raw::web_socket(hub, Encoding::Compact).await,
            Raw::unix(hub).await,
        ];
        for raw in &mut all {
            raw.connect(hub).await;
        }
        all
    }

    /// A WebSocket over which nothing was said; it brings no token.
    pub(crate) async fn web_socket(hub: &Hub, encoding: Encoding) -> Self {
        let url = format!("ws://{}/ws", hub.http());
        let mut request = url.into_client_request().expect("a request");
        let protocol = HeaderValue::from_static(encoding.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(hub.http()).await.expect("a connection");
        let (socket, _) = soon("a handshake is answered", client_async(request, stream)).await.expect("a handshake");
        Raw::WebSocket(Box::new(socket), encoding)
    }

    /// A Unix socket over which nothing was said.
    pub(crate) async fn unix(hub: &Hub) -> Self {
        Raw::Unix(UnixStream::connect(hub.unix()).await.expect("a socket"))
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Raw::WebSocket(_, encoding) => *encoding,
            Raw::Unix(_) => Encoding::Compact,
        }
    }

    /// Says who it is, and is let in.
    pub(crate) async fn connect(&mut self, hub: &Hub) -> Welcome {
        let token = Some(hub.token().to_owned());
        self.say(&Frame::Connect(Connect { version: 1, token, ..Connect::default() })).await;
        match self.hear().await {
            Heard::Frame(Frame::Welcome(welcome)) => welcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn say(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        self.encoding().encode(frame, &mut bytes);
        self.say_bytes(&bytes).await;
    }

    /// Says bytes as if they were one frame. What the hub no longer takes does not matter.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        match self {
            Raw::WebSocket(socket, Encoding::Json) => {
                let text = Bytes::copy_from_slice(bytes).try_into();
                let message = text.map_or_else(|_| Message::Binary(Bytes::copy_from_slice(bytes)), Message::Text);
                let _ = socket.send(message).await;
            }
            Raw::WebSocket(socket, Encoding::Compact) => {
                let _ = socket.send(Message::Binary(Bytes::copy_from_slice(bytes))).await;
            }
            Raw::Unix(socket) => {
                let length = u32::try_from(bytes.len()).expect("few").to_le_bytes();
                let _ = socket.write_all(&[&length, bytes].concat()).await;
            }
        }
    }

    /// Writes bytes to the socket below frames.
    pub(crate) async fn write(self, bytes: &[u8]) -> Self {
        match self {
            Raw::WebSocket(socket, encoding) => {
                let mut stream = socket.into_inner();
                let _ = stream.write_all(bytes).await;
                let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
                Raw::WebSocket(Box::new(socket), encoding)
            }
            Raw::Unix(mut socket) => {
                let _ = socket.write_all(bytes).await;
                Raw::Unix(socket)
            }
        }
    }

    /// The next frame that is no ping, or the end.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            let Some(bytes) = soon("something is heard", self.hear_bytes()).await else { return Heard::Closed };
            match self.encoding().decode(&bytes).expect("the hub says what can be read") {
                Frame::Ping(_) => {}
                frame => return Heard::Frame(frame),
            }
        }
    }

    async fn hear_bytes(&mut self) -> Option<Bytes> {
        match self {
            Raw::WebSocket(socket, _) => loop {
                match socket.next().await? {
                    Ok(Message::Text(text)) => return Some(text.into()),
                    Ok(Message::Binary(bytes)) => return Some(bytes),
                    Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_)) => {}
                    Err(_) => return None,
                }
            },
            Raw::Unix(socket) => {
                let mut length = [0; 4];
                socket.read_exact(&mut length).await.ok()?;
                let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
                socket.read_exact(&mut bytes).await.ok()?;
                Some(bytes.into())
            }
        }
    }

    /// It is told an error of this code next.
    pub(crate) async fn is_told(&mut self, code: Code) -> Error {
        match self.hear().await {
            Heard::Frame(Frame::Error(error)) => {
                assert_eq!(error.code, code, "{error}");
                assert!(error.text.len() > 10, "{error}");
                error
            }
            other => panic!("{code} was expected, not {other:?}"),
        }
    }

    /// Its session lives: a ping is answered next.
    pub(crate) async fn lives(&mut self) {
        self.say(&Frame::Ping(4711)).await;
        assert_eq!(self.hear().await, Heard::Frame(Frame::Pong(4711)));
    }

    /// Nothing comes any more.
    pub(crate) async fn is_closed(&mut self) {
        assert_eq!(self.hear().await, Heard::Closed);
    }
}
