use super::run;

/// Each seed is a whole life of a hub with crashes, and everything that was promised in it is judged.
#[test]
fn what_a_hub_promised_holds_in_every_simulated_life() {
    for seed in 0..200 {
        if let Some(broken) = run(seed, 60).broken {
            panic!("{broken}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in 0..10 {
        assert_eq!(run(seed, 60).hash, run(seed, 60).hash, "seed {seed}");
    }
}
