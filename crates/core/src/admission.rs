//! What may be published, and by which way it goes. The order of the checks is the order
//! of the lines in [`Hub::admit_all`] and [`Hub::judge`].

use skep_protocol::{AgentId, Attribute, Code, Error, Guarantee, Message, MessageRef, Topic};

use crate::clock::Now;
use crate::expiry::check_moments;
use crate::guard::Sender;
use crate::hub::Hub;
use crate::level::Level;
use crate::policy::{Action, Party};
use crate::request;

/// The way of one message.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Nowhere.
    Refused(Error),
    /// To the one session that waits for this reply.
    Reply,
    /// To live listeners only: no durable queue matches, and none was asked for.
    Live,
    /// To durable queues and, once stored, to live listeners.
    Store {
        /// Refuse it if no queue matches.
        required: bool,
        /// Recognise it by party, source and id.
        by_id: bool,
    },
    /// To live listeners at once, and to durable queues without waiting.
    Both,
}

/// The way of messages that follow one another.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) way: Way,
    /// How many. Of those that go to live listeners only, all differ in nothing but id and payload.
    pub(crate) count: usize,
}

/// What is known of all messages that are like one.
struct Common {
    way: Way,
    /// The guard is asked of each.
    is_guarded: bool,
    /// The last ones judged are such, and took this way.
    is_open: bool,
}

/// What the sources begin with under which the hub itself speaks, such as that of its notices.
const HUB_SOURCES: &str = "skep/";
/// The source of a message that came over HTTP from no agent and names none: anybody's.
pub const HTTP_SOURCE: &str = "skep/http";

impl Hub {
    /// Judges one message.
    pub(crate) fn admit(&self, sender: Sender<'_>, message: &Message, now: Now) -> Way {
        let judged = self.admit_all(|_| sender, sender.sequence, std::slice::from_ref(message), now).pop();
        judged.expect("there is a way for each").way
    }

