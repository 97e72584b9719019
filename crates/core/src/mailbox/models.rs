//! What must hold of a mailbox in every order of its threads. The workspace `loom` tries them all.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use loom::future::block_on;
use loom::model::Builder;
use loom::thread;
use skep_protocol::{Delivery, LeaseToken, Message, MessageId, Position, QueueName};

use super::{Entry, Mailbox, Taken, Wakes};

/// So many times a thread may lose its turn where it need not; known faults of this kind need one or two.
const PREEMPTIONS_MAX: usize = 2;

/// Two threads put entries in, one of them two at once; the session sleeps in between.
pub fn every_entry_is_taken_once_and_no_wake_up_is_lost() -> u64 {
    tried(|| {
        let mailbox = Arc::new(Mailbox::default());
        let pushers = [&[1_u8, 2][..], &[3]].map(|numbers| {
            let mailbox = mailbox.clone();
            thread::spawn(move || put(&mailbox, numbers))
        });
        let (mut taken, mut numbers) = (Taken::default(), Vec::new());
        while numbers.len() < 3 {
            block_on(poll_fn(|cx| if mailbox.take(&mut taken, cx.waker()) { Poll::Ready(()) } else { Poll::Pending }));
            numbers.extend(taken.entries.drain(..).map(|entry| number(&entry)));
        }
        pushers.into_iter().for_each(|pusher| pusher.join().expect("it ends"));
        assert!(numbers.iter().position(|n| *n == 1) < numbers.iter().position(|n| *n == 2), "{numbers:?}");
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(mailbox.close().is_empty());
    })
}

/// A lease ends while its delivery comes: the session takes it, or learns that it was taken out and that its windows are to be said again.
pub fn what_is_taken_out_of_a_mailbox_its_session_learns() -> u64 {
    tried(|| {
        let mailbox = Arc::new(Mailbox::default());
        let pusher = {
            let mailbox = mailbox.clone();
            thread::spawn(move || put(&mailbox, &[1]))
        };
        let ender = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.withdraw(|_| true).len())
        };
        let mut taken = Taken::default();
        block_on(poll_fn(|cx| {
            let is_any = mailbox.take(&mut taken, cx.waker());
            if is_any || taken.withdrawn { Poll::Ready(()) } else { Poll::Pending }
        }));
        pusher.join().expect("it ends");
        let withdrawn = ender.join().expect("it ends");
        assert_eq!((taken.entries.len(), taken.withdrawn), (1 - withdrawn, withdrawn == 1));
    })
}

/// The session ends while a delivery comes and another thread still takes.
pub fn a_delivery_is_taken_or_handed_back_when_the_session_ends() -> u64 {
    tried(|| {
        let mailbox = Arc::new(Mailbox::default());
        let pusher = {
            let mailbox = mailbox.clone();
            thread::spawn(move || usize::from(!mailbox.push(entry(1))) + usize::from(!mailbox.push(entry(2))))
        };
        let taker = {
            let mailbox = mailbox.clone();
            thread::spawn(move || {
                let mut taken = Taken::default();
                mailbox.take(&mut taken, std::task::Waker::noop());
                taken.entries.len()
            })
        };
        let untaken = mailbox.close().len();
        let (refused, taken) = (pusher.join().expect("it ends"), taker.join().expect("it ends"));
        assert_eq!(refused + taken + untaken, 2, "{refused} refused, {taken} taken, {untaken} not taken");
    })
}

/// Who holds the session hears that another takes it up, also while entries come.
pub fn an_eviction_reaches_the_holder() -> u64 {
    tried(|| {
        let mailbox = Arc::new(Mailbox::default());
        let pusher = {
            let mailbox = mailbox.clone();
            thread::spawn(move || put(&mailbox, &[1]))
        };
        let taker = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.evict())
        };
        block_on(poll_fn(|cx| {
            mailbox.take(&mut Taken::default(), cx.waker());
            if mailbox.is_evicted(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
        }));
        pusher.join().expect("it ends");
        taker.join().expect("it ends");
    })
}

/// Answers how many orders there were.
fn tried(model: fn()) -> u64 {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    let orders = Arc::new(AtomicU64::new(0));
    let tried = orders.clone();
    builder.check(move || {
        tried.fetch_add(1, Relaxed);
        model();
    });
    orders.load(Relaxed)
}

/// As a backend does: all of a batch, then one wake.
fn put(mailbox: &Arc<Mailbox>, numbers: &[u8]) {
    let mut wakes = Wakes::default();
    for n in numbers {
        assert!(mailbox.push(entry(*n)));
        wakes.add(mailbox);
    }
    wakes.wake();
}

fn entry(n: u8) -> Entry {
    let id = MessageId::new("1").expect("an id");
    Entry::Delivery(Delivery {
        subscription: 1,
        queue: QueueName::new("jobs").expect("a name"),
        position: Position::Number(n.into()),
        attempt: 1,
        lease: LeaseToken([n; 16]),
        lease_ms: 1_000,
        previous: None,
        message: Message::build(&id, "s", "t").finish().expect("a message"),
    })
}

fn number(entry: &Entry) -> u64 {
    match entry {
        Entry::Delivery(delivery) => delivery.position.number().expect("a number"),
        other => unreachable!("only deliveries were put in: {other:?}"),
    }
}
