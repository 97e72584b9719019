//! Facts that end, and who is told.

use std::time::Duration;

use skep_core::{FactEvent, Watch};
use skep_protocol::Code;

use super::bench::Bench;
use crate::limits::{FACTS_END_MAX, WATCHES_MAX};

fn put(bench: &mut Bench, key: &str, ttl_ms: Option<u64>) -> u64 {
    let ttl = ttl_ms.map(Duration::from_millis);
    let revision = bench.step(|engine, now, _| engine.put_fact(key, b"v", None, ttl, now)).expect("there is room");
    bench.flush();
    revision
}

fn is_there(bench: &Bench, key: &str) -> bool {
    bench.engine.fact(key, bench.now).is_some()
}

fn deletions(bench: &Bench) -> usize {
    bench.written().concat().iter().filter(|kind| *kind == "FactDelete").count()
}

/// What a watch tells without waiting.
fn heard(watch: &mut Watch) -> Vec<(String, bool)> {
    let mut heard = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Some(event)) = std::pin::pin!(watch.next()).poll(&mut context) {
        let FactEvent::Changed(change) = event else { panic!("nothing was left out") };
        heard.push((change.key.clone(), change.value.is_some()));
    }
    heard
}

#[test]
fn a_fact_is_there_for_its_time_and_its_end_is_recorded() {
    let mut bench = Bench::new();
    put(&mut bench, "lock", Some(100));
    bench.pass(99);
    assert!(is_there(&bench, "lock"));
    assert_eq!(deletions(&bench), 0);
    bench.pass(1);
    assert!(!is_there(&bench, "lock"));
    assert_eq!(deletions(&bench), 1);
    bench.check();
}

#[test]
fn a_fact_whose_time_is_over_is_nobodys_before_that_is_recorded() {
    let mut bench = Bench::new();
    for key in ["a", "b", "c"] {
        put(&mut bench, key, Some(100));
    }
    bench.now = bench.now.plus(Duration::from_millis(100));
    assert!(!is_there(&bench, "a"));
    assert!(bench.engine.list_facts("", None, 9, bench.now).facts.is_empty());
    bench.step(|engine, now, _| engine.put_fact("a", b"w", Some(0), None, now)).expect("there is none");
    assert!(!bench.step(|engine, now, _| engine.delete_fact("b", now)), "there was none");
    bench.flush();
    assert_eq!(deletions(&bench), 2, "the log says what happened before it was put again");
    bench.check();
    assert!(is_there(&bench, "a"));
}

#[test]
fn a_put_without_a_time_ends_an_earlier_one() {
    let mut bench = Bench::new();
    put(&mut bench, "a", Some(100));
    put(&mut bench, "a", None);
    put(&mut bench, "b", Some(100));
    put(&mut bench, "b", Some(300));
    bench.pass(200);
    assert!(is_there(&bench, "a") && is_there(&bench, "b"));
    bench.pass(100);
    assert!(is_there(&bench, "a") && !is_there(&bench, "b"));
    bench.check();
}

#[test]
fn a_restart_leaves_a_fact_the_rest_of_its_time() {
    let mut bench = Bench::new();
    put(&mut bench, "a", Some(100));
    bench.pass(60);
    bench.restart();
    bench.pass(39);
    assert!(is_there(&bench, "a"));
    bench.pass(1);
    assert_eq!(deletions(&bench), 1);
    // And one that ended while nobody was there.
    put(&mut bench, "b", Some(100));
    bench.now = bench.now.plus(Duration::from_secs(1));
    bench.restart();
    bench.pass(0);
    assert_eq!(deletions(&bench), 2);
    bench.check();
}

#[test]
fn many_facts_that_end_at_once_do_so_in_several_holds_of_the_lock() {
    let mut bench = Bench::new();
    for n in 0..2 * FACTS_END_MAX + 1 {
        put(&mut bench, &format!("k{n}"), Some(100));
    }
    bench.pass(100);
    assert_eq!(deletions(&bench), FACTS_END_MAX);
    assert!(bench.engine.next_tick(bench.now).is_some_and(|at| at <= bench.now.mono_ms), "and at once the next");
    bench.pass(0);
    bench.pass(0);
    assert_eq!(deletions(&bench), 2 * FACTS_END_MAX + 1);
    assert_eq!(bench.engine.next_tick(bench.now), None);
}

#[test]
fn a_watch_hears_of_a_change_once_it_is_durable() {
    let mut bench = Bench::new();
    let mut watch = bench.step(|engine, _, _| engine.watch_facts("lock.")).expect("a watch");
    bench
        .step(|engine, now, _| engine.put_fact("lock.a", b"v", None, Some(Duration::from_millis(100)), now))
        .expect("put");
    bench.step(|engine, now, _| engine.put_fact("other", b"v", None, None, now)).expect("put");
    assert_eq!(heard(&mut watch), []);
    bench.flush();
    assert_eq!(heard(&mut watch), [("lock.a".to_owned(), true)]);
    bench.pass(100);
    assert_eq!(heard(&mut watch), [("lock.a".to_owned(), false)]);
}

#[test]
fn watches_that_were_dropped_make_room_for_others() {
    let mut bench = Bench::new();
    let mut watch = || bench.step(|engine, _, _| engine.watch_facts("a"));
    let mut watches: Vec<Watch> = (0..WATCHES_MAX).map(|_| watch().expect("there is room")).collect();
    assert_eq!(watch().expect_err("there is none").code, Code::Busy);
    watches.pop();
    watch().expect("there is room again");
}
