//! One life of the hub: a real one, on a disk in memory, without threads.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use skep_core::{
    Action, Backend as _, BoxFuture, ByHand, Clock, Credentials, Guards, Hub, HubOptions, Now, Party, Policy,
};
use skep_embedded::disk::Disk;
use skep_embedded::disk::recording::RecordingDisk;
use skep_embedded::log::SegmentSizes;
use skep_embedded::{Embedded, EmbeddedOptions, Retention, Steps};
use skep_protocol::{Error, QueueName};

use super::places::{PLACES, Place};

/// Short segments, so that a run rolls many times.
const SIZES: SegmentSizes = SegmentSizes { first: 16 * 1024, max: 32 * 1024 };
/// Bytes of segments after which a snapshot is due, and beyond which segments go.
const SNAPSHOT_BYTES: u64 = 32 * 1024;
/// Rounds of steps within which anything is answered that is answered at all.
const ROUNDS_MAX: u32 = 10_000;

/// See the module.
pub(super) struct Life {
    pub(super) hub: Arc<Hub>,
    store: Arc<Embedded>,
    pub(super) steps: Steps,
    hand: &'static ByHand,
}

struct Anyone;

impl Policy for Anyone {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Party, Error>> {
        Box::pin(async move { Ok(Party { name: "local".into(), agent: credentials.agent }) })
    }

    fn authorize(&self, _party: &Party, _action: Action<'_>) -> Result<(), Error> {
        Ok(())
    }
}

impl Life {
    /// Opens the store and the hub on it.
    pub(super) fn begin(disk: &RecordingDisk, now: Now, random: [u8; 24]) -> Result<Self, Error> {
        let (clock, hand) = Clock::by_hand(now);
        let mut options = EmbeddedOptions::default();
        (options.sizes, options.snapshot_bytes) = (SIZES, Some(SNAPSHOT_BYTES));
        options.retention = Retention { age: Duration::from_secs(20), bytes: 4 * SNAPSHOT_BYTES };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let (store, mut steps) = Embedded::open_in_steps(&disk, clock, &options, random)?;
        let options = HubOptions { name: "simulated".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
        let opening = Hub::open(options, clock, store.clone(), store.clone(), Arc::new(Anyone));
        let hub = drive(opening, &mut steps)?;
        Ok(Life { hub, store, steps, hand })
    }

    /// Whether there is a queue of that name.
    pub(super) fn is_there(&self, name: &str) -> bool {
        QueueName::new(name).is_ok_and(|name| self.store.info(&name).is_some())
    }

    /// How many read it; none when there is no queue of that name.
    pub(super) fn readers(&self, name: &str) -> Option<u64> {
        QueueName::new(name).ok().and_then(|name| self.store.info(&name)).map(|info| info.consumers)
    }

    /// What queues and their dead letters hold; those that hold nothing are left out.
    pub(super) fn held(&self) -> Vec<(&'static str, u64, u64)> {
        let held = |place: &Place| {
            let info = QueueName::new(place.name).ok().and_then(|name| self.store.info(&name))?;
            Some((place.name, info.held(), info.dead)).filter(|(_, held, dead)| held + dead > 0)
        };
        PLACES.iter().filter_map(held).collect()
    }

    pub(super) fn set_time(&self, now: Now) {
        self.hand.set(now);
    }

    /// The hub ends in order; answers whether it said so. Its disk is to be looked at before if it is to die.
    pub(super) fn end(mut self, in_order: bool) -> Result<(), Error> {
        if !in_order {
            // Nothing more is written, and what is owed to anybody is answered to nobody.
            drop(self.steps);
            return pin!(self.hub.close()).poll_now();
        }
        drive(self.hub.close(), &mut self.steps)?;
        for _ in 0..ROUNDS_MAX {
            if self.steps.has_ended() {
                break;
            }
            self.steps.write();
            self.steps.prepare();
        }
        Ok(())
    }
}

/// Takes the store's steps until a future is done.
fn drive<T>(future: impl Future<Output = Result<T, Error>>, steps: &mut Steps) -> Result<T, Error> {
    let mut future = pin!(future);
    for _ in 0..ROUNDS_MAX {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        steps.look();
        steps.write();
    }
    Err(Error::new(skep_protocol::Code::Timeout, "the hub answers nothing"))
}

trait PollNow {
    fn poll_now(self) -> Result<(), Error>;
}

impl<F: Future<Output = Result<(), Error>>> PollNow for Pin<&mut F> {
    fn poll_now(mut self) -> Result<(), Error> {
        match self.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => Ok(()),
        }
    }
}
