//! What each client did and saw, kept on disk as it happens, and read again to be judged.

mod event;
mod read;
mod scribe;

pub(crate) use event::{Event, Seen, Sent, Settling, Told, What, hash};
pub(crate) use read::{History, Op, Sight};
pub(crate) use scribe::Scribe;
