//! What clients do, as chance has it.

use skep_protocol::{Action, Ask, Attribute, Binding, Command, Guarantee, Message, MessageId, QueueName, Topic};

use super::client::Role;
use super::oracle::Judged;
use super::places::{BRIEF, DEAD, KEYED, NEXT, PLACES, TOPICS, WORK};
use super::world::World;

/// Publishes of one client that wait for their answer; beyond it it waits.
const UNANSWERED_MAX: usize = 8;
/// Keys of messages: few, so that they meet.
const KEYS: u64 = 4;

impl World {
    /// A client does what it is there for.
    pub(super) fn act(&mut self, at: usize) -> Judged {
        if self.clients[at].line.is_none() {
            if self.random.percent(30) {
                let resumes = self.random.percent(70);
                self.connect(at, resumes);
            }
            return Ok(());
        }
        if !self.clients[at].is_open {
            return Ok(());
        }
        match self.clients[at].role {
            Role::Publishes => self.publish(at),
            Role::Consumes(queues) => {
                self.attend(at, queues);
                self.settle_some(at);
                Ok(())
            }
            Role::HandsOver => {
                self.attend(at, &[WORK]);
                self.hand_over(at)
            }
            Role::Manages => {
                self.manage(at);
                Ok(())
            }
        }
    }

    fn publish(&mut self, at: usize) -> Judged {
        if self.random.percent(3) {
            // Before it is answered: what was sent is recognised.
            self.clients[at].resend();
        }
        if self.clients[at].unanswered() >= UNANSWERED_MAX {
            return Ok(());
        }
        if let Some(message) = self.shared() {
            self.clients[at].publish(vec![message]);
            return Ok(());
        }
        let topic = *self.random.pick(&TOPICS);
        let count = self.random.between(1, 4);
        let messages = (0..count).map(|_| self.message(topic)).collect::<Result<_, _>>()?;
        self.clients[at].publish(messages);
        Ok(())
    }

    /// A message that somebody published, of late: from anybody else it is the same one, where its id is looked at. What a step
    /// publishes is that step's alone.
    fn shared(&mut self) -> Option<Message> {
        let back = usize::try_from(self.random.between(1, 10)).ok()?;
        let letter = self.oracle.letters.len().checked_sub(back).filter(|_| self.random.percent(15))?;
        let of = &self.oracle.letters[letter];
        let is_once = of.message.view().guarantee() == Some(Guarantee::ExactlyOnce);
        (is_once && of.topic != NEXT).then(|| of.message.clone())
    }

    /// As much at once as it may: more than a segment.
    pub(super) fn burst(&mut self, at: usize) -> Judged {
        while self.clients[at].is_open && self.clients[at].unanswered() < UNANSWERED_MAX {
            let words = self.random.between(100, 400);
            let message = self.message_of("work", words)?;
            self.clients[at].publish(vec![message]);
        }
        Ok(())
    }

    fn message(&mut self, topic: &'static str) -> Result<Message, String> {
        let words = if self.random.percent(5) { self.random.between(100, 400) } else { self.random.between(0, 12) };
        self.message_of(topic, words)
    }

    fn message_of(&mut self, topic: &'static str, words: u64) -> Result<Message, String> {
        let id = format!("m{}", self.oracle.letters.len());
        let key = (topic == KEYED && self.random.percent(90)).then(|| self.random.below(KEYS));
        let text: String = (0..words).map(|_| format!("{:016x}", self.random.next())).collect();
        let build = || -> Result<Message, skep_protocol::Error> {
            let mut message =
                Message::build(&MessageId::new(&id)?, "simulated", "note").to(&Topic::new(topic)?).text(&text);
            let once = self.random.percent(25);
            message = message.guarantee(if once { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce });
            if let Some(key) = key {
                message = message.attribute("partitionkey", Attribute::Text(&format!("k{key}")));
            }
            if topic == "passing" || topic == "plain" && self.random.percent(5) {
                message = message.expires(self.now.unix_ms + self.random.between(50, 3_000));
            } else if topic != KEYED && self.random.percent(8) {
                message = message.not_before(self.now.unix_ms + self.random.between(1, 1_500));
            }
            message.finish()
        };
        let message = { build }().map_err(|error| format!("a message cannot be made: {error}"))?;
        self.oracle.make(message.clone(), topic, key);
        Ok(message)
    }

