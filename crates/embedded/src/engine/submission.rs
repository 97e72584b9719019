//! A write on its way through the engine, slice by slice: none holds the lock for longer than
//! some work takes, however much one frame asks for.

use std::slice::Iter;

use skep_core::{Completion, Kept, Now, Outgoing, Reply, Run, Wakes, Write};
use skep_protocol::{Code, Error, Position, Settle};

use super::publish::Plan;
use super::{Claim, Effects, Engine, Need, Shortage};
use crate::limits::SLICE_STEPS_MAX;

/// A write, and what became of it so far.
pub(crate) struct Submission<'a> {
    write: &'a Write<'a>,
    now: Now,
    reply: Reply,
    results: Results,
    /// What is left of it.
    settles: Iter<'a, Settle>,
    publishes: Iter<'a, Outgoing<'a>>,
}

/// What is left of a write after a step of it.
pub(crate) enum Left<'a> {
    Nothing,
    /// The rest, for the next slice.
    More(Submission<'a>),
    /// The rest, whose next part waits for so much room in the log, or behind others; nothing of that part is staged.
    Waits(Submission<'a>, Option<Need>),
}

/// What a submission takes along when its write is kept elsewhere.
pub(crate) struct Begun {
    pub(crate) reply: Reply,
    pub(crate) results: Results,
    /// How many are left.
    pub(crate) settles: usize,
    pub(crate) publishes: usize,
}

/// How far a slice came.
enum Slice {
    Through,
    More,
    Waits(Option<Need>),
}

/// Results, gathered into runs of which the same can be said; and the position on whose
/// durability the answer waits.
#[derive(Default)]
pub(crate) struct Results {
    pub(super) completion: Completion,
    at: Option<u64>,
    /// It waits until that is synced, whatever the level of the records.
    is_synced: bool,
}

impl<'a> Submission<'a> {
    pub(crate) fn new(write: &'a Write<'a>, now: Now, reply: Reply) -> Self {
        let (settles, publishes) = (write.settles.iter(), write.publishes.iter());
        Submission { write, now, reply, results: Results::default(), settles, publishes }
    }

    /// Goes on with what was left of one.
    pub(crate) fn resumed(write: &'a Write<'a>, now: Now, reply: Reply, results: Results) -> Self {
        Submission { results, ..Submission::new(write, now, reply) }
    }

    /// What is left of its write.
    pub(crate) fn left(&self) -> (&'a [Settle], &'a [Outgoing<'a>]) {
        (self.settles.as_slice(), self.publishes.as_slice())
    }

    /// What it is without its write.
    pub(crate) fn into_begun(mut self) -> Begun {
        self.note_left();
        let (settles, publishes) = (self.settles.len(), self.publishes.len());
        Begun { reply: self.reply, results: self.results, settles, publishes }
    }

    /// Nothing of it was taken, and nothing will be.
    pub(crate) fn refuse(mut self, error: &Error, wakes: &mut Wakes) {
        self.reply.note_all_left(self.write.publishes, error);
        self.reply.fail(error, wakes);
    }

    /// Nothing more of it will be taken.
    pub(crate) fn refuse_rest(self, error: &Error, wakes: &mut Wakes) {
        let is_begun =
            self.settles.len() + self.publishes.len() < self.write.settles.len() + self.write.publishes.len();
        // What was taken may be durable or not: the reply, dropped, says just that.
        if !is_begun {
            self.refuse(error, wakes);
        }
    }

    /// What no queue takes of what was looked at is remembered, while it is here.
    fn note_left(&mut self) {
        let runs = &self.results.completion.publishes;
        let all = self.write.publishes;
        let looked_at = if self.write.atomic { all.len() } else { all.len() - self.publishes.len() };
        let decided: u32 = runs.iter().map(|run| run.count).sum();
        // Before these, others were.
        let first = decided.saturating_sub(u32::try_from(looked_at).unwrap_or(u32::MAX));
        self.reply.note_left(first, all.get(..looked_at).unwrap_or_default(), runs);
    }

    fn is_through(&self) -> bool {
        self.settles.as_slice().is_empty() && self.publishes.as_slice().is_empty()
    }
}

impl Engine {
    /// Takes a write, or a slice of it: stages what it says, and answers it once that is durable.
    /// Answers what is left of it. With a full disk, what is new and grows the store is refused. While nobody knows whether it is
    /// full, no room being prepared, that waits, before anything of it is staged; and where others wait, behind them.
    pub(crate) fn submit<'a>(
        &mut self,
        mut submission: Submission<'a>,
        short: &Shortage,
        others_wait: bool,
        fx: &mut Effects,
    ) -> Left<'a> {
        let now = submission.now;
        let slice = if submission.write.atomic {
            match self.atomic(submission.write, now, short, others_wait) {
                Ok(results) => {
                    submission.results = results;
                    Slice::Through
                }
                Err(need) => Slice::Waits(need),
            }
        } else {
            self.slice(&mut submission, short, others_wait)
        };
        let left = match slice {
            Slice::Through => {
                submission.note_left();
                let Submission { results, reply, .. } = submission;
                self.answer(results.at, results.is_synced, reply, results.completion, fx);
                Left::Nothing
            }
            Slice::More => Left::More(submission),
            Slice::Waits(need) => Left::Waits(submission, need),
        };
        self.dispatch_touched(now, fx);
        left
    }

    /// Each item for itself.
    fn slice(&mut self, submission: &mut Submission<'_>, short: &Shortage, others_wait: bool) -> Slice {
        let Submission { write, now, results, .. } = submission;
        let mut steps = 0;
        while steps < SLICE_STEPS_MAX {
            if let Some(settle) = submission.settles.as_slice().first() {
                let settled = match self.waits_to_settle(settle, short) {
                    Ok(None) => self.settle(settle, *now, short),
                    Ok(need) => return Slice::Waits(need),
                    Err(error) => Err(error),
                };
                submission.settles.next();
                results.settled(settled);
                steps += 1;
            } else if let Some(outgoing) = submission.publishes.as_slice().first() {
                if others_wait && outgoing.waits {
                    return Slice::Waits(None);
                }
                self.begin_routes();
                let mut plan = self.plan(write, outgoing, *now, short.growth.as_ref());
                if let Some(need) = self.waits_for_room(&plan, write, outgoing) {
                    if outgoing.waits {
                        return Slice::Waits(Some(need));
                    }
                    plan = Plan::Refused(Error::new(Code::Busy, "the log has no room prepared just now; try again"));
                }
                if let Err(error) = self.check_room(&plan, write, outgoing) {
                    plan = Plan::Refused(error);
                }
                submission.publishes.next();
                self.publish(write, outgoing, plan, *now, results);
                steps += 1 + self.route_steps;
            } else {
                return Slice::Through;
            }
        }
        if submission.is_through() { Slice::Through } else { Slice::More }
    }

    /// What room in the log a publish waits for, if there is none for it now that nothing else has a claim to.
    fn waits_for_room(&self, plan: &Plan, write: &Write<'_>, outgoing: &Outgoing<'_>) -> Option<Need> {
        let (bytes, records) = Self::cost(plan, write, outgoing);
        let need = Need { claim: Claim::Growth, bytes, records };
        (records > 0 && !self.has_room(&need)).then_some(need)
    }
}

