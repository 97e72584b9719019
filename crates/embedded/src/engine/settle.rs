//! Settles, and the atomic step of settles and publishes.

use foldhash::{HashMap, HashSet};
use skep_core::{Completion, Now, Run, Write};
use skep_protocol::{Action, Code, Ended, Error, Settle};

use super::deliver::Lease;
use super::entry::Entry;
use super::lapse::Lapse;
use super::publish::Plan;
use super::refusals::queue_full;
use super::settled::Kind;
use super::submission::Results;
use super::timers::Timer;
use super::{Claim, Engine, Need, Shortage};
use crate::journal::{By, LeaseOf, QueueId, Record, Token};
use crate::limits::{DECLARE_BYTES, FULL_PROGRESS_BYTES_MAX, FULL_REASON_BYTES_MAX};

/// More bytes than a settle's record takes beside its free text.
const SETTLE_BYTES: usize = 128;

impl Engine {
    /// What room in the log a settle waits for, if there is none now.
    ///
    /// # Errors
    /// When there is none and none can be had.
    pub(super) fn waits_to_settle(&self, settle: &Settle, short: &Shortage) -> Result<Option<Need>, Error> {
        // The first dead letter of a queue comes with the declaration of its dead letters.
        let (claim, more, records) = match settle.action {
            Action::Nack { .. } => (Claim::Trying, DECLARE_BYTES, 2),
            Action::Extend { .. } => (Claim::Trying, 0, 1),
            Action::Reject { .. } => (Claim::Settling, DECLARE_BYTES, 2),
            Action::Ack | Action::Return => (Claim::Settling, 0, 1),
        };
        let bytes = SETTLE_BYTES + settle.action.text_bytes() + more;
        let need = Need { claim, bytes, records };
        // What was settled before, or is lost, takes none.
        if self.has_room(&need) || !self.is_held(settle) {
            return Ok(None);
        }
        short.of(need.claim).map_or(Ok(Some(need)), |error| Err(error.clone()))
    }

    /// Settles one lease, for which there is room; answers the record to wait for.
    pub(super) fn settle(&mut self, settle: &Settle, now: Now, short: &Shortage) -> Result<u64, Error> {
        let token = Token::opened(settle.lease, self.secret).ok_or_else(|| self.lease_lost(settle.lease))?;
        if let Some(at) = self.settled.look(token, &settle.action) {
            return Ok(at);
        }
        if token.open != self.open || !self.leases.contains_key(&token.count) {
            return Err(self.lease_lost(settle.lease));
        }
        if let Action::Extend { lease_ms, progress } = &settle.action {
            if let Some(full) = short.growth.as_ref().filter(|_| settle.action.text_bytes() > FULL_PROGRESS_BYTES_MAX) {
                return Err(full.clone());
            }
            return Ok(self.extend(token, *lease_ms, progress.as_deref(), now));
        }
        let lease = self.end_lease(token.count).ok_or_else(|| self.lease_lost(settle.lease))?;
        let at = match &settle.action {
            Action::Ack => self.ack(&lease, token),
            Action::Nack { after_ms, reason } => {
                // It is kept beside the message: a full disk is not to hold more for it.
                let most = short.growth.as_ref().map_or(usize::MAX, |_| FULL_REASON_BYTES_MAX);
                self.nack(
                    &lease,
                    token,
                    *after_ms,
                    reason.get(..reason.floor_char_boundary(most)).unwrap_or(reason),
                    now,
                )
            }
            Action::Reject { reason } => {
                self.bury(&lease.of(token), lease.entry, lease.progress.clone(), reason, By::Reject)
            }
            Action::Return | Action::Extend { .. } => self.give_back(&lease, token, None),
        };
        if let Some(kind) = Kind::of(&settle.action) {
            self.settled.remember(token, kind, at, now.unix_ms);
        }
        self.touched.push(lease.queue);
        Ok(at)
    }

