//! Request: a message, and the reply to it, whole or in parts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use skep_core::SessionEvent;
use skep_protocol::{Broken, Code, Error, Message, Outcome, Part, Parts, Retry, Topic};
use tokio::time::{Instant, timeout_at};

use super::Answered;
use super::extract::{Asked, At, Caller, Object};
use super::problem::Problem;
use super::publish::message;
use super::visit::Visit;
use crate::edge::Shared;
use crate::limits::{REQUEST_TIMEOUT_MAX_MS, REQUEST_TIMEOUT_MS};

/// What asks for the parts of a reply as they come.
const EVENT_STREAM: &str = "text/event-stream";

/// What to send a request again means: a caller over HTTP has no session by which the hub would know it again, and its reply
/// goes to a topic of that call alone.
const ASKED_TWICE: &str = "Sent again, it is another request, whatever its id: it may be asked, and done, twice";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowLong {
    timeout_ms: Option<u64>,
}

/// `POST /v1/request/{topic}`: the reply, as the CloudEvent that it is. With `Accept: text/event-stream` it may come
/// in parts, each an event; `timeout_ms` then is how long one part may take.
pub(crate) async fn request(
    caller: Caller,
    At(topic): At<Topic>,
    Asked(how): Asked<HowLong>,
    headers: HeaderMap,
    body: Object,
) -> Answered {
    let (mut asking, message) = Asking::begin(caller, topic, &how, body)?;
    asking.publish(&message).await?;
    if takes_events(&headers) {
        return Ok(asking.events());
    }
    let reply = asking.next(0).await?;
    Parts::is_whole(&reply.view())?;
    Ok(([(header::CONTENT_TYPE, "application/cloudevents+json")], reply.to_json()).into_response())
}

/// A request under way.
struct Asking {
    visit: Visit,
    shared: Arc<Shared>,
    topic: Topic,
    /// Where its replies come, and nowhere else.
    replies: String,
    id: String,
    timeout: Duration,
    /// Until when the next reply must have come.
    due: Instant,
}

impl Asking {
    fn begin(caller: Caller, topic: Topic, how: &HowLong, body: Object) -> Result<(Self, Message), Problem> {
        let timeout_ms = how.timeout_ms.unwrap_or(REQUEST_TIMEOUT_MS);
        if timeout_ms == 0 || timeout_ms > REQUEST_TIMEOUT_MAX_MS {
            let text = format!("timeout_ms is {timeout_ms}; expected 1 to {REQUEST_TIMEOUT_MAX_MS}");
            return Err(Problem::argument(text));
        }
        let event = body.required()?;
        let plain = message(&caller.shared, &caller.party, &event, Some(&topic))?;
        if plain.view().replyto().is_some() {
            let text = "replyto: the reply to this request comes back over HTTP; leave it out, or publish instead";
            return Err(Problem::argument(text));
        }
        let (shared, party) = (caller.shared.clone(), caller.party.clone());
        let mut visit = caller.visit()?;
        let replies = format!("{}.1", visit.session().replies());
        let timeout_ms_unsaid = plain.view().attribute("timeout").is_none().then_some(timeout_ms);
        let message = message(&shared, &party, &as_request(&event, &replies, timeout_ms_unsaid), Some(&topic))?;
        let (id, timeout) = (message.id().to_owned(), Duration::from_millis(timeout_ms));
        Ok((Asking { visit, shared, topic, replies, id, timeout, due: Instant::now() + timeout }, message))
    }

    async fn publish(&mut self, message: &Message) -> Result<(), Error> {
        let (late, shutdown) = (self.late(0), self.shared.shutdown.clone());
        tokio::select! {
            accepted = timeout_at(self.due, self.visit.publish(message)) => accepted.unwrap_or(Err(late)).map(drop),
            () = shutdown.cancelled() => Err(closed()),
        }
    }

    /// The next reply, if it comes in time.
    async fn next(&mut self, came: u32) -> Result<Message, Error> {
        let (late, shutdown) = (self.late(came), self.shared.shutdown.clone());
        tokio::select! {
            reply = timeout_at(self.due, reply(&mut self.visit, &self.replies, &self.id)) => reply.map_err(|_| late),
            () = shutdown.cancelled() => Err(closed()),
        }
    }

