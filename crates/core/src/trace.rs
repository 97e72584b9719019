//! What became of messages: of the stored ones the backend knows, of the others this hub remembers.

use skep_protocol::{Code, Error, Event, Fate, Found, Position, Search, Traced, Wanted};

use crate::backend::{Read, Seen};
use crate::hub::Hub;
use crate::limits::LOOK_MAX;

/// Messages that a search shows unless it says otherwise.
const SEARCH: u32 = 100;
/// Once a history has so many events, no further messages of its id are looked for.
const HISTORY_MAX: usize = 10_000;

impl Hub {
    /// Messages that a search means, the stored ones and those that never were, in order of time.
    pub(crate) async fn search(&self, message: String, search: Search) -> Result<Found, Error> {
        let limit = search.limit.unwrap_or(SEARCH).clamp(1, LOOK_MAX);
        let search = Search { limit: Some(limit), ..search };
        let id = (!message.is_empty()).then_some(message);
        let (limit, from) = (limit as usize, Place::read(search.next)?);
        // One more, to know whether there are more.
        let (unstored, unstored_since_ms) = match from.unstored {
            Some(number) => self.unstored.look(id.as_deref(), &search, number, limit + 1),
            None => self.unstored.look(id.as_deref(), &search, 0, 0),
        };
        let (stored, rest) = match from.stored {
            Part::End => (Vec::new(), None),
            // Of what is refused nothing is stored: the log has none, however far one looks.
            Part::From(_) if search.outcome == Some(Wanted::Fate(Fate::Refused)) => (Vec::new(), None),
            Part::From(next) => self.stored(id, Search { next, ..search }).await?,
        };
        let (mut stored, mut unstored) = (stored.into_iter().peekable(), unstored.into_iter().peekable());
        let mut messages = Vec::new();
        while messages.len() < limit {
            let is_stored = match (stored.peek(), unstored.peek()) {
                (Some(stored), Some((_, unstored))) => stored.time_ms <= unstored.time_ms,
                (Some(_), None) => true,
                (None, Some(_)) if rest.is_none() => false,
                // What is stored behind this page may be older.
                (None, _) => break,
            };
            messages.extend(if is_stored { stored.next() } else { unstored.next().map(|(_, traced)| traced) });
        }
        let rest = stored.peek().and_then(|traced| traced.position).or(rest);
        let next = Place::shown(rest, unstored.peek().map(|(number, _)| *number));
        Ok(Found { messages, next, unstored_since_ms })
    }

    /// All that happened to the messages of an id.
    pub(crate) async fn history(&self, message: String) -> Result<Vec<Event>, Error> {
        let mut search = Search { whole: true, limit: Some(LOOK_MAX), ..Search::default() };
        // Several messages may share an id: what happened to each stands together.
        let mut events: Vec<Event> = Vec::new();
        loop {
            let found = self.search(message.clone(), search.clone()).await?;
            events.extend(found.messages.into_iter().flat_map(|traced| traced.events));
            search.next = found.next;
            match found.next {
                Some(_) if events.len() < HISTORY_MAX => {}
                None if events.is_empty() => return Err(not_found(&message, found.unstored_since_ms)),
                _ => return Ok(events),
            }
        }
    }

    async fn stored(&self, id: Option<String>, search: Search) -> Result<(Vec<Traced>, Option<Position>), Error> {
        match self.backend.read(Read::Trace(id, search)).await? {
            Seen::Traced(messages, next) => Ok((messages, next)),
            _ => Err(Error::new(Code::Internal, "the backend answered another question")),
        }
    }
}

/// Where a search goes on: among the stored messages and among the others. As a position it is a
/// number as long as only stored ones are left, else the number of the next other one, and that of
/// the next stored one if there is one.
struct Place {
    stored: Part,
    /// None if they are through.
    unstored: Option<u64>,
}

enum Part {
    /// From here on; none: from the beginning.
    From(Option<Position>),
    End,
}

impl Place {
    fn read(next: Option<Position>) -> Result<Self, Error> {
        let Some(Position::Opaque(len, bytes)) = next else {
            return Ok(Place { stored: Part::From(next), unstored: next.is_none().then_some(0) });
        };
        let (unstored, rest) = bytes.split_first_chunk().ok_or_else(not_a_place)?;
        let (stored, _) = rest.split_first_chunk().ok_or_else(not_a_place)?;
        let stored = match len {
            8 => Part::End,
            16 => Part::From(Some(Position::Number(u64::from_be_bytes(*stored)))),
            _ => return Err(not_a_place()),
        };
        Ok(Place { stored, unstored: Some(u64::from_be_bytes(*unstored)) })
    }

    fn shown(stored: Option<Position>, unstored: Option<u64>) -> Option<Position> {
        let Some(unstored) = unstored.map(u64::to_be_bytes) else { return stored };
        match stored.and_then(Position::number).map(u64::to_be_bytes) {
            None => Position::opaque(&unstored),
            Some(stored) => Position::opaque(&[unstored, stored].concat()),
        }
    }
}

fn not_a_place() -> Error {
    Error::new(Code::InvalidArgument, "next: expected a position, or what the last answer said under `next`")
}

fn not_found(message: &str, since_ms: u64) -> Error {
    let since = skep_protocol::format_time(since_ms);
    let text = format!(
        "no stored message has the id {message:?}, and none that was refused, dropped or unmatched since {since}; \
         those are kept in memory only"
    );
    Error::new(Code::NotFound, text)
}
