//! A world in which everything is chosen by chance: one hub, its clients, its disk and its clocks.

use skep_core::Now;
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_protocol::Frame;

use super::client::{Client, Role};
use super::life::Life;
use super::line::Line;
use super::oracle::{Judged, Oracle};
use super::places::PLACES;
use super::trace::Trace;
use crate::random::Random;

/// When the wall clock begins.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// What everybody does.
const ROLES: [Role; 9] = [
    Role::Publishes,
    Role::Publishes,
    Role::Consumes(&["plain", "keyed", "mirror"]),
    Role::Consumes(&["keyed", "plain", "brief"]),
    Role::Consumes(&["mirror", "next", "few"]),
    Role::HandsOver,
    Role::HandsOver,
    Role::Consumes(&["$dead.plain", "passing", "$dead.keyed"]),
    Role::Manages,
];

/// See the module.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: Now,
    pub(super) disk: RecordingDisk,
    pub(super) life: Option<Life>,
    pub(super) clients: Vec<Client>,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
    /// The disk has no room for a while.
    pub(super) is_full: bool,
    /// Faults in so many steps of two thousand.
    pub(super) faults: u64,
    /// How far the clock on the wall has jumped ahead in all.
    pub(super) jumped_ms: u64,
    /// The image of the next crash is that of the store's opening.
    pub(super) opened_at: usize,
}

impl World {
    pub(super) fn new(seed: u64, told: usize) -> Self {
        let mut random = Random::of(seed, "world");
        let now = Now { mono_ms: 1_000, unix_ms: EPOCH_MS };
        let clients = (1..).zip(ROLES).map(|(number, role)| Client::new(role, number, &mut random)).collect();
        let faults = *random.pick(&[2, 5, 20]);
        World {
            faults,
            random,
            now,
            disk: RecordingDisk::new(),
            life: None,
            clients,
            oracle: Oracle::new(now),
            trace: Trace::new(told),
            is_full: false,
            jumped_ms: 0,
            opened_at: 0,
        }
    }

