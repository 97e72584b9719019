//! Settles over HTTP: one lease by its path, or many in one body.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::from_str;
use serde_json::value::RawValue;
use skep_protocol::limits::BATCH_MAX;
use skep_protocol::{Action, Code, Error, LeaseToken, Message, Publication, Publish, Settle, SettleBatch, Settlement};

use super::extract::{At, Bare, Caller, Members, Nothing, Object};
use super::problem::Problem;
use super::publish::{Receipt, message};
use super::visit::one;
use super::{Answered, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(default)]
    settles: Vec<One>,
    #[serde(default)]
    publish: Vec<Box<RawValue>>,
    /// Unsaid, it is one step if it publishes anything.
    atomic: Option<bool>,
}

/// One settle of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    lease: LeaseToken,
    action: Box<RawValue>,
}

/// One result for each settle and each publish, in order.
#[derive(Serialize)]
struct Results {
    results: Vec<Settlement<()>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<Settlement<Receipt>>,
}

/// `POST /v1/settle`. An atomic batch that is refused is one problem: nothing of it was done now.
pub(crate) async fn settle(caller: Caller, _: Bare, body: Object) -> Answered {
    let Batch { settles, publish, atomic } = body.read()?;
    let count = settles.len() + publish.len();
    if count == 0 || count > BATCH_MAX {
        return Err(Problem::argument(format!("body: {count} settles and publishes; expected 1 to {BATCH_MAX}")));
    }
    let atomic = atomic.unwrap_or(!publish.is_empty());
    if !atomic && !publish.is_empty() {
        let text = "body: \"publish\" is done with the settles in one step, or not at all: leave \"atomic\":false out, \
                    or publish to /v1/publish";
        return Err(Problem::argument(text));
    }
    let settles: Vec<Settle> = settles.into_iter().enumerate().map(read_one).collect::<Result<_, _>>()?;
    let event = |(at, event): (usize, &RawValue)| {
        let message = message(&caller.shared, &caller.party, event.get().as_bytes(), None);
        message.map_err(|error| Error { text: format!("publish[{at}]: {}", error.text), ..error })
    };
    let messages: Vec<Message> =
        publish.iter().map(|raw| &**raw).enumerate().map(event).collect::<Result<_, Error>>()?;
    let ids: Vec<String> = messages.iter().map(|message| message.id().to_owned()).collect();
    let publish = (!messages.is_empty()).then_some(Publish { sequence: 1, messages });
    let settled = caller.visit()?.settle(SettleBatch { tag: 0, settles, atomic, publish }).await;
    let results = Results { results: settled.results, receipts: receipts(&settled.receipts, ids) };
    match refusal(&results) {
        Some(error) if error.code == Code::LeaseLost && !results.receipts.is_empty() => Err(perhaps_done(error).into()),
        Some(error) if atomic => Err(error.clone().into()),
        _ => Ok(json(&results)),
    }
}

/// That a lease of a step is lost: the step itself may have settled it, where it is sent again as its answer was lost.
fn perhaps_done(error: &Error) -> Error {
    let text = format!(
        "{}. Nothing was done now; if this step was sent before, it may have been done then, and its answer lost: GET \
         /v1/messages/{{id}} shows it, of the message that was leased or of one that this step publishes under an id of its own",
        error.text
    );
    Error { text, ..error.clone() }
}

/// A settle of a batch. Its action has the members that the body has where one lease is settled by its path; with none of
/// them its name is enough.
fn read_one((at, One { lease, action }): (usize, One)) -> Result<Settle, Problem> {
    let (name, members) = match (from_str::<String>(action.get()), from_str::<Members>(action.get())) {
        (Ok(name), _) => (name, "{}".to_owned()),
        (_, Ok(Members(named))) if named.len() == 1 => {
            named.into_iter().map(|(name, members)| (name, members.get().to_owned())).next().unwrap_or_default()
        }
        _ => (String::new(), String::new()),
    };
    let members = members.as_str();
    let wrong = |error: serde_json::Error| Problem::argument(format!("settles[{at}]: action {name:?}: {error}"));
    let action = match name.as_str() {
        "ack" => from_str(members).map(|Nothing {}| Action::Ack),
        "nack" => from_str(members).map(Nack::into),
        "reject" => from_str(members).map(Reject::into),
        "extend" => from_str(members).map(Extend::into),
        "return" => from_str(members).map(|Nothing {}| Action::Return),
        _ => {
            let text = "action: expected \"ack\", \"nack\", \"reject\", \"extend\" or \"return\", or one of them with its members, \
                        such as {\"nack\":{\"reason\":\"busy\",\"after_ms\":5000}}";
            return Err(Problem::argument(format!("settles[{at}]: {text}")));
        }
    };
    Ok(Settle { lease, action: action.map_err(wrong)? })
}

fn refusal(results: &Results) -> Option<&Error> {
    let settles = results.results.iter().filter_map(error_of);
    settles.chain(results.receipts.iter().filter_map(error_of)).next()
}

