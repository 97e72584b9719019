//! The order of events: who does what next, and what breaks.

use super::client::{Client, Role};
use super::oracle::Judged;
use super::places::PLACES;
use super::world::World;
use skep_embedded::disk::recording::Call;
use skep_protocol::{Action, Binding};

/// The client that declares the queues.
const MANAGER: usize = 8;
/// Rounds within which everything is worked off.
const ROUNDS_MAX: u64 = 3_000;
/// Rounds within which everybody has an answer, also on a full disk.
const ANSWER_ROUNDS: u64 = 60;
/// How far the clock on the wall jumps ahead, or back, in all: what is recognised by its id is so for ten minutes.
const JUMPS_MAX_MS: u64 = 180_000;

impl World {
    /// The hub opens, and so many things happen.
    pub(super) fn live(&mut self, steps: u64) -> Judged {
        self.open()?;
        self.connect(MANAGER, false);
        self.declare(MANAGER);
        for _ in 0..40 {
            self.round()?;
        }
        (0..steps).try_for_each(|_| self.step())
    }

    fn step(&mut self) -> Judged {
        if self.life().steps.has_ended() && self.random.percent(5) {
            return self.restart_after_failure();
        }
        let at = usize::try_from(self.random.below(self.clients.len() as u64)).unwrap_or(0);
        if self.random.below(2_000) < self.faults {
            return self.fault();
        }
        match self.random.below(1_000) {
            0..450 => return self.traffic(at),
            450..700 => self.store_step(),
            700..750 => self.time(),
            750..997 => return self.act(at),
            _ => self.cut(at),
        }
        Ok(())
    }

    /// Something goes on between a client and the hub.
    fn traffic(&mut self, at: usize) -> Judged {
        let Some(line) = &self.clients[at].line else { return Ok(()) };
        let is_due = line.is_due(self.now);
        match self.random.below(3) {
            0 if line.is_said() => {
                let count = usize::try_from(self.random.between(1, 4)).unwrap_or(1);
                self.turn(at, count);
            }
            1 if is_due => return self.poll(at),
            2 => self.hear(at),
            _ => {}
        }
        Ok(())
    }

    fn store_step(&mut self) {
        let chance = self.random.below(20);
        let steps = &mut self.life().steps;
        let (what, was_done) = match chance {
            0..12 => ("write", steps.write()),
            12..16 => ("read", steps.read()),
            16 | 17 => ("prepare", steps.prepare()),
            18 => ("snapshot", steps.snapshot()),
            _ => ("look", steps.look()),
        };
        if was_done {
            self.oracle.counts.cold += u64::from(what == "read");
            self.oracle.counts.snapshots += u64::from(what == "snapshot");
            let operations = self.disk.operations();
            self.trace.note(format!("{what}, {operations} operations"));
        }
    }

    fn time(&mut self) {
        let ms = if self.random.percent(6) { self.random.between(200, 2_500) } else { self.random.between(1, 20) };
        self.pass(ms);
        if self.random.percent(40) {
            self.life().hub.tick();
        }
    }

