//! Who comes in a wrong way, or does not come in at all. Whoever works beside notices nothing.

use skep_protocol::{Code, Connect, Encoding, Frame, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::bad_input::subscribe;
use crate::hub::{Hub, declare, info, note, soon};
use crate::neighbour::Neighbour;
use crate::raw::Raw;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_wrong_token_is_unauthenticated_and_the_last_word() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for token in [None, Some(String::new()), Some("0123456789abcdef0123456789abcdef".to_owned())] {
        let raws = [
            Raw::web_socket(&hub, Encoding::Json).await,
            Raw::web_socket(&hub, Encoding::Compact).await,
            Raw::unix(&hub).await,
        ];
        for mut raw in raws {
            raw.say(&Frame::Connect(Connect { version: 1, token: token.clone(), ..Connect::default() })).await;
            // Said before the answer: nothing of it may be heard.
            raw.say(&Frame::Query(skep_protocol::Query { tag: 1, ask: skep_protocol::Ask::Status })).await;
            let error = raw.is_told(Code::Unauthenticated).await;
            assert!(!error.text.contains(hub.token()));
            raw.is_closed().await;
        }
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_says_who_it_is_nobody_is_served() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    let publish = Frame::Publish(Publish { sequence: 1, messages: vec![note(&client, "jobs", "early")] });
    for first in [publish, Frame::Ping(1), subscribe(1, "jobs")] {
        for mut raw in [Raw::web_socket(&hub, Encoding::Json).await, Raw::unix(&hub).await] {
            raw.say(&first).await;
            // Too late: it had its chance.
            raw.say(&Frame::Connect(Connect { version: 1, token: Some(hub.token().into()), ..Connect::default() }))
                .await;
            raw.is_told(Code::Unauthenticated).await;
            raw.is_closed().await;
        }
    }
    for mut raw in [Raw::web_socket(&hub, Encoding::Compact).await, Raw::unix(&hub).await] {
        raw.say_bytes(b"garbage").await;
        raw.is_told(Code::InvalidFrame).await;
        raw.is_closed().await;
    }
    assert_eq!(info(&client, "jobs").await.ready, 0);
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connect_and_what_only_a_hub_says_are_refused_and_the_session_lives() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for mut raw in Raw::all(&hub).await {
        let token = Some(hub.token().to_owned());
        raw.say(&Frame::Connect(Connect { version: 1, token, ..Connect::default() })).await;
        raw.is_told(Code::InvalidFrame).await;
        for frame in
            [Frame::Receipt(Vec::new()), Frame::Subscribed(1), Frame::Deliver(Vec::new()), Frame::Live(Vec::new())]
        {
            raw.say(&frame).await;
            raw.is_told(Code::InvalidFrame).await;
        }
        raw.lives().await;
    }
    let mut raw = Raw::unix(&hub).await;
    raw.say(&Frame::Connect(Connect { version: 0, token: Some(hub.token().into()), ..Connect::default() })).await;
    raw.is_told(Code::UnsupportedVersion).await;
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_pages_and_unknown_subprotocols_get_no_web_socket() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let asked = [
        ("Origin: http://127.0.0.1:7537", "HTTP/1.1 403"),
        ("Origin: null", "HTTP/1.1 403"),
        ("Host: evil.example", "HTTP/1.1 403"),
        ("Sec-WebSocket-Protocol: mqtt", "HTTP/1.1 400"),
        ("Sec-WebSocket-Version: 12", "HTTP/1.1 400"),
        ("Connection: close", "HTTP/1.1 400"),
        ("Authorization: Bearer wrong-wrong-wrong-wrong", "HTTP/1.1 401"),
        ("X: y", "HTTP/1.1 101"),
    ];
    for (header, status) in asked {
        let answer = shaken(&hub, header).await;
        assert!(answer.starts_with(status), "{header}: {answer}");
        assert_eq!(answer.contains("application/problem+json"), !status.ends_with("101"), "{header}: {answer}");
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

/// The head of the answer to a handshake that is right but for one header.
async fn shaken(hub: &Hub, header: &str) -> String {
    let bearer = format!("Authorization: Bearer {}", hub.token());
    let right = [
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &bearer,
    ];
    let name = |line: &str| line.split(':').next().map(str::to_owned);
    let headers = right.into_iter().filter(|line| name(line) != name(header)).chain([header]);
    let request = ["GET /ws HTTP/1.1".to_owned(), headers.collect::<Vec<_>>().join("\r\n"), "\r\n".into()].join("\r\n");
    let mut stream = TcpStream::connect(hub.http()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        answer.push(soon("the handshake is answered", stream.read_u8()).await.expect("an answer"));
    }
    String::from_utf8(answer).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_never_finished_hinder_nobody() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let mut open = Vec::new();
    for said in [
        "",
        "G",
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webso",
        "POST /v1/publish/x HTTP/1.1\r\nContent-Length: 9\r\n",
    ] {
        for _ in 0..25 {
            let mut stream = TcpStream::connect(hub.http()).await.expect("a connection");
            stream.write_all(said.as_bytes()).await.expect("written");
            open.push(stream);
        }
    }
    for _ in 0..25 {
        // Over the Unix socket, half a length.
        let mut stream = UnixStream::connect(hub.unix()).await.expect("a connection");
        stream.write_all(&[1, 0]).await.expect("written");
        neighbour.goes_on().await;
    }
    neighbour.content(&hub).await;
    // They are still open: the hub ends all the same.
    hub.close().await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_http_is_closed() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for said in [&garbage[..], b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = TcpStream::connect(hub.http()).await.expect("a connection");
        let _ = stream.write_all(said).await;
        let _ = stream.shutdown().await;
        let mut heard = Vec::new();
        let _ = soon("the connection ends", stream.read_to_end(&mut heard)).await;
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&heard));
        neighbour.goes_on().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}
