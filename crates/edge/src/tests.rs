//! The transports over real sockets.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{Code, Connect, Encoding, Error, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::testing::{TOKEN, edge};
use crate::{BoundSocket, EdgeError, EdgeOptions};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn serve(options: EdgeOptions) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let (edge, _, shutdown) = edge(options).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, shutdown, tokio::spawn(async move { edge.serve_tcp(listener).await }))
}

async fn open(address: SocketAddr, headers: &[(&'static str, &'static str)]) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{address}/ws").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Ok(connect_async(request).await?.0)
}

fn refused(result: Result<Socket, tungstenite::Error>) -> (u16, String) {
    match result {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(&body).into())
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn hello() -> Frame {
    Frame::Connect(Connect { version: 1, token: Some(TOKEN.into()), ..Connect::default() })
}

fn encoded(encoding: Encoding, frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding.encode(frame, &mut bytes);
    bytes
}

async fn hear(socket: &mut Socket, encoding: Encoding) -> Frame {
    let message = socket.next().await.unwrap().unwrap();
    assert_eq!(message.is_text(), encoding == Encoding::Json);
    encoding.decode(&message.into_data()).unwrap()
}

#[tokio::test]
async fn a_websocket_speaks_json_unless_the_compact_form_is_asked_for() {
    let (address, shutdown, served) = serve(EdgeOptions::default()).await;
    let mut plain = open(address, &[]).await.unwrap();
    let text = String::from_utf8(encoded(Encoding::Json, &hello())).unwrap();
    plain.send(Message::text(text)).await.unwrap();
    assert!(matches!(hear(&mut plain, Encoding::Json).await, Frame::Welcome(_)));

    let asked = [("sec-websocket-protocol", "skep.v1.msgpack"), ("authorization", "Bearer secret")];
    let mut compact = open(address, &asked).await.unwrap();
    let connect = Frame::Connect(Connect { version: 1, ..Connect::default() });
    compact.send(Message::binary(encoded(Encoding::Compact, &connect))).await.unwrap();
    assert!(matches!(hear(&mut compact, Encoding::Compact).await, Frame::Welcome(_)));
    compact.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(compact.next().await.unwrap().unwrap(), Message::Pong("x".into()));

    shutdown.cancel();
    assert!(matches!(hear(&mut plain, Encoding::Json).await, Frame::Goodbye(_)));
    assert!(matches!(hear(&mut compact, Encoding::Compact).await, Frame::Goodbye(_)));
    while plain.next().await.is_some() {}
    while compact.next().await.is_some() {}
    served.await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_cannot_be_served_is_refused_with_the_reason() {
    let (address, ..) = serve(EdgeOptions { connections_max: 1, ..EdgeOptions::default() }).await;
    let (status, body) = refused(open(address, &[("sec-websocket-protocol", "mqtt")]).await);
    assert!(status == 400 && body.contains("skep.v1.json"), "{status} {body}");
}

#[tokio::test]
async fn a_wrong_token_a_foreign_page_and_a_full_house_are_refused() {
    let (address, ..) = serve(EdgeOptions::default()).await;
    assert_eq!(refused(open(address, &[("authorization", "Bearer wrong")]).await).0, 401);
    assert_eq!(refused(open(address, &[("origin", "https://evil.example")]).await).0, 403);
    let (address, ..) = serve(EdgeOptions { connections_max: 1, ..EdgeOptions::default() }).await;
    let _first = open(address, &[]).await.unwrap();
    let (status, body) = refused(open(address, &[]).await);
    assert!(status == 503 && body.contains("busy"), "{status} {body}");
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_its_own_connection_only() {
    let (address, ..) = serve(EdgeOptions::default()).await;
    let (mut large, mut other) = (open(address, &[]).await.unwrap(), open(address, &[]).await.unwrap());
    // The hub stops reading within it; whether it can be sent whole is not the point.
    let _ = large.send(Message::binary(vec![b' '; FRAME_BYTES_MAX + 1])).await;
    let Frame::Error(error) = hear(&mut large, Encoding::Json).await else { panic!("an error") };
    assert!(error.text.contains("at most 4194304 bytes"), "{error}");
    while let Some(Ok(_)) = large.next().await {}
    other.send(Message::binary(encoded(Encoding::Json, &hello()))).await.unwrap();
    assert!(matches!(hear(&mut other, Encoding::Json).await, Frame::Welcome(_)));
}

#[tokio::test]
async fn nobody_says_more_than_a_connect_before_it_is_known_who_speaks() {
    let (address, ..) = serve(EdgeOptions::default()).await;
    // A Connect that never ends: it has no token, and is cut before it is a quarter of a frame.
    let mut stranger = open(address, &[]).await.unwrap();
    let _ = stranger.send(Message::text("x".repeat(FRAME_BYTES_MAX / 2))).await;
    let Frame::Error(error) = hear(&mut stranger, Encoding::Json).await else { panic!("an error") };
    assert!(error.code == Code::TooLarge && error.text.contains("262144 bytes"), "{error}");
    while let Some(Ok(_)) = stranger.next().await {}
    // A large Connect is taken, and after it whatever a frame may hold, though it was said before the Welcome came.
    let party = open(address, &[]).await.unwrap();
    let Frame::Connect(hello) = hello() else { unreachable!() };
    let large = Frame::Connect(Connect { client: "x".repeat(200 * 1024), ..hello });
    let padded = format!("{}{}", " ".repeat(FRAME_BYTES_MAX / 2), r#"{"ping":7}"#);
    let both = [String::from_utf8(encoded(Encoding::Json, &large)).unwrap(), padded];
    let (mut say, mut listen) = party.split();
    let saying = async {
        for text in both {
            say.send(Message::text(text)).await.unwrap();
        }
    };
    let listening = async {
        for is_it in [|frame: &Frame| matches!(frame, Frame::Welcome(_)), |frame: &Frame| *frame == Frame::Pong(7)] {
            let frame = Encoding::Json.decode(&listen.next().await.unwrap().unwrap().into_data()).unwrap();
            assert!(is_it(&frame), "{frame:?}");
        }
    };
    tokio::join!(saying, listening);
}

const RECEIVE: &str = "POST /v1/queues/jobs/receive?wait_ms=60000 HTTP/1.1\r\nhost: localhost\r\n\
                       authorization: Bearer secret\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const PUBLISH: &str = "POST /v1/publish/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n\
                       connection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const DECLARE: &str = "PUT /v1/queues/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n\
                       connection: close\r\ncontent-length: 0\r\n\r\n";

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_hangs_up_in_a_long_poll_leases_nothing() {
    let (edge, memory, _shutdown) = edge(EdgeOptions::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = edge.clone();
    tokio::spawn(async move { serving.serve_tcp(listener).await });
    assert!(ask(address, DECLARE).await.starts_with("HTTP/1.1 200"));

    let mut polling = TcpStream::connect(address).await.unwrap();
    polling.write_all(RECEIVE.as_bytes()).await.unwrap();
    while memory.consumers("jobs") == 0 {
        tokio::task::yield_now().await;
    }
    drop(polling);
    while memory.consumers("jobs") > 0 {
        tokio::task::yield_now().await;
    }
    assert!(ask(address, PUBLISH).await.starts_with("HTTP/1.1 200"));
    assert_eq!(memory.count("jobs"), (1, 0));

    let answer = ask(address, RECEIVE).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.starts_with(r#"{"deliveries":[{"#), "{body}");
    assert_eq!(memory.count("jobs"), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_after_ten_seconds() {
    let (address, _shutdown, _serving) = serve(EdgeOptions::default()).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    let silent_for = begun.elapsed();
    assert!((9..12).contains(&silent_for.as_secs()), "{silent_for:?}");
    assert!(ask(address, DECLARE).await.starts_with("HTTP/1.1 200"), "others are served");
}

async fn say(stream: &mut UnixStream, frame: &Frame) -> Frame {
    let bytes = encoded(Encoding::Compact, frame);
    stream.write_u32_le(u32::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; stream.read_u32_le().await.unwrap() as usize];
    stream.read_exact(&mut answer).await.unwrap();
    Encoding::Compact.decode(&answer.into()).unwrap()
}

async fn socket_at(path: &Path) -> (CancellationToken, JoinHandle<()>) {
    socket_with(EdgeOptions::default(), path).await
}

async fn socket_with(options: EdgeOptions, path: &Path) -> (CancellationToken, JoinHandle<()>) {
    let (edge, _, shutdown) = edge(options).await;
    let socket = BoundSocket::bind(path).unwrap();
    (shutdown, tokio::spawn(async move { edge.serve_unix(socket).await }))
}

#[tokio::test]
async fn the_unix_socket_is_private_asks_for_the_token_and_is_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    // A socket that nobody serves any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (shutdown, served) = socket_at(&path).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stranger = UnixStream::connect(&path).await.unwrap();
    let answer = say(&mut stranger, &Frame::Connect(Connect { version: 1, ..Connect::default() })).await;
    assert!(matches!(answer, Frame::Error(Error { code: Code::Unauthenticated, .. })), "{answer:?}");
    let mut party = UnixStream::connect(&path).await.unwrap();
    assert!(matches!(say(&mut party, &hello()).await, Frame::Welcome(_)));
    drop((stranger, party));
    shutdown.cancel();
    served.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn one_too_many_at_the_unix_socket_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let _served = socket_with(EdgeOptions { connections_max: 0, ..EdgeOptions::default() }, &path).await;
    let (mut stream, mut bytes) = (UnixStream::connect(&path).await.unwrap(), Vec::new());
    stream.readable().await.unwrap();
    // Whoever speaks first, before it looks, is heard out.
    stream.write_all(b"a Connect").await.unwrap();
    stream.read_to_end(&mut bytes).await.unwrap();
    let frame = Encoding::Compact.decode(&bytes.split_off(4).into()).unwrap();
    assert!(matches!(frame, Frame::Error(Error { code: Code::Busy, .. })), "{frame:?}");
}

#[tokio::test]
async fn a_path_that_is_in_use_or_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let (_shutdown, _served) = socket_at(&path).await;
    assert!(matches!(BoundSocket::bind(&path), Err(EdgeError::SocketInUse { .. })));
    let file = folder.path().join("notes");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(BoundSocket::bind(&file), Err(EdgeError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}
