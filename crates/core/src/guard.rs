//! What stops loops that nobody watches: the hops of a message, the budget of a conversation, and
//! the rate of a party.
//!
//! A message that has no cause, names no conversation and says nothing of hops costs a branch. Of
//! the others the hub remembers for a while how far each was from its beginning, and of every
//! conversation how long it is. All of it is bounded, in memory only, and begins anew with the hub.
//! Live replies are not judged: the session that asked for one ends the chain. Neither is what the
//! hub itself says, such as notices and dead letters: that never comes this way.

mod generations;

use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::quality::RandomState;
use skep_protocol::{Attribute, Code, Error, MessageRef, Outcome, ProducerId, Retry};

use crate::clock::Now;
use crate::limits::{
    CONVERSATIONS_KNOWN, HOPS_KEEP_MS, HOPS_KNOWN, NAMED_CHARS_MAX, RATES_KEEP_MS, RATES_KNOWN, THOUSANDTHS,
};
use crate::policy::Party;
use crate::telemetry::Telemetry;
use generations::Generations;

/// What the guards allow. Of each, 0 means: without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// Messages in a row of which each caused the next.
    pub hops: u32,
    /// Messages of one conversation.
    pub conversation_messages: u32,
    /// Hours from a conversation's first message on; after as many of silence it begins anew.
    pub conversation_hours: u32,
    /// Messages a second from one party: an agent, or all together that come as none. As many may come at once.
    pub messages_per_second: u32,
}

impl Default for Guards {
    /// 32 hops; 1,000 messages or 24 hours a conversation; no limit to a party's rate.
    fn default() -> Self {
        Guards { hops: 32, conversation_messages: 1_000, conversation_hours: 24, messages_per_second: 0 }
    }
}

/// Who publishes a message, and under which number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) party: &'a Party,
    pub(crate) producer: Option<ProducerId>,
    pub(crate) sequence: u64,
}

/// Judges by what went before.
#[derive(Debug)]
pub(crate) struct Guard {
    allowed: Guards,
    /// Drawn at the start: nobody outside knows which names share a place.
    seed: RandomState,
    /// Held for some lookups; no other lock is taken under it.
    past: Mutex<Past>,
}

#[derive(Debug)]
struct Past {
    /// Messages by their id.
    messages: Generations<Passed>,
    /// Conversations by their id.
    conversations: Generations<Conversation>,
    /// Parties by their name and agent.
    rates: Generations<Bucket>,
}

/// A message that passed.
#[derive(Clone, Copy, Debug)]
struct Passed {
    hops: u32,
    /// By which it is recognised when it is sent again.
    resend: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Conversation {
    messages: u32,
    first_ms: u64,
    last_ms: u64,
}

/// What a party has left, in thousandths of a message.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    at_ms: u64,
}

impl Guard {
    pub(crate) fn new(allowed: Guards) -> Self {
        let past = Past {
            messages: Generations::new(HOPS_KNOWN, HOPS_KEEP_MS),
            conversations: Generations::new(CONVERSATIONS_KNOWN, allowed.window_ms()),
            rates: Generations::new(RATES_KNOWN, RATES_KEEP_MS),
        };
        Guard { allowed, seed: RandomState::default(), past: Mutex::new(past) }
    }

    /// Whether there is anything to judge in a message, and in all that are like it.
    pub(crate) fn looks_at(&self, message: &MessageRef<'_>) -> bool {
        self.allowed.messages_per_second > 0
            || message.causation().is_some()
            || message.given_conversation().is_some()
            || said_hops(message) > 0
    }

    /// Judges a message that nothing else speaks against, and counts it. One that passed before and
    /// is sent again passes again, uncounted.
    ///
    /// # Errors
    /// `hops_exceeded`, `conversation_exhausted` or `rate_exceeded`, with what is allowed, what came, and what to do.
    pub(crate) fn judge(
        &self,
        sender: Sender<'_>,
        message: &MessageRef<'_>,
        now: Now,
        telemetry: &Telemetry,
    ) -> Result<(), Error> {
        let (cause, conversation, said) = (message.causation(), message.given_conversation(), said_hops(message));
        let is_limited = self.allowed.messages_per_second > 0;
        if !self.looks_at(message) {
            return Ok(());
        }
        let id = self.seed.hash_one(message.id());
        let resend = self.resend(sender, message);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if resend.is_some() && past.messages.get(id).is_some_and(|passed| passed.resend == resend) {
            return Ok(());
        }
        let hops = match cause {
            // What is said under its own id is said of another's message: it did not cause itself.
            Some(cause) if cause != message.id() => {
                let known = past.messages.get(self.seed.hash_one(cause)).map_or(0, |passed| passed.hops);
                known.saturating_add(1).max(said)
            }
            Some(_) => said.max(1),
            None => said,
        };
        let conversation = conversation.map(|name| (name, self.seed.hash_one(name)));
        self.check_hops(hops, message).inspect_err(|_| telemetry.refused_by_hops(1))?;
        let spoken = conversation
            .map(|(name, key)| Ok((key, self.converse(&past, name, key, now)?)))
            .transpose()
            .inspect_err(|_: &Error| telemetry.refused_by_conversation(1))?;
        if is_limited {
            self.pace(&mut past, sender, now).inspect_err(|_| telemetry.refused_by_rate(1))?;
        }
        if let Some((key, conversation)) = spoken {
            past.conversations.put(key, conversation, now.mono_ms);
        }
        past.messages.put(id, Passed { hops, resend }, now.mono_ms);
        Ok(())
    }

