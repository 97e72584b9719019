//! What callers ask for, and what they drop.

use skep_protocol::{Action, Code, Error, Frame, Outcome, Publish, SubscriptionId};

use super::Conversation;
use super::publishes::Waiting;
use super::subscriptions::Farewell;
use crate::clock::Moment;
use crate::verb::{Asker, Left, Verb, unsent};

impl Conversation {
    /// Takes what a caller asks for.
    pub(crate) fn take(&mut self, verb: Verb, now: Moment) {
        if self.closing.is_some() && !matches!(verb, Verb::Settle { .. } | Verb::HandOver { .. } | Verb::Close { .. }) {
            return refuse(verb);
        }
        match verb {
            Verb::Publish { message, paid, asker } => self.publishes.one(message, Waiting::One(asker, paid)),
            Verb::PublishAll { messages, paid, asker } => self.publishes.all(messages, paid, asker),
            Verb::Request { message, number, paid, room, replies } => {
                if !message.view().replyto().is_some_and(|topic| topic.starts_with(&self.session.borrow().replies)) {
                    replies.fail(unsent_request());
                } else if !replies.is_deserted() {
                    self.requests.begin(number, message.id(), replies, room);
                    self.publishes.one(message, Waiting::Request(number, paid));
                }
            }
            Verb::Settle { lease, action, paid, asker } => self.settles.settle(lease, action, Some((asker, paid))),
            Verb::HandOver { lease, messages, paid, asker } => {
                let tag = self.tag();
                let sequence = self.publishes.hand_over(tag, messages.len());
                let publish = Publish { sequence, messages };
                self.settles.hand_over(tag, lease, publish, asker, paid);
            }
            Verb::Subscribe { id, feed, asker } => {
                let frame = self.subscriptions.add(id, feed, asker);
                self.say(frame);
            }
            Verb::Manage { command, room, asker } => {
                let tag = self.tag();
                self.calls.manage(tag, command, asker, room);
                self.call(tag);
            }
            Verb::Query { ask, room, asker } => {
                let tag = self.tag();
                self.calls.query(tag, ask, asker, room);
                self.call(tag);
            }
            Verb::Close { asker } => self.close(now, Some(asker)),
        }
    }

    /// Takes note of what a caller dropped.
    pub(crate) fn leave(&mut self, left: Left) {
        match left {
            Left::Lease(lease) if self.leases.holds(lease) => self.settles.settle(lease, Action::Return, None),
            Left::Lease(_) => {}
            Left::Request(number) => self.requests.forget(number),
            Left::Subscription(id) => match self.subscriptions.leave(id) {
                Farewell::Unknown => {}
                Farewell::NoMore(window) => self.say(Some(Frame::Window(window))),
                Farewell::Over => self.unsubscribe(id),
            },
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        drop(self.subscriptions.remove(id));
        let ping = self.tag();
        self.subscriptions.parts(id, ping);
        self.say(Some(Frame::Unsubscribe(id)));
        self.say(Some(Frame::Ping(ping)));
    }

    fn call(&mut self, tag: u64) {
        if self.is_open() {
            self.control.extend(self.calls.frame(tag));
        }
    }
}

fn unsent_request() -> Error {
    let text = "the request was not sent: the reply topic it names is of an earlier session; make it anew";
    Error { outcome: Outcome::Refused, ..Error::new(Code::ConnectionLost, text) }
}

/// Nothing new is begun while the client closes.
fn refuse(verb: Verb) {
    fn no<T>(asker: Asker<T>, what: &str) {
        let _gave_up = asker.send(Err(unsent(what)));
    }
    match verb {
        Verb::Publish { asker, .. } => no(asker, "the message"),
        Verb::PublishAll { messages, asker, .. } => {
            let _gave_up = asker.send(messages.iter().map(|_| Err(unsent("the message"))).collect());
        }
        Verb::Request { replies, .. } => replies.fail(unsent("the request")),
        Verb::Subscribe { asker, .. } => no(asker, "the subscription"),
        Verb::Manage { asker, .. } => no(asker, "the command"),
        Verb::Query { asker, .. } => no(asker, "the question"),
        Verb::Settle { .. } | Verb::HandOver { .. } | Verb::Close { .. } => {}
    }
}
