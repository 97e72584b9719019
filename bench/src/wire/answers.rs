//! What the hub says on the measured path, read in place.

use anyhow::{Context as _, bail, ensure};

use super::Cursor;
use super::link::decoded;

/// A frame of the hub that is counted.
#[derive(Clone, Copy)]
pub(crate) enum Said<'a> {
    /// Receipts.
    Receipts(Cursor<'a>),
    /// Messages under leases.
    Deliveries(Cursor<'a>),
    /// Live messages.
    Live(Cursor<'a>),
    /// The answer to settles.
    Settled(Cursor<'a>),
    /// A subscription stands.
    Subscribed(u64),
    /// A sign of life. Runs are shorter than the silence the hub bears, so none is answered.
    Ping,
}

/// A run of accepted messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first one's sequence.
    pub(crate) sequence: u64,
    pub(crate) count: u64,
    /// The first one's position, if they are stored.
    pub(crate) position: Option<u64>,
    /// Sessions that got it live.
    pub(crate) live: u64,
}

/// A delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leased<'a> {
    pub(crate) subscription: u64,
    pub(crate) attempt: u64,
    pub(crate) lease: [u8; 16],
    pub(crate) message: &'a [u8],
}

/// Reads which frame it is.
///
/// # Errors
/// Every frame that is not expected on the measured path, in its own words.
pub(crate) fn listen(frame: &[u8]) -> anyhow::Result<Said<'_>> {
    let mut cursor = Cursor::new(frame);
    ensure!(cursor.array()? == 2, "a frame is no pair");
    Ok(match cursor.uint()? {
        4 => Said::Receipts(cursor),
        6 => Said::Subscribed(cursor.uint()?),
        9 => Said::Deliveries(cursor),
        10 => Said::Live(cursor),
        12 => Said::Settled(cursor),
        17 => Said::Ping,
        _ => bail!("unexpected on the measured path: {:?}", decoded(frame)?),
    })
}

impl<'a> Said<'a> {
    /// Calls `each` with every receipt.
    ///
    /// # Errors
    /// When anything was refused, or was a duplicate: nothing of that kind was sent.
    pub(crate) fn receipts(
        mut cursor: Cursor<'a>,
        mut each: impl FnMut(Run) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for _ in 0..cursor.array()? {
            let whole = cursor;
            ensure!(cursor.array()? == 3, "a receipt has not three parts");
            let (sequence, count) = (cursor.uint()?, cursor.uint()?);
            ensure!(cursor.is(b"\x81\xa2ok"), "refused: {}", told(whole));
            let parts = cursor.array()?;
            ensure!(parts >= 8, "a receipt says too little: {}", told(whole));
            let position = cursor.optional_uint()?;
            // Durability, guarantee, queues, skipped.
            for _ in 0..4 {
                cursor.value()?;
            }
            let live = cursor.uint()?;
            ensure!(cursor.is(&[0xc2]), "taken for a duplicate: {}", told(whole));
            for _ in 7..parts {
                cursor.value()?;
            }
            each(Run { sequence, count, position, live })?;
        }
        Ok(())
    }

    /// Calls `each` with every delivery.
    pub(crate) fn deliveries(
        mut cursor: Cursor<'a>,
        mut each: impl FnMut(Leased<'a>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for _ in 0..cursor.array()? {
            ensure!(cursor.array()? == 8, "a delivery has not eight parts");
            let subscription = cursor.uint()?;
            // Queue and position.
            cursor.value()?;
            cursor.value()?;
            let attempt = cursor.uint()?;
            let lease = cursor.bin()?.try_into().context("a lease token has not 16 bytes")?;
            // How long, and how the attempt before ended.
            cursor.value()?;
            cursor.value()?;
            each(Leased { subscription, attempt, lease, message: cursor.bin()? })?;
        }
        Ok(())
    }

    /// Calls `each` with every live message.
    pub(crate) fn messages(
        mut cursor: Cursor<'a>,
        mut each: impl FnMut(&'a [u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for _ in 0..cursor.array()? {
            each(cursor.bin()?)?;
        }
        Ok(())
    }

    /// The tag of an answer to settles, and how many there were.
    ///
    /// # Errors
    /// When one was refused.
    pub(crate) fn settled(mut cursor: Cursor<'a>) -> anyhow::Result<(u64, usize)> {
        let whole = cursor;
        ensure!(cursor.array()? >= 2, "an answer to settles says too little");
        let (tag, count) = (cursor.uint()?, cursor.array()?);
        for _ in 0..count {
            ensure!(cursor.is(b"\x81\xa2ok\xc0"), "a settle was refused: {}", told(whole));
        }
        Ok((tag, count))
    }
}

