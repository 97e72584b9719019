//! Live messages: what is published while somebody listens.

use std::fmt;
use std::sync::Arc;

use skep_protocol::{Error, Message, SubscriptionId};

use crate::handle::Handle;
use crate::mailbox::Mailbox;
use crate::verb::Left;

/// A listener to the messages whose topic matches a filter. It outlives reconnects; what is
/// published while there is no connection is missed.
///
/// Here too messages wait in a bounded queue (4,096 messages, 16 MiB): a listener that does not
/// keep up loses the oldest, and [`dropped`](Self::dropped) counts them.
pub struct LiveSubscription {
    id: SubscriptionId,
    mailbox: Arc<Mailbox<Message>>,
    handle: Arc<Handle>,
}

impl LiveSubscription {
    pub(crate) fn new(id: SubscriptionId, mailbox: Arc<Mailbox<Message>>, handle: Arc<Handle>) -> Self {
        LiveSubscription { id, mailbox, handle }
    }

    /// The next message; none after the end, see [`ended`](Self::ended).
    ///
    /// It may be cancelled: nothing is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.mailbox.next().await
    }

    /// How many messages were dropped here because they were not read in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.mailbox.dropped()
    }

    /// Why nothing more comes. None while it may.
    #[must_use]
    pub fn ended(&self) -> Option<Error> {
        self.mailbox.ended()
    }
}

impl Drop for LiveSubscription {
    fn drop(&mut self) {
        self.mailbox.desert();
        let _ended = self.handle.left.offer(Left::Subscription(self.id));
    }
}

impl fmt::Debug for LiveSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSubscription({})", self.id)
    }
}
