//! The embedded backend: opens the store, starts its threads, answers the hub.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use skep_core::{
    Backend, BoxFuture, Changed, Clock, Consume, Consumer, End, Gauge, Level, Now, Outlet, QueueCommand, Read, Reply,
    Router, Seen, Write,
};
use skep_protocol::{Code, Error, Filter, LeaseToken, MessageRef, QueueInfo, QueueName};

use crate::commit::steps::{Steps, Work, Writing};
use crate::commit::{Committer, Preparer};
use crate::disk::{Disk, is_full, is_out_of_files, real::RealDisk};
use crate::durably::durably_staged;
use crate::engine::{ConsumerId, Engine};
use crate::journal::QueueId;
use crate::limits::{MEMORY_BYTES, ROUTE_STEPS_MAX};
use crate::log::{Corruption, Mode, OpenError, OpenWith, SegmentSizes, give_up_ballast};
use crate::look::{self, Looks};
use crate::retained::{TreeRetention, Trees};
use crate::snapshot::{Recovered, Retention, Taker, recover};
use crate::status;
use crate::store::{State, Store};
use crate::threads::spawn;

/// What a publish is answered when already the opening found no room.
const FULL: &str = "the disk is full; free some space, publishes are refused, acks are taken";

/// What the embedded backend can be told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EmbeddedOptions {
    /// How long settled messages are kept.
    pub retention: Retention,
    /// Topic trees with a retention of their own, in place of that: of several filters that match a topic the first one counts, of
    /// several topics of a message whichever keeps it. Such a tree takes messages also where no queue does.
    pub retained: Vec<(Filter, TreeRetention)>,
    /// Topic trees and how durable their messages are made, where that is not [`Level::FSYNC`]: of several filters that match a
    /// topic the first one counts, of several topics of a message the strongest level.
    pub durability: Vec<(Filter, Level)>,
    /// Memory that the index of queues may take, in bytes; none: as much as is usual. Beyond it a publish that adds messages to
    /// queues is refused, and all else goes on.
    pub memory_bytes: Option<u64>,
    /// How long segments are; tests use short ones.
    #[doc(hidden)]
    pub sizes: SegmentSizes,
    /// Bytes of segments behind a snapshot after which another is taken; none: as many as is usual.
    #[doc(hidden)]
    pub snapshot_bytes: Option<u64>,
}

