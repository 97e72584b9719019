//! The bodies of the engine's records: what happened, as facts. Fixed for ever; little-endian.
//!
//! | kind | body |
//! |---|---|
//! | Message | producer 16, sequence 8, queues 2, party bytes 2, queue ids 4 each, party, message; flag 1: with producer, 2: by id |
//! | Ack | lease of a message |
//! | Nack | lease of a message, not before (unix ms) 8, reason |
//! | Dead | lease of a message, dead-letter queue 4, reason; the flags say by what |
//! | Declare | queue id 4, declaration as JSON |
//! | Undeclare | queue id 4 |
//! | Lease | lease of a message, party |
//! | Return | lease of a message, charged 1, reason; uncharged and without a reason, its consumer said so |
//! | FactPut | revision 8, key bytes 2, key, value; flag 1: before the value stands when it ends (unix ms) 8 |
//! | FactDelete | key |
//! | Extend | lease of a message, lease ms 8, progress |
//! | Purge | queue id 4, runs of positions: first 8, count 8 |
//! | Redrive | dead-letter queue 4, queue 4, position 8 |
//! | Drop | lease of a message that is gone without a dead letter, reason; the flags say by what |
//! | Told | position of a Dead record 8, position of its message 8, why its sender got no notice although one was tried |
//!
//! "Lease of a message" is: queue id 4, position 8, token 16 (open count 8, counter 8), attempt 4. A token of zeros is of no
//! lease. What ended a delivery stands in the two lowest flags of Dead and Drop: 0 a reject, 1 a nack, 2 no settle.
//! Flag 4 of Dead: a notice to the sender is owed, until a Told record of it follows, in one batch with the notice if there is one.

use skep_protocol::{LeaseToken, MessageRef, ProducerId, QueueSpec};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::log::{Corrupt, RecordKind, RecordView};

/// Names a queue in records; never reused.
pub(crate) type QueueId = u32;

/// Flag of a message record: its producer and sequence count.
const WITH_PRODUCER: u8 = 1;
/// Flag of a message record: it is recognised by party, source and id.
const BY_ID: u8 = 2;

/// Flag of a fact's record: it ends.
const ENDS: u8 = 1;

/// Flag of a dead letter's record: its sender is to be told.
const OWED: u8 = 4;
/// The flags that say by what a delivery ended.
const BY: u8 = 3;

/// By what a delivery ended that left no message to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Its consumer rejected it.
    Reject,
    /// Its consumer nacked the last attempt.
    Nack,
    /// The hub: its lease ended, or there was no room.
    Hub,
}

impl By {
    fn flags(self) -> u8 {
        match self {
            By::Reject => 0,
            By::Nack => 1,
            By::Hub => 2,
        }
    }

    fn from_flags(flags: u8) -> Self {
        match flags & BY {
            0 => By::Reject,
            1 => By::Nack,
            _ => By::Hub,
        }
    }
}

/// Proof of a lease: the open of the store it was given in, and a count within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) open: u64,
    pub(crate) count: u64,
}

impl Token {
    /// The token as the consumer gets it: open count 4, count 6, and 6 bytes that only this store
    /// can compute, so that nobody settles by guessing what is another's.
    pub(crate) fn sealed(self, secret: u64) -> LeaseToken {
        let (open, count) = (self.open.to_be_bytes(), self.count.to_be_bytes());
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&open[4..]);
        bytes[4..10].copy_from_slice(&count[2..]);
        let seal = xxh3_64_with_seed(&bytes[..10], secret).to_be_bytes();
        bytes[10..].copy_from_slice(&seal[2..]);
        LeaseToken(bytes)
    }

    /// The token that a consumer names; none when this store never gave it.
    pub(crate) fn opened(lease: LeaseToken, secret: u64) -> Option<Self> {
        let number = |part: &[u8]| part.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
        let token = Token { open: number(&lease.0[..4]), count: number(&lease.0[4..10]) };
        (token.sealed(secret) == lease).then_some(token)
    }
}

/// A lease on a message in a queue, as records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseOf {
    pub(crate) queue: QueueId,
    pub(crate) position: u64,
    pub(crate) token: Token,
    pub(crate) attempt: u32,
}

