//! How many connections this process can hold at a time: each is an open file, and the system bounds those.

use rustix::process::{Resource, getrlimit};
use skep_edge::limits::TURNED_AWAY_MAX;

use crate::limits::FILES_KEPT;

/// What listeners may hold open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Connections at a time.
    pub(crate) connections_max: usize,
    /// Connections that are being told that there are too many, at each of the two listeners.
    pub(crate) turned_away_max: usize,
}

impl Places {
    /// As many as were asked for, or as the limit of open files leaves; which of it is the case is logged.
    pub(crate) fn within_limit(asked: usize) -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let places = Places::of(asked, files);
        if places.connections_max < asked {
            tracing::warn!(
                connections_max = asked,
                taken = places.connections_max,
                files,
                "fewer connections are taken than configured: this process may open no more files; raise the limit (ulimit -n)"
            );
        }
        places
    }

    fn of(asked: usize, files: u64) -> Self {
        // Where few may be open, who connects has a quarter of them.
        let kept = FILES_KEPT.min(files - files / 4);
        let left = usize::try_from(files - kept).unwrap_or(usize::MAX);
        let turned_away_max = (left / 8).clamp(1, TURNED_AWAY_MAX);
        let connections_max = asked.min(left.saturating_sub(2 * turned_away_max).max(1));
        Places { connections_max, turned_away_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_log_and_to_those_who_are_turned_away() {
        for (asked, files, connections_max, turned_away_max) in [
            (10_000, u64::MAX, 10_000, 64),
            (10_000, 1 << 20, 10_000, 64),
            (10_000, 1024, 800, 64),
            (20, 1024, 20, 64),
            (10_000, 128, 24, 4),
            (10_000, 64, 12, 2),
            (10_000, 4, 1, 1),
            (10_000, 0, 1, 1),
        ] {
            let expected = Places { connections_max, turned_away_max };
            assert_eq!(Places::of(asked, files), expected, "{asked} connections, {files} files");
        }
    }
}
