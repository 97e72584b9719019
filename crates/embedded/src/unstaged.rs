//! What waits for room in the log, before anything of it is staged: what is staged cannot be taken back, and nobody knows yet
//! whether the disk has room.
//!
//! It goes on, in the order in which it came, when room was prepared; it is refused when there is none. Settles pass it by: they have
//! room of their own.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use skep_core::{Now, Outgoing, Reply, Wakes, Write};
use skep_protocol::{Code, Error, Message, ProducerId, Settle};

use crate::engine::{Begun, Effects, Engine, Left, Need, Results, Submission};
use crate::limits::UNSTAGED_BYTES_MAX;
use crate::store::{Shared, State, Store};

/// A step that grows the store, or is refused.
pub(crate) type Step = Box<dyn FnOnce(Result<(&mut Engine, &mut Effects), Error>) + Send>;

/// Bytes that a message is counted beside its own.
const MESSAGE_BYTES: usize = 256;

/// All that waits, in order.
#[derive(Default)]
pub(crate) struct Unstaged {
    items: VecDeque<Item>,
    bytes: usize,
}

struct Item {
    what: What,
    need: Need,
    /// In memory.
    bytes: usize,
}

enum What {
    Write(Box<Owned>),
    Step(Step),
}

/// A write in memory of its own, and what became of it so far.
struct Owned {
    settles: Vec<Settle>,
    publishes: Vec<Kept>,
    atomic: bool,
    party: String,
    producer: Option<ProducerId>,
    reply: Reply,
    results: Results,
    /// Something of it is staged.
    is_begun: bool,
}

struct Kept {
    message: Message,
    sequence: u64,
    required: bool,
    by_id: bool,
    waits: bool,
    refusal: Option<Error>,
}

impl Unstaged {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keeps what is left of a write; refuses it where too much waits already.
    pub(crate) fn keep(&mut self, write: &Write<'_>, submission: Submission<'_>, need: Need, wakes: &mut Wakes) {
        let (settles, publishes) = submission.left();
        let bytes = publishes.iter().map(|outgoing| outgoing.message.bytes().len() + MESSAGE_BYTES).sum::<usize>();
        if !self.is_empty() && self.bytes + bytes > UNSTAGED_BYTES_MAX {
            return submission.refuse_rest(&too_much(), wakes);
        }
        let is_begun = settles.len() + publishes.len() < write.settles.len() + write.publishes.len();
        let (settles, publishes) = (settles.to_vec(), publishes.iter().map(Kept::of).collect());
        let Begun { reply, results, .. } = submission.into_begun();
        let (atomic, party, producer) = (write.atomic, write.party.to_owned(), write.producer);
        let write = Owned { settles, publishes, atomic, party, producer, reply, results, is_begun };
        let what = What::Write(Box::new(write));
        self.push(Item { what, need, bytes });
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.items.push_back(item);
    }

    /// Nothing will be staged any more.
    pub(crate) fn refuse(&mut self, error: &Error) {
        let mut wakes = Wakes::default();
        for item in mem::take(self).items {
            item.refuse(error, &mut wakes);
        }
        wakes.wake();
    }
}

impl Item {
    /// What was staged of it may be durable or not: the reply, dropped, says just that.
    fn refuse(self, error: &Error, wakes: &mut Wakes) {
        match self.what {
            What::Write(mut write) if !write.is_begun => {
                let outgoing: Vec<Outgoing<'_>> = write.publishes.iter().map(Kept::outgoing).collect();
                write.reply.note_all_left(&outgoing, error);
                write.reply.fail(error, wakes);
            }
            What::Write(_) => {}
            What::Step(step) => step(Err(error.clone())),
        }
    }

    /// Goes on with it; answers what is left, and whether that waits again.
    fn go_on(self, engine: &mut Engine, full: Option<&Error>, now: Now, fx: &mut Effects) -> Option<(Item, bool)> {
        let Item { what, need, bytes } = self;
        match what {
            What::Step(step) => match (full, need) {
                (Some(full), _) => step(Err(full.clone())),
                (None, Some((size, records))) if !engine.staging().has_spare_room(size, records) => {
                    return Some((Item { what: What::Step(step), need, bytes }, true));
                }
                _ => step(Ok((engine, fx))),
            },
            What::Write(write) => {
                let (write, need) = write.go_on(engine, full, now, fx)?;
                let waits = need.is_some();
                return Some((Item { what: What::Write(Box::new(write)), need, bytes }, waits));
            }
        }
        None
    }
}

