//! Whoever believes to read a queue reads it: nobody waits for ever for what never comes.

use std::collections::BTreeMap;

use super::oracle::Judged;
use super::world::World;

/// Rounds within which everybody knows.
const ROUNDS_MAX: u32 = 400;

impl World {
    /// Everybody comes back, as after any lost line, and knows soon which queues it reads.
    pub(super) fn judge_readers(&mut self) -> Judged {
        if self.life().steps.has_ended() {
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            for at in 0..self.clients.len() {
                if self.clients[at].line.is_none() {
                    self.connect(at, true);
                }
            }
            self.round()?;
            if self.misled().is_none() {
                return Ok(());
            }
        }
        self.misled().map_or(Ok(()), Err)
    }

    /// A queue that has fewer readers than believe to read it, if there is one. It may have more: sessions that wait for a client.
    fn misled(&mut self) -> Option<String> {
        let mut believed: BTreeMap<&'static str, u64> = BTreeMap::new();
        for queue in self.clients.iter().flat_map(|client| client.subscriptions.values()) {
            *believed.entry(queue).or_default() += 1;
        }
        let life = self.life();
        believed.into_iter().find_map(|(queue, believed)| {
            let readers = life.readers(queue);
            (readers.unwrap_or(0) < believed)
                .then(|| format!("{believed} clients believe to read {queue}, and it has {readers:?} readers"))
        })
    }
}