/// Durable queues and facts in one folder of this machine.
pub struct Embedded {
    store: Arc<Store>,
    router: Arc<RwLock<Router<QueueId>>>,
    looks: Looks,
    recovery: String,
    /// None where nothing is written.
    taker: Option<Arc<Taker>>,
    /// It is damaged: of its queues some may be unknown.
    is_read_only: bool,
    /// The threads that end when the store closes; joined once.
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Embedded {
    /// Opens the store in a folder, making it if there is none. One process at a time: the
    /// caller holds the folder's lock.
    ///
    /// A store that is damaged where it was proven durable opens read-only: it shows what can
    /// be read and refuses the rest with `read_only`, naming the range.
    ///
    /// # Errors
    /// `disk_full` and `busy` (too many open files): nothing was done. `unsupported_version`: it is not touched. `store_failed`
    /// else. All name folder and file.
    pub fn open(folder: &Path, clock: Clock, options: EmbeddedOptions) -> Result<Arc<Self>, Error> {
        let named = |code, text: &dyn Display| Error::new(code, format!("the store {}: {text}", folder.display()));
        let disk = RealDisk::new(folder).map_err(|error| match error {
            error if is_full(&error) => named(Code::DiskFull, &error),
            error if is_out_of_files(&error) => named(Code::Busy, &error),
            error => named(Code::StoreFailed, &error),
        })?;
        Self::open_with(Arc::new(disk), clock, &options).map_err(|error| named(error.code, &error.text))
    }

    /// Opens the store on any disk.
    #[doc(hidden)]
    pub fn open_on(disk: Arc<dyn Disk>, clock: Clock) -> Result<Arc<Self>, Error> {
        Self::open_with(disk, clock, &EmbeddedOptions::default())
    }

    /// Opens the store on any disk.
    #[doc(hidden)]
    pub fn open_with(disk: Arc<dyn Disk>, clock: Clock, options: &EmbeddedOptions) -> Result<Arc<Self>, Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(Code::Internal, format!("the system gives no random bytes: {error}")))?;
        let (embedded, work) = Self::assemble(&disk, clock, options, random)?;
        if let Some(Writing { committer, preparer, taker }) = work.writing {
            let store = || embedded.store.clone();
            let (reading, preparing, taking, telling) = (store(), store(), store(), taker.clone());
            let mut threads = embedded.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.push(spawn("skep-log", &embedded.store, move || committer.run())?);
            threads.push(spawn("skep-read", &embedded.store, move || reading.read_cold())?);
            threads.push(spawn("skep-spare", &embedded.store, move || preparer.run(&preparing, &telling))?);
            threads.push(spawn("skep-snapshot", &embedded.store, move || taker.run(&taking))?);
        }
        // They end when nobody can ask any more, so they are not among those that closing joins.
        for (name, asked) in ["skep-look", "skep-trace"].into_iter().zip(work.asked) {
            let looking = embedded.store.clone();
            drop(spawn(name, &embedded.store, move || look::run(&looking, &asked))?);
        }
        Ok(Arc::new(embedded))
    }

    /// Opens the store on any disk without threads: their work is done step by step, by whoever has the steps. With all chance given.
    #[doc(hidden)]
    pub fn open_in_steps(
        disk: &Arc<dyn Disk>,
        clock: Clock,
        options: &EmbeddedOptions,
        random: [u8; 24],
    ) -> Result<(Arc<Self>, Steps), Error> {
        let (embedded, work) = Self::assemble(disk, clock, options, random)?;
        let steps = Steps::new(embedded.store.clone(), work);
        Ok((Arc::new(embedded), steps))
    }

    fn assemble(
        disk: &Arc<dyn Disk>,
        clock: Clock,
        options: &EmbeddedOptions,
        random: [u8; 24],
    ) -> Result<(Self, Work), Error> {
        let now = clock.now();
        let (id, seed) = random.split_at(16);
        let new_store_id = id.try_into().expect("16 of 24 bytes");
        let seed = seed.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
        let sizes = options.retention.sizes(options.sizes);
        let with = OpenWith { sizes, ..OpenWith::new(new_store_id, now.unix_ms) };
        let is_full = |recovered: &Result<Recovered, OpenError>| matches!(recovered, Err(OpenError::DiskFull { .. }));
        let mut recovered = recover(disk, with, seed);
        let full = is_full(&recovered);
        if full && give_up_ballast(disk) {
            recovered = recover(disk, with, seed);
        }
        if is_full(&recovered) {
            recovered = recover(disk, OpenWith { full: true, ..with }, seed);
        }
        let Recovered { mut engine, opened, newest } = recovered.map_err(|error| unopened(&error))?.begin(now);
        engine.set_levels(options.durability.clone());
        let trees = Arc::new(Trees::new(options.retained.clone()));
        engine.set_trees(trees.clone());
        engine.set_memory_max(options.memory_bytes.unwrap_or(MEMORY_BYTES));
        let recovery = opened.report.to_string();
        tracing::info!(%recovery, "the store is open");
        for damage in &opened.report.history {
            let Corruption { file, positions, fault, .. } = damage;
            tracing::warn!(
                file,
                ?positions,
                %fault,
                "these positions can be looked at no more; a snapshot stands for them"
            );
        }
        let router = engine.router();
        let (looks, asked) = Looks::new();
        let (writer, state) = match opened.mode {
            Mode::ReadWrite(writer) => (Some(writer), State::Open),
            Mode::ReadOnly => {
                tracing::error!(%recovery, "the store is damaged and open read-only");
                (None, State::Stopped(Error::new(Code::ReadOnly, recovery.clone())))
            }
        };
        let is_read_only = writer.is_none();
        let preparer = writer.as_ref().map(|writer| Arc::new(Preparer::new(writer.spares())));
        if let Some(writer) = &writer {
            engine.written(writer.room());
        }
        let store = Arc::new(Store::new(engine, clock, opened.reader, preparer.clone(), state));
        // From the first publish on, not from when the next segment could not be prepared.
        store.lock().short.growth = full.then(|| Error::new(Code::DiskFull, FULL));
        let writing = writer.zip(preparer).map(|(writer, preparer)| {
            let (every, retention) = (options.snapshot_bytes, options.retention);
            let taker = Arc::new(Taker::new(opened.follower, newest, every, retention, trees, seed));
            let committer = Committer::new(store.clone(), *writer, preparer.clone(), taker.clone());
            Writing { committer, preparer, taker }
        });
        let taker = writing.as_ref().map(|writing| writing.taker.clone());
        let threads = Mutex::default();
        Ok((Embedded { store, router, looks, recovery, taker, is_read_only, threads }, Work { writing, asked }))
    }

    /// Recovers a store on any disk and lets it go: what the fuzzer asks, thousands of times a second.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    #[cfg(fuzzing)]
    pub fn recover_on(disk: Arc<dyn Disk>, with: OpenWith) -> Result<(), Error> {
        let now = Now { mono_ms: with.time_ms, unix_ms: with.time_ms };
        recover(&disk, with, 1).map(|found| drop(found.begin(now))).map_err(|error| unopened(&error))
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Drop for Embedded {
    /// Finishes what was accepted, as [`Backend::close`] does.
    fn drop(&mut self) {
        self.store.begin_close();
        self.join();
    }
}

impl Backend for Embedded {
    fn submit(&self, write: Write<'_>, now: Now, reply: Reply) {
        self.store.submit(&write, now, reply);
    }

    fn consume(&self, queue: &QueueName, how: Consume, to: Outlet) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>> {
        let queue = queue.clone();
        Box::pin(async move {
            if let Some(error) = self.refusal(false) {
                return Err(error);
            }
            let now = self.store.clock.now();
            let id = self.store.step(|engine, fx| engine.attach(&queue, &how, to, now, fx))??;
            let consumer: Box<dyn Consumer> = Box::new(EmbeddedConsumer { store: self.store.clone(), id });
            Ok(consumer)
        })
    }

    fn manage(&self, command: QueueCommand, now: Now) -> BoxFuture<'_, Result<Changed, Error>> {
        if let Some(error) = self.refusal(false) {
            return Box::pin(async move { Err(error) });
        }
        let asked = command.clone();
        let need = move |engine: &Engine| engine.log_room(&asked);
        let done = durably_staged(self, need, move |engine, fx| engine.command(&command, now, fx));
        Box::pin(async move { done.await.map(|count| Changed { count }) })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Seen, Error>> {
        self.looks.ask(read)
    }

    fn matches(&self, message: &MessageRef<'_>) -> bool {
        // A queue may be among what is lost: the message is not for live listeners only, but refused.
        if self.is_read_only {
            return true;
        }
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let mut steps = 0;
        let mut step = |queue: Option<&QueueId>| {
            steps += 1;
            if queue.is_none() && steps <= ROUTE_STEPS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        message.to().try_for_each(|topic| router.visit(topic, &mut step)).is_break()
    }

    fn info(&self, queue: &QueueName) -> Option<QueueInfo> {
        self.store.lock().engine.info(queue)
    }

    fn trouble(&self) -> Option<Error> {
        self.refusal(true)
    }

    fn recovery(&self) -> String {
        status::in_words(&self.recovery, &self.store, self.taker.as_deref())
    }

    fn gauges(&self) -> Vec<Gauge> {
        status::in_numbers(&self.store, self.taker.as_deref())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.store.begin_close();
            // The writer finishes within the time of some syncs, and nothing else is left to serve.
            self.join();
            match &self.store.lock().state {
                State::Stopped(error) if error.code == Code::StoreFailed => Err(error.clone()),
                _ => Ok(()),
            }
        })
    }
}

