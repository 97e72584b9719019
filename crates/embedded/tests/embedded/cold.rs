//! Messages that are not in memory, on a disk that takes its time.

use std::collections::BTreeSet;

use skep_embedded::disk::recording::Call;
use skep_protocol::QueueSpec;

use crate::stepped::Stepped;

/// Three messages, none of them in memory, in a queue with leases of 100 ms.
fn cold() -> Stepped {
    let mut hub = Stepped::with(|spec| QueueSpec { lease_ms: 100, ..spec });
    let answers = [(); 3].map(|()| hub.publish(1_000));
    hub.write();
    answers.iter().for_each(|answer| drop(answer.try_recv().expect("a receipt")));
    hub.killed()
}

#[test]
fn a_store_whose_reads_take_longer_than_a_lease_delivers_all_the_same() {
    let mut hub = cold();
    let (_consumer, mailbox) = hub.consume(3);
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        // It is read, and meanwhile more than a lease passes.
        hub.steps.read();
        hub.pass(150);
        hub.write();
        hub.steps.read();
        let leases = mailbox.withdraw(|_| true);
        seen.extend(leases.iter().copied());
        hub.ack(leases);
    }
    assert_eq!(seen.len(), 3, "each was delivered under one lease, which held");
}

#[test]
fn a_message_that_could_not_be_read_comes_when_its_lease_has_ended() {
    let mut hub = cold();
    let (_consumer, mailbox) = hub.consume(1);
    hub.disk.fail_after(Call::Read, 0);
    let deliver = |hub: &mut Stepped| {
        while hub.steps.read() {}
        hub.write();
        mailbox.withdraw(|_| true)
    };
    assert!(deliver(&mut hub).is_empty());
    hub.pass(150);
    hub.write();
    let leases = deliver(&mut hub);
    assert_eq!(leases.len(), 1, "it is tried again, and not charged to anybody");
    hub.ack(leases);
}

#[test]
fn what_ended_before_it_was_read_is_not_read() {
    let mut hub = cold();
    let (consumer, mailbox) = hub.consume(3);
    drop(consumer);
    assert!(!hub.steps.read(), "nobody waits for it any more");
    assert!(mailbox.withdraw(|_| true).is_empty());
    hub.drain(3);
}
