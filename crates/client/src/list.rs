//! Queues and agents, page by page.

use std::time::Duration;

use skep_protocol::{AgentId, AgentInfo, Ask, Code, Error, Page, QueueInfo, QueueName, Retry};

use crate::client::Client;
use crate::clock::pause;
use crate::limits::{LIST_PAGE, LIST_TRIES_MAX};

impl Client {
    /// A page of the queues, in order of their names: those behind one, if one is said, and after which to go on; none at
    /// the end. The hub may show fewer than the limit.
    ///
    /// # Errors
    /// The hub's refusal; `connection_lost` when the client gave up or closed first.
    pub async fn queues_after(
        &self,
        after: Option<QueueName>,
        limit: u32,
    ) -> Result<(Vec<QueueInfo>, Option<QueueName>), Error> {
        match self.ask(Ask::QueuesAfter { after, limit }).await? {
            Page::QueuesPart { queues, next } => Ok((queues, next)),
            _ => Err(unasked()),
        }
    }

    /// A page of the agents, in order of their ids; else as [`queues_after`](Self::queues_after).
    ///
    /// # Errors
    /// As [`queues_after`](Self::queues_after).
    pub async fn agents_after(
        &self,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<(Vec<AgentInfo>, Option<AgentId>), Error> {
        match self.ask(Ask::AgentsAfter { after, limit }).await? {
            Page::AgentsPart { agents, next } => Ok((agents, next)),
            _ => Err(unasked()),
        }
    }

    /// All queues, by name. Those that are declared or deleted meanwhile may be there or not.
    ///
    /// # Errors
    /// As [`queues_after`](Self::queues_after).
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        walk(|after| self.queues_after(after, LIST_PAGE)).await
    }

    /// All agents, by id. Those that come or go meanwhile may be there or not.
    ///
    /// # Errors
    /// As [`queues_after`](Self::queues_after).
    pub async fn agents(&self) -> Result<Vec<AgentInfo>, Error> {
        walk(|after| self.agents_after(after, LIST_PAGE)).await
    }
}

/// Goes through all pages. A page for which the hub has no room just now is asked for again.
async fn walk<T, K: Clone, F>(page: impl Fn(Option<K>) -> F) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<(Vec<T>, Option<K>), Error>>,
{
    let (mut all, mut after, mut tries) = (Vec::new(), None, 0);
    loop {
        match page(after.clone()).await {
            Ok((part, next)) => {
                all.extend(part);
                if next.is_none() {
                    return Ok(all);
                }
                (after, tries) = (next, 0);
            }
            Err(Error { code: Code::Busy, retry: Retry::After(ms), .. }) if tries < LIST_TRIES_MAX => {
                tries += 1;
                pause(Duration::from_millis(ms)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn unasked() -> Error {
    Error::new(Code::Internal, "the hub answered another question than was asked")
}