impl Owned {
    fn go_on(self, engine: &mut Engine, full: Option<&Error>, now: Now, fx: &mut Effects) -> Option<(Self, Need)> {
        let Owned { mut settles, mut publishes, atomic, party, producer, reply, results, is_begun } = self;
        let outgoing: Vec<Outgoing<'_>> = publishes.iter().map(Kept::outgoing).collect();
        let write = Write { settles: &settles, publishes: &outgoing, atomic, party: &party, producer };
        let submission = Submission::resumed(&write, now, reply, results);
        let (left, need) = match engine.submit(submission, full, false, fx) {
            Left::Nothing => return None,
            Left::More(left) => (left, None),
            Left::Waits(left, need) => (left, need),
        };
        let Begun { reply, results, settles: settles_left, publishes: publishes_left } = left.into_begun();
        let is_begun = is_begun || settles_left + publishes_left < settles.len() + publishes.len();
        settles.drain(..settles.len() - settles_left);
        publishes.drain(..publishes.len() - publishes_left);
        Some((Owned { settles, publishes, atomic, party, producer, reply, results, is_begun }, need))
    }
}

impl Kept {
    fn of(outgoing: &Outgoing<'_>) -> Self {
        let Outgoing { message, sequence, required, by_id, waits, refusal } = *outgoing;
        let message = Message::parse(Bytes::copy_from_slice(message.bytes())).expect("it was read as a message before");
        Kept { message, sequence, required, by_id, waits, refusal: refusal.cloned() }
    }

    fn outgoing(&self) -> Outgoing<'_> {
        let Kept { message, sequence, required, by_id, waits, refusal } = self;
        let (sequence, required, by_id, waits) = (*sequence, *required, *by_id, *waits);
        Outgoing { message: message.view(), sequence, required, by_id, waits, refusal: refusal.as_ref() }
    }
}

impl Store {
    /// Takes a step that stages so many records of so many bytes and can wait, once there is room for them; or has it refused.
    pub(crate) fn grow(&self, need: impl FnOnce(&Engine) -> (usize, u32), step: Step) {
        let mut shared = self.lock();
        if let Some(error) = shared.refusal().or_else(|| shared.full.clone()) {
            drop(shared);
            return step(Err(error));
        }
        let mut fx = Effects::default();
        let (size, records) = need(&shared.engine);
        let has_room = shared.unstaged.is_empty() && shared.engine.staging().has_spare_room(size, records);
        if has_room {
            step(Ok((&mut shared.engine, &mut fx)));
        } else if shared.unstaged.bytes + size > UNSTAGED_BYTES_MAX {
            drop(shared);
            return step(Err(too_much()));
        } else {
            let item = Item { what: What::Step(step), need: Some((size, records)), bytes: size };
            shared.unstaged.push(item);
            self.ask_for_room(&mut shared);
        }
        self.settle_effects(shared, &mut fx);
    }

    /// Sees to it that room is prepared for what waits longest. Where it does not wait for a larger spare, it waits for the next
    /// one, which is being prepared, or for what is staged to be written.
    pub(crate) fn ask_for_room(&self, shared: &mut Shared) {
        if shared.wanted_spare() > 0
            && let Some(preparer) = &self.preparer
        {
            preparer.hurry();
        }
    }

    /// Goes on with what waits, as far as there is room.
    pub(crate) fn let_in(&self) {
        loop {
            let mut shared = self.lock();
            let Some(item) = shared.unstaged.items.pop_front() else { return };
            shared.unstaged.bytes -= item.bytes;
            let mut fx = Effects::default();
            let is_stopped = matches!(shared.state, State::Stopped(_));
            match shared.refusal() {
                Some(error) if is_stopped || !item.is_begun() => item.refuse(&error, &mut fx.wakes),
                _ => {
                    let Shared { engine, full, unstaged, .. } = &mut *shared;
                    if let Some((item, waits)) = item.go_on(engine, full.as_ref(), self.clock.now(), &mut fx) {
                        unstaged.bytes += item.bytes;
                        unstaged.items.push_front(item);
                        if waits {
                            self.ask_for_room(&mut shared);
                            return self.settle_effects(shared, &mut fx);
                        }
                    }
                }
            }
            self.settle_effects(shared, &mut fx);
        }
    }
}

impl Item {
    fn is_begun(&self) -> bool {
        matches!(&self.what, What::Write(write) if write.is_begun)
    }
}

impl Shared {
    /// How large a batch the spare is to take for what waits longest; 0 where it is large enough.
    pub(crate) fn wanted_spare(&mut self) -> u64 {
        let need = self.unstaged.items.front().and_then(|item| item.need);
        need.and_then(|(bytes, records)| self.engine.staging().wanted_spare(bytes, records)).unwrap_or(0)
    }
}

fn too_much() -> Error {
    Error::new(Code::Busy, "too much waits for room in the log just now; try again")
}