    fn late(&self, came: u32) -> Error {
        let (topic, ms) = (&self.topic, self.timeout.as_millis());
        let text = match came {
            0 => format!("no reply from {topic} within {ms} ms; the request may still be worked on. {ASKED_TWICE}"),
            _ => format!(
                "no further part of the reply from {topic} within {ms} ms; parts that came: {came}. {ASKED_TWICE}"
            ),
        };
        Error { retry: Retry::Never, ..Error::new(Code::Timeout, text) }
    }

    /// The parts as they come. A user who reads slowly is waited for: meanwhile they wait in the session, which takes no
    /// more than its bound, and then the responder waits, too. One who leaves is gone with this.
    fn events(self) -> Response {
        let events = unfold(Some((self, Parts::default())), async |state| {
            let (mut asking, mut parts): (Asking, Parts) = state?;
            let (event, goes_on) = asking.part(&mut parts).await;
            Some((Ok::<_, Infallible>(event), goes_on.then_some((asking, parts))))
        });
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }

    /// The next event, and whether more follow.
    async fn part(&mut self, parts: &mut Parts) -> (Event, bool) {
        loop {
            let reply = match self.next(parts.taken()).await {
                Ok(reply) => reply,
                Err(error) => return (problem(error), false),
            };
            return match parts.take(&reply.view()) {
                Ok(Part::Stray) => continue,
                Ok(Part::Chunk) => {
                    self.due = Instant::now() + self.timeout;
                    (event(&reply), true)
                }
                Ok(Part::Last | Part::End) | Err(Broken::Failed { .. }) => (event(&reply), false),
                Err(broken) => (problem(broken.into()), false),
            };
        }
    }
}

/// The next message to the topic of a request that names it. Nobody else may listen there.
async fn reply(visit: &mut Visit, replies: &str, id: &str) -> Message {
    loop {
        if let SessionEvent::Live(live) = visit.next().await
            && live.message().view().to().any(|topic| topic == replies)
            && visit.is_answered_by(live.message(), id)
        {
            return live.message().clone();
        }
    }
}

fn closed() -> Error {
    let text = format!("the hub closed before the reply came; the request may have been worked on. {ASKED_TWICE}");
    Error { outcome: Outcome::Unknown, retry: Retry::Never, ..Error::new(Code::ShuttingDown, text) }
}

fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    types.any(|media| media.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// A reply as an event of that name: its type, where it is one of those that a stream consists of.
fn event(reply: &Message) -> Event {
    let names = ["stream.chunk", "stream.end", "error"];
    let name = names.into_iter().find(|name| *name == reply.view().kind()).unwrap_or("message");
    Event::default().event(name).data(one_line(&reply.to_json()))
}

fn problem(error: Error) -> Event {
    Event::default().event("problem").data(one_line(&Problem::from(error).to_json()))
}

/// JSON without line ends: in it they are but space between tokens.
fn one_line(json: &str) -> String {
    json.replace(['\r', '\n'], " ")
}

/// The object with a replyto, and with a timeout if one is said. It was read before, so it is an object without them.
fn as_request(object: &[u8], topic: &str, timeout_ms: Option<u64>) -> Vec<u8> {
    let inside = object.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    let comma = if inside.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    let timeout = timeout_ms.map(|ms| format!(r#","timeout":{ms}"#)).unwrap_or_default();
    let mut longer = format!(r#"{{"replyto":"{topic}"{timeout}{comma}"#).into_bytes();
    longer.extend_from_slice(inside);
    longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_its_replyto_and_keeps_its_data_byte_for_byte() {
        for (event, expected) in [
            (&b" {}"[..], r#"{"replyto":"r"}"#),
            (b"{ }", r#"{"replyto":"r" }"#),
            (br#"{"data":1.0e5 }"#, r#"{"replyto":"r","data":1.0e5 }"#),
        ] {
            assert_eq!(String::from_utf8(as_request(event, "r", None)).unwrap(), expected);
        }
        let timed = as_request(b"{}", "r", Some(5));
        assert_eq!(String::from_utf8(timed).unwrap(), r#"{"replyto":"r","timeout":5}"#);
    }
}
