//! Queues: declared, deleted, looked at.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skep_core::limits::{LIST_MAX, LOOK_MAX};
use skep_protocol::{
    AgentId, Answer, Ask, Code, Command, Error, Event, Page, Pick, Position, QueueInfo, QueueName, QueueSpec, Stored,
};

use super::extract::{Asked, At, Bare, Caller, Members, Object, at_most};
use super::problem::Problem;
use super::trace::moment;
use super::{Answered, json};
use crate::limits::{LOOK, REDRIVE};

/// Which messages are meant, as [`Pick`] has it; a time is unix milliseconds, or a span back from now such as `1h`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Picking {
    message: Option<String>,
    position: Option<String>,
    reason: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    partitionkey: Option<String>,
    since: Option<String>,
    until: Option<String>,
    from: Option<String>,
    limit: Option<u32>,
    #[serde(default)]
    dry_run: bool,
}

/// The parameters of [`Picking`]. In a body they would be ignored, and more would be dropped than was meant.
const PICKING: &str = "message, position, reason, type, source, partitionkey, since, until, from, limit and dry_run";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peeked {
    from: Option<String>,
    limit: Option<u32>,
}

/// Which page of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Force {
    #[serde(default)]
    pub(crate) force: bool,
}

/// `GET /v1/queues`: a page of them.
pub(crate) async fn list(caller: Caller, Asked(how): Asked<Listed>) -> Answered {
    let after = how.after.as_deref().map(str::parse).transpose()?;
    let limit = at_most(how.limit, LIST_MAX, LIST_MAX)?;
    Ok(linked("queues", how.limit, caller.visit()?.ask(Ask::QueuesAfter { after, limit }).await?))
}

/// `GET /v1/queues/{queue}`
pub(crate) async fn show(caller: Caller, At(queue): At<QueueName>, _: Bare) -> Answered {
    match caller.visit()?.ask(Ask::Queue { queue }).await? {
        Page::Queues(queues) => match queues.first() {
            Some(queue) => Ok(json(queue)),
            None => Err(Error::new(Code::UnknownQueue, "no such queue; GET /v1/queues shows all").into()),
        },
        other => Ok(page(other)),
    }
}

/// `PUT /v1/queues/{queue}`: what the body does not say stays as it is, in a new queue as it is by default.
pub(crate) async fn declare(caller: Caller, At(queue): At<QueueName>, _: Bare, body: Object) -> Answered {
    let said = members(body)?;
    let mut visit = caller.visit()?;
    let present = match visit.ask(Ask::Queue { queue: queue.clone() }).await {
        Ok(Page::Queues(queues)) => queues.into_iter().next().map(|info| info.spec),
        Ok(other) => return Ok(page(other)),
        Err(error) if error.code == Code::UnknownQueue => None,
        Err(error) => return Err(error.into()),
    };
    let present = present.unwrap_or_else(|| QueueSpec::new(queue.clone()));
    let spec = spec(queue, &present, said)?;
    Ok(answered(visit.command(Command::Declare(spec)).await?))
}

/// What the body says, none of it twice.
fn members(body: Object) -> Result<Map<String, Value>, Problem> {
    let Members(members) = body.read()?;
    let read = members.into_iter().map(|(name, value)| serde_json::from_str(value.get()).map(|value| (name, value)));
    read.collect::<Result<_, _>>().map_err(|error| Problem::argument(format!("body: {error}")))
}

/// A declaration of what the body says, with the name of the path. A member that is not
/// known is refused: what is ignored is believed to be in force.
fn spec(queue: QueueName, present: &QueueSpec, mut said: Map<String, Value>) -> Result<QueueSpec, Problem> {
    if let Some(unknown) = said.keys().find(|name| !QueueSpec::MEMBERS.contains(&name.as_str())) {
        let names = QueueSpec::MEMBERS.join(", ");
        return Err(Problem::argument(format!("queue {queue}: no member {unknown:?}; expected some of {names}")));
    }
    let name = Value::String(queue.as_str().to_owned());
    if said.insert("name".into(), name.clone()).is_some_and(|other| other != name) {
        return Err(Problem::argument(format!("queue {queue}: the body has another name; leave it out")));
    }
    let mut whole = match serde_json::to_value(present) {
        Ok(Value::Object(whole)) => whole,
        _ => Map::new(),
    };
    whole.extend(said);
    serde_json::from_value(Value::Object(whole)).map_err(|error| Problem::argument(format!("queue {queue}: {error}")))
}

/// `DELETE /v1/queues/{queue}`
pub(crate) async fn delete(caller: Caller, At(queue): At<QueueName>, Asked(how): Asked<Force>) -> Answered {
    command(caller, Command::Delete { queue, force: how.force }).await
}

/// `POST /v1/queues/{queue}/purge`: all, or those that are meant.
pub(crate) async fn purge(
    caller: Caller,
    At(queue): At<QueueName>,
    Asked(how): Asked<Picking>,
    body: Object,
) -> Answered {
    body.nothing(PICKING)?;
    let pick = how.pick(caller.shared.hub.now().unix_ms)?;
    match pick == Pick::default() {
        true => command(caller, Command::Purge { queue }).await,
        false => command(caller, Command::PurgePicked { queue, pick: Box::new(pick) }).await,
    }
}

/// `POST /v1/queues/{queue}/redrive`: all up to a limit, or those that are meant.
pub(crate) async fn redrive(
    caller: Caller,
    At(queue): At<QueueName>,
    Asked(how): Asked<Picking>,
    body: Object,
) -> Answered {
    body.nothing(PICKING)?;
    let pick = how.pick(caller.shared.hub.now().unix_ms)?;
    match (Pick { limit: None, ..pick.clone() }) == Pick::default() {
        true => command(caller, Command::Redrive { queue, limit: pick.limit.unwrap_or(REDRIVE) }).await,
        false => command(caller, Command::RedrivePicked { queue, pick: Box::new(pick) }).await,
    }
}

