//! Makes messages of one producer: numbered, with random payloads, and what is written down of them.

use skep_protocol::{Error, Guarantee, Message, MessageId, Priority, Topic};

use crate::history::Sent;
use crate::random::Random;

/// One message of so many cannot be worked on, whoever tries.
const POISON_EVERY: u64 = 40;

/// One producer.
pub(crate) struct Maker {
    name: String,
    number: u64,
}

/// A message, and what is written down of it.
pub(crate) type Made = (Message, Sent);

impl Maker {
    pub(crate) fn new(name: &str) -> Self {
        Maker { name: name.into(), number: 0 }
    }

    /// The next message, of any priority.
    pub(crate) fn message(&mut self, to: &str, random: &mut Random) -> Result<Made, Error> {
        let priority = *random.pick(Priority::ALL);
        self.make(to, priority, None, random)
    }

    /// The next message, which a resend of the same id must not double.
    pub(crate) fn once(&mut self, to: &str, random: &mut Random) -> Result<Made, Error> {
        self.make(to, Priority::Normal, Some(Guarantee::ExactlyOnce), random)
    }

    /// The next message, made of an input.
    pub(crate) fn output(&mut self, to: &str, input: &str, random: &mut Random) -> Result<Made, Error> {
        let (message, sent) = self.make(to, Priority::Normal, None, random)?;
        Ok((message, sent.caused_by(input)))
    }

    fn make(
        &mut self,
        to: &str,
        priority: Priority,
        guarantee: Option<Guarantee>,
        random: &mut Random,
    ) -> Result<Made, Error> {
        self.number += 1;
        let id = format!("{}-{}", self.name, self.number);
        let message = Message::build(&MessageId::new(&id)?, &format!("prove/{}", self.name), "note");
        let message = message.to(&Topic::new(to)?).priority(priority).text(&payload(&id, random));
        let message = match guarantee {
            Some(guarantee) => message.guarantee(guarantee),
            None => message,
        }
        .finish()?;
        let sent = Sent::of(&message, &self.name, self.number);
        Ok((message, sent))
    }
}

/// Whether nobody can work on a message: it is nacked until it is dead.
pub(super) fn is_poison(id: &str) -> bool {
    crate::history::hash(id.as_bytes()).is_multiple_of(POISON_EVERY)
}

/// Mostly small, now and then larger than what a delivery copies.
fn payload(id: &str, random: &mut Random) -> String {
    let words = if random.percent(2) { random.between(100, 2_000) } else { random.between(1, 16) };
    let words = (0..words).map(|_| format!("{:016x}", random.next())).collect::<Vec<_>>();
    format!("{id} {}", words.join(" "))
}
