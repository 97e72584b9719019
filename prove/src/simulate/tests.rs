use super::counts::Counts;
use super::run;

/// Each seed is a whole life of a hub with crashes, and everything that was promised in it is judged.
#[test]
fn what_a_hub_promised_holds_in_every_simulated_life() {
    let mut counts = Counts::default();
    for seed in 0..200 {
        let run = run(seed, 60);
        if let Some(broken) = run.broken {
            panic!("{broken}");
        }
        counts.add(&run.counts);
    }
    assert_eq!(counts.unstrained(), [""; 0], "none of it happened in {counts}");
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in 0..10 {
        assert_eq!(run(seed, 60).hash, run(seed, 60).hash, "seed {seed}");
    }
}
