//! The ways of a publish, one function each, and the promise to answer it.

use skep_protocol::{
    Accepted, Action, Code, Error, Guarantee, LeaseToken, Message, Publication, Settle, SettleBatch, Settled,
    Settlement,
};

use tokio::sync::oneshot;

use crate::admission::{Judged, Way};
use crate::backend::{Outgoing, Write};
use crate::clock::Now;
use crate::connection::check_sequence;
use crate::event::SessionEvent;
use crate::expiry::check_expiry;
use crate::mailbox::Wakes;
use crate::recent::{Look, UNKNOWN};
use crate::reply::{Asked, Promise, Reply};
use crate::session::Session;

impl Session {
    /// Stores a run of messages; their receipts come when they are durable.
    pub(crate) fn store(&mut self, sequence: u64, batch: &[Message], judged: &[Judged], now: Now) {
        let publishes: Vec<Outgoing<'_>> = batch
            .iter()
            .zip(judged.iter().flat_map(|run| std::iter::repeat_n(&run.way, run.count)))
            .zip(sequence..)
            .map(|((message, way), sequence)| {
                let (required, by_id, refusal) = match way {
                    Way::Store { required, by_id } => (*required, *by_id, None),
                    Way::Refused(error) => (false, false, Some(error)),
                    Way::Reply | Way::Live | Way::Both => (false, false, None),
                };
                Outgoing { sequence, required, by_id, refusal, ..Outgoing::new(message) }
            })
            .collect();
        let reply = self.promise(Asked::Publish { sequence }, (0, 0), batch);
        let write = Write {
            settles: &[],
            publishes: &publishes,
            atomic: false,
            party: &self.party.name,
            producer: self.producer,
        };
        self.hub.backend.submit(write, now, reply);
    }

    fn reply(&self, message: &Message, wakes: &mut Wakes) -> Result<Accepted, Error> {
        let topic = message.view().to().next().unwrap_or_default();
        self.hub.replies.deliver(topic, message, wakes)?;
        Ok(live_receipt(1))
    }

    fn publish_live(&self, alike: &[Message], wakes: &mut Wakes) -> Result<Accepted, Error> {
        let live = self.hub.publish_live(alike, wakes);
        match alike.first() {
            Some(message) if live == 0 && message.view().replyto().is_some() => Err(no_responders(message)),
            _ => Ok(live_receipt(live)),
        }
    }

    /// Best effort, and durable queues match: they keep it, but the publisher does not wait. Where
    /// they refuse it, it is live only; without listeners it is refused.
    fn publish_both(&mut self, message: &Message, now: Now, wakes: &mut Wakes) -> Result<Accepted, Error> {
        let (answer, mut answered) = oneshot::channel();
        let write = Write {
            settles: &[],
            publishes: &[Outgoing { waits: false, ..Outgoing::new(message) }],
            atomic: false,
            party: &self.party.name,
            // Nobody waits for it, so nobody resends it.
            producer: None,
        };
        // Whoever waits for the answer is here still.
        self.hub.backend.submit(write, now, Reply::call(|completion| drop(answer.send(completion))));
        let run = answered.try_recv().ok().and_then(|completion| completion.publishes.into_iter().next());
        let (queues, skipped, refused) = match run.map(|run| run.result) {
            Some(Ok(kept)) => (kept.queues, kept.skipped, None),
            Some(Err(error)) => (0, 0, Some(error)),
            None => (0, 0, None),
        };
        let live = self.hub.publish_live(std::slice::from_ref(message), wakes);
        match refused {
            Some(error) if live == 0 => Err(error),
            _ if live == 0 && queues == 0 && message.view().replyto().is_some() => Err(no_responders(message)),
            _ => Ok(Accepted { queues, skipped, ..live_receipt(live) }),
        }
    }

    /// Hands messages on that no queue is waited for, or refuses them. Those for live listeners are alike, and go together.
    pub(crate) fn pass_on(&mut self, way: &Way, mut sequence: u64, batch: &[Message], now: Now, wakes: &mut Wakes) {
        let mut rest = batch;
        while !rest.is_empty() {
            let is_together = matches!(way, Way::Live) && self.recent.is_ahead(sequence);
            let (these, later) = rest.split_at(if is_together { rest.len() } else { 1 });
            let result = match way {
                Way::Refused(error) => Err(error.clone()),
                passing => self.pass_on_alike(passing, sequence, these, now, wakes),
            };
            if let Err(error) = &result {
                let refuse = |message| self.hub.unstored.refused(now.unix_ms, &self.party.name, Some(message), error);
                these.iter().for_each(refuse);
            }
            self.receipt(sequence, these.len(), result);
            (rest, sequence) = (later, sequence + these.len() as u64);
        }
    }

    /// Several are new. A resend is answered as it was then, and is not heard again.
    fn pass_on_alike(
        &mut self,
        way: &Way,
        sequence: u64,
        alike: &[Message],
        now: Now,
        wakes: &mut Wakes,
    ) -> Result<Accepted, Error> {
        let [message, ..] = alike else { return Ok(live_receipt(0)) };
        // By its number alone: what is stored nowhere is passed on too fast to be looked at once more.
        if let Look::Known(accepted, _) = self.recent.look(sequence, UNKNOWN) {
            self.hub.telemetry.duplicates(1);
            return Ok(Accepted { duplicate: true, ..accepted.clone() });
        }
        check_expiry(&message.view(), now)?;
        let accepted = match way {
            Way::Reply => self.reply(message, wakes)?,
            Way::Both => self.publish_both(message, now, wakes)?,
            Way::Live | Way::Store { .. } | Way::Refused(_) => self.publish_live(alike, wakes)?,
        };
        if accepted.live == 0 && accepted.queues == 0 {
            alike.iter().for_each(|message| self.hub.unstored.unmatched(now.unix_ms, &self.party.name, message));
        }
        self.recent.remember_run(sequence, alike.len() as u64, &accepted, |known, _| *known == accepted);
        Ok(accepted)
    }