    /// A message that was counted was refused after all: it does not use up its conversation.
    pub(crate) fn take_back(&self, message: &MessageRef<'_>, now: Now) {
        let Some(name) = message.given_conversation() else { return };
        let (id, key) = (self.seed.hash_one(message.id()), self.seed.hash_one(name));
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        // Sent again, it is counted again.
        let Some(passed) = past.messages.get(id) else { return };
        past.messages.put(id, Passed { resend: None, ..passed }, now.mono_ms);
        if let Some(known) = past.conversations.get(key) {
            let fewer = Conversation { messages: known.messages.saturating_sub(1), ..known };
            past.conversations.put(key, fewer, now.mono_ms);
        }
    }

    fn check_hops(&self, hops: u32, message: &MessageRef<'_>) -> Result<(), Error> {
        let max = self.allowed.hops;
        if max == 0 || hops <= max {
            return Ok(());
        }
        let text = format!(
            "message {:.NAMED_CHARS_MAX$} of conversation {:.NAMED_CHARS_MAX$} is {hops} hops from its beginning, and {max} \
             are allowed: each message in this row caused the next, so agents probably answer each other in a loop. \
             End it, or begin anew with a message that has no causationid; the limit is guards.hops",
            message.id(),
            message.conversation(),
        );
        Err(Error::new(Code::HopsExceeded, text))
    }

    /// The conversation with one message more.
    fn converse(&self, past: &Past, name: &str, key: u64, now: Now) -> Result<Conversation, Error> {
        let (window_ms, now_ms) = (self.allowed.window_ms(), now.mono_ms);
        let known = past.conversations.get(key);
        let Some(known) = known.filter(|known| now_ms.saturating_sub(known.last_ms) < window_ms) else {
            return Ok(Conversation { messages: 1, first_ms: now_ms, last_ms: now_ms });
        };
        let (messages_max, hours_max) = (self.allowed.conversation_messages, self.allowed.conversation_hours);
        let lasted_ms = now_ms.saturating_sub(known.first_ms);
        let (spent, key) = if messages_max > 0 && known.messages >= messages_max {
            (format!("{} messages, and {messages_max} are allowed", known.messages), "guards.conversation_messages")
        } else if hours_max > 0 && lasted_ms >= window_ms {
            (format!("lasted {}, and {hours_max} h are allowed", span(lasted_ms)), "guards.conversation_hours")
        } else {
            return Ok(Conversation { messages: known.messages.saturating_add(1), last_ms: now_ms, ..known });
        };
        // What is refused does not count: the moment at which it is free again stands.
        let free_ms = (known.last_ms + window_ms).saturating_sub(now_ms);
        let text = format!(
            "conversation {name:.NAMED_CHARS_MAX$} has had {spent}: agents may be answering each other in a loop. It \
             is free again in {}; end it, or go on under another conversationid; the limit is {key}",
            span(free_ms)
        );
        Err(Error { retry: Retry::After(free_ms), ..Error::new(Code::ConversationExhausted, text) })
    }

    /// Takes one message from what the party has left.
    fn pace(&self, past: &mut Past, sender: Sender<'_>, now: Now) -> Result<(), Error> {
        let rate = u64::from(self.allowed.messages_per_second);
        // Whom the policy let in. The source of a message is its own word: who chose another with each would have no limit.
        let Party { name, agent } = sender.party;
        let (key, full) = (self.seed.hash_one((name, agent)), rate * THOUSANDTHS);
        let left = past.rates.get(key).map_or(full, |bucket| {
            let gained = now.mono_ms.saturating_sub(bucket.at_ms).saturating_mul(rate);
            bucket.left.saturating_add(gained).min(full)
        });
        if left >= THOUSANDTHS {
            past.rates.put(key, Bucket { left: left - THOUSANDTHS, at_ms: now.mono_ms }, now.mono_ms);
            return Ok(());
        }
        let wait_ms = (THOUSANDTHS - left).div_ceil(rate);
        let text = format!(
            "{name:.NAMED_CHARS_MAX$} publishes faster than {rate} messages a second, which is what this hub takes \
             from one party; go on in {wait_ms} ms; the limit is guards.messages_per_second"
        );
        // It may be a resend of what an earlier life of the hub stored, which this one cannot know.
        let outcome = if sender.producer.is_some() { Outcome::Unknown } else { Outcome::Refused };
        Err(Error { outcome, retry: Retry::After(wait_ms), ..Error::new(Code::RateExceeded, text) })
    }

    /// By what a message is recognised when it is sent again; nothing where the store would not recognise it, too.
    fn resend(&self, sender: Sender<'_>, message: &MessageRef<'_>) -> Option<u64> {
        use skep_protocol::Guarantee::ExactlyOnce;
        match sender.producer {
            Some(producer) => Some(self.seed.hash_one((producer.0, sender.sequence))),
            None if message.guarantee() == Some(ExactlyOnce) => {
                Some(self.seed.hash_one((&sender.party.name, message.source())))
            }
            None => None,
        }
    }
}

impl Guards {
    /// How long a conversation lasts and is remembered, in milliseconds; without a limit to its time, a day.
    fn window_ms(self) -> u64 {
        let hours = if self.conversation_hours == 0 { 24 } else { self.conversation_hours };
        u64::from(hours) * 3_600_000
    }
}

/// The hops that a message says it has. It may say more than the hub knows, never less.
fn said_hops(message: &MessageRef<'_>) -> u32 {
    match message.attribute("hops") {
        Some(Attribute::Number(hops)) => u32::try_from(hops.max(0)).unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// A span of time for people.
fn span(ms: u64) -> String {
    match ms.div_ceil(60_000) {
        minutes if minutes >= 120 => format!("{} h {} min", minutes / 60, minutes % 60),
        minutes if minutes > 1 => format!("{minutes} min"),
        _ => format!("{} s", ms.div_ceil(1_000)),
    }
}

#[cfg(test)]
mod tests;