impl Picking {
    fn pick(self, now_ms: u64) -> Result<Pick, Problem> {
        Ok(Pick {
            message: self.message,
            position: position("position", self.position.as_deref())?,
            reason: self.reason,
            kind: self.kind,
            source: self.source,
            partitionkey: self.partitionkey,
            since_ms: self.since.as_deref().map(|text| moment("since", text, now_ms)).transpose()?,
            until_ms: self.until.as_deref().map(|text| moment("until", text, now_ms)).transpose()?,
            from: position("from", self.from.as_deref())?,
            limit: self.limit.map(|limit| at_most(Some(limit), limit, LOOK_MAX)).transpose()?,
            dry_run: self.dry_run,
        })
    }
}

fn position(name: &str, said: Option<&str>) -> Result<Option<Position>, Problem> {
    let read = said.map(str::parse).transpose();
    read.map_err(|error: Error| Problem::argument(format!("{name}: {}", error.text)))
}

/// `GET /v1/queues/{queue}/messages`: from a position on, if one is said.
pub(crate) async fn messages(caller: Caller, At(queue): At<QueueName>, Asked(how): Asked<Peeked>) -> Answered {
    let (from, limit) = (position("from", how.from.as_deref())?, at_most(how.limit, LOOK, LOOK_MAX)?);
    Ok(page(caller.visit()?.ask(Ask::Peek { queue, limit, from }).await?))
}

/// `GET /v1/inbox/{agent}`: it only looks.
pub(crate) async fn inbox(caller: Caller, At(agent): At<AgentId>, how: Asked<Peeked>) -> Answered {
    messages(caller, At(QueueName::inbox(&agent)), how).await
}

/// Runs a command, and says what it did.
pub(crate) async fn command(caller: Caller, command: Command) -> Answered {
    Ok(answered(caller.visit()?.command(command).await?))
}

fn answered(answer: Answer) -> Response {
    match answer {
        Answer::Done { changed } => json(&serde_json::json!({ "changed": changed })),
        Answer::Count(count) => json(&serde_json::json!({ "count": count })),
        Answer::Picked(picked) => json(&picked),
    }
}

/// Messages, and where to go on.
#[derive(Serialize)]
struct Messages {
    messages: Vec<Stored>,
    next: Option<Position>,
}

/// Queues, and behind which to go on.
#[derive(Serialize)]
struct Queues {
    queues: Vec<QueueInfo>,
    next: Option<QueueName>,
}

/// A page of a list, with a link to the one behind it, if there is one: as long as this one was to be.
pub(crate) fn linked(list: &str, limit: Option<u32>, shown: Page) -> Response {
    let next = match &shown {
        Page::QueuesPart { next, .. } => next.as_ref().map(QueueName::to_string),
        Page::AgentsPart { next, .. } => next.as_ref().map(AgentId::to_string),
        _ => None,
    };
    let mut response = page(shown);
    let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
    // Names are of letters that stand in a header and a URL as they are.
    let link = next.map(|next| format!("</v1/{list}?after={next}{limit}>; rel=\"next\""));
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// What happened, in order.
#[derive(Serialize)]
struct Events {
    events: Vec<Event>,
}

/// A page as it is shown over HTTP: an object with one list, and where it goes on. Messages
/// are written straight from their bytes: on the way through a JSON value numbers would change.
pub(crate) fn page(page: Page) -> Response {
    match page {
        Page::Messages { messages, next } => json(&Messages { messages, next }),
        Page::Trace(events) => json(&Events { events }),
        Page::Traced(found) => json(&found),
        Page::Status(status) => json(&status),
        Page::Queues(queues) => json(&Queues { queues, next: None }),
        Page::QueuesPart { queues, next } => json(&Queues { queues, next }),
        Page::Agents(agents) => super::agents::shown(agents, None),
        Page::AgentsPart { agents, next } => super::agents::shown(agents, next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<QueueSpec, Problem> {
        over(&QueueSpec::new(QueueName::new("jobs").unwrap()), body)
    }

    fn over(present: &QueueSpec, body: &str) -> Result<QueueSpec, Problem> {
        spec(QueueName::new("jobs").unwrap(), present, serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_declaration_takes_its_name_from_the_path_and_its_defaults_from_the_protocol() {
        assert_eq!(read("{}").unwrap(), QueueSpec::new(QueueName::new("jobs").unwrap()));
        assert_eq!(read(r#"{"name":"jobs","lease_ms":5000}"#).unwrap().lease_ms, 5000);
    }

    #[test]
    fn a_declaration_changes_what_it_says_and_nothing_else() {
        let present = read(r#"{"attempts_max":9,"expired":"drop","consumers":"exclusive","filters":["a.>"]}"#).unwrap();
        assert_eq!(over(&present, "{}").unwrap(), present);
        let changed = over(&present, r#"{"lease_ms":5000,"expired":"dead_letter"}"#).unwrap();
        assert_eq!(changed, QueueSpec { lease_ms: 5000, expired: skep_protocol::Expired::DeadLetter, ..present });
    }

    #[test]
    fn a_member_that_would_be_ignored_is_refused() {
        let problem = format!("{:?}", read(r#"{"lease":5000}"#).unwrap_err());
        assert!(problem.contains("lease_ms"), "{problem}");
        assert!(read(r#"{"name":"other"}"#).is_err());
    }
}