    pub(super) fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("the hub is up between two steps")
    }

    /// Opens a hub on what the disk holds.
    pub(super) fn open(&mut self) -> Judged {
        let mut chance = [0; 24];
        chance[..16].copy_from_slice(&self.random.bytes16());
        chance[16..].copy_from_slice(&self.random.next().to_le_bytes());
        self.now.mono_ms = 1_000;
        self.set_time();
        self.opened_at = self.disk.operations();
        let life =
            Life::begin(&self.disk, self.now, chance).map_err(|error| format!("the hub does not open: {error}"))?;
        if let Some(error) = life.hub.trouble().filter(|_| !self.is_full) {
            return Err(format!("the hub opened, and takes nothing: {error}"));
        }
        self.life = Some(life);
        self.oracle.counts.openings += 1;
        self.trace.note(format!("the hub opens, {} operations on disk", self.disk.operations()));
        Ok(())
    }

    /// The power goes at an operation of the disk, and something is left.
    pub(super) fn crash(&mut self, operations: usize) {
        let seed = self.random.next();
        let image = *self.random.pick(&[
            Image::OnlySynced,
            Image::AllWritten,
            Image::Random { seed },
            Image::TornLast { seed },
        ]);
        self.trace.note(format!("crash at {operations} of {}, {image:?}", self.disk.operations()));
        let left = self.disk.crash(operations, image);
        self.count_failures();
        self.end_life(false);
        self.disk = left;
        self.oracle.counts.crashes += 1;
    }

    /// Before the disk is another one.
    pub(super) fn count_failures(&mut self) {
        let counts = &mut self.oracle.counts;
        let [syncs, writes, creates, removes, reads] = self.disk.failures();
        counts.syncs_failed += syncs;
        counts.writes_failed += writes;
        counts.creates_failed += creates;
        counts.removes_failed += removes;
        counts.reads_failed += reads;
    }

    /// The hub ends: dies, or closes in order.
    pub(super) fn end_life(&mut self, in_order: bool) {
        for client in &mut self.clients {
            if let Some(line) = client.lose_line() {
                line.cut(self.now);
            }
        }
        if let Some(life) = self.life.take() {
            // What a hub that dies still says, nobody hears; what one that closes says of its disk, the next opening tells.
            drop(life.end(in_order));
        }
        self.oracle.died();
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms;
        self.set_time();
    }

    pub(super) fn set_time(&mut self) {
        self.oracle.set_time(self.now);
        if let Some(life) = &self.life {
            life.set_time(self.now);
        }
    }

    /// A client connects anew.
    pub(super) fn connect(&mut self, at: usize, resumes: bool) {
        let Some(life) = &self.life else { return };
        let line = Line::open(&life.hub, self.clients[at].encoding, self.now);
        self.clients[at].connect(line, resumes);
        self.trace.note(format!("client {at} connects{}", if resumes { " again" } else { "" }));
    }

    /// A client's line breaks, wherever its frames are.
    pub(super) fn cut(&mut self, at: usize) {
        let Some(line) = self.clients[at].lose_line() else { return };
        self.oracle.cut(at, line.is_closing());
        self.oracle.counts.cuts += 1;
        line.cut(self.now);
        self.trace.note(format!("client {at} loses its connection"));
        // Sessions that end at the same moment end in no order.
        self.pass(1);
    }

    /// Some of what a client said reaches the hub.
    pub(super) fn turn(&mut self, at: usize, count: usize) {
        let Some(line) = &mut self.clients[at].line else { return };
        for frame in line.turn(count, self.now) {
            self.trace.note(format!("client {at} to the hub: {}", told(&frame)));
            self.oracle.take(at, &frame);
        }
    }

    /// The hub says what it has to say to a client.
    pub(super) fn poll(&mut self, at: usize) -> Judged {
        let Some(line) = &mut self.clients[at].line else { return Ok(()) };
        for frame in line.poll(self.now)? {
            self.trace.note(format!("hub to client {at}: {}", told(&frame)));
            self.oracle.say(at, &frame)?;
        }
        Ok(())
    }

    /// A client hears the next frame.
    pub(super) fn hear(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(line) = &mut client.line else { return };
        let is_last = match line.hear() {
            Some(frame) => client.hear(frame),
            None => line.is_closing() && !line.is_woken(),
        };
        if is_last {
            self.cut(at);
        }
    }

    /// All queues are declared, and that is known.
    pub(super) fn declare(&mut self, at: usize) {
        for place in PLACES {
            if let Ok(spec) = place.spec(&mut self.random) {
                self.clients[at].manage(skep_protocol::Command::Declare(spec));
            }
        }
    }
}

/// A frame in a few words, without what differs from run to run.
fn told(frame: &Frame) -> String {
    match frame {
        Frame::Connect(connect) => format!("connect, holds {}", connect.held.len()),
        Frame::Welcome(welcome) => format!("welcome, resumed {}, lost {}", welcome.resumed, welcome.lost.len()),
        Frame::Publish(publish) => {
            let ids: Vec<&str> = publish.messages.iter().map(skep_protocol::Message::id).collect();
            format!("publish {} {}", publish.sequence, ids.join(" "))
        }
        Frame::Deliver(deliveries) => {
            let all = deliveries.iter().map(|of| {
                format!(
                    "{} of {} at {} attempt {} lease {}",
                    of.message.id(),
                    of.queue,
                    of.position,
                    of.attempt,
                    of.lease
                )
            });
            format!("deliver {}", all.collect::<Vec<_>>().join(", "))
        }
        Frame::Settle(batch) => {
            let ids = batch.publish.iter().flat_map(|publish| publish.messages.iter().map(skep_protocol::Message::id));
            let ids: Vec<&str> = ids.collect();
            format!("settle {} {:?} with {}", batch.tag, batch.settles, ids.join(" "))
        }
        other => format!("{other:?}"),
    }
}
