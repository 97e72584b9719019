//! What waits for room in the log, before anything of it is staged: what is staged cannot be taken back, and nobody knows yet
//! whether the disk has room.
//!
//! It goes on, in the order in which it came, when room was prepared; it is refused when there is none. Settles that find room pass it
//! by.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use skep_core::{Now, Outgoing, Reply, Wakes, Write};
use skep_protocol::{Code, Error, Message, ProducerId, Settle};

use crate::engine::{Begun, Claim, Effects, Engine, Left, Need, Results, Shortage, Submission};
use crate::limits::UNSTAGED_BYTES_MAX;
use crate::store::{Shared, State, Store};

/// A step that stages something, or is refused.
pub(crate) type Step = Box<dyn FnOnce(Result<(&mut Engine, &mut Effects), Error>) + Send>;

/// Bytes that a message is counted beside its own.
const MESSAGE_BYTES: usize = 256;

/// And a settle.
const SETTLE_BYTES: usize = 64;

/// All that waits, in order.
#[derive(Default)]
pub(crate) struct Unstaged {
    items: VecDeque<Item>,
    bytes: usize,
}

struct Item {
    what: What,
    need: Option<Need>,
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
    pub(crate) fn keep(
        &mut self,
        write: &Write<'_>,
        submission: Submission<'_>,
        need: Option<Need>,
        wakes: &mut Wakes,
    ) {
        let (settles, publishes) = submission.left();
        let bytes = publishes.iter().map(|outgoing| outgoing.message.bytes().len() + MESSAGE_BYTES).sum::<usize>()
            + settles.iter().map(|settle| settle.action.text_bytes() + SETTLE_BYTES).sum::<usize>();
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

    fn push_front(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.items.push_front(item);
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
    fn go_on(self, engine: &mut Engine, short: &Shortage, now: Now, fx: &mut Effects) -> Option<(Item, bool)> {
        let Item { what, need, bytes } = self;
        match what {
            What::Step(step) => match judge(need, engine, short) {
                Judged::Refused(error) => step(Err(error)),
                Judged::Waits => return Some((Item { what: What::Step(step), need, bytes }, true)),
                Judged::Goes => step(Ok((engine, fx))),
            },
            What::Write(write) => {
                let (write, need) = write.go_on(engine, short, now, fx)?;
                let waits = need.is_some();
                return Some((Item { what: What::Write(Box::new(write)), need, bytes }, waits));
            }
        }
        None
    }
}

impl Owned {
    fn go_on(self, engine: &mut Engine, short: &Shortage, now: Now, fx: &mut Effects) -> Option<(Self, Option<Need>)> {
        let Owned { mut settles, mut publishes, atomic, party, producer, reply, results, is_begun } = self;
        let outgoing: Vec<Outgoing<'_>> = publishes.iter().map(Kept::outgoing).collect();
        let write = Write { settles: &settles, publishes: &outgoing, atomic, party: &party, producer };
        let submission = Submission::resumed(&write, now, reply, results);
        let (left, need) = match engine.submit(submission, short, false, fx) {
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
    /// Takes a step that stages so much, once there is room for it; or has it refused.
    pub(crate) fn stage(&self, need: impl FnOnce(&Engine) -> Need, step: Step) {
        let mut shared = self.lock();
        if let Some(error) = shared.refusal() {
            drop(shared);
            return step(Err(error));
        }
        let mut fx = Effects::default();
        let need = need(&shared.engine);
        let judged = match judge(Some(need), &shared.engine, &shared.short) {
            // What grows the store waits behind others that do.
            Judged::Goes if need.claim == Claim::Growth && !shared.unstaged.is_empty() => Judged::Waits,
            judged => judged,
        };
        let is_too_much = shared.unstaged.bytes + need.bytes > UNSTAGED_BYTES_MAX;
        match judged {
            Judged::Waits if is_too_much => {
                drop(shared);
                return step(Err(too_much()));
            }
            Judged::Goes => step(Ok((&mut shared.engine, &mut fx))),
            Judged::Refused(error) => {
                drop(shared);
                return step(Err(error));
            }
            Judged::Waits => {
                shared.unstaged.push(Item { what: What::Step(step), need: Some(need), bytes: need.bytes });
                self.ask_for_room(&mut shared);
            }
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

    /// What waits longest is refused, if nothing smaller will do for it.
    pub(crate) fn refuse_first(&self, error: &Error) {
        let mut shared = self.lock();
        let Some(item) = shared.unstaged.items.pop_front() else { return };
        shared.unstaged.bytes -= item.bytes;
        let mut fx = Effects::default();
        let short = Shortage { growth: Some(error.clone()), settles: Some(error.clone()) };
        if let Some((item, _)) = item.go_on(&mut shared.engine, &short, self.clock.now(), &mut fx) {
            shared.unstaged.push_front(item);
        }
        self.settle_effects(shared, &mut fx);
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
                    let Shared { engine, short, unstaged, .. } = &mut *shared;
                    if let Some((item, waits)) = item.go_on(engine, short, self.clock.now(), &mut fx) {
                        unstaged.push_front(item);
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
        need.and_then(|need| self.engine.staging().wanted_spare(&need)).unwrap_or(0)
    }
}

/// What becomes of a step.
enum Judged {
    Goes,
    Waits,
    Refused(Error),
}

fn judge(need: Option<Need>, engine: &Engine, short: &Shortage) -> Judged {
    let Some(need) = need else { return Judged::Goes };
    match short.of(need.claim) {
        // Whatever is left of what was prepared is for others.
        Some(error) if need.claim == Claim::Growth => Judged::Refused(error.clone()),
        _ if engine.has_room(&need) => Judged::Goes,
        Some(error) => Judged::Refused(error.clone()),
        None => Judged::Waits,
    }
}

fn too_much() -> Error {
    Error::new(Code::Busy, "too much waits for room in the log just now; try again")
}
