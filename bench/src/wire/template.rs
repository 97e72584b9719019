//! Messages made once, and published with another number each.

use anyhow::{Context as _, ensure};
use rmp::encode::{write_array_len, write_bin_len, write_uint};
use skep_protocol::{Message, MessageId, Topic};

/// Digits of an id.
const ID_DIGITS: usize = 16;
/// The id follows the marker of the message's array and its own.
const ID_AT: usize = 2;
/// Every this many messages the whole of one is compared, not only its number.
const WHOLE_EVERY: u64 = 64;
/// Digits of the number of a queue, behind what is common to all.
const QUEUE_DIGITS: usize = 7;
/// Writing to memory cannot fail.
const MEMORY: &str = "memory takes what is written";

/// A message in compact form, in which only the number changes: 16 digits as id, and 8 bytes at
/// the begin of the payload.
#[derive(Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    payload_at: usize,
    topics: Option<Topics>,
}

/// Messages go to one of many topics each.
#[derive(Clone, Copy)]
struct Topics {
    count: u64,
    /// Where the digits of its number are in a message.
    at: usize,
}

/// The name of one of many queues, which is its topic.
pub(crate) fn nth_queue(prefix: &str, nth: u64) -> String {
    format!("{prefix}{nth:0QUEUE_DIGITS$}")
}

/// To which of so many queues a message of this number goes: as if at random, and each to any.
pub(crate) fn queue_of(number: u64, queues: u64) -> u64 {
    // A step of splitmix64: neighbours go far from each other.
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % queues
}

impl Template {
    /// A message to a topic, with a payload of so many bytes, 8 at least.
    pub(crate) fn new(topic: &str, payload_bytes: usize, replyto: Option<&str>) -> anyhow::Result<Self> {
        ensure!(payload_bytes >= 8, "a payload has 8 bytes at least: they hold its number");
        let id = MessageId::new(&"0".repeat(ID_DIGITS))?;
        let message = Message::build(&id, "bench", "note").to(&Topic::new(topic)?);
        let message = match replyto {
            Some(replyto) => message.replyto(&Topic::new(replyto)?),
            None => message,
        };
        let message = message.payload("application/octet-stream", vec![b'.'; payload_bytes]).finish()?;
        let bytes = message.bytes().to_vec();
        Ok(Template { payload_at: bytes.len() - payload_bytes, bytes, topics: None })
    }

    /// The same, to one of so many topics with this begin.
    pub(crate) fn to_many(prefix: &str, count: u64, payload_bytes: usize) -> anyhow::Result<Self> {
        let topic = nth_queue(prefix, 0);
        let template = Template::new(&topic, payload_bytes, None)?;
        let at = template.bytes.windows(topic.len()).position(|window| window == topic.as_bytes());
        let at = at.context("a message names its topic")? + prefix.len();
        Ok(Template { topics: Some(Topics { count, at }), ..template })
    }

    /// The message of this number.
    pub(crate) fn message(&self, number: u64) -> Vec<u8> {
        let mut message = self.bytes.clone();
        self.stamp(number, &mut message);
        message
    }

    /// Bytes of one message in compact form.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The frame that publishes the messages of these numbers, the first with this sequence.
    pub(crate) fn publish(&self, sequence: u64, numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
        out.clear();
        publish_head(sequence, numbers.len(), out);
        for number in numbers {
            put_bin_head(self.bytes.len(), out);
            let at = out.len();
            out.extend_from_slice(&self.bytes);
            self.stamp(number, &mut out[at..]);
        }
    }

    /// The number of a message made of this template.
    ///
    /// # Errors
    /// When it is not such a message.
    pub(crate) fn number(&self, message: &[u8]) -> anyhow::Result<u64> {
        let number = message.get(self.payload_at..self.payload_at + 8).context("a message is too short")?;
        let number = u64::from_le_bytes(number.try_into()?);
        ensure!(message.len() == self.bytes.len(), "message {number} has {} bytes, not {}", message.len(), self.len());
        if number.is_multiple_of(WHOLE_EVERY) {
            ensure!(message == self.message(number), "message {number} arrives changed");
        }
        Ok(number)
    }

    /// The number of a message whose other parts may differ, such as its `to`.
    pub(crate) fn number_at_end(message: &[u8], payload_bytes: usize) -> anyhow::Result<u64> {
        let at = message.len().checked_sub(payload_bytes).context("a message is too short")?;
        let number = message.get(at..at + 8).context("a message is too short")?;
        Ok(u64::from_le_bytes(number.try_into()?))
    }

