//! The hub over HTTP, as any program would use it.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{AgentId, Code, Error, Outcome, Retry};

/// How long an answer may take, beside what was asked to be waited for.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes: twice a frame, for JSON is longer.
const ANSWER_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

/// A way to the hub, as one agent or as nobody.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpConnector, String>,
    /// `address:port`.
    address: String,
    token: String,
    agent: Option<AgentId>,
}

/// An answer that says no, as RFC 9457 has it.
#[derive(Deserialize)]
struct Problem {
    code: Code,
    detail: String,
    outcome: Outcome,
    retry: String,
    retry_after_ms: Option<u64>,
}

impl Http {
    pub(super) fn new(address: &str, token: &str, agent: Option<AgentId>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Http { client, address: address.into(), token: token.into(), agent }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(Method::GET, path, String::new()).await
    }

    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, json: String) -> Result<T, Error> {
        self.ask(Method::PUT, path, json).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, json: String) -> Result<T, Error> {
        self.ask(Method::POST, path, json).await
    }

    /// Asks, and reads the answer as JSON.
    ///
    /// # Errors
    /// The hub's refusal. `connection_lost` when no whole answer came: it may have been done.
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, json: String) -> Result<T, Error> {
        let what = format!("{method} {path}");
        let lost = |why: String| Error::new(Code::ConnectionLost, format!("{what}: {why}"));
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(agent) = &self.agent {
            request = request.header("skep-agent", agent.as_str());
        }
        let request = request.body(json).map_err(|e| Error::new(Code::InvalidArgument, format!("{what}: {e}")))?;
        let asked = async {
            let answer = self.client.request(request).await.map_err(|e| lost(format!("{e:?}")))?;
            let done = answer.status().is_success();
            Ok::<_, Error>((done, read(answer.into_body()).await.map_err(lost)?))
        };
        let late = |_| lost(format!("no answer within {ANSWER_MAX:?}"));
        let (done, body) = tokio::time::timeout(ANSWER_MAX, asked).await.map_err(late)??;
        if done {
            return serde_json::from_slice(&body)
                .map_err(|e| Error::new(Code::Internal, format!("{what}: answer: {e}")));
        }
        Err(refusal(&what, &body))
    }
}

fn refusal(what: &str, body: &[u8]) -> Error {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        let text = format!("{what}: refused without a problem in JSON: {}", String::from_utf8_lossy(body));
        return Error::new(Code::Internal, text);
    };
    let retry = match problem.retry.as_str() {
        "after" => Retry::After(problem.retry_after_ms.unwrap_or(1_000)),
        "unchanged" => Retry::Unchanged,
        _ => Retry::Never,
    };
    Error { code: problem.code, text: problem.detail, outcome: problem.outcome, retry }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|e| format!("the answer broke off: {e}"))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_as_the_error_it_is() {
        let body = br#"{"code":"busy","detail":"too much","outcome":"refused","retry":"after","retry_after_ms":50}"#;
        let expected = Error { retry: Retry::After(50), ..Error::new(Code::Busy, "too much") };
        assert_eq!(refusal("GET /", body), expected);
        assert!(refusal("GET /", b"<html>").text.contains("<html>"));
    }
}
