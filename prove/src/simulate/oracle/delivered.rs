//! What the hub hands out.

use skep_protocol::{Delivery, Position};

use super::super::places::{self, KEYED, PLACES};
use super::{Judged, Lease, Oracle};

/// A message in a queue, or among its dead letters.
#[derive(Clone, Copy)]
struct Where {
    letter: usize,
    place: usize,
    in_dead: bool,
}

impl Oracle {
    pub(super) fn deliver(&mut self, client: usize, delivery: &Delivery) -> Judged {
        self.counts.deliveries += 1;
        let at = self.known(delivery)?;
        self.counts.dead_deliveries += u64::from(at.in_dead);
        if let Position::Number(position) = delivery.position {
            self.stands_at(at.letter, position)?;
        }
        self.check_steps(at)?;
        self.check_copy(at, delivery)?;
        self.check_window(client, delivery)?;
        if PLACES[at.place].name == KEYED && !at.in_dead {
            self.check_key(at)?;
        }
        self.lease(client, at, delivery)
    }

    /// It was sent, as it comes, and is not before its moment.
    fn known(&self, delivery: &Delivery) -> Result<Where, String> {
        let (name, id) = (delivery.queue.as_str(), delivery.message.id());
        let letter = self.letter_of(id).ok_or_else(|| format!("{id} came from queue {name}, and nobody made it"))?;
        let (place, in_dead) = places::named(name).ok_or_else(|| format!("queue {name} was never declared"))?;
        let of = &self.letters[letter];
        if !places::of(of.topic).any(|other| other == place) || of.message.bytes() != delivery.message.bytes() {
            return Err(format!("m{letter} came from queue {name} as it was never sent"));
        }
        if of.possible == 0 && of.position.is_none() {
            return Err(format!("m{letter} came from queue {name}, and every try to send it was refused"));
        }
        match of.message.view().not_before_ms().ok().flatten() {
            Some(at) if at > self.wall_max_ms => {
                Err(format!("m{letter} came before its moment {at}; it never was later than {}", self.wall_max_ms))
            }
            _ => Ok(Where { letter, place, in_dead }),
        }
    }

    /// An input that comes again was not handed over; what was handed over does not come.
    fn check_steps(&mut self, at: Where) -> Judged {
        let Where { letter, place, .. } = at;
        if let Some(step) = self.letters[letter].step {
            if self.steps[step].is_void {
                let input = self.steps[step].letter;
                return Err(format!("m{letter} was published by a step whose input m{input} came again"));
            }
            self.steps[step].is_done = true;
        }
        for step in self.steps.iter_mut().filter(|step| (step.letter, step.place) == (letter, place)) {
            if step.is_done {
                return Err(format!("m{letter} came again after the step that settled it"));
            }
            step.is_void = true;
        }
        Ok(())
    }

    fn check_copy(&mut self, at: Where, delivery: &Delivery) -> Judged {
        let Where { letter, place, in_dead } = at;
        let max = PLACES[place].attempts_max;
        let is_redriving = self.busy[place].redrives > 0;
        let copy = self.copy(letter, place);
        let name = delivery.queue.as_str();
        if copy.is_acked {
            return Err(format!("m{letter} came again from queue {name} after its ack was answered"));
        }
        if in_dead {
            return Ok(());
        }
        if copy.is_dead && !is_redriving {
            return Err(format!("m{letter} came from queue {name}, and is a dead letter"));
        }
        if max > 0 && delivery.attempt > max {
            return Err(format!("m{letter} came for the {}th time, and {max} are allowed", delivery.attempt));
        }
        if delivery.attempt < copy.attempt_min && !is_redriving {
            let min = copy.attempt_min;
            return Err(format!("m{letter} came as attempt {}, and attempt {min} was due", delivery.attempt));
        }
        Ok(())
    }

    fn check_window(&self, client: usize, delivery: &Delivery) -> Judged {
        let Some(subscribed) = self.subscribed.get(&(client, delivery.subscription)) else { return Ok(()) };
        let held = self.held().filter(|lease| (lease.client, lease.subscription) == (client, delivery.subscription));
        let held = held.count() + 1;
        if held > subscribed.window {
            let (queue, window) = (delivery.queue.as_str(), subscribed.window);
            return Err(format!("client {client} holds {held} of queue {queue}, and its window is {window}"));
        }
        Ok(())
    }

    /// Leases that are held for certain.
    fn held(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(|lease| lease.is_open && self.now.mono_ms < lease.sure_until_ms)
    }

    /// One of a key at a time, and in the order of their positions.
    fn check_key(&mut self, at: Where) -> Judged {
        let letter = at.letter;
        let Some(key) = self.letters[letter].key else { return Ok(()) };
        let is_other = |lease: &&Lease| lease.place == at.place && !lease.in_dead && lease.letter != letter;
        let other = self.held().filter(is_other).map(|lease| lease.letter);
        if let Some(other) = other.filter(|other| self.letters[*other].key == Some(key)).min() {
            return Err(format!("m{letter} of key {key} came while m{other} is held"));
        }
        let is_parking = |letter: &usize| self.copies.get(&(*letter, at.place)).is_some_and(|copy| copy.is_parking);
        let mut parking =
            (0..self.letters.len()).filter(|other| *other != letter && self.letters[*other].key == Some(key));
        if let Some(other) = parking.find(is_parking) {
            return Err(format!("m{letter} of key {key} came while the dead letter m{other} parks it"));
        }
        let copy = self.copy(letter, at.place);
        if !std::mem::replace(&mut copy.was_delivered, true) {
            let position = self.letters[letter].position.unwrap_or(0);
            let newest = self.keys.entry(key).or_insert(0);
            if position < *newest {
                return Err(format!("m{letter} at {position} of key {key} came first after the one at {newest}"));
            }
            *newest = position;
        }
        Ok(())
    }

    fn lease(&mut self, client: usize, at: Where, delivery: &Delivery) -> Judged {
        let Where { letter, place, in_dead } = at;
        let before = self.copy(letter, place).lease.replace(delivery.lease);
        if let Some(before) = before.and_then(|before| self.leases.get_mut(&before)) {
            before.is_open = false;
        }
        let since_ms = self.subscribed.get(&(client, delivery.subscription)).map_or(0, |of| of.since_ms);
        let lease = Lease {
            letter,
            place,
            in_dead,
            attempt: delivery.attempt,
            client,
            subscription: delivery.subscription,
            is_open: true,
            sure_until_ms: since_ms + delivery.lease_ms,
            lease_ms: delivery.lease_ms,
            tried: Vec::new(),
        };
        match self.leases.insert(delivery.lease, lease) {
            Some(_) => Err(format!("lease {} was given twice", delivery.lease)),
            None => Ok(()),
        }
    }
}
