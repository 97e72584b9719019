//! The queues of a simulated hub, and the topics that lead there.

use skep_protocol::{Error, Expired, Filter, QueueName, QueueSpec};

use crate::random::Random;

/// A queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    /// The queue of its dead letters.
    pub(super) dead: &'static str,
    topics: &'static [&'static str],
    /// 0 is without end.
    pub(super) attempts_max: u32,
    /// What expires is dropped there, and no dead letter.
    pub(super) drops_expired: bool,
    messages_max: u64,
}

const fn place(name: &'static str, dead: &'static str, topics: &'static [&'static str]) -> Place {
    Place { name, dead, topics, attempts_max: 0, drops_expired: false, messages_max: 1_000_000 }
}

/// All queues. What is said of a message is said of it in each.
pub(super) const PLACES: [Place; 8] = [
    Place { attempts_max: 3, ..place("plain", "$dead.plain", &["plain", "both"]) },
    place("mirror", "$dead.mirror", &["both"]),
    Place { attempts_max: 3, ..place("keyed", "$dead.keyed", &["keyed"]) },
    place("work", "$dead.work", &["work"]),
    place("next", "$dead.next", &["next"]),
    Place { drops_expired: true, ..place("passing", "$dead.passing", &["passing"]) },
    Place { messages_max: 4, ..place("few", "$dead.few", &["few"]) },
    place("brief", "$dead.brief", &["brief"]),
];

/// Topics to which publishers publish.
pub(super) const TOPICS: [&str; 8] = ["plain", "both", "keyed", "keyed", "work", "passing", "few", "brief"];
/// The queue whose messages are handed over, and the topic where.
pub(super) const WORK: &str = "work";
pub(super) const NEXT: &str = "next";
/// The queue that is deleted and declared again.
pub(super) const BRIEF: &str = "brief";
/// The queue with order by key.
pub(super) const KEYED: &str = "keyed";
/// What begins with it holds dead letters.
pub(super) const DEAD: &str = "$dead.";

/// The queues that take what is published to a topic.
pub(super) fn of(topic: &str) -> impl Iterator<Item = usize> {
    PLACES.iter().enumerate().filter(move |(_, place)| place.topics.contains(&topic)).map(|(at, _)| at)
}

/// The queue of a name, or whose dead letters it holds; and whether it holds dead letters.
pub(super) fn named(name: &str) -> Option<(usize, bool)> {
    let (name, is_dead) = name.strip_prefix(DEAD).map_or((name, false), |name| (name, true));
    PLACES.iter().position(|place| place.name == name).map(|at| (at, is_dead))
}

impl Place {
    /// Its declaration: short leases, or such that never end within a run.
    pub(super) fn spec(&self, random: &mut Random) -> Result<QueueSpec, Error> {
        let filters = self.topics.iter().map(|topic| Filter::new(topic)).collect::<Result<_, _>>()?;
        Ok(QueueSpec {
            filters,
            lease_ms: *random.pick(&[300, 1_500, 600_000]),
            attempts_max: self.attempts_max,
            backoff_min_ms: *random.pick(&[0, 10, 200]),
            backoff_max_ms: 400,
            messages_max: self.messages_max,
            expired: if self.drops_expired { Expired::Drop } else { Expired::DeadLetter },
            ..QueueSpec::new(QueueName::new(self.name)?)
        })
    }
}
