//! An ack, a nack and a reject are taken whatever becomes of publishes: also on a full disk.

use super::books::Books;
use super::{Facts, Violation};
use crate::history::Told;

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let alone = books.settles.values().flatten().filter(|settle| !settle.is_atomic && settle.action != "extend");
    let refused = alone.filter_map(|settle| match settle.told {
        // Over, or the hub has no room in memory or no time for anything just now.
        Told::Refused(code) if !matches!(&**code, "lease_lost" | "busy" | "shutting_down") => {
            Some(Violation::new(format!("an {} was refused with {code}", settle.action), [settle.line()]))
        }
        _ => None,
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::Story;

    #[test]
    fn an_ack_is_refused_only_when_its_lease_is_lost() {
        let mut story = Story::new();
        let lease = story.delivered("m", "plain", 7, 1, 1);
        story.settle(lease, "ack", Told::Refused("lease_lost".into()));
        story.settle(lease, "extend", Told::Refused("disk_full".into()));
        assert_eq!(story.judge(check), []);
        story.settle(lease, "ack", Told::Refused("disk_full".into()));
        assert!(story.judge(check)[0].what.contains("refused with disk_full"));
    }
}