    /// Judges messages, numbered from `sequence` on. What those that are alike have in common is judged once.
    pub(crate) fn admit_all<'a>(
        &self,
        sender: impl Fn(u64) -> Sender<'a>,
        sequence: u64,
        batch: &[Message],
        now: Now,
    ) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::new();
        let mut known: Option<(MessageRef<'_>, Common)> = None;
        for (message, sequence) in batch.iter().zip(sequence..) {
            let view = message.view();
            let is_like = known.as_ref().is_some_and(|(like, _)| view.is_like(like));
            let common = match &mut known {
                Some((_, common)) if is_like => common,
                _ => &mut known.insert((view, self.judge(sender(sequence).party, &view, now))).1,
            };
            let is_free = !common.is_guarded;
            let one_too_many = || self.guard.judge(sender(sequence), &view, now, &self.telemetry);
            let refused = self.check_limits(&view).and_then(|()| if is_free { Ok(()) } else { one_too_many() }).err();
            match (refused, judged.last_mut()) {
                (None, Some(last)) if is_like && common.is_open => last.count += 1,
                (refused, _) => {
                    common.is_open = refused.is_none();
                    let way = refused.map_or_else(|| common.way.clone(), Way::Refused);
                    judged.push(Judged { way, count: 1 });
                }
            }
        }
        judged
    }

    /// Judges what a message has in common with all that are like it: neither id nor payload.
    fn judge(&self, party: &Party, message: &MessageRef<'_>, now: Now) -> Common {
        let checked = message
            .check_event()
            .and_then(|()| check_options(message))
            .and_then(|()| check_source(party, message))
            .and_then(|()| self.check_destinations(party, message))
            .and_then(|()| check_moments(message, now));
        let way = checked.map_or_else(Way::Refused, |is_kept| self.way(message, is_kept));
        let is_guarded = !matches!(way, Way::Refused(_) | Way::Reply) && self.guard.looks_at(message);
        Common { way, is_guarded, is_open: false }
    }

    fn check_limits(&self, message: &MessageRef<'_>) -> Result<(), Error> {
        let max = self.options.payload_bytes_max;
        if message.bytes().len() <= max {
            return Ok(());
        }
        let bytes = message.payload().map_or(0, <[u8]>::len);
        if bytes > max {
            return Err(Error::new(Code::TooLarge, format!("payload has {bytes} bytes; this hub takes {max} at most")));
        }
        Ok(())
    }

    fn check_destinations(&self, party: &Party, message: &MessageRef<'_>) -> Result<(), Error> {
        let mut topics = 0;
        for topic in message.to() {
            topics += 1;
            if Topic::is_reserved(topic) && !topic.starts_with(request::ROOT) {
                return Err(Error::new(Code::Forbidden, format!("topic {topic}: only the hub publishes under $")));
            }
            self.policy.authorize(party, Action::Publish(topic))?;
            if let Some(agent) = Topic::agent_of(topic).filter(|agent| !self.registry.is_known(agent)) {
                return Err(self.unknown_agent(agent));
            }
        }
        if topics == 0 {
            let text = "message has no destination: give it a topic in \"to\", or post it to the endpoint of a topic";
            return Err(Error::new(Code::NoDestination, text));
        }
        Ok(())
    }

    /// Queues are asked for only where the way depends on them. What is to be kept until a moment
    /// needs a queue that keeps it.
    fn way(&self, message: &MessageRef<'_>, is_kept: bool) -> Way {
        let mut topics = message.to();
        let first_is_reply = topics.next().is_some_and(|topic| topic.starts_with(request::ROOT));
        let more = topics.any(|topic| first_is_reply || topic.starts_with(request::ROOT));
        match message.guarantee() {
            _ if more => {
                Way::Refused(Error::new(Code::InvalidMessage, "a reply goes to one topic only, the request's replyto"))
            }
            _ if is_kept && first_is_reply => Way::Refused(not_kept("a reply is live")),
            Some(Guarantee::BestEffort) if is_kept => Way::Refused(not_kept("best_effort keeps nothing")),
            None if is_kept => Way::Store { required: true, by_id: false },
            _ if first_is_reply => Way::Reply,
            Some(Guarantee::AtLeastOnce) => Way::Store { required: true, by_id: false },
            Some(Guarantee::ExactlyOnce) => Way::Store { required: true, by_id: true },
            None | Some(Guarantee::BestEffort) if !self.backend.matches(message) => Way::Live,
            Some(Guarantee::BestEffort) => Way::Both,
            None => Way::Store { required: false, by_id: false },
        }
    }

    pub(crate) fn unknown_agent(&self, agent: &str) -> Error {
        let near = match self.registry.nearest(agent) {
            Some(near) => format!(" Did you mean {:?}?", near.as_str()),
            None => String::new(),
        };
        let text = format!("no agent {agent:?}.{near} Add it: skep agents add {agent}");
        self.damaged_or(Error::new(Code::UnknownAgent, text))
    }
}

fn not_kept(why: &str) -> Error {
    let text = format!("notbefore asks for a message to be kept until then, and {why}; leave one of them out");
    Error::new(Code::Unsupported, text)
}

fn check_options(message: &MessageRef<'_>) -> Result<(), Error> {
    message.tries()?;
    match message.attribute("partitionkey") {
        None => {}
        Some(Attribute::Text(key)) if !key.is_empty() => {}
        Some(_) => return Err(Error::new(Code::InvalidMessage, "partitionkey is not a text that says something")),
    }
    // Of the level of its topics and the one that it asks for itself, the backend takes the stronger; the receipt says which.
    Level::asked(message.text_attribute("durability")).map(|_| ())
}

/// An agent speaks for itself only, and nobody for the hub; a foreign event keeps its source, and the party travels beside it.
fn check_source(party: &Party, message: &MessageRef<'_>) -> Result<(), Error> {
    let source = message.source();
    if source.starts_with(HUB_SOURCES) && source != HTTP_SOURCE {
        let text = format!("source {source:.64}: the hub alone speaks under {HUB_SOURCES}; choose another source");
        return Err(Error::new(Code::Forbidden, text));
    }
    let Some(named) = source.strip_prefix("agent/") else { return Ok(()) };
    if party.agent.as_ref().map(AgentId::as_str) == Some(named) {
        return Ok(());
    }
    let who = party.agent.as_ref().map_or_else(|| "no agent".into(), |agent| format!("agent {agent}"));
    let text = format!(
        "source agent/{named} is not yours: this session acts as {who}; connect as {named}, over HTTP with the header Skep-Agent: {named}"
    );
    Err(Error::new(Code::Forbidden, text))
}
