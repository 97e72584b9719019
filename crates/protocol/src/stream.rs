//! Streamed replies: how their parts are marked, and in which order they are taken.
//!
//! The answer to a request may come in parts, each a message of its own that names the request in
//! `correlationid`, as every reply does. What a part is stands in its type, and which one in its `sequence`:
//!
//! | `type` | is | `sequence` |
//! |---|---|---|
//! | `stream.chunk` | a part, and more follow | its number, from `"1"` on |
//! | `stream.end` | the last part; without a payload, only the end | the next number |
//! | `error` | the end, too: the responder gave up, and says why | - |
//! | any other | the whole answer, as of a request that asks for no stream: a stream of one | - |
//!
//! `sequence` is CloudEvents' own extension, with the meaning of its `sequencetype` `Integer`: a whole number in
//! digits that begins at 1 and grows by 1. The type may be named, and need not be. The hub carries both and looks at neither:
//! parts are messages like others, and whoever asked puts them in order with [`Parts`].

use std::fmt;

use crate::limits::PARTS_MAX;
use crate::{Attribute, Code, Error, Kind, MessageBuilder, MessageRef};

/// The answer to one request, part by part: what came, and what must come next.
///
/// The stream of whoever began first counts: what comes from another `source` is passed over.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    taken: u32,
    /// Id and source of part 1.
    first: Option<(String, String)>,
}

/// What a reply is to the stream so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The next part; more follow.
    Chunk,
    /// The last part.
    Last,
    /// The end, without a part of its own.
    End,
    /// To be passed over: it came before, or is of another stream.
    Stray,
}

/// Why a streamed reply cannot be read to its end. Each says which part was `expected`; those before it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Another number came than the next one.
    Missing {
        /// The next number.
        expected: u32,
        /// The one that came.
        came: u32,
    },
    /// A part came whose `sequence` is missing, or no number that counts.
    Unnumbered {
        /// The next number.
        expected: u32,
    },
    /// The responder gave up: a reply of type `error` came.
    Failed {
        /// The next number.
        expected: u32,
    },
    /// Something else came under the same `source`: another answer to the same request.
    Mixed {
        /// The next number.
        expected: u32,
    },
}

impl Parts {
    /// How many parts came.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// Takes the next reply to the request; nothing is to be taken after its last part, its end, or an error.
    ///
    /// # Errors
    /// The stream is broken: it cannot be read to its end any more.
    pub fn take(&mut self, reply: &MessageRef<'_>) -> Result<Part, Broken> {
        if self.first.as_ref().is_some_and(|(_, source)| source != reply.source()) {
            return Ok(Part::Stray);
        }
        let expected = self.taken.saturating_add(1);
        let is_end = reply.kind() == Kind::STREAM_END.as_str();
        if !is_end && reply.kind() != Kind::STREAM_CHUNK.as_str() {
            return match reply.kind() {
                kind if kind == Kind::ERROR.as_str() => Err(Broken::Failed { expected }),
                _ if self.taken > 0 => Err(Broken::Mixed { expected }),
                _ => Ok(Part::Last),
            };
        }
        let came = number(reply).ok_or(Broken::Unnumbered { expected })?;
        if came < expected && !is_end {
            let begins_anew = came == 1 && self.first.as_ref().is_some_and(|(id, _)| id != reply.id());
            return if begins_anew { Err(Broken::Mixed { expected }) } else { Ok(Part::Stray) };
        }
        if came != expected {
            return Err(Broken::Missing { expected, came });
        }
        if is_end && reply.payload().is_none_or(<[u8]>::is_empty) {
            return Ok(Part::End);
        }
        self.taken = came;
        self.first.get_or_insert_with(|| (reply.id().into(), reply.source().into()));
        Ok(if is_end { Part::Last } else { Part::Chunk })
    }

    /// Whether a reply is the whole answer to a request that asked for one message: it is no part, or the only one.
    ///
    /// # Errors
    /// `streamed`.
    pub fn is_whole(reply: &MessageRef<'_>) -> Result<(), Error> {
        match reply.kind() {
            kind if kind == Kind::STREAM_CHUNK.as_str() => {}
            kind if kind == Kind::STREAM_END.as_str() && number(reply) != Some(1) => {}
            _ => return Ok(()),
        }
        let text = format!(
            "the reply from {} comes in parts, and one message was asked for; ask for a stream (request_stream, skep \
             request --stream, Accept: text/event-stream)",
            reply.source()
        );
        Err(Error::new(Code::Streamed, text))
    }
}

fn number(reply: &MessageRef<'_>) -> Option<u32> {
    let number = match reply.attribute("sequence")? {
        Attribute::Text(text) => text.parse().ok()?,
        Attribute::Number(number) => u32::try_from(number).ok()?,
        Attribute::Bool(_) => return None,
    };
    (1..=PARTS_MAX).contains(&number).then_some(number)
}