    fn stamp(&self, number: u64, message: &mut [u8]) {
        for (digit, at) in (ID_AT..ID_AT + ID_DIGITS).rev().enumerate() {
            message[at] = b"0123456789abcdef"[(number >> (4 * digit)) as usize & 0xf];
        }
        message[self.payload_at..self.payload_at + 8].copy_from_slice(&number.to_le_bytes());
        if let Some(Topics { count, at }) = self.topics {
            let mut queue = queue_of(number, count);
            for at in (at..at + QUEUE_DIGITS).rev() {
                message[at] = b'0' + (queue % 10) as u8;
                queue /= 10;
            }
        }
    }
}

/// The begin of a publish of so many messages.
pub(crate) fn publish_head(sequence: u64, count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x92, 3, 0x92]);
    write_uint(out, sequence).expect(MEMORY);
    write_array_len(out, u32::try_from(count).expect("batches are bounded")).expect(MEMORY);
}

pub(crate) fn put_bin_head(length: usize, out: &mut Vec<u8>) {
    write_bin_len(out, u32::try_from(length).expect("messages are bounded")).expect(MEMORY);
}

/// The frame that acks these leases, each for itself.
pub(crate) fn settle_frame(tag: u64, leases: &[[u8; 16]], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0x92, 11, 0x94]);
    write_uint(out, tag).expect(MEMORY);
    write_array_len(out, u32::try_from(leases.len()).expect("batches are bounded")).expect(MEMORY);
    for lease in leases {
        out.extend_from_slice(&[0x92, 0xc4, 16]);
        out.extend_from_slice(lease);
        out.extend_from_slice(b"\xa3ack");
    }
    // Not atomic, and nothing published with it.
    out.extend_from_slice(&[0xc2, 0xc0]);
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Action, Frame, LeaseToken, Settle, SettleBatch};

    use super::super::link::{decoded, encoded};
    use super::*;

    #[test]
    fn a_template_publishes_what_the_protocol_reads() {
        for bytes in [8, 16, 256, 16 * 1024] {
            let template = Template::new("bench.a", bytes, Some("bench.reply")).unwrap();
            let mut out = Vec::new();
            template.publish(7, [0, 0xabc_u64].into_iter(), &mut out);
            let Frame::Publish(publish) = decoded(&out).unwrap() else { panic!("a publish") };
            assert_eq!(publish.sequence, 7);
            assert_eq!(encoded(&Frame::Publish(publish.clone())), out);
            let [first, second] = publish.messages.as_slice() else { panic!("two messages") };
            assert_eq!((first.id(), second.id()), ("0000000000000000", "0000000000000abc"));
            assert_eq!(second.payload().len(), bytes);
            assert_eq!(template.number(second.bytes()).unwrap(), 0xabc);
            assert_eq!(Template::number_at_end(second.bytes(), bytes).unwrap(), 0xabc);
        }
    }

    #[test]
    fn a_message_goes_to_the_queue_of_its_number_and_all_get_some() {
        let template = Template::to_many("bench.many.", 50, 16).unwrap();
        let mut met = vec![0; 50];
        for number in 0..2_000 {
            let message = skep_protocol::Message::parse(template.message(number).into()).unwrap();
            let queue = queue_of(number, 50);
            assert_eq!(message.view().to().next().map(str::to_owned), Some(nth_queue("bench.many.", queue)));
            met[usize::try_from(queue).unwrap()] += 1;
        }
        assert!(met.iter().all(|count| (10..90).contains(count)), "{met:?}");
    }

    #[test]
    fn a_changed_message_is_noticed() {
        let template = Template::new("bench.a", 64, None).unwrap();
        let mut message = template.message(64);
        assert_eq!(template.number(&message).unwrap(), 64);
        *message.last_mut().unwrap() ^= 1;
        assert!(template.number(&message).is_err());
        assert!(template.number(&message[..message.len() - 1]).is_err());
    }

    #[test]
    fn a_settle_is_encoded_as_the_protocol_does() {
        for count in [1_u8, 40] {
            let leases: Vec<[u8; 16]> = (0..count).map(|n| [n; 16]).collect();
            let settles =
                leases.iter().map(|lease| Settle { lease: LeaseToken(*lease), action: Action::Ack }).collect();
            let mut out = Vec::new();
            settle_frame(300, &leases, &mut out);
            assert_eq!(out, encoded(&Frame::Settle(SettleBatch { tag: 300, settles, atomic: false, publish: None })));
        }
    }
}