/// A record, decoded in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Message(MessageRecord<'a>),
    Ack(LeaseOf),
    Nack { lease: LeaseOf, not_before_ms: u64, reason: &'a str },
    Dead { lease: LeaseOf, to: QueueId, by: By, owed: bool, reason: &'a str },
    Declare { queue: QueueId, spec: QueueSpec },
    Undeclare { queue: QueueId },
    Lease { lease: LeaseOf, party: &'a str },
    Return { lease: LeaseOf, charged: bool, reason: &'a str },
    FactPut { revision: u64, key: &'a str, value: &'a [u8], until_ms: Option<u64> },
    FactDelete { key: &'a str },
    Extend { lease: LeaseOf, lease_ms: u64, progress: &'a str },
    Purge { queue: QueueId, runs: &'a [u8] },
    Redrive { dead: QueueId, to: QueueId, position: u64 },
    Drop { lease: LeaseOf, by: By, reason: &'a str },
    Told { dead: u64, position: u64, refused: &'a str },
}

/// A stored message and what the hub knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageRecord<'a> {
    /// Who published it, when its sequence counts.
    pub(crate) producer: Option<(ProducerId, u64)>,
    /// It is recognised by party, source and id.
    pub(crate) by_id: bool,
    /// The queues that took it.
    queues: &'a [u8],
    /// The party that published it.
    pub(crate) party: &'a str,
    /// The message in compact form.
    pub(crate) message: &'a [u8],
}

impl<'a> MessageRecord<'a> {
    /// Reads the body of a message record; its flags say whether its producer and its id count.
    ///
    /// # Errors
    /// When it is not of that form.
    pub(crate) fn decode(flags: u8, body: &'a [u8]) -> Result<Self, Corrupt> {
        let mut body = Body(body);
        let (id, sequence) = (ProducerId(body.take()?), body.u64()?);
        let (queues, party) = (body.u16()?, body.u16()?);
        let queues = body.slice(4 * queues)?;
        let party = text(body.slice(party)?)?;
        let producer = (flags & WITH_PRODUCER != 0).then_some((id, sequence));
        Ok(MessageRecord { producer, by_id: flags & BY_ID != 0, queues, party, message: body.0 })
    }

    /// The queues that took it.
    pub(crate) fn queues(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.queues.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id))
    }
}

/// Most bytes a message record takes beside the message.
pub(crate) fn message_overhead(party: &str, queues: usize) -> usize {
    28 + party.len() + 4 * queues
}

/// Appends the body of a message record.
pub(crate) fn encode_message(
    out: &mut Vec<u8>,
    producer: Option<(ProducerId, u64)>,
    party: &str,
    queues: &[QueueId],
    message: &MessageRef<'_>,
) {
    let (id, sequence) = producer.map_or(([0; 16], 0), |(id, sequence)| (id.0, sequence));
    out.extend_from_slice(&id);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&u16::try_from(queues.len()).expect("queues of a message are bounded").to_le_bytes());
    out.extend_from_slice(&u16::try_from(party.len()).expect("party names are short").to_le_bytes());
    queues.iter().for_each(|queue| out.extend_from_slice(&queue.to_le_bytes()));
    out.extend_from_slice(party.as_bytes());
    out.extend_from_slice(message.bytes());
}

/// The flags of a message record.
pub(crate) fn message_flags(with_producer: bool, by_id: bool) -> u8 {
    WITH_PRODUCER * u8::from(with_producer) + BY_ID * u8::from(by_id)
}

impl Record<'_> {
    /// The kind under which it is stored.
    pub(crate) fn kind(&self) -> RecordKind {
        match self {
            Record::Message(_) => RecordKind::Message,
            Record::Ack(_) => RecordKind::Ack,
            Record::Nack { .. } => RecordKind::Nack,
            Record::Dead { .. } => RecordKind::Dead,
            Record::Declare { .. } => RecordKind::Declare,
            Record::Undeclare { .. } => RecordKind::Undeclare,
            Record::Lease { .. } => RecordKind::Lease,
            Record::Return { .. } => RecordKind::Return,
            Record::FactPut { .. } => RecordKind::FactPut,
            Record::FactDelete { .. } => RecordKind::FactDelete,
            Record::Extend { .. } => RecordKind::Extend,
            Record::Purge { .. } => RecordKind::Purge,
            Record::Redrive { .. } => RecordKind::Redrive,
            Record::Drop { .. } => RecordKind::Drop,
            Record::Told { .. } => RecordKind::Told,
        }
    }

    /// Its flags. (A message's are [`message_flags`].)
    pub(crate) fn flags(&self) -> u8 {
        match self {
            Record::Dead { by, owed, .. } => by.flags() | (OWED * u8::from(*owed)),
            Record::Drop { by, .. } => by.flags(),
            Record::FactPut { until_ms, .. } => ENDS * u8::from(until_ms.is_some()),
            _ => 0,
        }
    }

    /// Appends its body. (A message's is appended by [`encode_message`].)
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Message(m) => out.extend_from_slice(m.message),
            Record::Ack(lease) => put_lease(out, lease),
            Record::Nack { lease, not_before_ms, reason } => {
                put_lease(out, lease);
                out.extend_from_slice(&not_before_ms.to_le_bytes());
                out.extend_from_slice(reason.as_bytes());
            }
            Record::Dead { lease, to, reason, .. } => {
                put_lease(out, lease);
                out.extend_from_slice(&to.to_le_bytes());
                out.extend_from_slice(reason.as_bytes());
            }
            Record::Declare { queue, spec } => {
                out.extend_from_slice(&queue.to_le_bytes());
                serde_json::to_writer(out, spec).expect("a declaration is JSON");
            }
            Record::Undeclare { queue } => out.extend_from_slice(&queue.to_le_bytes()),
            Record::Lease { lease, party } => {
                put_lease(out, lease);
                out.extend_from_slice(party.as_bytes());
            }
            Record::Return { lease, charged, reason } => {
                put_lease(out, lease);
                out.push(u8::from(*charged));
                out.extend_from_slice(reason.as_bytes());
            }
            Record::FactPut { revision, key, value, until_ms } => {
                out.extend_from_slice(&revision.to_le_bytes());
                out.extend_from_slice(&u16::try_from(key.len()).expect("keys are short").to_le_bytes());
                out.extend_from_slice(key.as_bytes());
                until_ms.iter().for_each(|until_ms| out.extend_from_slice(&until_ms.to_le_bytes()));
                out.extend_from_slice(value);
            }
            Record::FactDelete { key } => out.extend_from_slice(key.as_bytes()),
            Record::Extend { lease, lease_ms, progress } => {
                put_lease(out, lease);
                out.extend_from_slice(&lease_ms.to_le_bytes());
                out.extend_from_slice(progress.as_bytes());
            }
            Record::Purge { queue, runs } => {
                out.extend_from_slice(&queue.to_le_bytes());
                out.extend_from_slice(runs);
            }
            Record::Redrive { dead, to, position } => {
                out.extend_from_slice(&dead.to_le_bytes());
                out.extend_from_slice(&to.to_le_bytes());
                out.extend_from_slice(&position.to_le_bytes());
            }
            Record::Drop { lease, reason, .. } => {
                put_lease(out, lease);
                out.extend_from_slice(reason.as_bytes());
            }
            Record::Told { dead, position, refused } => {
                out.extend_from_slice(&dead.to_le_bytes());
                out.extend_from_slice(&position.to_le_bytes());
                out.extend_from_slice(refused.as_bytes());
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the body is not of its kind's form: another program's work, since its hash holds.
    pub(crate) fn decode<'a>(view: &RecordView<'a>) -> Result<Option<Record<'a>>, Corrupt> {
        let mut body = Body(view.body);
        let record = match view.kind {
            RecordKind::Open | RecordKind::Reserve => return Ok(None),
            RecordKind::Message => Record::Message(MessageRecord::decode(view.flags, view.body)?),
            RecordKind::Ack => Record::Ack(body.lease()?),
            RecordKind::Nack => Record::Nack { lease: body.lease()?, not_before_ms: body.u64()?, reason: body.rest()? },
            RecordKind::Dead => {
                let (lease, to) = (body.lease()?, body.u32()?);
                let (by, owed) = (By::from_flags(view.flags), view.flags & OWED != 0);
                Record::Dead { lease, to, by, owed, reason: body.rest()? }
            }
            RecordKind::Declare => {
                let queue = body.u32()?;
                let spec =
                    serde_json::from_slice(body.0).map_err(|e| Corrupt(format!("a queue's declaration: {e}")))?;
                Record::Declare { queue, spec }
            }
            RecordKind::Undeclare => Record::Undeclare { queue: body.u32()? },
            RecordKind::Lease => Record::Lease { lease: body.lease()?, party: body.rest()? },
            RecordKind::Return => {
                Record::Return { lease: body.lease()?, charged: body.take::<1>()? != [0], reason: body.rest()? }
            }
            RecordKind::FactPut => {
                let (revision, key_bytes) = (body.u64()?, body.u16()?);
                let key = text(body.slice(key_bytes)?)?;
                let until_ms = if view.flags & ENDS == 0 { None } else { Some(body.u64()?) };
                Record::FactPut { revision, key, value: body.0, until_ms }
            }
            RecordKind::FactDelete => Record::FactDelete { key: body.rest()? },
            RecordKind::Extend => {
                Record::Extend { lease: body.lease()?, lease_ms: body.u64()?, progress: body.rest()? }
            }
            RecordKind::Purge => Record::Purge { queue: body.u32()?, runs: body.0 },
            RecordKind::Redrive => Record::Redrive { dead: body.u32()?, to: body.u32()?, position: body.u64()? },
            RecordKind::Drop => {
                Record::Drop { lease: body.lease()?, by: By::from_flags(view.flags), reason: body.rest()? }
            }
            RecordKind::Told => Record::Told { dead: body.u64()?, position: body.u64()?, refused: body.rest()? },
        };
        Ok(Some(record))
    }
}

/// The positions that a purge names, as runs.
pub(crate) fn runs(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    let number = |part: &[u8]| part.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b));
    bytes.chunks_exact(16).map(move |run| (number(&run[..8]), number(&run[8..])))
}

