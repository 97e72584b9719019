//! Frames of a WebSocket, as a client sends them: the same messages are found however the bytes are cut.
//!
//! The first byte says after how many bytes each cut is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_core::Incoming;
use skep_edge::web_socket_frames_in;
use skep_fuzz::seeds;
use skep_protocol::limits::FRAME_BYTES_MAX;

fuzz_target!(init: seeds::lay(streams()), |data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = web_socket_frames_in([stream].into_iter());
    let pieces = web_socket_frames_in(stream.chunks(usize::from(*cut).max(1)));
    match (whole, pieces) {
        (Ok((whole, waiting)), Ok((pieces, waiting_too))) => {
            assert_eq!((sizes(&whole), waiting), (sizes(&pieces), waiting_too));
            assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
            let held = sizes(&whole).into_iter().sum::<usize>() + waiting;
            assert!(held <= stream.len(), "nothing is there that did not come");
        }
        (Err(whole), Err(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => panic!("{whole:?}, and cut every {cut} bytes {pieces:?}"),
    }
});

fn sizes(frames: &[Incoming]) -> Vec<usize> {
    let of = |frame: &'_ Incoming| match frame {
        Incoming::Bytes(bytes) if bytes.len() <= FRAME_BYTES_MAX => bytes.len(),
        other => panic!("{other:?}"),
    };
    frames.iter().map(of).collect()
}

/// The golden frames in one stream, whole and in two parts with a ping between, cut in three ways.
fn streams() -> Vec<Vec<u8>> {
    let frames = seeds::compact_frames();
    let stream: Vec<u8> = frames.iter().flat_map(|frame| [masked(0x82, frame), in_parts(frame)].concat()).collect();
    [1, 7, 255].map(|cut| [&[cut][..], &stream].concat()).into()
}

fn in_parts(frame: &[u8]) -> Vec<u8> {
    let (begin, end) = frame.split_at(frame.len() / 2);
    [masked(0x02, begin), masked(0x89, b"?"), masked(0x80, end)].concat()
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let length = u16::try_from(payload.len()).expect("a golden frame is short").to_be_bytes();
    let said = payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key);
    [&[first, 0x80 | 126][..], &length, &mask].concat().into_iter().chain(said).collect()
}
