//! Frames with their length before them, as the Unix socket brings them: found alike however the bytes are cut.
//!
//! The first byte says after how many bytes each cut is.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skep_core::Incoming;
use skep_edge::frames_in;
use skep_fuzz::seeds;
use skep_protocol::limits::FRAME_BYTES_MAX;

fuzz_target!(init: seeds::lay(streams()), |data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = frames_in([stream].into_iter());
    let pieces = frames_in(stream.chunks(usize::from(*cut).max(1)));
    match (whole, pieces) {
        (Ok((whole, waiting)), Ok((pieces, waiting_too))) => {
            let (whole, pieces) = (bytes(&whole), bytes(&pieces));
            assert_eq!((&whole, waiting), (&pieces, waiting_too));
            let mut framed: Vec<u8> = whole.iter().flat_map(|frame| with_length(frame)).collect();
            assert_eq!(framed.len() + waiting, stream.len(), "no byte is lost and none comes twice");
            framed.extend_from_slice(&stream[framed.len()..]);
            assert_eq!(framed, stream);
        }
        (Err(whole), Err(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => panic!("{whole:?}, and cut every {cut} bytes {pieces:?}"),
    }
});

fn bytes(frames: &[Incoming]) -> Vec<Bytes> {
    let of = |frame: &'_ Incoming| match frame {
        Incoming::Bytes(bytes) if bytes.len() <= FRAME_BYTES_MAX => bytes.clone(),
        other => panic!("{other:?}"),
    };
    frames.iter().map(of).collect()
}

fn with_length(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a frame is bounded").to_le_bytes();
    [&length[..], frame].concat()
}

/// The golden frames in one stream, cut in three ways.
fn streams() -> Vec<Vec<u8>> {
    let stream: Vec<u8> = seeds::compact_frames().iter().flat_map(|frame| with_length(frame)).collect();
    [1, 7, 255].map(|cut| [&[cut][..], &stream].concat()).into()
}