impl Results {
    /// The answer waits for this record, too.
    pub(super) fn wait(&mut self, at: u64) {
        self.at = self.at.max(Some(at));
    }

    /// And until it is synced.
    pub(super) fn wait_synced(&mut self) {
        self.is_synced = true;
    }

    pub(super) fn settled(&mut self, result: Result<u64, Error>) {
        if let Ok(at) = result {
            self.wait(at);
        }
        self.completion.settles.push(result.map(|_| ()));
    }

    pub(super) fn refused(&mut self, error: Error) {
        match self.completion.publishes.last_mut() {
            Some(Run { count, result: Err(last) }) if *last == error => *count += 1,
            _ => self.completion.publishes.push(Run { count: 1, result: Err(error) }),
        }
    }

    pub(super) fn kept(&mut self, kept: Kept) {
        if let Some(Run { count, result: Ok(last) }) = self.completion.publishes.last_mut() {
            let next = match last.position {
                Some(Position::Number(first)) => Some(Position::Number(first + u64::from(*count))),
                other => other,
            };
            let same_queue = last.waiting.as_ref().map(|(name, _)| name) == kept.waiting.as_ref().map(|(name, _)| name);
            let alike = |kept: &Kept| (kept.queues, kept.skipped, kept.duplicate, kept.durability, kept.by_id);
            let same = alike(&kept) == alike(last);
            if kept.position == next && same_queue && same {
                *count += 1;
                last.waiting = kept.waiting;
                return;
            }
        }
        self.completion.publishes.push(Run { count: 1, result: Ok(kept) });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use skep_protocol::{Code, Filter, Message, MessageId, QueueName, QueueSpec, Topic};

    use super::*;
    use crate::limits::ROUTE_STEPS_MAX;

    const NOW: Now = Now { mono_ms: 1, unix_ms: 1 };
    const QUEUES: u32 = 500;

    /// 500 queues with 64 filters each, all of which match `a<n>.x.x.x.x.x.x`.
    fn engine() -> Engine {
        let mut engine = Engine::new(1);
        for id in 1..=QUEUES {
            let filters = (0..64).map(|n| {
                let tokens: Vec<&str> = (0..6).map(|bit| if n >> bit & 1 == 0 { "x" } else { "*" }).collect();
                Filter::new(&format!("*.{}", tokens.join("."))).unwrap()
            });
            let spec = QueueSpec::new(QueueName::new(&format!("q{id}")).unwrap());
            engine.set_spec(id, QueueSpec { filters: filters.collect(), ..spec });
        }
        engine
    }

    fn message(id: usize, topics: usize) -> Message {
        let mut message = Message::build(&MessageId::new(&id.to_string()).unwrap(), "test", "note");
        for n in 0..topics {
            message = message.to(&Topic::new(&format!("a{n}.x.x.x.x.x.x")).unwrap());
        }
        message.finish().unwrap()
    }

    /// How many slices a write takes, and what became of its publishes.
    fn submit(engine: &mut Engine, messages: &[Message], atomic: bool) -> (usize, Vec<Run>) {
        let publishes: Vec<Outgoing<'_>> =
            messages.iter().map(|message| Outgoing { waits: false, ..Outgoing::new(message) }).collect();
        let write = Write { settles: &[], publishes: &publishes, atomic, party: "test", producer: None };
        let answer = Arc::new(Mutex::new(None));
        let to = answer.clone();
        let reply = Reply::call(move |completion| *to.lock().unwrap() = Some(completion));
        let mut left = Some(Submission::new(&write, NOW, reply));
        let mut slices = 0;
        while let Some(submission) = left {
            assert!(answer.lock().unwrap().is_none(), "answered before its last slice");
            left = match engine.submit(submission, &Shortage::default(), false, &mut Effects::default()) {
                Left::More(submission) => Some(submission),
                _ => None,
            };
            // One more for each that is broken off at its first step.
            assert!(engine.route_steps <= ROUTE_STEPS_MAX + messages.len(), "{} steps", engine.route_steps);
            slices += 1;
        }
        let completion: Completion = answer.lock().unwrap().take().expect("an answer");
        (slices, completion.publishes)
    }

    #[test]
    fn a_queue_is_gathered_once_however_many_of_its_filters_match() {
        let mut engine = engine();
        let (slices, runs) = submit(&mut engine, &[message(1, 3)], false);
        assert_eq!((slices, runs.len()), (1, 1));
        assert_eq!(runs[0].result.as_ref().map(|kept| kept.queues), Ok(QUEUES));
        assert!(engine.route_steps > 3 * 64 * 500, "every filter is met, {} steps", engine.route_steps);
        assert!(engine.matched.capacity() <= 2 * 500, "{} gathered", engine.matched.capacity());
    }

    #[test]
    fn a_message_whose_way_is_too_far_is_refused_and_says_what_to_do() {
        let mut engine = engine();
        let (_, runs) = submit(&mut engine, &[message(1, 64), message(2, 1)], false);
        let refused = runs[0].result.as_ref().unwrap_err();
        assert_eq!(refused.code, Code::TooLarge);
        assert!(refused.text.contains("give it fewer topics"), "{refused}");
        assert_eq!(runs[1].result.as_ref().map(|kept| kept.queues), Ok(QUEUES), "the next one is not");
    }

    #[test]
    fn an_atomic_step_goes_no_further_than_one_message() {
        let mut engine = engine();
        let messages: Vec<Message> = (0..5).map(|n| message(n, 1)).collect();
        let (slices, runs) = submit(&mut engine, &messages, true);
        assert_eq!((slices, runs.len(), runs[0].count), (1, 1, 5));
        assert_eq!(runs[0].result.as_ref().unwrap_err().code, Code::TooLarge);
        assert_eq!(submit(&mut engine, &messages[..3], true).1[0].result.as_ref().map(|kept| kept.queues), Ok(QUEUES));
    }

    #[test]
    fn a_large_batch_is_taken_in_slices_and_answered_once_in_order() {
        let mut engine = engine();
        let messages: Vec<Message> = (0..40).map(|n| message(n, if n == 7 { 64 } else { 1 })).collect();
        let (slices, runs) = submit(&mut engine, &messages, false);
        assert_eq!(slices, 40, "each of them is a slice");
        let counts: Vec<(u32, bool)> = runs.iter().map(|run| (run.count, run.result.is_ok())).collect();
        assert_eq!(counts, [(7, true), (1, false), (32, true)]);
        engine.set_spec(QUEUES + 1, QueueSpec::new(QueueName::new("jobs").unwrap()));
        let jobs = Topic::new("jobs").unwrap();
        let plain = |n: usize| Message::build(&MessageId::new(&n.to_string()).unwrap(), "test", "note").to(&jobs);
        let plain: Vec<Message> = (0..4096).map(|n| plain(n).finish().unwrap()).collect();
        let (slices, runs) = submit(&mut engine, &plain, false);
        assert_eq!((slices, runs.len()), (1, 1), "a full frame of plain messages is one slice");
        assert_eq!(runs[0].result.as_ref().map(|kept| kept.queues), Ok(1));
    }
}