fn put_lease(out: &mut Vec<u8>, lease: &LeaseOf) {
    out.extend_from_slice(&lease.queue.to_le_bytes());
    out.extend_from_slice(&lease.position.to_le_bytes());
    out.extend_from_slice(&lease.token.open.to_le_bytes());
    out.extend_from_slice(&lease.token.count.to_le_bytes());
    out.extend_from_slice(&lease.attempt.to_le_bytes());
}

/// What is left of a body.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn slice(&mut self, n: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| Corrupt("its body is too short".into()))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let taken = self.slice(N)?;
        Ok(taken.try_into().expect("as long as asked for"))
    }

    fn u16(&mut self) -> Result<usize, Corrupt> {
        self.take().map(u16::from_le_bytes).map(usize::from)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Corrupt> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Corrupt> {
        self.take().map(u64::from_le_bytes)
    }

    fn lease(&mut self) -> Result<LeaseOf, Corrupt> {
        let (queue, position) = (self.u32()?, self.u64()?);
        let token = Token { open: self.u64()?, count: self.u64()? };
        Ok(LeaseOf { queue, position, token, attempt: self.u32()? })
    }

    fn rest(&mut self) -> Result<&'a str, Corrupt> {
        text(self.0)
    }
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Corrupt> {
    std::str::from_utf8(bytes).map_err(|_| Corrupt("a text in it is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_protocol::{Message, MessageId, QueueName};

    use super::*;
    use crate::log::BatchAt;

    fn view<'a>(kind: RecordKind, flags: u8, body: &'a [u8]) -> RecordView<'a> {
        let batch = BatchAt { segment: 1, offset: 0 };
        RecordView { position: 1, kind, flags, body, time_ms: 0, batch, offset: 0, len: 0, lost_until: 0 }
    }

    fn lease() -> LeaseOf {
        LeaseOf { queue: 7, position: 9, token: Token { open: 2, count: 3 }, attempt: 4 }
    }

    #[test]
    fn every_record_is_read_as_it_was_written() {
        let spec = QueueSpec::new(QueueName::new("jobs").unwrap());
        for record in [
            Record::Ack(lease()),
            Record::Nack { lease: lease(), not_before_ms: 5, reason: "busy" },
            Record::Dead { lease: lease(), to: 8, by: By::Reject, owed: false, reason: "bad" },
            Record::Dead { lease: lease(), to: 8, by: By::Nack, owed: true, reason: "" },
            Record::Declare { queue: 7, spec },
            Record::Undeclare { queue: 7 },
            Record::Lease { lease: lease(), party: "agent/bob" },
            Record::Return { lease: lease(), charged: true, reason: "lease_expired" },
            Record::FactPut { revision: 3, key: "a.b", value: b"v", until_ms: None },
            Record::FactPut { revision: 3, key: "a.b", value: b"v", until_ms: Some(4) },
            Record::FactDelete { key: "a.b" },
            Record::Extend { lease: lease(), lease_ms: 60_000, progress: "half" },
            Record::Purge { queue: 7, runs: &[1; 32] },
            Record::Redrive { dead: 8, to: 7, position: 9 },
            Record::Drop { lease: lease(), by: By::Hub, reason: "full" },
            Record::Told { dead: 11, position: 9, refused: "full" },
        ] {
            let mut body = Vec::new();
            record.encode(&mut body);
            assert_eq!(Record::decode(&view(record.kind(), record.flags(), &body)).unwrap(), Some(record));
        }
    }

    #[test]
    fn a_message_record_keeps_what_the_hub_knows_of_it() {
        let message = Message::build(&MessageId::new("1").unwrap(), "s", "t").finish().unwrap();
        let (mut body, producer) = (Vec::new(), Some((ProducerId([1; 16]), 5)));
        encode_message(&mut body, producer, "agent/bob", &[3, 4], &message.view());
        assert_eq!(body.len(), message_overhead("agent/bob", 2) + message.bytes().len());
        let read = Record::decode(&view(RecordKind::Message, message_flags(true, true), &body)).unwrap().unwrap();
        let Record::Message(read) = read else { panic!("a message") };
        assert_eq!((read.producer, read.by_id, read.party), (producer, true, "agent/bob"));
        assert_eq!(read.queues().collect::<Vec<_>>(), [3, 4]);
        assert_eq!(read.message, message.bytes());
    }

    #[test]
    fn a_lease_record_has_the_golden_bytes() {
        let mut body = Vec::new();
        Record::Ack(lease()).encode(&mut body);
        let golden = [
            &[7, 0, 0, 0][..],
            &[9, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0],
        ];
        assert_eq!(body, golden.concat());
    }

    #[test]
    fn a_dead_letter_without_flags_was_rejected_and_owes_no_notice() {
        let mut body = Vec::new();
        let dead = Record::Dead { lease: lease(), to: 8, by: By::Reject, owed: false, reason: "bad" };
        dead.encode(&mut body);
        assert_eq!(Record::decode(&view(RecordKind::Dead, 0, &body)).unwrap(), Some(dead));
    }

    #[test]
    fn a_fact_without_flags_has_no_end() {
        let body = [&[3, 0, 0, 0, 0, 0, 0, 0][..], &[1, 0], b"k", b"12345678v"].concat();
        let fact = Record::FactPut { revision: 3, key: "k", value: b"12345678v", until_ms: None };
        assert_eq!(Record::decode(&view(RecordKind::FactPut, 0, &body)).unwrap(), Some(fact));
    }

    #[test]
    fn a_guessed_lease_token_is_none() {
        let sealed = lease().token.sealed(5);
        assert_eq!(Token::opened(sealed, 5), Some(lease().token));
        assert_eq!(Token::opened(sealed, 6), None);
        let mut next = sealed;
        next.0[9] += 1;
        assert_eq!(Token::opened(next, 5), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_decoder_panic(kind in 1_u8..=17, flags in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Record::decode(&view(RecordKind::try_from(kind).unwrap(), flags, &body)).map(|record| {
                if let Some(Record::Message(m)) = record { m.queues().count(); }
            });
        }
    }
}
