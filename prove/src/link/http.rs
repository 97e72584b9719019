//! As much of an HTTP/1.1 client as the hub's endpoints need: one request, one answer, on a connection of its own.

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skep_protocol::{Delivery, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::history::Told;
use crate::limits::{ANSWER_MAX, HTTP_MAX};
use crate::world::World;

/// What a publish is answered with.
#[derive(Deserialize)]
struct Receipt {
    #[serde(flatten)]
    accepted: skep_protocol::Accepted,
}

/// What is said when something is refused.
#[derive(Deserialize)]
struct Problem {
    code: skep_protocol::Code,
    outcome: skep_protocol::Outcome,
    detail: String,
}

#[derive(Deserialize)]
struct Received {
    deliveries: Vec<Delivery>,
}

/// Answers what the hub said, or that it said nothing whole.
async fn post<T: DeserializeOwned>(world: &World, path: &str, body: &str) -> anyhow::Result<Result<T, Error>> {
    let (status, body) = timeout(ANSWER_MAX, exchange(world, path, body)).await.context("no answer in time")??;
    if status == 200 {
        return Ok(Ok(serde_json::from_slice(&body).context("an answer over HTTP")?));
    }
    let problem: Problem =
        serde_json::from_slice(&body).with_context(|| format!("status {status} without a reason"))?;
    Ok(Err(Error { outcome: problem.outcome, ..Error::new(problem.code, problem.detail) }))
}

/// The status and the body. The hub closes behind its answer, so the answer ends where the connection does; its
/// length must be the one it names.
async fn exchange(world: &World, path: &str, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(world.door.http).await?;
    let (host, token, length) = (world.door.http, world.door.token()?, body.len());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    (&mut stream).take(HTTP_MAX as u64).read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("an answer without a whole head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer without a status")?;
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .context("an answer without a length")?;
    let body = answer.split_off(end + 4);
    ensure!(body.len() == length, "an answer of {length} bytes was cut after {}", body.len());
    Ok((status, body))
}

/// Publishes one CloudEvent.
pub(crate) async fn publish(world: &World, event: &str) -> anyhow::Result<Told> {
    let answer: Result<Receipt, Error> = post(world, "/v1/publish", event).await?;
    Ok(answer.map_or_else(|error| Told::error(&error), |receipt| Told::accepted(&receipt.accepted, 0)))
}

/// Takes up to so many messages, waiting a little for the first.
pub(crate) async fn receive(world: &World, queue: &str, max: u32) -> anyhow::Result<Result<Vec<Delivery>, Error>> {
    let path = format!("/v1/queues/{queue}/receive?max={max}&wait_ms=300");
    let answer: Result<Received, Error> = post(world, &path, "").await?;
    Ok(answer.map(|received| received.deliveries))
}

/// Settles one lease: `ack`, `nack`, `reject` or `extend`.
pub(crate) async fn settle(world: &World, lease: &str, action: &str) -> anyhow::Result<Told> {
    let body = match action {
        "nack" => r#"{"reason":"not now","after_ms":20}"#,
        "reject" => r#"{"reason":"never"}"#,
        _ => "{}",
    };
    let answer: Result<serde_json::Value, Error> = post(world, &format!("/v1/{action}/{lease}"), body).await?;
    Ok(answer.map_or_else(|error| Told::error(&error), |_| Told::DONE))
}