impl Embedded {
    pub(crate) fn now(&self) -> Now {
        self.store.clock.now()
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Why a verb is refused now, if it is; with a full disk only what grows the store is.
    pub(crate) fn refusal(&self, grows: bool) -> Option<Error> {
        let shared = self.store.lock();
        shared.refusal().or_else(|| shared.short.growth.clone().filter(|_| grows))
    }
}

fn unopened(error: &OpenError) -> Error {
    let code = match error {
        OpenError::DiskFull { .. } => Code::DiskFull,
        OpenError::OutOfFiles { .. } => Code::Busy,
        OpenError::UnknownVersion { .. } | OpenError::UnknownFlags { .. } | OpenError::UnknownRecord { .. } => {
            Code::UnsupportedVersion
        }
        _ => Code::StoreFailed,
    };
    Error::new(code, error.to_string())
}

/// A consumer of one queue.
struct EmbeddedConsumer {
    store: Arc<Store>,
    id: ConsumerId,
}

impl Consumer for EmbeddedConsumer {
    fn set_window(&self, messages: u32, bytes: u64) {
        let now = self.store.clock.now();
        // A store that stopped delivers nothing anyway.
        drop(self.store.step(|engine, fx| engine.set_window(self.id, messages, bytes, now, fx)));
    }

    fn keep(&self, held: &[LeaseToken], now: Now) -> Vec<LeaseToken> {
        self.store.step(|engine, fx| engine.keep(self.id, held, now, fx)).unwrap_or_default()
    }

    fn detach(&self, end: End, now: Now) {
        drop(self.store.step(|engine, fx| engine.detach(self.id, end, now, fx)));
    }
}

impl Drop for EmbeddedConsumer {
    /// A consumer that was not detached is lost; one that was is not there any more.
    fn drop(&mut self) {
        self.detach(End::Lost, self.store.clock.now());
    }
}
