//! Send, publish, request.

use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use skep_core::{HTTP_SOURCE, Party, SessionEvent};
use skep_protocol::{Accepted, AgentId, Code, Defaults, Error, Message, MessageId, Outcome, Retry, Topic};
use tokio::time::timeout;

use super::extract::{Asked, At, Caller, Object};
use super::problem::Problem;
use super::visit::Visit;
use super::{Answered, json};
use crate::edge::Shared;
use crate::limits::{REQUEST_TIMEOUT_MAX_MS, REQUEST_TIMEOUT_MS};

/// What a publish is answered with.
#[derive(Serialize)]
pub(crate) struct Receipt {
    /// The message's id, which the hub may have drawn.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) accepted: Accepted,
}

/// `POST /v1/send/{agent}`
pub(crate) async fn send(caller: Caller, At(agent): At<AgentId>, body: Object) -> Answered {
    publish(caller, Some(&Topic::inbox(&agent)), body).await
}

/// `POST /v1/publish/{topic}`
pub(crate) async fn publish_to(caller: Caller, At(topic): At<Topic>, body: Object) -> Answered {
    publish(caller, Some(&topic), body).await
}

/// `POST /v1/publish`
pub(crate) async fn publish_event(caller: Caller, body: Object) -> Answered {
    publish(caller, None, body).await
}

async fn publish(caller: Caller, topic: Option<&Topic>, body: Object) -> Answered {
    let message = message(&caller.shared, &caller.party, &body.required()?, topic)?;
    let accepted = caller.visit()?.publish(&message).await?;
    Ok(json(&Receipt { id: message.id().to_owned(), accepted }))
}

/// A CloudEvent, with what it leaves out.
pub(crate) fn message(shared: &Shared, party: &Party, event: &[u8], topic: Option<&Topic>) -> Result<Message, Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(Code::Internal, format!("the system gives no random bytes: {error}")))?;
    let id = MessageId::v7(shared.hub.now().unix_ms, &random);
    let source = party.agent.as_ref().map_or_else(|| HTTP_SOURCE.into(), AgentId::source);
    let defaults =
        Defaults { id: Some(id.as_str()), source: Some(&source), kind: Some("message"), to: topic.map(Topic::as_str) };
    let message = Message::from_json_with(event, &defaults)?;
    if let Some(topic) = topic
        && !message.view().to().eq([topic.as_str()])
    {
        let text =
            format!("its \"to\" is another than {topic}, to which it was posted; leave it out, or post it there");
        return Err(Error::new(Code::InvalidMessage, text));
    }
    Ok(message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowLong {
    timeout_ms: Option<u64>,
}

/// `POST /v1/request/{topic}`: the first reply, as the CloudEvent that it is.
pub(crate) async fn request(
    caller: Caller,
    At(topic): At<Topic>,
    Asked(how): Asked<HowLong>,
    body: Object,
) -> Answered {
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
    let asked = async {
        visit.publish(&message).await?;
        Ok::<_, Error>(reply(&mut visit, &replies, message.id()).await)
    };
    tokio::select! {
        reply = timeout(Duration::from_millis(timeout_ms), asked) => match reply {
            Ok(Ok(reply)) => Ok(event_response(&reply)),
            Ok(Err(error)) => Err(Problem::from(error)),
            Err(_) => {
                let text = format!("no reply from {topic} within {timeout_ms} ms; the request may still be worked on");
                Err(Error::new(Code::Timeout, text).into())
            }
        },
        () = shared.shutdown.cancelled() => {
            let text = "the hub closed before the reply came; the request may have been worked on";
            let error = Error::new(Code::ShuttingDown, text);
            Err(Error { outcome: Outcome::Unknown, retry: Retry::Unchanged, ..error }.into())
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

/// The object with a replyto, and with a timeout if one is said. It was read before, so it is an object without them.
fn as_request(object: &[u8], topic: &str, timeout_ms: Option<u64>) -> Vec<u8> {
    let inside = object.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    let comma = if inside.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    let timeout = timeout_ms.map(|ms| format!(r#","timeout":{ms}"#)).unwrap_or_default();
    let mut longer = format!(r#"{{"replyto":"{topic}"{timeout}{comma}"#).into_bytes();
    longer.extend_from_slice(inside);
    longer
}

fn event_response(message: &Message) -> Response {
    ([(header::CONTENT_TYPE, "application/cloudevents+json")], message.to_json()).into_response()
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