/// A part of a frame for an error, texts in it legible.
fn told(mut at: Cursor<'_>) -> String {
    at.value().map_or_else(|error| error.to_string(), |bytes| bytes.escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use skep_protocol::{
        Accepted, Code, Delivery, Durability, Ended, Error, Frame, Guarantee, LeaseToken, Message, MessageId, Position,
        Publication, Recipient, Settled, Settlement,
    };

    use super::super::link::encoded;
    use super::*;

    fn accepted(position: Option<u64>) -> Accepted {
        Accepted {
            position: position.map(Position::Number),
            durability: position.map(|_| Durability::Fsync),
            guarantee: Guarantee::AtLeastOnce,
            queues: 1,
            skipped: 0,
            live: 10,
            duplicate: false,
            recipient: Some(Recipient {
                agent: "bob".parse().unwrap(),
                waiting: 300,
                connected: None,
                last_seen_ms: Some(1 << 40),
            }),
        }
    }

    fn receipts(publications: Vec<Publication>) -> anyhow::Result<Vec<Run>> {
        let frame = encoded(&Frame::Receipt(publications));
        let Said::Receipts(cursor) = listen(&frame)? else { panic!("receipts") };
        let mut runs = Vec::new();
        Said::receipts(cursor, |run| {
            runs.push(run);
            Ok(())
        })?;
        Ok(runs)
    }

    #[test]
    fn receipts_are_read_as_the_protocol_writes_them() {
        let of =
            |sequence, count, position| Publication { sequence, count, result: Settlement::Ok(accepted(position)) };
        let runs = receipts(vec![of(1, 300, Some(70_000)), of(301, 1, None)]).unwrap();
        let expected = [
            Run { sequence: 1, count: 300, position: Some(70_000), live: 10 },
            Run { sequence: 301, count: 1, position: None, live: 10 },
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_refusal_and_a_duplicate_are_errors_that_tell_why() {
        let refused = Settlement::Error(Error::new(Code::QueueFull, "no room"));
        let error = receipts(vec![Publication { sequence: 1, count: 1, result: refused }]).unwrap_err();
        assert!(error.to_string().contains("queue_full") && error.to_string().contains("no room"), "{error}");
        let twice = Settlement::Ok(Accepted { duplicate: true, ..accepted(Some(1)) });
        assert!(receipts(vec![Publication { sequence: 1, count: 1, result: twice }]).is_err());
    }

    #[test]
    fn deliveries_are_read_as_the_protocol_writes_them() {
        let message = Message::build(&MessageId::new("1").unwrap(), "s", "t").text("x").finish().unwrap();
        let delivery = Delivery {
            subscription: 3,
            queue: "jobs".parse().unwrap(),
            position: Position::Number(70_000),
            attempt: 2,
            lease: LeaseToken([9; 16]),
            lease_ms: 60_000,
            previous: Some(Ended { reason: "lease_expired".into(), progress: None }),
            message: message.clone(),
        };
        let frame = encoded(&Frame::Deliver(vec![delivery.clone(), delivery]));
        let Said::Deliveries(cursor) = listen(&frame).unwrap() else { panic!("deliveries") };
        let mut count = 0;
        Said::deliveries(cursor, |leased| {
            count += 1;
            assert_eq!((leased.subscription, leased.attempt, leased.lease), (3, 2, [9; 16]));
            assert_eq!(leased.message, &message.bytes()[..]);
            Ok(())
        })
        .unwrap();
        assert_eq!(count, 2);
    }

    #[test]
    fn a_refused_settle_is_an_error() {
        let settled = |results| encoded(&Frame::Settled(Settled { tag: 7, results, receipts: Vec::new() }));
        let read = |frame: &[u8]| match listen(frame).unwrap() {
            Said::Settled(cursor) => Said::settled(cursor),
            _ => panic!("settled"),
        };
        assert_eq!(read(&settled(vec![Settlement::Ok(()), Settlement::Ok(())])).unwrap(), (7, 2));
        let lost = Settlement::Error(Error::new(Code::LeaseLost, "lease is lost"));
        assert!(read(&settled(vec![Settlement::Ok(()), lost])).unwrap_err().to_string().contains("lease_lost"));
    }

    #[test]
    fn an_error_frame_is_told_in_its_own_words() {
        let frame = encoded(&Frame::Error(Error::new(Code::Busy, "come back later")));
        let Err(error) = listen(&frame) else { panic!("an error") };
        assert!(format!("{error:#}").contains("come back later"), "{error:#}");
    }
}
