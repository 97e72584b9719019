//! What goes wrong on purpose, and when: drawn from a seed.

use std::path::Path;

use super::task::Poison;

/// Inputs smaller than this are done before a fault could fall into their midst by count alone.
const SMALL: usize = 40;
/// Tasks that are published twice.
const RESENDS: u32 = 3;
/// Text until the last but one byte.
const BROKEN: &[u8] = b"This was a note once.\xff\n";

/// The faults of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The task whose worker is killed.
    pub(super) hold: u32,
    /// The hub is killed when there are so many results.
    pub(super) hub_after: usize,
    /// The hub may be killed before a worker was.
    pub(super) hub_first: bool,
    /// Where in the order the poison stands.
    pub(super) poison_place: usize,
    /// So many tasks are published twice.
    pub(super) resends: u32,
}

impl Plan {
    /// Draws the faults of a run over so many files.
    pub(super) fn draw(seed: u64, files: usize) -> Self {
        let mut dice = Dice(seed);
        let hub_first = dice.below(2) == 1 && files >= SMALL;
        let percent = |percent: usize| files * percent / 100;
        // Who is killed second finds work left: a task that is held is not done.
        let (hold, hub_after) = if hub_first {
            (percent(60 + dice.below(20)), percent(25 + dice.below(20)))
        } else {
            (percent(10 + dice.below(30)), percent(40 + dice.below(30)))
        };
        Plan {
            hold: u32::try_from(hold).unwrap_or_default(),
            hub_after: hub_after.min(files.saturating_sub(1)),
            hub_first,
            poison_place: percent(dice.below(30)),
            resends: RESENDS,
        }
    }

    /// Writes the file that no worker can count.
    pub(super) fn poison(&self, folder: &Path) -> std::io::Result<Poison> {
        let path = folder.join("poison.txt");
        std::fs::write(&path, BROKEN)?;
        Ok(Poison { path, place: self.poison_place })
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides.max(1) as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_falls_within_the_run_however_small_it_is() {
        for files in [1, 2, 3, 39, 40, 300, 2_000] {
            for seed in 0..200 {
                let plan = Plan::draw(seed, files);
                assert!((plan.hold as usize) < files, "{files} {seed}");
                assert!(plan.hub_after < files && plan.poison_place <= files, "{files} {seed}");
                // A task that is held has no result: with it alone outstanding, the hub's turn has come.
                assert!(!plan.hub_first || files >= SMALL, "{files} {seed}");
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_and_seeds_differ() {
        assert_eq!(Plan::draw(7, 300), Plan::draw(7, 300));
        let orders: Vec<bool> = (0..20).map(|seed| Plan::draw(seed, 300).hub_first).collect();
        assert!(orders.contains(&true) && orders.contains(&false));
    }

    #[test]
    fn the_poison_is_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let poison = Plan::draw(1, 10).poison(folder.path()).unwrap();
        let error = super::super::input::read_text(&poison.path).unwrap_err();
        assert_eq!(error.to_string(), "not text: byte 21 is no UTF-8");
    }
}
