//! What the hub says to its clients.

use skep_protocol::{Accepted, Code, Error, Frame, Managed, Outcome, Position, Publication, Settled, Settlement};

use super::super::places::{self, PLACES};
use super::{Asked, Judged, Kind, Oracle, Waiting};

impl Oracle {
    /// The hub says a frame to a client.
    pub(in super::super) fn say(&mut self, client: usize, frame: &Frame) -> Judged {
        match frame {
            Frame::Receipt(publications) => {
                publications.iter().try_for_each(|publication| self.receipts(client, publication).map(drop))
            }
            Frame::Deliver(deliveries) => deliveries.iter().try_for_each(|delivery| self.deliver(client, delivery)),
            Frame::Settled(settled) => self.settled(client, settled),
            Frame::Welcome(welcome) => {
                self.counts.resumed += u64::from(welcome.resumed);
                Ok(())
            }
            Frame::Managed(managed) => {
                self.managed(client, managed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Answers whether all of them were taken, if that is known.
    fn receipts(&mut self, client: usize, of: &Publication) -> Result<Option<bool>, String> {
        let mut taken = None;
        for nth in 0..u64::from(of.count) {
            let Some(letter) = self.sequences.get(&(client, of.sequence + nth)).copied() else {
                return Err(format!("a receipt for {} of client {client}, which was never sent", of.sequence + nth));
            };
            match &of.result {
                Settlement::Ok(accepted) => {
                    self.receipt(letter, &accepted.clone().nth(nth))?;
                    taken = Some(true);
                }
                Settlement::Error(error) if error.outcome == Outcome::Refused => {
                    self.letters[letter].possible = self.letters[letter].possible.saturating_sub(1);
                    taken = Some(false);
                }
                Settlement::Error(_) => taken = None,
            }
        }
        Ok(taken)
    }

    fn receipt(&mut self, letter: usize, accepted: &Accepted) -> Judged {
        self.counts.receipts += 1;
        self.counts.duplicates += u64::from(accepted.duplicate);
        let Some(Position::Number(position)) = accepted.position else { return Ok(()) };
        self.stands_at(letter, position)?;
        let taken = *self.letters[letter].queues.get_or_insert(accepted.queues);
        if taken != accepted.queues {
            return Err(format!("m{letter} was taken by {taken} queues, and now by {}", accepted.queues));
        }
        let queues: Vec<usize> = places::of(self.letters[letter].topic).collect();
        let all = usize::try_from(accepted.queues).unwrap_or(0) == queues.len();
        // Which of several took it, a receipt does not say.
        if queues.len() == 1 || all {
            queues.into_iter().for_each(|place| self.copy(letter, place).is_owed = true);
        }
        Ok(())
    }

    /// A position is given once, and to one message.
    pub(super) fn stands_at(&mut self, letter: usize, position: u64) -> Judged {
        let known = *self.letters[letter].position.get_or_insert(position);
        if known != position {
            return Err(format!("m{letter} stands at {known}, and now at {position}: it was stored twice"));
        }
        match *self.positions.entry(position).or_insert(letter) {
            other if other != letter => Err(format!("position {position} was given to m{other} and to m{letter}")),
            _ => Ok(()),
        }
    }

    fn settled(&mut self, client: usize, settled: &Settled) -> Judged {
        let Some(Waiting::Settles(asked, step)) = self.waiting.remove(&(client, settled.tag)) else {
            // A session that was taken up again may answer what a client asked before.
            return Ok(());
        };
        let (mut done, mut refused) = (0, 0);
        for (asked, result) in asked.iter().zip(&settled.results) {
            match result {
                Settlement::Ok(()) => {
                    done += 1;
                    self.settle_done(asked)?;
                }
                Settlement::Error(error) => refused += usize::from(self.settle_refused(asked, error)),
            }
        }
        for publication in &settled.receipts {
            match self.receipts(client, publication)? {
                Some(true) => done += 1,
                Some(false) => refused += 1,
                None => {}
            }
        }
        match step {
            Some(_) if done > 0 && refused > 0 => {
                Err(format!("of a step of client {client} {done} parts were done and {refused} refused"))
            }
            Some(step) if done > 0 => self.step_done(step),
            Some(_) if refused > 0 => {
                self.counts.steps_void += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn step_done(&mut self, step: usize) -> Judged {
        self.counts.steps += 1;
        let step = &mut self.steps[step];
        if step.is_void {
            return Err(format!("a step is answered as done, and its input m{} came again", step.letter));
        }
        step.is_done = true;
        Ok(())
    }

    fn settle_done(&mut self, asked: &Asked) -> Judged {
        let Some(lease) = self.leases.get_mut(&asked.lease) else { return Ok(()) };
        let (letter, place, in_dead, attempt) = (lease.letter, lease.place, lease.in_dead, lease.attempt);
        if asked.is_stale {
            return Err(format!("m{letter}: a lease that was over settled it by {:?}", asked.kind));
        }
        if asked.kind == Kind::Ack {
            self.counts.acks += 1;
            self.copy(letter, place).is_acked = true;
        }
        // A redrive since, or since the first time it was asked, may have begun it anew.
        if in_dead || !asked.is_first || asked.redrives != self.busy[place].redriven {
            return Ok(());
        }
        let max = PLACES[place].attempts_max;
        let is_redriving = self.busy[place].redrives > 0;
        let copy = self.copy(letter, place);
        match asked.kind {
            Kind::Nack if max > 0 && attempt >= max => copy.is_dead = true,
            Kind::Reject => copy.is_dead = true,
            Kind::Nack => copy.attempt_min = copy.attempt_min.max(attempt + 1),
            _ => {}
        }
        copy.is_parking = copy.is_dead && copy.possible_acks == 0 && !is_redriving;
        Ok(())
    }

    /// Answers whether it certainly was not done.
    fn settle_refused(&mut self, asked: &Asked, error: &Error) -> bool {
        let is_refused = error.outcome == Outcome::Refused;
        self.counts.fenced += u64::from(error.code == Code::LeaseLost);
        if let Some(lease) = self.leases.get(&asked.lease).filter(|_| is_refused && asked.kind == Kind::Ack) {
            let (letter, place) = (lease.letter, lease.place);
            let copy = self.copy(letter, place);
            copy.possible_acks = copy.possible_acks.saturating_sub(1);
        }
        is_refused
    }

    fn managed(&mut self, client: usize, managed: &Managed) {
        match self.waiting.get(&(client, managed.tag)) {
            Some(Waiting::Drop(place)) => {
                let place = *place;
                self.may_drop(place);
                self.busy[place].drops -= 1;
            }
            Some(Waiting::Redrive(place)) => {
                let place = *place;
                self.may_redrive(place);
                self.busy[place].redrives -= 1;
                // It may have come after what was asked when it was on its way.
                self.busy[place].redriven += 1;
            }
            // The answer to a subscription, whose number is another's tag.
            _ => return,
        }
        self.counts.commands += u64::from(matches!(managed.result, Settlement::Ok(_)));
        self.waiting.remove(&(client, managed.tag));
    }
}
