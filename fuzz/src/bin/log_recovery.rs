//! The log: it lives through restarts and power losses as the input says, then its files are harmed, then it is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_fuzz::script::Script;
use skep_fuzz::seeds;
use skep_fuzz::store::{Harm, Life, harm, judge, open_log};

fuzz_target!(init: seeds::lay(scripts()), |data: &[u8]| {
    let mut script = Script(data);
    let life = Life::live(&mut script);
    // What the log knew to be durable before anything was harmed: opening changes the disk, so a copy is asked.
    let copy = life.disk.crash(life.disk.operations(), skep_embedded::disk::recording::Image::AllWritten);
    let proven = open_log(&copy).expect("nobody has harmed it").0.report.proven_durable;
    let done = harm(&life.disk, &mut script);
    let Some(seen) = judge(&life.disk) else {
        assert_ne!(done, Harm::None, "a log that nobody harmed is not refused");
        return;
    };
    if done < Harm::Forged {
        for record in &seen {
            assert_eq!(life.staged.get(&record.position), Some(&record.body), "after {done:?}");
        }
    }
    if done <= Harm::One {
        let mut durable = life.staged.keys().filter(|position| **position < proven);
        let lost = durable.find(|position| !seen.iter().any(|record| record.position == **position));
        assert_eq!(lost, None, "proven durable below {proven}, and lost without a word after {done:?}");
    }
});

/// Lives in which everything happens once, and each kind of harm at their end.
fn scripts() -> Vec<Vec<u8>> {
    // Two records synced, a proof, a write not synced; then as the life goes on.
    let first = [1, 1, 7, 3, 8, 90, 0, 3, 0x81, 0, 9, 40, 0];
    let lives: [&[u8]; 6] = [
        &[],
        &[4, 1, 0, 5, 200, 0],
        &[5, 1, 2, 1, 200, 2, 200, 3, 200, 0, 6, 1, 0, 4, 200, 0, 3],
        &[7, 3, 1, 0, 5, 9, 1],
        &[7 + 24, 1, 1, 0, 5, 9, 0, 3, 4],
        &[7 + 16, 9, 6, 0x81, 3, 1, 250, 2, 250, 3, 250, 4, 250, 1, 5],
    ];
    // How, which file, where, and what else it takes.
    let harms: [&[u8]; 8] = [
        &[],
        &[1, 0, 70, 16, 1],
        &[2, 0, 0, 0],
        &[3, 0, 80, 16],
        &[4, 0, 4, 16, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[5, 1, 0, 16, 40, 0],
        &[6, 0, 200, 16, 0, 0, 16, 100, 0],
        &[1, 0, 32, 16, 3, 0, 0, 0, 16],
    ];
    let script = |life: &[u8], harm: &[u8]| [&first, life, &[0], harm].concat();
    lives.iter().flat_map(|life| harms.iter().map(move |harm| script(life, harm))).collect()
}
