//! What the hub takes from its clients.

use skep_protocol::{Action, Command, Frame, LeaseToken, Manage, Message, SettleBatch, Subscribe, Target};

use super::super::places;
use super::{Asked, Kind, Lease, Oracle, Step, Subscribed, Waiting};

impl Oracle {
    /// The hub takes a frame of a client.
    pub(in super::super) fn take(&mut self, client: usize, frame: &Frame) {
        match frame {
            Frame::Publish(publish) => self.publishes(client, publish.sequence, &publish.messages, None),
            Frame::Settle(batch) => self.settles(client, batch),
            Frame::Subscribe(subscribe) => self.subscribes(client, subscribe),
            Frame::Unsubscribe(id) => {
                self.unsure(|lease| lease.client == client && lease.subscription == *id);
                self.subscribed.remove(&(client, *id));
            }
            Frame::Goodbye(_) => self.unsure(|lease| lease.client == client),
            Frame::Connect(connect) if connect.resume.is_some() => {
                // What it does not name goes back as soon as the session is taken up.
                let leases = self.leases.iter_mut().filter(|(_, lease)| lease.client == client);
                leases
                    .filter(|(token, _)| !connect.held.contains(token))
                    .for_each(|(_, lease)| lease.sure_until_ms = 0);
            }
            Frame::Manage(manage) => self.manages(client, manage),
            _ => {}
        }
    }

    fn subscribes(&mut self, client: usize, subscribe: &Subscribe) {
        if let Target::Queue(queue) = &subscribe.target
            && places::named(queue.as_str()).is_some()
        {
            let window = usize::try_from(subscribe.window.messages).unwrap_or(usize::MAX);
            let subscribed = Subscribed { window, since_ms: self.now.mono_ms };
            // Said again it changes nothing.
            self.subscribed.entry((client, subscribe.id)).or_insert(subscribed);
        }
    }

    fn publishes(&mut self, client: usize, sequence: u64, messages: &[Message], step: Option<usize>) {
        for (message, sequence) in messages.iter().zip(sequence..) {
            let Some(letter) = self.letter_of(message.id()) else { continue };
            self.sequences.insert((client, sequence), letter);
            let of = &mut self.letters[letter];
            of.possible += 1;
            of.step = of.step.or(step);
            for place in places::of(self.letters[letter].topic) {
                if self.busy[place].drops > 0 {
                    self.copy(letter, place).may_be_gone = true;
                }
            }
        }
    }

    fn settles(&mut self, client: usize, batch: &SettleBatch) {
        let asked: Vec<Asked> =
            batch.settles.iter().filter_map(|settle| self.asks(settle.lease, &settle.action)).collect();
        let step = batch.publish.as_ref().and_then(|publish| {
            let first = self.letter_of(publish.messages.first()?.id())?;
            // A resend is the step that it was.
            let step = self.letters[first].step.or_else(|| {
                let lease = self.leases.get(&batch.settles.first()?.lease)?;
                self.steps.push(Step { letter: lease.letter, place: lease.place, ..Step::default() });
                Some(self.steps.len() - 1)
            });
            self.publishes(client, publish.sequence, &publish.messages, step);
            step
        });
        self.waiting.insert((client, batch.tag), Waiting::Settles(asked, step));
    }

    fn asks(&mut self, token: LeaseToken, action: &Action) -> Option<Asked> {
        let mono_ms = self.now.mono_ms;
        let lease = self.leases.get_mut(&token)?;
        let kind = match action {
            Action::Ack => Kind::Ack,
            Action::Nack { .. } => Kind::Nack,
            Action::Reject { .. } => Kind::Reject,
            Action::Extend { lease_ms, .. } => Kind::Extend(lease_ms.unwrap_or(lease.lease_ms)),
            Action::Return => Kind::Return,
        };
        let is_stale = !lease.is_open && !lease.tried.contains(&kind);
        let is_first = lease.is_open && !lease.tried.contains(&kind);
        match kind {
            // It may be shorter than what was left.
            Kind::Extend(ms) => lease.sure_until_ms = lease.sure_until_ms.min(mono_ms + ms),
            _ => lease.sure_until_ms = 0,
        }
        lease.tried.push(kind);
        let (letter, place) = (lease.letter, lease.place);
        if kind == Kind::Ack {
            let copy = self.copy(letter, place);
            copy.possible_acks += 1;
            copy.is_parking = false;
        }
        Some(Asked { lease: token, kind, is_stale, is_first, redrives: self.busy[place].redriven })
    }

    fn manages(&mut self, client: usize, manage: &Manage) {
        let waiting = match &manage.command {
            Command::Purge { queue } | Command::Delete { queue, .. } => {
                let Some((place, _)) = places::named(queue.as_str()) else { return };
                self.busy[place].drops += 1;
                self.may_drop(place);
                self.unsure(|lease| lease.place == place);
                Waiting::Drop(place)
            }
            Command::Redrive { queue, .. } => {
                let Some((place, _)) = places::named(queue.as_str()) else { return };
                self.busy[place].redrives += 1;
                self.busy[place].redriven += 1;
                self.may_redrive(place);
                Waiting::Redrive(place)
            }
            _ => return,
        };
        self.waiting.insert((client, manage.tag), waiting);
    }

    /// These leases may be over from now on.
    fn unsure(&mut self, which: impl Fn(&Lease) -> bool) {
        self.leases.values_mut().filter(|lease| which(lease)).for_each(|lease| lease.sure_until_ms = 0);
    }

    /// The number of a message of ours.
    pub(super) fn letter_of(&self, id: &str) -> Option<usize> {
        id.strip_prefix('m')?.parse().ok().filter(|letter| *letter < self.letters.len())
    }
}
