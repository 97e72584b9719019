//! Facts: how long they stay, how they are listed, who hears of them.

use std::sync::Arc;
use std::time::Duration;

use skep_core::{Clock, FactEvent, Facts, Watch};
use tokio::time::{Instant, sleep, timeout};

use super::Opener;

const PATIENCE: Duration = Duration::from_secs(20);

async fn put(facts: &Arc<dyn Facts>, clock: Clock, key: &str, ttl_ms: Option<u64>) -> u64 {
    let ttl = ttl_ms.map(Duration::from_millis);
    facts.put(key, key.as_bytes(), None, ttl, clock.now()).await.expect("there is room")
}

/// The next change: its key, its revision, and whether there is a value.
async fn heard(watch: &mut Watch) -> Option<(String, u64, bool)> {
    match timeout(PATIENCE, watch.next()).await.expect("it tells something")? {
        FactEvent::Changed(change) => Some((change.key.clone(), change.revision, change.value.is_some())),
        FactEvent::Resync => panic!("nothing was left out"),
    }
}

/// A fact that is put for some time is gone afterwards, also when the store was opened again meanwhile.
pub async fn a_fact_ends_after_its_time_also_across_a_restart(opener: Opener<'_>) {
    let clock = Clock::new();
    let (backend, facts) = opener();
    let ending = put(&facts, clock, "lock.a", Some(1_500)).await;
    put(&facts, clock, "lock.b", Some(1_500)).await;
    put(&facts, clock, "lock.b", None).await;
    let until_ms = facts.get("lock.a").await.expect("an answer").expect("it is there").until_ms;
    backend.close().await.expect("closed in order");
    drop((backend, facts));
    let (backend, facts) = opener();
    let known = facts.get("lock.a").await.expect("an answer");
    // Only a very slow machine has not opened the store by then.
    assert!(known.is_none_or(|fact| (fact.revision, fact.until_ms) == (ending, until_ms)));
    let begun = Instant::now();
    while facts.get("lock.a").await.expect("an answer").is_some() {
        assert!(begun.elapsed() < PATIENCE, "it never ends");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(until_ms.is_some_and(|until_ms| until_ms <= clock.now().unix_ms), "not before its time");
    assert!(facts.get("lock.b").await.expect("an answer").is_some(), "put again without a time, it stays");
    let again = facts.put("lock.a", b"", Some(0), None, clock.now()).await.expect("there is none");
    assert!(again > ending);
    backend.close().await.expect("closed in order");
}

/// Facts are listed by key, those of a prefix alone, and each once however small the pages are.
pub async fn facts_are_listed_by_prefix_page_by_page(opener: Opener<'_>) {
    let clock = Clock::new();
    let (backend, facts) = opener();
    for key in ["b", "a.3", "a.1", "a", "a.2", "aa"] {
        put(&facts, clock, key, None).await;
    }
    for limit in [1, 2, 100] {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = facts.list("a.", after.as_deref(), limit).await.expect("an answer");
            assert!(page.facts.len() <= limit);
            keys.extend(page.facts.into_iter().map(|fact| fact.key));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(keys, ["a.1", "a.2", "a.3"]);
    }
    assert_eq!(facts.list("", Some("a.3"), 9).await.expect("an answer").facts.len(), 2);
    backend.close().await.expect("closed in order");
}

/// A watch tells every change under its prefix with its revision, in order; it ends with the store.
pub async fn a_watch_tells_every_change_of_its_prefix_in_order(opener: Opener<'_>) {
    let clock = Clock::new();
    let (backend, facts) = opener();
    put(&facts, clock, "lock.old", None).await;
    let mut watch = facts.watch("lock.").await.expect("a watch");
    let first = put(&facts, clock, "lock.a", None).await;
    put(&facts, clock, "other", None).await;
    let second = put(&facts, clock, "lock.b", Some(300)).await;
    assert!(facts.delete("lock.a", clock.now()).await.expect("an answer"));
    assert_eq!(heard(&mut watch).await, Some(("lock.a".into(), first, true)));
    assert_eq!(heard(&mut watch).await, Some(("lock.b".into(), second, true)));
    let mut last = second;
    for key in ["lock.a", "lock.b"] {
        let (of, revision, is_there) = heard(&mut watch).await.expect("a change");
        assert_eq!((of.as_str(), is_there), (key, false));
        assert!(revision > last, "{revision} is not larger than {last}");
        last = revision;
    }
    backend.close().await.expect("closed in order");
    assert_eq!(heard(&mut watch).await, None);
}
