//! What became of messages: of the stored ones the backend knows, of the others this hub remembers.

use skep_protocol::{Code, Error, Event, Found, Position, Search, Traced};

use crate::backend::{Read, Seen};
use crate::command::LOOK_MAX;
use crate::hub::Hub;

/// Messages that a search shows unless it says otherwise.
const SEARCH: u32 = 100;
/// Once a history has so many events, no further messages of its id are looked for.
const HISTORY_MAX: usize = 10_000;

impl Hub {
    /// Messages that a search means, the stored ones and those that never were.
    pub(crate) async fn search(&self, message: String, search: Search) -> Result<Found, Error> {
        let limit = search.limit.unwrap_or(SEARCH).clamp(1, LOOK_MAX);
        let search = Search { limit: Some(limit), ..search };
        let id = (!message.is_empty()).then_some(message);
        let (mut unstored, unstored_since_ms) = self.unstored.look(id.as_deref(), &search);
        if search.next.is_some() {
            unstored.clear();
        }
        let (mut messages, next) = self.stored(id, search).await?;
        messages.append(&mut unstored);
        messages.sort_by_key(|traced| traced.time_ms);
        Ok(Found { messages, next, unstored_since_ms })
    }

    /// All that happened to the messages of an id.
    pub(crate) async fn history(&self, message: String) -> Result<Vec<Event>, Error> {
        let mut search = Search { whole: true, limit: Some(LOOK_MAX), ..Search::default() };
        let (unstored, since_ms) = self.unstored.look(Some(&message), &search);
        // Several messages may share an id: what happened to each stands together.
        let mut events: Vec<Event> = unstored.into_iter().flat_map(|traced| traced.events).collect();
        while events.len() < HISTORY_MAX {
            let (messages, next) = self.stored(Some(message.clone()), search.clone()).await?;
            events.extend(messages.into_iter().flat_map(|traced| traced.events));
            if next.is_none() {
                break;
            }
            search.next = next;
        }
        if events.is_empty() {
            return Err(not_found(&message, since_ms));
        }
        Ok(events)
    }

    async fn stored(&self, id: Option<String>, search: Search) -> Result<(Vec<Traced>, Option<Position>), Error> {
        match self.backend.read(Read::Trace(id, search)).await? {
            Seen::Traced(messages, next) => Ok((messages, next)),
            _ => Err(Error::new(Code::Internal, "the backend answered another question")),
        }
    }
}

fn not_found(message: &str, since_ms: u64) -> Error {
    let since = skep_protocol::format_time(since_ms);
    let text = format!(
        "no stored message has the id {message:?}, and none that was refused, dropped or unmatched since {since}; \
         those are kept in memory only"
    );
    Error::new(Code::NotFound, text)
}