    /// All or nothing, guarded by every lease. A resend of a step that was done before is answered
    /// as it was then, though its leases are gone: something of it is stored already, and since it
    /// was all or nothing, nothing more of it is to be.
    /// Where it waits for room in the log, or behind others, nothing of it is done.
    pub(super) fn atomic(
        &mut self,
        write: &Write<'_>,
        now: Now,
        short: &Shortage,
        others_wait: bool,
    ) -> Result<Results, Option<Need>> {
        if others_wait && !write.publishes.is_empty() {
            return Err(None);
        }
        self.begin_routes();
        let mut plans: Vec<Plan> =
            write.publishes.iter().map(|outgoing| self.plan(write, outgoing, now, short.growth.as_ref())).collect();
        let mut results = Results::default();
        let done_before = self.is_done_before(write, &plans);
        if done_before {
            plans
                .iter_mut()
                .filter(|plan| !matches!(plan, Plan::Duplicate(..)))
                .for_each(|plan| *plan = Plan::Unmatched);
        }
        if !done_before {
            match self.check_atomic(write, &plans, short) {
                Ok(None) => {}
                Ok(need) => return Err(need),
                Err(error) => {
                    let count = u32::try_from(write.publishes.len()).unwrap_or(u32::MAX);
                    let publishes =
                        (count > 0).then(|| Run { count, result: Err(error.clone()) }).into_iter().collect();
                    results.completion = Completion { settles: vec![Err(error); write.settles.len()], publishes };
                    return Ok(results);
                }
            }
        }
        for settle in write.settles {
            let result = self.settle(settle, now, short);
            results.settled(result);
        }
        for (outgoing, plan) in write.publishes.iter().zip(plans) {
            self.publish(write, outgoing, plan, now, &mut results);
        }
        Ok(results)
    }

    /// Whether everything of it can be done, or what room it waits for; and that it goes into one batch.
    fn check_atomic(&mut self, write: &Write<'_>, plans: &[Plan], short: &Shortage) -> Result<Option<Need>, Error> {
        if let Some(error) = was_another(plans) {
            return Err(error.clone());
        }
        // What publishes anew needs every lease; only a resend of what was done may come without.
        let publishes = plans.iter().any(|plan| matches!(plan, Plan::Store { .. }));
        let mut leases = HashSet::default();
        if let Some(twice) = write.settles.iter().find(|settle| !leases.insert(settle.lease)) {
            return Err(Error::new(Code::InvalidFrame, format!("lease {} stands twice in one step", twice.lease)));
        }
        for settle in write.settles {
            let token = Token::opened(settle.lease, self.secret).ok_or_else(|| self.lease_lost(settle.lease))?;
            let held = self.is_held(settle);
            if !held && (publishes || self.settled.look(token, &settle.action).is_none()) {
                return Err(self.lease_lost(settle.lease));
            }
        }
        let extends_long = |settle: &Settle| {
            matches!(settle.action, Action::Extend { .. }) && settle.action.text_bytes() > FULL_PROGRESS_BYTES_MAX
        };
        if let Some(full) = short.growth.as_ref().filter(|_| write.settles.iter().any(extends_long)) {
            return Err(full.clone());
        }
        self.check_bounds(write, plans)?;
        self.has_memory(growth(write, plans))?;
        // A settle may stage a dead letter, the first of a queue with the declaration of its dead letters.
        let queues = self.queues_settled(write);
        let mut bytes: usize = write.settles.iter().map(|settle| SETTLE_BYTES + settle.action.text_bytes()).sum();
        bytes += queues * DECLARE_BYTES;
        let mut records = u32::try_from(write.settles.len() + queues).unwrap_or(u32::MAX);
        for (outgoing, plan) in write.publishes.iter().zip(plans) {
            if let Plan::Refused(error) = plan {
                return Err(error.clone());
            }
            let cost = Self::cost(plan, write, outgoing);
            bytes += cost.0;
            records = records.saturating_add(cost.1);
        }
        if self.staging.is_too_large(bytes, records) {
            let text = "the step is more than one batch of the log takes; give it fewer messages, or smaller ones";
            return Err(Error::new(Code::TooLarge, text));
        }
        if !self.staging.has_room(bytes, records) {
            return Err(Error::new(Code::Busy, "the log has no room for this step just now; try again"));
        }
        // A settle may bring a dead letter, which waits to be shown, too.
        self.check_crowd(write.settles.len() + plans.iter().map(Plan::entries).sum::<usize>())?;
        let need = Need { claim: if publishes { Claim::Growth } else { Claim::Settling }, bytes, records };
        if records > 0 && !self.has_room(&need) {
            return short.of(need.claim).map_or(Ok(Some(need)), |error| Err(error.clone()));
        }
        self.staging.together(bytes, records);
        Ok(None)
    }

