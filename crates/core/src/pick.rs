//! Dead letters are moved back, and messages dropped, by what they are. The messages are read first, as a look reads them, and
//! then those that are meant are named by where they stand: the backend need not read under its lock. What was taken in between
//! is passed over, and counted.

use skep_protocol::{Code, Error, Pick, Picked, Position, QueueName, Stored};

use crate::backend::{QueueCommand, Read, Seen};
use crate::clock::Now;
use crate::command::unknown_queue;
use crate::expiry::has_expired;
use crate::hub::Hub;
use crate::limits::{LOOK_MAX, PICK_LOOKS_MAX, PICK_SHOWN_BYTES_MAX, PICK_SHOWN_MAX};

/// Where those stand that are meant, the first of them, and where to go on.
#[derive(Default)]
struct Found {
    positions: Vec<Position>,
    shown: Vec<Stored>,
    shown_bytes: usize,
    next: Option<Position>,
}

impl Hub {
    /// Moves dead letters back to the queue they came from. What expired stays: it would only come back.
    pub(crate) async fn redrive_picked(&self, queue: QueueName, pick: &Pick, now: Now) -> Result<Picked, Error> {
        let pick = pick.checked()?;
        let Some(dead) = queue.dead() else {
            let origin = queue.origin().map(|origin| format!(": {origin}")).unwrap_or_default();
            let text = format!("{queue} has no dead letters of its own; name the queue that they came from{origin}");
            return Err(Error::new(Code::InvalidArgument, text));
        };
        if self.backend.info(&queue).is_none() {
            return Err(unknown_queue(&queue));
        }
        // They come with the first of them: until then there are none.
        if self.backend.info(&dead).is_none() {
            return Ok(Picked::default());
        }
        let waits = |stored: &Stored| stored.holder.is_none() && stored.due_ms.is_none() && !has_expired(stored, now);
        let found = self.find(&dead, pick, waits).await?;
        self.carry_out(found, pick, |positions| QueueCommand::RedriveAt(queue, positions), now).await
    }

    /// Drops messages of a queue; what is leased stays.
    pub(crate) async fn purge_picked(&self, queue: QueueName, pick: &Pick, now: Now) -> Result<Picked, Error> {
        let pick = pick.checked()?;
        let found = self.find(&queue, pick, |stored| stored.holder.is_none()).await?;
        self.carry_out(found, pick, |positions| QueueCommand::PurgeAt(queue, positions), now).await
    }

    async fn carry_out(
        &self,
        found: Found,
        pick: &Pick,
        command: impl FnOnce(Vec<Position>) -> QueueCommand,
        now: Now,
    ) -> Result<Picked, Error> {
        let Found { positions, shown: first, next, .. } = found;
        let meant = positions.len() as u64;
        if pick.dry_run || meant == 0 {
            return Ok(Picked { count: meant, skipped: 0, next, first });
        }
        let count = self.backend.manage(command(positions), now).await?.count;
        Ok(Picked { count, skipped: meant.saturating_sub(count), next, first })
    }

    /// Looks through a queue, page by page, as far as one command does.
    async fn find(&self, queue: &QueueName, pick: &Pick, stands: impl Fn(&Stored) -> bool) -> Result<Found, Error> {
        let most = pick.limit.unwrap_or(LOOK_MAX).min(LOOK_MAX) as usize;
        let mut found = Found { next: pick.position.max(pick.from), ..Found::default() };
        let page_max = if pick.position.is_some() { 1 } else { LOOK_MAX };
        for _ in 0..PICK_LOOKS_MAX {
            let Seen::Messages(messages, next) =
                self.backend.read(Read::Peek(queue.clone(), found.next, page_max)).await?
            else {
                return Err(Error::new(Code::Internal, "the backend answered another question"));
            };
            for stored in messages {
                if pick.position.is_some_and(|position| position != stored.position) {
                    return Ok(Found { next: None, ..found });
                }
                if !stands(&stored) || !pick.means(&stored) {
                    continue;
                }
                if found.positions.len() >= most {
                    return Ok(Found { next: Some(stored.position), ..found });
                }
                found.take(stored, pick.dry_run);
            }
            found.next = next.filter(|_| pick.position.is_none());
            if found.next.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

impl Found {
    fn take(&mut self, stored: Stored, is_shown: bool) {
        self.positions.push(stored.position);
        let bytes = stored.message.bytes().len();
        let has_room = self.shown.is_empty() || self.shown_bytes + bytes <= PICK_SHOWN_BYTES_MAX;
        if is_shown && has_room && self.shown.len() < PICK_SHOWN_MAX {
            self.shown_bytes += bytes;
            self.shown.push(stored);
        }
    }
}
