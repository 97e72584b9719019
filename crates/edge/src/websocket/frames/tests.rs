use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head_of(first, payload.len()).as_ref().to_vec();
    bytes[0] = first;
    bytes[1] |= FINAL;
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn texts(frames: &[Incoming]) -> Vec<Vec<u8>> {
    let bytes = |frame: &Incoming| match frame {
        Incoming::Bytes(bytes) => bytes.to_vec(),
        Incoming::Frame(_) => unreachable!("bytes only"),
    };
    frames.iter().map(bytes).collect()
}

fn refused(bytes: &[u8]) -> String {
    match Frames::default().take(bytes, &mut Vec::new()) {
        Err(Gone::Broken(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_examples_of_the_rfc_are_read_and_written() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let mut into = Vec::new();
    assert_eq!(Frames::default().take(&hello, &mut into).unwrap(), None);
    assert_eq!(texts(&into), [b"Hello"]);
    assert_eq!(frame(TEXT, b"Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(head(false, 256).as_ref(), [0x82, 0x7e, 0x01, 0x00]);
    assert_eq!(head(false, 65_536).as_ref(), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn messages_are_found_however_the_bytes_are_cut() {
    let large = vec![7; 70_000];
    let all = [
        masked(FINAL | TEXT, b"one"),
        masked(BINARY, b"tw"),
        masked(FINAL | PING, b"there?"),
        masked(CONTINUATION, b""),
        masked(FINAL | CONTINUATION, b"o"),
        masked(FINAL | BINARY, b""),
        masked(FINAL | PONG, b"yes"),
        masked(FINAL | BINARY, &vec![3; 300]),
        masked(FINAL | BINARY, &large),
    ]
    .concat();
    let whole = [b"one".to_vec(), b"two".to_vec(), Vec::new(), vec![3; 300], large];
    for cut in (1..500).chain([4_096, 65_536, all.len()]) {
        let (mut frames, mut into, mut pongs) = (Frames::default(), Vec::new(), Vec::new());
        for piece in all.chunks(cut) {
            pongs.extend(frames.take(piece, &mut into).unwrap());
        }
        assert!(texts(&into) == whole, "cut every {cut} bytes");
        assert_eq!(pongs, [Control::Pong(frame(PONG, b"there?"))]);
        assert!(frames.partial.is_empty() && frames.begun.is_none());
    }
}

#[test]
fn nothing_is_heard_after_a_close_and_its_code_comes_back() {
    let said = [masked(FINAL | CLOSE, b"\x03\xe8bye"), masked(FINAL | TEXT, b"late")].concat();
    let mut into = Vec::new();
    let control = Frames::default().take(&said, &mut into).unwrap();
    assert_eq!((control, into.len()), (Some(Control::Close(vec![0x88, 2, 3, 0xe8])), 0));
}

#[test]
fn what_is_no_frame_of_a_client_is_refused_with_the_reason() {
    for (bytes, part) in [
        (frame(TEXT, b"x"), "mask"),
        (masked(FINAL | 0x40 | TEXT, b"x"), "nobody agreed"),
        (masked(FINAL | 0x3, b"x"), "not known"),
        (masked(FINAL | 0xb, b"x"), "not known"),
        (masked(PING, b"x"), "in parts"),
        (masked(FINAL | PING, &[0; 126]), "125"),
        (masked(FINAL | CONTINUATION, b"x"), "not begun"),
        ([masked(TEXT, b"x"), masked(FINAL | TEXT, b"x")].concat(), "before the one"),
        (masked(FINAL | TEXT, b"\xff"), "UTF-8"),
        (vec![0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], "at most 4194304 bytes"),
    ] {
        let text = refused(&bytes);
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_first_message_is_no_larger_than_a_connect_whole_or_in_parts_and_the_second_may_be() {
    let large = vec![b' '; CONNECT_BYTES_MAX + 1];
    assert!(refused(&masked(FINAL | TEXT, &large)).contains("first frame"));
    let half = vec![b' '; CONNECT_BYTES_MAX / 2 + 1];
    assert!(refused(&[masked(TEXT, &half), masked(CONTINUATION, &half)].concat()).contains("first frame"));
    let (mut frames, mut into) = (Frames::default(), Vec::new());
    frames.take(&[masked(FINAL | TEXT, b"{}"), masked(FINAL | TEXT, &large)].concat(), &mut into).unwrap();
    assert_eq!(into.len(), 2);
    let huge = vec![b' '; FRAME_BYTES_MAX / 2 + 1];
    let parts = [masked(TEXT, &huge), masked(CONTINUATION, &huge)].concat();
    assert!(matches!(frames.take(&parts, &mut into), Err(Gone::Broken(e)) if e.text.contains("at most 4194304")));
}