    fn fault(&mut self) -> Judged {
        match self.random.below(100) {
            0..30 => {
                // In the middle of whatever the store does next.
                let before = self.disk.operations();
                self.store_step();
                let at = self.random.between(before as u64, self.disk.operations() as u64);
                self.crash(usize::try_from(at).unwrap_or(before));
                self.reopen()
            }
            30..38 => {
                self.trace.note("a sync is going to fail".into());
                self.disk.fail_sync_after(self.random.below(3));
                Ok(())
            }
            38..45 => {
                self.trace.note("the hub closes".into());
                self.end_life(true);
                let operations = self.disk.operations();
                self.crash(operations);
                self.reopen()
            }
            45..65 => {
                self.is_full = !self.is_full;
                self.oracle.counts.full += u64::from(self.is_full);
                let room = self.is_full.then(|| self.random.below(40_000));
                self.trace.note(format!("the disk has room for {room:?}"));
                self.disk.set_room(room);
                if self.is_full && self.random.percent(30) { self.demand_answers() } else { Ok(()) }
            }
            65..80 => {
                self.jump();
                Ok(())
            }
            80..92 => {
                let call = *self.random.pick(&[Call::Write, Call::Create, Call::Remove, Call::Read]);
                self.trace.note(format!("a call is going to fail: {call:?}"));
                // Removals are few.
                let skip = if call == Call::Remove { 0 } else { self.random.below(4) };
                self.disk.fail_after(call, skip);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Also without room whoever published is told what became of it, within a bound.
    fn demand_answers(&mut self) -> Judged {
        for at in (0..self.clients.len()).filter(|at| self.clients[*at].role == Role::Publishes).collect::<Vec<_>>() {
            // Before anybody can know.
            self.burst(at)?;
        }
        for _ in 0..ANSWER_ROUNDS {
            self.round()?;
        }
        let waits = |client: &Client| client.is_open && client.unanswered() > 0;
        match (0..self.clients.len()).find(|at| waits(&self.clients[*at])) {
            _ if self.life().steps.has_ended() => Ok(()),
            Some(at) => Err(format!("the disk is full, and client {at} is not told what became of what it published")),
            None => {
                self.oracle.counts.full_answered += 1;
                Ok(())
            }
        }
    }

    /// The clock on the wall is set.
    fn jump(&mut self) {
        let ms = self.random.between(1, 30_000);
        if self.random.percent(50) && self.jumped_ms + ms < JUMPS_MAX_MS {
            self.jumped_ms += ms;
            self.now.unix_ms += ms;
        } else if self.jumped_ms >= ms {
            self.jumped_ms -= ms;
            self.now.unix_ms -= ms;
        }
        self.set_time();
        self.oracle.counts.jumps += 1;
        self.trace.note(format!("on the wall it is {}", self.now.unix_ms));
    }

    fn restart_after_failure(&mut self) -> Judged {
        self.oracle.counts.failed += 1;
        let operations = self.disk.operations();
        self.crash(operations);
        self.reopen()
    }

    /// The hub opens on what a crash left; now and then the next crash comes while it does.
    fn reopen(&mut self) -> Judged {
        let stays_full = self.is_full && self.random.percent(40);
        self.is_full = stays_full;
        self.disk.set_room(stays_full.then_some(0));
        self.open()?;
        if self.random.percent(25) {
            let at = self.random.between(self.opened_at as u64, self.disk.operations() as u64);
            self.crash(usize::try_from(at).unwrap_or(self.opened_at));
            self.oracle.counts.reopenings += 1;
            return self.reopen();
        }
        Ok(())
    }

    /// Everybody and everything has its turn once.
    pub(super) fn round(&mut self) -> Judged {
        for at in 0..self.clients.len() {
            self.turn(at, usize::MAX);
            while self.clients[at].line.as_ref().is_some_and(|line| line.is_due(self.now)) {
                self.poll(at)?;
            }
            while self.clients[at].line.as_ref().is_some_and(|line| line.is_heard() || line.is_closing()) {
                self.hear(at);
            }
        }
        let steps = &mut self.life().steps;
        // With nothing to break, the writer has always something to write for a while, and the reader comes to an end.
        for _ in 0..8 {
            steps.write();
        }
        while steps.read() {}
        steps.look();
        steps.prepare();
        steps.snapshot();
        self.life().hub.tick();
        self.pass(11);
        Ok(())
    }

    /// Nothing breaks any more: what clients have no answer to is sent again, and all that is left is consumed.
    pub(super) fn work_off(&mut self) -> Judged {
        self.trace.note("everything is worked off".into());
        self.disk.set_room(None);
        self.disk.fail_no_more();
        self.is_full = false;
        self.judge_readers()?;
        let restarts = self.random.percent(60) || self.life().steps.has_ended();
        if restarts {
            let closes = self.random.percent(50);
            self.end_life(closes);
            let operations = self.disk.operations();
            self.crash(operations);
            self.open()?;
        }
        (0..self.clients.len()).for_each(|at| self.cut(at));
        let senders = |client: &Client| matches!(client.role, Role::Publishes | Role::HandsOver);
        (0..self.clients.len())
            .filter(|at| senders(&self.clients[*at]))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|at| self.connect(at, false));
        let last = self.clients.len();
        self.clients.push(Client::new(Role::Manages, last as u64 + 1, &mut self.random));
        self.connect(last, false);
        for round in 0..ROUNDS_MAX {
            self.attend_all(last);
            let held: Vec<_> = self.clients[last].held.iter().map(|held| (held.lease, Action::Ack)).collect();
            if !held.is_empty() {
                self.clients[last].settle(held);
            }
            self.round()?;
            let held = self.life().held();
            if round > 20 && held.is_empty() && self.clients.iter().all(Client::is_settled) {
                return self.oracle.judge_books();
            }
            if round == 100 && !restarts && self.clients.iter().all(Client::is_settled) {
                // The longest leases end, and what is recognised for minutes is asked for no more.
                self.pass(600_000);
            }
            // Less than the shortest lease: what is acked is acked in time.
            self.pass(if round > 100 { 150 } else { 5 });
        }
        let unsettled: Vec<usize> = (0..=last).filter(|at| !self.clients[*at].is_settled()).collect();
        Err(format!("it is not worked off: held {:?}, without an answer clients {unsettled:?}", self.life().held()))
    }

    fn attend_all(&mut self, at: usize) {
        if !self.clients[at].is_open {
            return;
        }
        for name in PLACES.iter().flat_map(|place| [place.name, place.dead]) {
            let is_there = self.life().is_there(name);
            let client = &mut self.clients[at];
            if is_there && !client.subscriptions.values().any(|of| *of == name) {
                client.subscribe(name, 20, Binding::Connection);
            }
        }
    }
}