    /// Whether a step is the resend of one that was done: something of it is stored, nothing is another message under its sequence,
    /// and not all of its leases are held still.
    fn is_done_before(&self, write: &Write<'_>, plans: &[Plan]) -> bool {
        let is_stored = plans.iter().any(|plan| matches!(plan, Plan::Duplicate(..)));
        is_stored
            && was_another(plans).is_none()
            && (write.settles.is_empty() || !write.settles.iter().all(|settle| self.is_held(settle)))
    }

    /// Of how many queues leases are settled.
    fn queues_settled(&self, write: &Write<'_>) -> usize {
        let lease = |settle: &Settle| self.leases.get(&Token::opened(settle.lease, self.secret)?.count);
        let mut queues: Vec<QueueId> = write.settles.iter().filter_map(|settle| Some(lease(settle)?.queue)).collect();
        queues.sort_unstable();
        queues.dedup();
        queues.len()
    }

    fn is_held(&self, settle: &Settle) -> bool {
        let token = Token::opened(settle.lease, self.secret);
        token.is_some_and(|token| token.open == self.open && self.leases.contains_key(&token.count))
    }

    /// Whether the queues have room for all of it together.
    fn check_bounds(&self, write: &Write<'_>, plans: &[Plan]) -> Result<(), Error> {
        let mut more: HashMap<QueueId, (u64, u64)> = HashMap::default();
        for (outgoing, plan) in write.publishes.iter().zip(plans) {
            let Plan::Store { queues, .. } = plan else { continue };
            for id in &self.matched[queues.clone()] {
                let (messages, bytes) = more.entry(*id).or_default();
                *messages += 1;
                *bytes += outgoing.message.bytes().len() as u64;
            }
        }
        for (id, (messages, bytes)) in more {
            let Some(queue) = self.queues.get(&id) else { continue };
            if queue.held + messages > queue.spec.messages_max || queue.held_bytes + bytes > queue.spec.bytes_max {
                return Err(queue_full(queue));
            }
        }
        Ok(())
    }

    fn ack(&mut self, lease: &Lease, token: Token) -> u64 {
        self.release(lease.queue, &lease.entry);
        self.staging.append_at(lease.entry.level, &Record::Ack(lease.of(token)))
    }

    fn nack(&mut self, lease: &Lease, token: Token, after_ms: Option<u64>, reason: &str, now: Now) -> u64 {
        if self.is_spent(lease.queue, &lease.entry) {
            return self.bury(&lease.of(token), lease.entry, lease.progress.clone(), reason, By::Nack);
        }
        let delay_ms = after_ms.unwrap_or_else(|| self.backoff(lease.queue, &lease.entry));
        let not_before_ms = now.unix_ms.saturating_add(delay_ms);
        self.note(lease, reason);
        let record = Record::Nack { lease: lease.of(token), not_before_ms, reason };
        let at = self.staging.append_at(lease.entry.level, &record);
        self.delay(lease.queue, lease.entry, not_before_ms);
        at
    }

