//! What sessions share: the backend, the facts, the policy, who listens live, who is here.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use foldhash::HashMap;
use skep_protocol::{AgentId, Code, Error, Filter, Message, ProducerId, QueueInfo, ResumeToken, Topic};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::backend::{Backend, Gauge};
use crate::clock::{Clock, Now};
use crate::expiry::{check_expiry, is_early};
use crate::facts::Facts;
use crate::guard::{Guard, Guards};
use crate::limits::{LIVE_COPIES_MAX, PRESENCE_KEEP_MAX};
use crate::live::Live;
use crate::mailbox::{Mailbox, Wakes};
use crate::policy::{Credentials, Party, Policy};
use crate::registry::Registry;
use crate::request::{self, Replies};
use crate::resume::Parked;
use crate::router::Router;
use crate::session::Session;
use crate::telemetry::{Counters, Telemetry};
use crate::unstored::Unstored;

/// How often it looks for what time asks of it.
const TICK: Duration = Duration::from_millis(250);

/// What a hub is told when it opens.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Name and version, for people.
    pub name: String,
    /// Largest payload, in bytes.
    pub payload_bytes_max: usize,
    /// What stops loops that nobody watches.
    pub guards: Guards,
}

/// The hub: one, shared by all sessions.
pub struct Hub {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) facts: Arc<dyn Facts>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) registry: Registry,
    pub(crate) replies: Replies,
    pub(crate) parked: Mutex<Parked>,
    /// Sessions that can be taken up again, parked or not, by the secret for that.
    pub(crate) attached: Mutex<HashMap<ResumeToken, (Party, Arc<Mailbox>)>>,
    pub(crate) telemetry: Telemetry,
    pub(crate) guard: Guard,
    pub(crate) unstored: Unstored,
    pub(crate) options: HubOptions,
    /// Committed messages on their way to live listeners.
    pub(crate) tap: mpsc::Sender<Message>,
    tap_end: Mutex<Option<mpsc::Receiver<Message>>>,
    live: RwLock<Router<Arc<Mailbox>>>,
    sessions: AtomicU64,
    clock: Clock,
}

impl Hub {
    /// Opens a hub on a backend, and learns which agents it knows.
    ///
    /// # Errors
    /// When the backend or the facts cannot be read.
    pub async fn open(
        options: HubOptions,
        clock: Clock,
        backend: Arc<dyn Backend>,
        facts: Arc<dyn Facts>,
        policy: Arc<dyn Policy>,
    ) -> Result<Arc<Self>, Error> {
        let (tap, tap_end) = mpsc::channel(LIVE_COPIES_MAX);
        let hub = Hub {
            backend,
            facts,
            policy,
            registry: Registry::new(clock.now()),
            replies: Replies::default(),
            parked: Mutex::default(),
            attached: Mutex::default(),
            telemetry: Telemetry::default(),
            guard: Guard::new(options.guards),
            unstored: Unstored::since(clock.now().unix_ms),
            options,
            tap,
            tap_end: Mutex::new(Some(tap_end)),
            live: RwLock::default(),
            sessions: AtomicU64::new(0),
            clock,
        };
        let mut inboxes = Vec::new();
        let agent_of = |queue: QueueInfo| AgentId::new(Topic::agent_of(queue.spec.name.as_str())?).ok();
        hub.each_queue(|queue| inboxes.extend(agent_of(queue))).await?;
        for agent in inboxes {
            // A damaged store shows queues and no facts; the hub opens on it all the same.
            let seen = hub.facts.get(&seen_key(&agent)).await.ok().flatten();
            let seen_ms = seen.and_then(|fact| std::str::from_utf8(&fact.value).ok()?.parse().ok());
            hub.registry.know(&agent, seen_ms);
        }
        Ok(Arc::new(hub))
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What it was told when it opened.
    #[must_use]
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// What it counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.telemetry.counters()
    }

