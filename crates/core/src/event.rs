//! What comes back to a session, as it is told onward.

use skep_protocol::{
    Accepted, AgentId, Delivery, Error, Guarantee, Managed, Publication, Report, Settled, Settlement, SubscriptionId,
    Topic,
};

use crate::backend::{Kept, Run};
use crate::clock::Now;
use crate::hub::Hub;
use crate::live::Live;
use crate::reply::{Answer, Asked, LeftOut};

/// Something that happened to a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// What became of publishes.
    Receipt(Publication),
    /// What became of settles.
    Settled(Settled),
    /// A message under a lease.
    Deliver(Delivery),
    /// Live messages, each once, however many subscriptions match.
    Live(Live),
    /// So many live messages were dropped, for want of room.
    Dropped(u64),
    /// A subscription stands.
    Subscribed(SubscriptionId),
    /// A subscription could not be made, or is over because its queue was deleted.
    NotSubscribed(SubscriptionId, Error),
    /// What became of a command.
    Managed(Managed),
    /// What there is to see.
    Page(Report),
}

impl Hub {
    /// The answer to a write, as it is told onward.
    pub(crate) fn explain(&self, party: &str, answer: Answer, now: Now, into: &mut Vec<SessionEvent>) {
        answer.missed.iter().for_each(|message| self.unstored.dropped(now.unix_ms, message));
        match answer.to {
            Asked::Publish { sequence } => {
                let receipts = self.receipts(party, sequence, &answer, now);
                into.extend(receipts.into_iter().map(SessionEvent::Receipt));
            }
            Asked::Settle { tag, sequence } => {
                let receipts = self.receipts(party, sequence, &answer, now);
                let results: Vec<Settlement<()>> =
                    answer.completion.settles.into_iter().map(Settlement::from).collect();
                self.telemetry.settled(results.iter().filter(|r| matches!(r, Settlement::Ok(()))).count());
                into.push(SessionEvent::Settled(Settled { tag, results, receipts }));
            }
        }
    }

    fn receipts(&self, party: &str, sequence: u64, answer: &Answer, now: Now) -> Vec<Publication> {
        let mut receipts = Vec::with_capacity(answer.completion.publishes.len());
        let mut index = 0;
        for run in &answer.completion.publishes {
            self.count(run);
            self.keep_unstored(party, index, run, answer, now);
            let result = run.result.as_ref().map(|kept| self.accepted(kept, now)).map_err(Clone::clone);
            split(sequence, index, run.count, result, &answer.live, &mut receipts);
            index += run.count;
        }
        receipts
    }

    /// Of what no queue took, a record is kept.
    fn keep_unstored(&self, party: &str, index: u32, run: &Run, answer: &Answer, now: Now) {
        // They stand in order: of many runs none looks at all of them.
        let place = |index: u32| answer.left.partition_point(|left| left.index < index);
        for LeftOut { index: at, message, was_admitted } in
            answer.left.get(place(index)..place(index + run.count)).unwrap_or_default()
        {
            match &run.result {
                Err(error) => {
                    if *was_admitted {
                        self.guard.take_back(&message.view(), now);
                    }
                    self.unstored.refused(now.unix_ms, party, Some(message), error);
                }
                Ok(_) if answer.live.iter().any(|(heard, _)| heard == at) => {}
                Ok(_) => self.unstored.unmatched(now.unix_ms, party, message),
            }
        }
    }

    fn count(&self, run: &Run) {
        match &run.result {
            Ok(kept) if kept.duplicate => self.telemetry.duplicates(run.count as usize),
            Ok(_) => {}
            Err(_) => self.telemetry.refused(run.count as usize),
        }
    }

    fn accepted(&self, kept: &Kept, now: Now) -> Accepted {
        let recipient = kept.waiting.as_ref().and_then(|(queue, waiting)| {
            let agent = AgentId::new(Topic::agent_of(queue.as_str())?).ok()?;
            Some(self.registry.recipient(&agent, *waiting, now))
        });
        Accepted {
            position: kept.position,
            durability: kept.durability,
            guarantee: match kept.queues {
                0 if kept.position.is_none() => Guarantee::BestEffort,
                _ if kept.by_id => Guarantee::ExactlyOnce,
                _ => Guarantee::AtLeastOnce,
            },
            queues: kept.queues,
            skipped: kept.skipped,
            live: 0,
            duplicate: kept.duplicate,
            recipient,
        }
    }
}

/// One receipt for a run; where messages of it went to different numbers of live sessions, one each.
fn split(
    sequence: u64,
    index: u32,
    count: u32,
    result: Result<Accepted, Error>,
    live: &[(u32, u32)],
    into: &mut Vec<Publication>,
) {
    let here = live.iter().any(|(at, _)| (index..index + count).contains(at));
    let accepted = match result {
        Ok(accepted) if here => accepted,
        result => {
            let sequence = sequence + u64::from(index);
            return into.push(Publication { sequence, count, result: result.into() });
        }
    };
    for at in index..index + count {
        let listeners = live.iter().find(|(known, _)| *known == at).map_or(0, |(_, listeners)| *listeners);
        let one = Accepted { live: listeners, ..accepted.clone().nth(u64::from(at - index)) };
        into.push(Publication { sequence: sequence + u64::from(at), count: 1, result: Settlement::Ok(one) });
    }
}
