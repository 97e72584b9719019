//! How a session begins, ends, and is taken up again.

use std::collections::HashSet;
use std::time::Duration;

use skep_protocol::{AgentId, Code, Connect, Error, Frame, Goodbye, LeaseToken, ProducerId, VERSION, Welcome};

use super::{Conversation, Phase};
use crate::clock::Moment;
use crate::limits::GREETING_MAX;

/// Who the client is, for its whole life.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) agent: Option<AgentId>,
    /// Name and version, for people.
    pub(crate) client: String,
    /// Drawn once: by it the hub recognises what is sent again.
    pub(crate) producer: ProducerId,
    /// How long closing may wait for answers.
    pub(crate) close_timeout: Duration,
}

/// What callers need to know of the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) agent: Option<AgentId>,
    /// Where replies go; empty before the first session.
    pub(crate) replies: String,
}

impl Conversation {
    /// A link stands: says who we are, and which leases we still work on.
    pub(crate) fn link_up(&mut self, token: Option<String>, now: Moment) {
        self.phase = Phase::Greeting(now + GREETING_MAX);
        let settling = self.settles.leases();
        let (held, unnamed) = self.leases.to_name(|lease| settling.contains(lease));
        self.lose(unnamed);
        self.control.push_back(Frame::Connect(Connect {
            version: VERSION,
            features: skep_protocol::FEATURES,
            token,
            agent: self.identity.agent.clone(),
            producer: Some(self.identity.producer),
            resume: self.resume,
            held,
            client: self.identity.client.clone(),
        }));
    }

    /// The link is gone. What was sent and not answered is to be sent again.
    pub(crate) fn link_down(&mut self) {
        self.phase = Phase::Apart;
        self.control.clear();
        self.pongs = 0;
        self.publishes.link_down();
        self.settles.link_down();
        self.calls.link_down();
    }

    /// The session stands. If it is another one than before, every lease and every reply topic is
    /// lost, and subscriptions are asked for anew; messages and hand-overs are sent again either way,
    /// for the hub recognises their sequences.
    pub(super) fn welcome(&mut self, welcome: Welcome, now: Moment) -> Result<(), Error> {
        if welcome.version != VERSION {
            let text = format!("the hub speaks version {}; this client speaks {VERSION}", welcome.version);
            return Err(Error::new(Code::UnsupportedVersion, text));
        }
        if self.is_open() {
            return Err(Error::new(Code::InvalidFrame, "frame: the hub said Welcome twice"));
        }
        let resumed = self.resume.is_some() && welcome.resumed;
        if resumed {
            self.lose(welcome.lost);
        } else {
            self.begin_anew();
        }
        tracing::debug!(hub = welcome.hub, resumed, "session stands");
        self.phase = Phase::Open;
        self.resume = Some(welcome.resume);
        self.heartbeat.start(welcome.heartbeat_ms, now);
        self.session.send_replace(super::Session { agent: welcome.agent, replies: welcome.replies });
        self.control.extend(self.subscriptions.again(resumed));
        for tag in self.calls.tags() {
            self.control.extend(self.calls.frame(tag));
        }
        Ok(())
    }

    /// Nothing of the earlier session is left.
    fn begin_anew(&mut self) {
        let lost = self.leases.all_lost();
        self.subscriptions.take_back(&lost.iter().map(|(lease, _)| *lease).collect());
        for (_, subscription) in lost {
            self.subscriptions.lease_ended(subscription);
        }
        self.settles.leases_lost();
        self.requests.lost();
        self.publishes.forget_requests();
    }

    /// These leases are lost; their settles are sent all the same, for an answer may be remembered.
    fn lose(&mut self, leases: Vec<LeaseToken>) {
        let lost: HashSet<LeaseToken> = leases.into_iter().collect();
        if lost.is_empty() {
            return;
        }
        self.subscriptions.take_back(&lost);
        for lease in lost {
            let whose = self.leases.lost(lease);
            self.lease_ended(whose);
        }
    }

    /// What to say last.
    pub(crate) fn farewell(&mut self) -> Vec<Frame> {
        if !self.is_open() {
            return Vec::new();
        }
        vec![Frame::Goodbye(Goodbye { reason: "the client is closed".into() })]
    }
}