    /// Begins and ends subscriptions.
    fn attend(&mut self, at: usize, queues: &'static [&'static str]) {
        let client = &mut self.clients[at];
        let missing = queues.iter().find(|queue| !client.subscriptions.values().any(|of| of == *queue));
        if let Some(queue) = missing.filter(|_| self.random.percent(40)) {
            let window = u32::try_from(self.random.between(1, 4)).unwrap_or(1);
            let binding = if self.random.percent(15) { Binding::Deadline } else { Binding::Connection };
            client.subscribe(queue, window, binding);
        } else if let Some(id) = client.subscriptions.keys().next().copied().filter(|_| self.random.percent(2)) {
            client.unsubscribe(id);
        }
    }

    fn settle_some(&mut self, at: usize) {
        let chance = self.random.below(100);
        let client = &mut self.clients[at];
        if chance < 6 && !client.old.is_empty() {
            let (lease, action) = self.random.pick(&client.old).clone();
            let action = if self.random.percent(50) { action } else { Action::Ack };
            return client.settle(vec![(lease, action)]);
        }
        if client.held.is_empty() || chance > 70 {
            return;
        }
        let count = if self.random.percent(20) { client.held.len().min(3) } else { 1 };
        let mut settles = Vec::new();
        for _ in 0..count {
            let held = self.random.pick(&client.held);
            let (lease, in_dead) = (held.lease, held.queue.starts_with(DEAD));
            let action = match self.random.below(100) {
                0..50 => Action::Ack,
                50..55 => {
                    // It is forgotten: its lease will end.
                    client.lay_aside(lease, Action::Ack);
                    return;
                }
                55..65 => Action::Return,
                65..75 => Action::Extend { lease_ms: Some(self.random.between(100, 3_000)), progress: None },
                _ if in_dead => Action::Ack,
                75..90 => {
                    let after_ms = self.random.percent(60).then(|| self.random.below(100));
                    Action::Nack { after_ms, reason: "not now".into() }
                }
                _ => Action::Reject { reason: "never".into() },
            };
            if !settles.iter().any(|(other, _)| *other == lease) {
                settles.push((lease, action));
            }
        }
        client.settle(settles);
    }

    fn hand_over(&mut self, at: usize) -> Judged {
        if self.random.percent(5) {
            self.clients[at].resend();
        }
        let Some(lease) = self.clients[at].held.first().map(|held| held.lease) else { return Ok(()) };
        match self.random.below(100) {
            0..60 => {
                let count = self.random.between(1, 3);
                let messages = (0..count).map(|_| self.message(NEXT)).collect::<Result<_, _>>()?;
                let client = &mut self.clients[at];
                client.hand_over(lease, messages);
                client.lay_aside(lease, Action::Ack);
            }
            60..65 => self.clients[at].settle(vec![(lease, Action::Return)]),
            65..70 => {
                self.clients[at].settle(vec![(lease, Action::Nack { after_ms: Some(5), reason: "later".into() })])
            }
            _ => {}
        }
        Ok(())
    }

    fn manage(&mut self, at: usize) {
        let name = |name: &str| QueueName::new(name).ok();
        let chance = self.random.below(100);
        let client = &mut self.clients[at];
        let command = match chance {
            0 => name(self.random.pick::<&str>(&["plain", "mirror", "few"])).map(|queue| Command::Purge { queue }),
            1..4 => name(self.random.pick::<&str>(&["plain", KEYED]))
                .map(|queue| Command::Redrive { queue, limit: u32::try_from(self.random.between(1, 5)).unwrap_or(1) }),
            4 => name(BRIEF).map(|queue| Command::Delete { queue, force: true }),
            5..7 => {
                let brief = PLACES.iter().find(|place| place.name == BRIEF);
                brief.and_then(|place| place.spec(&mut self.random).ok()).map(Command::Declare)
            }
            7..10 => {
                let queue = name(self.random.pick(&PLACES).name);
                if let Some(queue) = queue {
                    client.query(Ask::Peek { queue, limit: 10, from: None });
                }
                None
            }
            _ => None,
        };
        if let Some(command) = command {
            self.clients[at].manage(command);
        }
    }
}
