//! Repair: a log lives and is harmed as the input says; what a repair foresees is there afterwards, and it opens for writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_embedded::disk::recording::RecordingDisk;
use skep_embedded::log::Mode;
use skep_fuzz::script::Script;
use skep_fuzz::seeds;
use skep_fuzz::store::{Harm, Life, harm, image, open_log, plan_repair, scripts, what};

fuzz_target!(init: seeds::lay(scripts()), |data: &[u8]| {
    let mut script = Script(data);
    let life = Life::live(&mut script);
    let done = harm(&life.disk, &mut script);
    let disk = &life.disk;
    let before = image(disk);
    let planned = plan_repair(disk);
    assert_eq!(image(disk), before, "a plan changes nothing, after {done:?}");
    let Ok((plan, foreseen)) = planned else { return };
    assert!(foreseen.windows(2).all(|pair| pair[0].position < pair[1].position), "each record once, in order");
    if done < Harm::Forged {
        for record in &foreseen {
            assert_eq!(life.staged.get(&record.position), Some(&record.body), "after {done:?}");
        }
    }
    let losses = plan.losses.len();
    if done == Harm::None {
        assert_eq!(losses, 0, "nobody harmed it");
    }
    let repaired = plan.carry_out(&RecordingDisk::new(), "words");
    // With checksums made to fit, numbers may stand in it behind which none comes any more.
    if done == Harm::Forged || losses == 0 {
        return;
    }
    repaired.expect("there is room");
    let (opened, seen) = open_log(disk).expect("repaired, and so it opens");
    assert!(matches!(opened.mode, Mode::ReadWrite(_)), "{}, after {done:?}", opened.report);
    assert_eq!(what(&seen), what(&foreseen), "{}, after {done:?}", opened.report);
});
