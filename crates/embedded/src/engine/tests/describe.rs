//! What an engine holds, as lines that can be compared.

use skep_core::Now;
use skep_protocol::LeaseToken;

use crate::engine::Engine;
use crate::engine::entry::Entry;
use crate::journal::Token;

impl Engine {
    /// Everything that must outlive a restart, as it is after one: a message under a lease is ready,
    /// and its attempt counts.
    pub(super) fn describe(&self, now: Now) -> Vec<String> {
        assert_eq!(self.weight, self.weighed(), "what queues take is counted as they change");
        let mut lines: Vec<String> = self.queues.keys().flat_map(|id| self.describe_queue(*id, now)).collect();
        lines.extend(self.names.iter().map(|(name, id)| format!("name {name} {id}")));
        lines.extend(self.facts.known.iter().map(|(key, known)| format!("fact {key} {known:?}")));
        lines.extend(self.settled.describe(now.unix_ms));
        lines.extend(self.producers.describe());
        lines.extend(self.ids.describe(now.unix_ms));
        lines.extend(self.owed.iter().map(|(at, notice)| format!("owed {at} {notice:?}")));
        lines.push(format!("next queue {}", self.next_queue));
        lines.sort();
        lines
    }

    /// When what may expire, by queue: what is looked at later, and described nowhere else.
    pub(super) fn expiries(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .queues
            .iter()
            .map(|(id, queue)| format!("queue {id} {:?}", queue.asides().map(|asides| &asides.expiring)))
            .collect();
        lines.push(format!("facts of {} bytes {:?}", self.facts.bytes, self.facts.ending));
        lines.sort();
        lines
    }

    /// Where the messages of leases stand.
    pub(super) fn leases_at(&self, leases: &[LeaseToken]) -> Vec<Option<u64>> {
        let opened = leases.iter().map(|lease| Token::opened(*lease, self.secret));
        opened.map(|token| Some(self.leases.get(&token?.count)?.entry.position)).collect()
    }

    /// Of a key at most one message is ready or leased.
    fn check_keys(&self, id: u32) {
        let Some(keys) = self.queues[&id].keys() else { return };
        let waiting: Vec<u64> = keys.iter().map(|entry| entry.position).collect();
        let ready = self.queues[&id].ready().map(|entry| entry.position).filter(|at| !waiting.contains(at));
        let leased = self.leases.values().filter(|lease| lease.queue == id).map(|lease| lease.entry.position);
        let mut handed_out: Vec<u64> = ready.chain(leased).filter_map(|at| keys.key_of(at)).collect();
        let all = handed_out.len();
        handed_out.sort_unstable();
        handed_out.dedup();
        assert_eq!(handed_out.len(), all, "of queue {id} one key is handed out twice");
    }

    fn describe_queue(&self, id: u32, now: Now) -> Vec<String> {
        let queue = &self.queues[&id];
        let mut lines = vec![format!(
            "queue {id} {} held {} of {} bytes",
            serde_json::to_string(&queue.spec).expect("a declaration is JSON"),
            queue.held,
            queue.held_bytes
        )];
        self.check_keys(id);
        let of_keys: Vec<String> = queue.keys().into_iter().flat_map(|keys| keys.describe()).collect();
        let mut notes = queue.asides().map(|asides| asides.notes.clone()).unwrap_or_default();
        let mut entry = |entry: &Entry, how: &str| lines.push(format!("queue {id} {how} {entry:?}"));
        queue.ready().for_each(|ready| entry(&ready, "ready"));
        for lease in self.leases.values().filter(|lease| lease.queue == id) {
            entry(&lease.entry, "ready");
            let ended = skep_protocol::Ended { reason: "hub_restarted".into(), progress: lease.progress.clone() };
            notes.insert(lease.entry.position, ended);
        }
        for (_, waiting) in self.delayed.iter().filter(|((of, _), _)| *of == id) {
            // What waited until now is ready.
            match waiting.until_ms {
                until_ms if until_ms <= now.unix_ms => entry(&waiting.entry, "ready"),
                until_ms => entry(&waiting.entry, &format!("delayed until {until_ms}")),
            }
        }
        assert_eq!(queue.held, lines.len() as u64 - 1, "of queue {id} every message is somewhere");
        assert_eq!(queue.leased, self.leases.values().filter(|lease| lease.queue == id).count() as u64);
        assert_eq!(queue.delayed, self.delayed.keys().filter(|(of, _)| *of == id).count() as u64);
        if let Some(asides) = queue.asides() {
            lines.extend(asides.tries.iter().map(|(position, tries)| format!("queue {id} tries {position} {tries}")));
            lines.extend(asides.died.keys().map(|position| format!("queue {id} died {position}")));
        }
        lines.extend(of_keys.iter().map(|line| format!("queue {id} {line}")));
        lines.extend(notes.iter().map(|(position, ended)| format!("queue {id} note {position} {ended:?}")));
        lines
    }
}
