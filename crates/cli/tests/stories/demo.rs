use std::process::Command;
use std::time::{Duration, Instant};

use crate::place::{Place, Ran};

/// Files of the input: few, so that the story is short, and enough for each fault to fall.
const FILES: usize = 24;
/// A run takes a few seconds; one that hangs is no run.
const RUN_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

#[test]
fn the_demo_loses_nothing_and_counts_nothing_twice_though_a_worker_and_the_hub_are_killed() {
    let place = Place::empty();
    let input = place.path().join("input");
    std::fs::create_dir(&input).unwrap();
    for n in 0..FILES {
        std::fs::write(input.join(format!("{n}.txt")), "one two three\n".repeat(n + 1)).unwrap();
    }
    let summary = run(&place).done().json();
    for (name, expected) in [("lost", 0), ("duplicate_effects", 0), ("wrong_results", 0), ("files", FILES)] {
        assert_eq!(summary[name], expected, "{name}: {summary}");
    }
    assert_eq!((&summary["ok"], &summary["failures"]), (&true.into(), &serde_json::json!([])));
    let dead = summary["dead_lettered"].as_array().unwrap();
    assert_eq!(dead.len(), 1, "{summary}");
    assert_eq!((&dead[0]["poison"], &dead[0]["sender_told"]), (&true.into(), &true.into()));
    assert!(!dead[0]["reason"].as_str().unwrap().is_empty() && summary["hub_away_ms"].is_u64(), "{summary}");
    assert_eq!(summary["settled"].as_u64().unwrap() as usize, FILES, "{summary}");
}

/// Runs the demo; one that takes too long is told to end, so that it clears away what it started.
fn run(place: &Place) -> Ran {
    let mut demo = place.spawn(&["demo", "--json", "--input", "input", "--seed", "7"]);
    let since = Instant::now();
    while demo.try_wait().unwrap().is_none() {
        if since.elapsed() > RUN_MAX {
            let told = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap();
            let ran = Ran::from(demo.wait_with_output().unwrap());
            panic!("not done after {RUN_MAX:?}, {told}: {ran:?}");
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    Ran::from(demo.wait_with_output().unwrap())
}