    /// Sessions attached now, parked ones included.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Why it is not ready; none when it is.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        self.backend.trouble()
    }

    /// What nobody knows in a damaged store may be among what is lost: then the damage is the answer, not that it is unknown.
    pub(crate) fn damaged_or(&self, unknown: Error) -> Error {
        let is_unknown = matches!(unknown.code, Code::UnknownAgent | Code::UnknownQueue);
        let damage = || self.trouble().filter(|error| error.code == Code::ReadOnly);
        is_unknown.then(damage).flatten().unwrap_or(unknown)
    }

    /// What its backend measures of itself just now.
    #[must_use]
    pub fn gauges(&self) -> Vec<Gauge> {
        self.backend.gauges()
    }

    /// Who brings these credentials.
    ///
    /// # Errors
    /// `unauthenticated` or `forbidden`.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Party, Error> {
        self.policy.authenticate(credentials).await
    }

    /// Attaches a party. With a producer its resends are recognised.
    ///
    /// # Errors
    /// `internal` when the system gives no random bytes.
    pub fn attach(self: &Arc<Self>, party: Party, producer: Option<ProducerId>) -> Result<Session, Error> {
        let (resume, replies) = (ResumeToken(random()?), ResumeToken(random()?).to_string());
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.telemetry.sessions(1);
        let mut session = Session::new(self.clone(), party, producer, resume, &replies);
        session.arrive(self.now());
        // A session without a producer is one of a single request: nobody comes back for it.
        if producer.is_some() {
            let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
            attached.insert(resume, (session.party.clone(), session.mailbox.clone()));
        }
        Ok(session)
    }

    /// Closes the backend: what was accepted is finished. The sessions should be ended before.
    ///
    /// # Errors
    /// When what was accepted could not be made durable.
    pub async fn close(&self) -> Result<(), Error> {
        self.end_parked(None);
        // A fact may wait for room on the disk, and only closing ends that.
        let _ = timeout(PRESENCE_KEEP_MAX, self.keep_presence()).await;
        self.backend.close().await
    }

    /// Ends the sessions that nobody resumed in time, for who does not run it.
    #[doc(hidden)]
    pub fn tick(&self) {
        self.end_parked(Some(self.now()));
    }

    /// Serves what belongs to no session: copies committed messages to live listeners, ends
    /// sessions that nobody resumed, and keeps when agents were last seen. The last may wait for
    /// the disk, and holds up none of the others. Ends when its future is dropped; nothing is lost by that.
    pub async fn run(&self) {
        let end = self.tap_end.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(end) = end else { return };
        tokio::select! {
            () = self.serve(end) => {}
            () = self.keep_presence_on() => {}
        }
    }

    async fn serve(&self, mut end: mpsc::Receiver<Message>) {
        let mut tick = interval(TICK);
        let mut batch = Vec::with_capacity(256);
        loop {
            tokio::select! {
                count = end.recv_many(&mut batch, 256) => {
                    if count == 0 {
                        return;
                    }
                    let mut wakes = Wakes::default();
                    let now = self.now();
                    batch.retain(|message: &Message| check_expiry(&message.view(), now).is_ok());
                    for alike in batch.chunk_by(|a, b| a.view().is_like(&b.view())) {
                        self.publish_live(alike, &mut wakes);
                    }
                    batch.clear();
                    wakes.wake();
                }
                _ = tick.tick() => self.tick(),
            }
        }
    }

    async fn keep_presence_on(&self) {
        let mut tick = interval(TICK);
        loop {
            tick.tick().await;
            self.keep_presence().await;
        }
    }

    /// Keeps when agents were last seen; what the facts cannot take now is tried again.
    async fn keep_presence(&self) {
        for (agent, seen_ms) in self.registry.take_unkept() {
            let kept = self.facts.put(&seen_key(&agent), seen_ms.to_string().as_bytes(), None, None, self.now()).await;
            match kept {
                Err(error) => {
                    tracing::debug!(%agent, %error, "when it was last seen is not kept yet");
                    self.registry.not_kept(&agent);
                }
                // It was deregistered meanwhile, and its facts perhaps deleted before this one came.
                Ok(_) if !self.registry.is_known(agent.as_str()) => {
                    let gone = self.facts.delete(&seen_key(&agent), self.now()).await;
                    gone.map_or_else(|error| tracing::debug!(%agent, %error, "a fact of it is left behind"), drop);
                }
                Ok(_) => {}
            }
        }
    }

    /// Hands messages that are alike to every session that listens, once each; answers how many sessions.
    pub(crate) fn publish_live(&self, alike: &[Message], wakes: &mut Wakes) -> u32 {
        let router = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let listeners = alike.first().map_or_else(Vec::new, |first| listeners(&router, first));
        if listeners.is_empty() {
            return 0;
        }
        let parts = Live::parts(alike);
        for mailbox in &listeners {
            self.forget_live(&mailbox.push_live(&parts));
            wakes.add(mailbox);
        }
        self.telemetry.live(listeners.len() * alike.len());
        u32::try_from(listeners.len()).unwrap_or(u32::MAX)
    }

    /// Live messages were dropped: a trace can tell.
    pub(crate) fn forget_live(&self, dropped: &[Message]) {
        if !dropped.is_empty() {
            let now = self.now();
            dropped.iter().for_each(|message| self.unstored.dropped(now.unix_ms, message));
        }
    }

    /// Of a batch, the messages that live listeners want a copy of once they are stored.
    pub(crate) fn live_copies(&self, batch: &[Message]) -> Vec<(u32, u32, Message)> {
        let router = self.live.read().unwrap_or_else(PoisonError::into_inner);
        if router.is_empty() {
            return Vec::new();
        }
        let now = self.now();
        let copy = |(index, message): (u32, &Message)| {
            let count = u32::try_from(listeners(&router, message).len()).unwrap_or(u32::MAX);
            // What waits for its moment is heard by nobody before it.
            (count > 0 && !is_early(&message.view(), now)).then(|| (index, count, message.clone()))
        };
        (0..).zip(batch).filter_map(copy).collect()
    }

    /// # Errors
    /// `forbidden` for the replies of others.
    pub(crate) fn listen(&self, filter: &Filter, mailbox: &Arc<Mailbox>) -> Result<(), Error> {
        if filter.as_str().starts_with(request::ROOT) {
            return Err(Error::new(Code::Forbidden, "replies go to the session that asked, and to nobody else"));
        }
        self.live.write().unwrap_or_else(PoisonError::into_inner).insert(filter, mailbox.clone());
        Ok(())
    }

    pub(crate) fn unlisten(&self, filter: &Filter, mailbox: &Arc<Mailbox>) {
        let mut router = self.live.write().unwrap_or_else(PoisonError::into_inner);
        router.remove(filter, |known| Arc::ptr_eq(known, mailbox));
    }

    /// A session ended.
    pub(crate) fn gone(&self, resume: ResumeToken) {
        let held = self.attached.lock().unwrap_or_else(PoisonError::into_inner).remove(&resume);
        if let Some((_, mailbox)) = held {
            mailbox.let_go.notify_waiters();
        }
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The mailboxes that listen to any of a message's topics, once each.
fn listeners<'a>(router: &'a Router<Arc<Mailbox>>, message: &Message) -> Vec<&'a Arc<Mailbox>> {
    let mut found = Vec::new();
    let mut step = |mailbox| {
        found.extend(mailbox);
        ControlFlow::Continue(())
    };
    // A walk that nothing breaks off says nothing.
    let _ = message.view().to().try_for_each(|topic| router.visit(topic, &mut step));
    if found.len() > 1 {
        found.sort_unstable_by_key(|mailbox| Arc::as_ptr(mailbox));
        found.dedup_by(|a, b| Arc::ptr_eq(a, b));
    }
    found
}

/// The fact that says when an agent was last seen.
pub(crate) fn seen_key(agent: &AgentId) -> String {
    format!("agent.{agent}.seen")
}

pub(crate) fn random() -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(Code::Internal, format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}
