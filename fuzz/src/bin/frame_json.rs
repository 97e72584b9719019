//! JSON frames: whatever comes is read or refused, and what was read comes back.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skep_fuzz::{frames, seeds};
use skep_protocol::{Encoding, Heard};

fuzz_target!(init: seeds::lay(seeds::json_frames()), |data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let heard = Encoding::Json.hear(&bytes);
    match Encoding::Json.decode(&bytes) {
        Ok(frame) => {
            frames::comes_back(&frame);
            assert_eq!(heard, Ok(Heard::Frame(frame)), "what can be read whole is heard whole");
        }
        Err(error) => assert!(!matches!(heard, Ok(Heard::Frame(_))), "heard, although {error}"),
    }
});