fn error_of<T>(result: &Settlement<T>) -> Option<&Error> {
    match result {
        Settlement::Ok(_) => None,
        Settlement::Error(error) => Some(error),
    }
}

/// A receipt for each message, of receipts for runs of them; sequences begin at 1.
fn receipts(runs: &[Publication], ids: Vec<String>) -> Vec<Settlement<Receipt>> {
    let by_sequence: BTreeMap<u64, &Publication> = runs.iter().map(|run| (run.sequence, run)).collect();
    let receipt = |(id, sequence): (String, u64)| {
        let run = by_sequence.range(..=sequence).next_back().map(|(_, run)| *run);
        match run.filter(|run| sequence - run.sequence < u64::from(run.count)).map(|run| (&run.result, run.sequence)) {
            Some((Settlement::Error(error), _)) => Settlement::Error(error.clone()),
            Some((Settlement::Ok(first), from)) => {
                Settlement::Ok(Receipt { id, accepted: first.clone().nth(sequence - from) })
            }
            None => Settlement::Error(Error::new(Code::Internal, "the backend did not answer this publish")),
        }
    };
    ids.into_iter().zip(1..).map(receipt).collect()
}

/// What was done to a lease.
#[derive(Serialize)]
struct Done {
    lease: LeaseToken,
    settled: &'static str,
}

async fn settle_one(caller: Caller, lease: LeaseToken, action: Action, settled: &'static str) -> Answered {
    let settles = vec![Settle { lease, action }];
    one(caller.visit()?.settle(SettleBatch { tag: 0, settles, atomic: false, publish: None }).await)?;
    Ok(json(&Done { lease, settled }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nack {
    after_ms: Option<u64>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reject {
    #[serde(default = "no_reason")]
    reason: String,
}

/// What whoever looks at the dead letters is told where the worker said nothing.
fn no_reason() -> String {
    "rejected".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extend {
    lease_ms: Option<u64>,
    progress: Option<String>,
}

impl From<Nack> for Action {
    fn from(Nack { after_ms, reason }: Nack) -> Self {
        Action::Nack { after_ms, reason }
    }
}

impl From<Reject> for Action {
    fn from(Reject { reason }: Reject) -> Self {
        Action::Reject { reason }
    }
}

impl From<Extend> for Action {
    fn from(Extend { lease_ms, progress }: Extend) -> Self {
        Action::Extend { lease_ms, progress }
    }
}

/// `POST /v1/ack/{lease}`
pub(crate) async fn ack(caller: Caller, At(lease): At<LeaseToken>, _: Bare, body: Object) -> Answered {
    let Nothing {} = body.read()?;
    settle_one(caller, lease, Action::Ack, "acked").await
}

/// `POST /v1/nack/{lease}`
pub(crate) async fn nack(caller: Caller, At(lease): At<LeaseToken>, _: Bare, body: Object) -> Answered {
    settle_one(caller, lease, body.read::<Nack>()?.into(), "nacked").await
}

/// `POST /v1/reject/{lease}`
pub(crate) async fn reject(caller: Caller, At(lease): At<LeaseToken>, _: Bare, body: Object) -> Answered {
    settle_one(caller, lease, body.read::<Reject>()?.into(), "rejected").await
}

/// `POST /v1/extend/{lease}`
pub(crate) async fn extend(caller: Caller, At(lease): At<LeaseToken>, _: Bare, body: Object) -> Answered {
    settle_one(caller, lease, body.read::<Extend>()?.into(), "extended").await
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Accepted, Guarantee, Position};

    use super::*;

    #[test]
    fn a_run_of_receipts_becomes_one_for_each_message_with_its_own_position() {
        let accepted = Accepted {
            position: Some(Position::Number(7)),
            durability: None,
            guarantee: Guarantee::AtLeastOnce,
            queues: 1,
            skipped: 0,
            live: 0,
            duplicate: false,
            recipient: None,
        };
        let refused = Error::new(Code::NoQueue, "no queue");
        let runs = [
            Publication { sequence: 1, count: 2, result: Settlement::Ok(accepted) },
            Publication { sequence: 3, count: 1, result: Settlement::Error(refused) },
        ];
        let ids = ["a", "b", "c", "d"].map(String::from).to_vec();
        let codes: Vec<Result<(String, Option<Position>), Code>> = receipts(&runs, ids)
            .into_iter()
            .map(|receipt| match receipt {
                Settlement::Ok(receipt) => Ok((receipt.id, receipt.accepted.position)),
                Settlement::Error(error) => Err(error.code),
            })
            .collect();
        let expected = [
            Ok(("a".into(), Some(Position::Number(7)))),
            Ok(("b".into(), Some(Position::Number(8)))),
            Err(Code::NoQueue),
            Err(Code::Internal),
        ];
        assert_eq!(codes, expected);
    }
}
