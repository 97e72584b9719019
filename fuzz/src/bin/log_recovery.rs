//! The log: it lives through restarts and power losses as the input says, then its files are harmed, then it is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_fuzz::script::Script;
use skep_fuzz::seeds;
use skep_fuzz::store::{Harm, Life, harm, judge, open_log, scripts};

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
