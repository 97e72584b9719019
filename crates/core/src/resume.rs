//! Sessions whose connection was lost: kept for some seconds, so that a client that comes
//! back loses no lease, no reply and no receipt.

use std::sync::PoisonError;
use std::time::Duration;

use foldhash::HashMap;
use skep_protocol::{LeaseToken, ResumeToken};

use crate::clock::Now;
use crate::hub::Hub;
use crate::limits::{PARKED_MAX, RESUME_GRACE_MS};
use crate::policy::Party;
use crate::session::Session;

/// How long a connection is given to let go of its session, for another that takes it up.
const LET_GO_MAX: Duration = Duration::from_millis(500);

/// Parked sessions, by the secret that takes them up again, and until when they wait.
#[derive(Default)]
pub(crate) struct Parked(HashMap<ResumeToken, (Session, u64)>);

impl Session {
    /// The secret that takes this session up again after its connection was lost.
    #[must_use]
    pub fn resume_token(&self) -> ResumeToken {
        self.resume
    }

    /// Parks the session of a lost connection: nothing more is delivered to it until it is
    /// resumed; after the grace it ends, and its leases are lost.
    pub fn park(mut self, now: Now) {
        self.depart(now);
        self.subscriptions.consumers().for_each(|(consumer, _)| consumer.set_window(0, 0));
        let (hub, mailbox) = (self.hub.clone(), self.mailbox.clone());
        let mut parked = hub.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = if parked.0.len() < PARKED_MAX {
            let until = now.mono_ms + RESUME_GRACE_MS;
            parked.0.insert(self.resume, (self, until)).map(|(older, _)| older)
        } else {
            Some(self)
        };
        // A session that ends takes other locks: never under this one.
        drop(parked);
        drop(refused);
        mailbox.let_go.notify_waiters();
    }
}

impl Hub {
    /// Waits until a session can be taken up: the client may know that its connection is dead
    /// before the hub does. Ends at once when no connection holds the session, or when that
    /// connection does not let go in time.
    pub(crate) async fn await_parked(&self, token: ResumeToken, party: &Party) {
        let holder = self.attached.lock().unwrap_or_else(PoisonError::into_inner).get(&token).cloned();
        let Some((_, holder)) = holder.filter(|(owner, _)| owner == party) else { return };
        if !self.is_held(token) {
            return;
        }
        holder.evict();
        let let_go = async {
            loop {
                // What is told from here on is heard, even before it is awaited.
                let told = holder.let_go.notified();
                if !self.is_held(token) {
                    return;
                }
                told.await;
            }
        };
        if tokio::time::timeout(LET_GO_MAX, let_go).await.is_err() {
            tracing::warn!("a connection did not let go of its session, which another wanted to take up");
        }
    }

    /// Whether a connection holds this session: it is neither parked nor gone.
    fn is_held(&self, token: ResumeToken) -> bool {
        let is_parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner).0.contains_key(&token);
        !is_parked && self.attached.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&token)
    }

    /// Takes up a parked session of the same party. Answers it and which of the leases that
    /// the client still holds are lost; messages that never reached it return, uncharged, and it is told once more
    /// which of its queues are gone.
    pub fn resume(
        &self,
        token: ResumeToken,
        party: &Party,
        held: &[LeaseToken],
        now: Now,
    ) -> Option<(Session, Vec<LeaseToken>)> {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if parked.0.get(&token).is_none_or(|(session, _)| session.party() != party) {
            return None;
        }
        let (mut session, _) = parked.0.remove(&token)?;
        drop(parked);
        session.arrive(now);
        session.mailbox.taken_up();
        session.ready.extend(session.subscriptions.ended());
        let mut kept: Vec<LeaseToken> =
            session.subscriptions.consumers().flat_map(|(consumer, _)| consumer.keep(held, now)).collect();
        // Only now: what a read from disk still brought may be of a lease that was just ended, and nothing new comes yet.
        session.mailbox.forget_deliveries();
        session.subscriptions.consumers().for_each(|(consumer, window)| consumer.set_window(window.0, window.1));
        kept.sort_unstable();
        let lost = held.iter().filter(|lease| kept.binary_search(lease).is_err()).copied().collect();
        self.telemetry.resumed(1);
        Some((session, lost))
    }

    /// Ends the parked sessions whose grace has passed; without a moment, all of them.
    pub(crate) fn end_parked(&self, now: Option<Now>) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = |until: u64| now.is_none_or(|now| until <= now.mono_ms);
        let late = parked.0.iter().filter(|(_, (_, until))| is_late(*until));
        let mut late: Vec<(u64, ResumeToken)> = late.map(|(token, (_, until))| (*until, *token)).collect();
        // In the order in which they were lost.
        late.sort_unstable();
        let ended: Vec<_> = late.iter().filter_map(|(_, token)| parked.0.remove(token)).collect();
        drop(parked);
        drop(ended);
    }
}