    fn extend(&mut self, token: Token, lease_ms: Option<u64>, progress: Option<&str>, now: Now) -> u64 {
        self.lapse_not(token.count);
        let Some(lease) = self.leases.get_mut(&token.count) else { return 0 };
        let queue_ms = self.queues.get(&lease.queue).map_or(0, |queue| queue.spec.lease_ms);
        let lease_ms = lease_ms.unwrap_or(queue_ms).clamp(100, 24 * 3_600_000);
        lease.timer.into_iter().for_each(|timer| self.timers.clear(timer, Timer::Lease(token.count)));
        lease.deadline_ms = now.mono_ms.saturating_add(lease_ms);
        if let Some(progress) = progress.filter(|progress| !progress.is_empty()) {
            lease.progress = Some(progress.to_owned());
        }
        let record = Record::Extend { lease: lease.of(token), lease_ms, progress: progress.unwrap_or_default() };
        lease.timer = Some(self.timers.set(lease.deadline_ms, Timer::Lease(token.count)));
        self.staging.append_at(lease.entry.level, &record)
    }

    /// A leased message is ready again at once: because its consumer said so, or because the lease
    /// lapsed.
    pub(super) fn give_back(&mut self, lease: &Lease, token: Token, lapse: Option<Lapse>) -> u64 {
        let mut entry = lease.entry;
        let (charged, reason) = lapse.map_or((false, ""), |lapse| (lapse.is_charged(), lapse.reason()));
        if charged && self.is_spent(lease.queue, &entry) {
            return self.bury(&lease.of(token), entry, lease.progress.clone(), reason, By::Hub);
        }
        if charged {
            self.note(lease, reason);
        } else {
            entry.attempts -= 1;
        }
        let at = self.staging.append_at(entry.level, &Record::Return { lease: lease.of(token), charged, reason });
        if let Some(queue) = self.queues.get_mut(&lease.queue) {
            queue.put(entry);
        }
        at
    }

    /// The next attempt learns why this one ended.
    fn note(&mut self, lease: &Lease, reason: &str) {
        if let Some(queue) = self.queues.get_mut(&lease.queue) {
            let ended = Ended { reason: reason.to_owned(), progress: lease.progress.clone() };
            queue.note(lease.entry.position, ended);
        }
    }

    /// Doubles with every attempt, with up to a quarter of jitter.
    fn backoff(&mut self, queue: u32, entry: &Entry) -> u64 {
        let Some(queue) = self.queues.get(&queue) else { return 0 };
        let (min_ms, max_ms) = queue.backoff_ms(entry.position);
        let delay = min_ms.saturating_mul(1 << entry.attempts.saturating_sub(1).min(32)).min(max_ms);
        let jitter = self.next_random() % (delay / 4 + 1);
        delay - jitter
    }

    /// splitmix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether no attempt is left.
    pub(super) fn is_spent(&self, queue: u32, entry: &Entry) -> bool {
        let max = self.queues.get(&queue).map_or(0, |queue| queue.attempts_max(entry.position));
        max > 0 && entry.attempts >= max
    }
}

impl Lease {
    pub(super) fn of(&self, token: Token) -> LeaseOf {
        LeaseOf { queue: self.queue, position: self.entry.position, token, attempt: self.entry.attempts }
    }
}

/// What is said of a message under whose sequence another one came, or whose sequence is too old to know: it is no resend.
fn was_another(plans: &[Plan]) -> Option<&Error> {
    plans.iter().find_map(|plan| match plan {
        Plan::Refused(error) if matches!(error.code, Code::Conflict | Code::DedupWindowPassed) => Some(error),
        _ => None,
    })
}

/// How many more messages queues hold after a step than before: what is acked makes room for what is published.
fn growth(write: &Write<'_>, plans: &[Plan]) -> u64 {
    let entries = plans.iter().map(|plan| if let Plan::Store { queues, .. } = plan { queues.len() } else { 0 });
    let acks = write.settles.iter().filter(|settle| settle.action == Action::Ack).count();
    entries.sum::<usize>().saturating_sub(acks) as u64
}
