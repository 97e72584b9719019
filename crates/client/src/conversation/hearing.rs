//! What the hub says.

use skep_protocol::{
    Action, Code, Delivery, Error, Frame, Goodbye, Managed, Message, Settled, Settlement, SubscriptionId,
};

use super::Conversation;
use super::settles::Fate;
use super::subscriptions::Delivered;
use crate::clock::Moment;
use crate::limits::PONGS_MAX;
use crate::link::lost;
use crate::verb::Held;

impl Conversation {
    /// Takes what the hub says.
    ///
    /// # Errors
    /// The link is of no further use; before Welcome, why the hub does not want this client.
    pub(crate) fn hear(&mut self, frames: Vec<Frame>, now: Moment) -> Result<(), Error> {
        self.heartbeat.heard(now);
        frames.into_iter().try_for_each(|frame| self.hear_one(frame, now))
    }

    fn hear_one(&mut self, frame: Frame, now: Moment) -> Result<(), Error> {
        match frame {
            Frame::Welcome(welcome) => return self.welcome(welcome, now),
            Frame::Receipt(publications) => {
                for (number, error) in publications.into_iter().flat_map(|p| self.publishes.receipt(p)) {
                    self.requests.fail(number, error);
                }
            }
            Frame::Deliver(deliveries) => deliveries.into_iter().for_each(|delivery| self.deliver(delivery, now)),
            Frame::Live(messages) => self.live(&messages),
            Frame::Settled(settled) => self.settled(settled),
            Frame::Subscribed(id) => self.subscriptions.confirmed(id),
            Frame::Managed(managed) => self.managed(managed),
            Frame::Page(report) => self.calls.page(report),
            Frame::Ping(n) => self.pong(n),
            Frame::Pong(n) => self.subscriptions.pong(n),
            Frame::Error(error) if self.is_open() => tracing::warn!(%error, "the hub complains"),
            Frame::Error(error) => return Err(error),
            Frame::Goodbye(Goodbye { reason }) => return Err(lost(format!("the hub said goodbye: {reason}"))),
            Frame::Connect(_)
            | Frame::Publish(_)
            | Frame::Subscribe(_)
            | Frame::Unsubscribe(_)
            | Frame::Window(_)
            | Frame::Settle(_)
            | Frame::Manage(_)
            | Frame::Query(_) => {
                return Err(Error::new(Code::InvalidFrame, "frame: the hub sent what only a client says"));
            }
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: Delivery, now: Moment) {
        let (lease, id) = (delivery.lease, delivery.subscription);
        if self.leases.holds(lease) {
            return;
        }
        let told = self.leases.begin(lease, id);
        match self.subscriptions.deliver(Held { delivery, lost: told, since: now }, now) {
            Delivered::Return(lease) => self.settles.settle(lease, Action::Return, None),
            Delivered::Taken(over) => {
                for lease in over {
                    let whose = self.leases.lost(lease);
                    self.lease_ended(whose);
                }
            }
        }
    }

    fn live(&mut self, messages: &[Message]) {
        let session = self.session.borrow();
        for message in messages {
            if !self.requests.reply(&session.replies, message) {
                self.subscriptions.live(message);
            }
        }
    }

    fn settled(&mut self, settled: Settled) {
        let verdict = self.settles.settled(settled);
        if let Some((first, count)) = verdict.published {
            self.publishes.handed_over(first, count);
        }
        for (lease, fate) in verdict.fates {
            let whose = match fate {
                Fate::Over => self.leases.settled(lease),
                Fate::Lost => self.leases.lost(lease),
                Fate::Stands => None,
            };
            self.lease_ended(whose);
        }
    }

    pub(super) fn lease_ended(&mut self, whose: Option<SubscriptionId>) {
        if let Some(id) = whose
            && self.subscriptions.lease_ended(id)
        {
            self.unsubscribe(id);
        }
    }

    /// A refused Subscribe is answered under the subscription's number.
    fn managed(&mut self, managed: Managed) {
        match (SubscriptionId::try_from(managed.tag), managed.result) {
            (Ok(id), Settlement::Error(error)) => self.subscriptions.refused(id, error),
            (Ok(_), Settlement::Ok(_)) => {}
            (Err(_), result) => self.calls.managed(Managed { tag: managed.tag, result }),
        }
    }

    fn pong(&mut self, n: u64) {
        if self.pongs < PONGS_MAX {
            self.pongs += 1;
            self.control.push_back(Frame::Pong(n));
        }
    }
}
