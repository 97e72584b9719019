//! How large the store is, and how old its snapshot: for people, and for those who measure.

use skep_core::Gauge;

use crate::log::Extent;
use crate::snapshot::Taker;
use crate::store::Store;

/// Behind what the opening found.
pub(crate) fn in_words(recovery: &str, store: &Store, taker: Option<&Taker>) -> String {
    let Extent { first, segments, bytes } = store.reader.extent();
    let snapshot = match newest(store, taker) {
        Some((at, age_s)) => format!("a snapshot at {at}, {age_s} s old"),
        None => "no snapshot yet".to_owned(),
    };
    let trouble = taker.and_then(Taker::trouble).map_or_else(String::new, |trouble| format!(" ({trouble})"));
    let files = if segments == 1 { "file" } else { "files" };
    let (used, max) = store.lock().engine.memory();
    format!(
        "{recovery}; the log begins at position {first} and has {bytes} bytes in {segments} {files}, {snapshot}{trouble}; the index \
         takes {used} bytes of memory of at most {max}"
    )
}

pub(crate) fn in_numbers(store: &Store, taker: Option<&Taker>) -> Vec<Gauge> {
    let Extent { first, segments, bytes } = store.reader.extent();
    let (used, max) = store.lock().engine.memory();
    let gauge = |name, help, value| Gauge { name, help, value };
    let mut gauges = vec![
        gauge("log_bytes", "Bytes of the files of the log", bytes),
        gauge("log_segments", "Files of the log", segments),
        gauge("log_first_position", "First position that is kept", first),
        gauge("memory_bytes", "Memory that the index of queues takes, in bytes, estimated", used),
        gauge("memory_bytes_max", "Memory that it may take; beyond it what adds messages is refused", max),
    ];
    if let Some((at, age_s)) = newest(store, taker) {
        gauges.push(gauge("snapshot_position", "Position at which the newest snapshot stands", at));
        gauges.push(gauge("snapshot_age_seconds", "Age of the newest snapshot", age_s));
    }
    if let Some(taker) = taker {
        let help = "Whether a snapshot was found damaged, or the last one could not be taken";
        gauges.push(gauge("snapshot_trouble", help, taker.trouble().is_some().into()));
    }
    gauges
}

/// Where the newest snapshot stands, and its age in seconds.
fn newest(store: &Store, taker: Option<&Taker>) -> Option<(u64, u64)> {
    let (at, made_ms) = taker?.newest()?;
    Some((at, store.clock.now().unix_ms.saturating_sub(made_ms) / 1_000))
}