impl MessageBuilder {
    /// Numbers a part of a streamed reply, from 1 on.
    #[must_use]
    pub fn part(self, number: u32) -> Self {
        let numbered = self.attribute("sequence", Attribute::Text(&number.to_string()));
        numbered.attribute("sequencetype", Attribute::Text("Integer"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came =
            |f: &mut fmt::Formatter<'_>, expected: u32| write!(f, "; parts that came: {}", expected.saturating_sub(1));
        match *self {
            Broken::Missing { expected, came: other } => {
                write!(f, "part {expected} of the streamed reply is missing: number {other} came")?;
                came(f, expected)
            }
            Broken::Unnumbered { expected } => {
                write!(f, "a part of the streamed reply has no number: expected sequence \"{expected}\"")?;
                came(f, expected)
            }
            Broken::Failed { expected } => {
                f.write_str("the responder ended the streamed reply with an error")?;
                came(f, expected)
            }
            Broken::Mixed { expected } => {
                f.write_str(
                    "two answers to one request came under the same source; give each responder one of its own",
                )?;
                came(f, expected)
            }
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Error::new(Code::StreamBroken, broken.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, MessageId};

    fn reply(id: &str, source: &str, kind: Kind) -> MessageBuilder {
        Message::build(&MessageId::new(id).unwrap(), source, kind).correlation("request")
    }

    fn chunk(n: u32) -> Message {
        reply(&format!("a{n}"), "agent/a", Kind::STREAM_CHUNK).part(n).text("x").finish().unwrap()
    }

    fn end(n: u32) -> Message {
        reply("end", "agent/a", Kind::STREAM_END).part(n).finish().unwrap()
    }

    fn take(parts: &mut Parts, reply: &Message) -> Result<Part, Broken> {
        parts.take(&reply.view())
    }

    /// A stream of which two parts came.
    fn begun() -> Parts {
        let mut parts = Parts::default();
        assert_eq!([take(&mut parts, &chunk(1)), take(&mut parts, &chunk(2))], [Ok(Part::Chunk); 2]);
        parts
    }

    #[test]
    fn parts_are_taken_in_order_and_the_end_needs_no_payload() {
        let mut parts = begun();
        assert_eq!((take(&mut parts, &end(3)), parts.taken()), (Ok(Part::End), 2));
        let last = reply("last", "agent/a", Kind::STREAM_END).part(3).text("x").finish().unwrap();
        assert_eq!((take(&mut parts, &last), parts.taken()), (Ok(Part::Last), 3));
        assert_eq!(take(&mut Parts::default(), &end(1)), Ok(Part::End), "a stream of nothing");
    }

    #[test]
    fn a_missing_part_is_named_and_one_that_came_before_is_passed_over() {
        assert_eq!(take(&mut begun(), &chunk(4)), Err(Broken::Missing { expected: 3, came: 4 }));
        assert_eq!(take(&mut begun(), &end(4)), Err(Broken::Missing { expected: 3, came: 4 }));
        assert_eq!(take(&mut begun(), &end(2)), Err(Broken::Missing { expected: 3, came: 2 }));
        for known in [1, 2] {
            assert_eq!(take(&mut begun(), &chunk(known)), Ok(Part::Stray));
        }
        let text = Error::from(Broken::Missing { expected: 3, came: 4 }).to_string();
        assert_eq!(text, "stream_broken: part 3 of the streamed reply is missing: number 4 came; parts that came: 2");
    }

    #[test]
    fn a_number_is_text_or_a_number_and_what_is_none_breaks_the_stream() {
        let numbered = |value| reply("n", "agent/a", Kind::STREAM_CHUNK).attribute("sequence", value).finish().unwrap();
        for counts in [Attribute::Text("3"), Attribute::Number(3)] {
            assert_eq!(take(&mut begun(), &numbered(counts)), Ok(Part::Chunk));
        }
        for none in [Attribute::Text("three"), Attribute::Text("0"), Attribute::Number(-3), Attribute::Bool(true)] {
            assert_eq!(take(&mut begun(), &numbered(none)), Err(Broken::Unnumbered { expected: 3 }));
        }
        let bare = reply("n", "agent/a", Kind::STREAM_CHUNK).finish().unwrap();
        assert_eq!(take(&mut begun(), &bare), Err(Broken::Unnumbered { expected: 3 }));
    }

    #[test]
    fn the_stream_of_the_first_responder_counts_and_two_under_one_source_are_noticed() {
        let other = reply("b1", "agent/b", Kind::STREAM_CHUNK).part(1).finish().unwrap();
        assert_eq!(take(&mut begun(), &other), Ok(Part::Stray));
        let same = reply("b1", "agent/a", Kind::STREAM_CHUNK).part(1).finish().unwrap();
        assert_eq!(take(&mut begun(), &same), Err(Broken::Mixed { expected: 3 }));
        let whole = reply("b1", "agent/a", Kind::RESPONSE).finish().unwrap();
        assert_eq!(take(&mut begun(), &whole), Err(Broken::Mixed { expected: 3 }));
    }

    #[test]
    fn an_error_ends_a_stream_and_a_plain_reply_is_a_stream_of_one() {
        let error = reply("e", "agent/a", Kind::ERROR).text("no more").finish().unwrap();
        assert_eq!(take(&mut begun(), &error), Err(Broken::Failed { expected: 3 }));
        let plain = reply("p", "agent/a", Kind::RESPONSE).finish().unwrap();
        assert_eq!(take(&mut Parts::default(), &plain), Ok(Part::Last));
    }

    #[test]
    fn who_asked_for_one_message_is_told_of_a_stream_unless_it_has_one_part() {
        let only = reply("o", "agent/a", Kind::STREAM_END).part(1).text("x").finish().unwrap();
        let plain = reply("p", "agent/a", Kind::RESPONSE).finish().unwrap();
        assert!([only, plain].iter().all(|whole| Parts::is_whole(&whole.view()) == Ok(())));
        for part in [chunk(1), end(2)] {
            assert_eq!(Parts::is_whole(&part.view()).unwrap_err().code, Code::Streamed);
        }
    }

    #[test]
    fn a_part_is_a_cloud_event_with_its_number_as_cloud_events_have_it() {
        let json = chunk(12).to_json();
        assert!(json.contains(r#""sequence":"12""#) && json.contains(r#""sequencetype":"Integer""#), "{json}");
    }
}
