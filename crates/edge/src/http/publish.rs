//! Send and publish.

use serde::Serialize;
use skep_core::{HTTP_SOURCE, Party};
use skep_protocol::{Accepted, AgentId, Code, Defaults, Error, Message, MessageId, Topic};

use super::extract::{At, Bare, Caller, Object};
use super::{Answered, json};
use crate::edge::Shared;

/// What a publish is answered with.
#[derive(Serialize)]
pub(crate) struct Receipt {
    /// The message's id, which the hub may have drawn.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) accepted: Accepted,
}

/// `POST /v1/send/{agent}`
pub(crate) async fn send(caller: Caller, At(agent): At<AgentId>, _: Bare, body: Object) -> Answered {
    publish(caller, Some(&Topic::inbox(&agent)), body).await
}

/// `POST /v1/publish/{topic}`
pub(crate) async fn publish_to(caller: Caller, At(topic): At<Topic>, _: Bare, body: Object) -> Answered {
    publish(caller, Some(&topic), body).await
}

/// `POST /v1/publish`
pub(crate) async fn publish_event(caller: Caller, _: Bare, body: Object) -> Answered {
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
