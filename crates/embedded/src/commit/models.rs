//! What must hold between those who stage and the writing thread, in every order. The workspace `loom` tries them all.
//!
//! Store, engine, log and writing thread are the real ones, on a disk in memory. Time stands still and no wait times out, so a
//! wake-up that is lost is a deadlock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use loom::model::Builder;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use skep_core::{Clock, Now};

use super::{Committer, Preparer};
use crate::disk::Disk;
use crate::disk::recording::RecordingDisk;
use crate::log::{Mode, OpenWith, open};
use crate::snapshot::{Recovered, Retention, Taker, recover};
use crate::store::{State, Store};

/// So many times a thread may lose its turn where it need not; known faults of this kind need one or two.
const PREEMPTIONS_MAX: usize = 2;
/// The stack of each thread. loom's own 32 KiB are too small for a store; it counts in words.
const STACK_WORDS: usize = (1 << 20) / size_of::<usize>();

/// Time stands still.
const NOW: Now = Now { mono_ms: 1, unix_ms: 1 };

/// Two threads stage a record each and wait for it.
pub fn whoever_waits_for_a_record_is_told() -> u64 {
    tried(|| {
        let hub = Open::begin();
        let other = hub.store.clone();
        let other = spawned(move || wait_for("a", &other));
        assert!(wait_for("b", &hub.store));
        assert!(other.join().expect("it ends"));
        hub.ends_with(2);
    })
}

/// One stages a record that nobody waits for, which the writing thread learns of and sleeps on; one stages and waits.
pub fn a_record_that_can_wait_holds_up_none_that_cannot() -> u64 {
    tried(|| {
        let hub = Open::begin();
        let other = hub.store.clone();
        let other = spawned(move || other.step(|engine, _| engine.put_fact("a", b"v", None, None, NOW)));
        assert!(wait_for("b", &hub.store));
        other.join().expect("it ends").expect("the store is open").expect("there is room");
        hub.ends_with(2);
    })
}

/// One stages while the store closes: it is refused, or it is told that its record was written; and else there is none.
pub fn what_is_staged_while_the_store_closes_is_written_or_nobody_is_told_so() -> u64 {
    tried(|| {
        let hub = Open::begin();
        let other = hub.store.clone();
        let other = spawned(move || usize::from(wait_for("a", &other)));
        hub.store.begin_close();
        let told = other.join().expect("it ends");
        hub.ends_with(told);
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
        spawned(model).join().expect("it ends");
    });
    orders.load(Relaxed)
}

fn spawned<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(STACK_WORDS).spawn(run).expect("loom has room for it")
}

/// A store with its writing thread.
struct Open {
    disk: RecordingDisk,
    store: Arc<Store>,
    writing: thread::JoinHandle<()>,
}

impl Open {
    fn begin() -> Self {
        let (disk, clock) = (RecordingDisk::new(), Clock::new());
        let with = OpenWith::new([1; 16], clock.now().unix_ms);
        let found = recover(&(Arc::new(disk.clone()) as Arc<dyn Disk>), with, 1).expect("an empty disk");
        let Recovered { mut engine, opened, newest } = found.begin(clock.now());
        let Mode::ReadWrite(writer) = opened.mode else { panic!("a new store is sound") };
        engine.written(writer.room());
        let preparer = Arc::new(Preparer::new(writer.spares()));
        let store = Arc::new(Store::new(engine, clock, opened.reader, Some(preparer.clone()), State::Open));
        let taker = Arc::new(Taker::new(opened.follower, newest, None, Retention::default(), Arc::default(), 1));
        let committer = Committer::new(store.clone(), *writer, preparer, taker);
        Open { disk, store, writing: spawned(move || committer.run()) }
    }

    /// Closes it; so many records are in the log then.
    fn ends_with(self, records: usize) {
        self.store.begin_close();
        self.writing.join().expect("it ends");
        let mut written = 0;
        let count = &mut |_: crate::log::RecordView<'_>| {
            written += 1;
            Ok(())
        };
        let opened = open(Arc::new(self.disk), OpenWith::new([1; 16], 1), count).expect("opens");
        assert!(opened.report.clean_shutdown, "{}", opened.report);
        assert_eq!(written, records);
    }
}

/// Stages a record and waits until it is known what became of it; answers whether it is durable.
fn wait_for(key: &str, store: &Store) -> bool {
    let told = Arc::new(Told::default());
    let teller = Teller(told.clone());
    let staged = store.step(|engine, _| {
        engine.put_fact(key, b"v", None, None, NOW).expect("there is room");
        engine.when_durable(move || teller.durable());
    });
    // loom also lets a wait end without cause.
    while staged.is_ok() && !told.answered.load(Ordering::SeqCst) {
        told.notify.wait();
    }
    told.durable.load(Ordering::SeqCst)
}

#[derive(Default)]
struct Told {
    answered: AtomicBool,
    durable: AtomicBool,
    notify: Notify,
}

/// Tells also when it is dropped: then nobody knows whether it is durable.
struct Teller(Arc<Told>);

impl Teller {
    fn durable(self) {
        self.0.durable.store(true, Ordering::SeqCst);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.answered.store(true, Ordering::SeqCst);
        self.0.notify.notify();
    }
}