    fn receipt(&mut self, sequence: u64, count: usize, result: Result<Accepted, Error>) {
        self.hub.telemetry.refused(if result.is_err() { count } else { 0 });
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // Of neighbours of which the same can be said, one receipt speaks.
        if let (Some(SessionEvent::Receipt(last)), Ok(accepted)) = (self.ready.last_mut(), &result)
            && last.sequence + u64::from(last.count) == sequence
            && accepted.position.is_none()
            && matches!(&last.result, Settlement::Ok(known) if known == accepted)
        {
            last.count += count;
            return;
        }
        self.ready.push(SessionEvent::Receipt(Publication { sequence, count, result: result.into() }));
    }

    /// Refuses one message that could not be read.
    pub(crate) fn refuse(&mut self, sequence: u64, error: &Error) {
        self.hub.telemetry.published(1);
        self.hub.unstored.refused(self.hub.now().unix_ms, &self.party.name, None, error);
        self.receipt(sequence, 1, Err(error.clone()));
    }

    /// Refuses settles and messages in one step, of which one message could not be read.
    pub(crate) fn refuse_step(&mut self, tag: u64, settles: usize, sequence: u64, messages: usize, error: &Error) {
        self.hub.telemetry.refused(messages);
        let count = u32::try_from(messages).unwrap_or(u32::MAX);
        let receipts = vec![Publication { sequence, count, result: Settlement::Error(error.clone()) }];
        let results = vec![Settlement::Error(error.clone()); settles];
        self.ready.push(SessionEvent::Settled(Settled { tag, results, receipts }));
    }

    /// Messages that came and that nobody took are leased to nobody: they return, uncharged.
    pub(crate) fn give_back(&self, leases: Vec<LeaseToken>, now: Now) {
        if leases.is_empty() {
            return;
        }
        let settles: Vec<Settle> = leases.into_iter().map(|lease| Settle { lease, action: Action::Return }).collect();
        let party = &self.party.name;
        let write = Write { settles: &settles, publishes: &[], atomic: false, party, producer: None };
        self.hub.backend.submit(write, now, Reply::call(|_| {}));
    }

    pub(crate) fn promise_settle(&mut self, batch: &SettleBatch, sequence: u64, messages: &[Message]) -> Reply {
        let texts = batch.settles.iter().map(|settle| settle.action.text_bytes()).sum();
        self.promise(Asked::Settle { tag: batch.tag, sequence }, (batch.settles.len(), texts), messages)
    }

    fn promise(&mut self, asked: Asked, (settles, texts): (usize, usize), batch: &[Message]) -> Reply {
        let bytes = batch.iter().map(|message| message.bytes().len()).sum::<usize>() + texts;
        self.unanswered_messages += batch.len() + settles;
        self.unanswered_bytes += bytes;
        let copies = self.hub.live_copies(batch);
        let (mailbox, tap) = (self.mailbox.clone(), self.hub.tap.clone());
        Reply::to(Promise { mailbox, asked, settles, messages: batch.len(), left: Vec::new(), bytes, copies, tap })
    }

    /// Checks a settle with its publishes; answers which of them must find a queue: all, but for those that say themselves
    /// that live listeners are enough. What is settled for a result that went nowhere does not come back.
    pub(crate) fn check_settle(&self, batch: &SettleBatch, messages: &[Message], now: Now) -> Result<Vec<bool>, Error> {
        batch.settles.iter().try_for_each(|settle| settle.action.check())?;
        batch.publish.iter().try_for_each(|publish| check_sequence(publish.sequence))?;
        if !messages.is_empty() && !batch.atomic {
            return Err(Error::new(
                Code::InvalidFrame,
                "publishes beside settles must be atomic; else publish them alone",
            ));
        }
        let sequence = batch.publish.as_ref().map_or(0, |publish| publish.sequence);
        let judge = |(message, sequence)| match self.hub.admit(self.sender(sequence), message, now) {
            Way::Store { by_id: false, .. } => Ok(true),
            Way::Live => Ok(message.view().guarantee() != Some(Guarantee::BestEffort)),
            Way::Refused(error) => Err(error),
            Way::Reply | Way::Both | Way::Store { .. } => {
                let text = "an atomic step stores messages: no live replies, best effort or dedup by id in it";
                Err(Error::new(Code::Unsupported, text))
            }
        };
        messages.iter().zip(sequence..).map(judge).collect()
    }
}

fn no_responders(message: &Message) -> Error {
    let to = message.view().to().collect::<Vec<_>>().join(", ");
    Error::new(Code::NoResponders, format!("nobody listens at {to} to answer this request"))
}

fn live_receipt(live: u32) -> Accepted {
    Accepted {
        position: None,
        durability: None,
        guarantee: Guarantee::BestEffort,
        queues: 0,
        skipped: 0,
        live,
        duplicate: false,
        recipient: None,
    }
}
