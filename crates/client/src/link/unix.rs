//! A Unix socket: each frame after its length, u32 little-endian.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{Error, Frame};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::encoded::Encoded;
use super::{Duplex, lost};
use crate::address::no_hub;
use crate::limits::SOCKET_BUFFER_BYTES;

pub(super) async fn open(path: &Path) -> Result<impl Duplex + use<>, Error> {
    let socket = UnixStream::connect(path).await.map_err(|e| no_hub(&format!("unix:{}", path.display()), &e))?;
    Ok(over(socket))
}

fn over(
    socket: UnixStream,
) -> impl Stream<Item = Result<Vec<Frame>, Error>> + Sink<Vec<Frame>, Error = Error> + Send + Unpin {
    let mut codec = LengthDelimitedCodec::builder();
    codec.little_endian().length_field_length(4).max_frame_length(FRAME_BYTES_MAX);
    let mut framed = Framed::new(socket, codec.new_codec());
    framed.set_backpressure_boundary(SOCKET_BUFFER_BYTES);
    let frames = framed.map(|frame| frame.map(BytesMut::freeze).map_err(lost));
    Encoded::new(SinkExt::<Bytes>::sink_map_err(frames, lost))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn each_frame_follows_its_length_little_endian() {
        let (ours, mut hub) = UnixStream::pair().unwrap();
        let mut link = over(ours);
        link.send(vec![Frame::Ping(7), Frame::Pong(8)]).await.unwrap();
        let mut wire = [0; 14];
        hub.read_exact(&mut wire).await.unwrap();
        assert_eq!(wire, [3, 0, 0, 0, 0x92, 17, 7, 3, 0, 0, 0, 0x92, 18, 8]);
        hub.write_all(&wire).await.unwrap();
        drop(hub);
        let mut heard = Vec::new();
        while let Some(frames) = link.next().await {
            heard.extend(frames.unwrap());
        }
        assert_eq!(heard, [Frame::Ping(7), Frame::Pong(8)]);
    }

    #[tokio::test]
    async fn a_frame_that_cannot_be_read_is_told_after_those_before_it() {
        let (ours, mut hub) = UnixStream::pair().unwrap();
        hub.write_all(&[3, 0, 0, 0, 0x92, 17, 7, 1, 0, 0, 0, 0xc1]).await.unwrap();
        let mut link = over(ours);
        assert_eq!(link.next().await, Some(Ok(vec![Frame::Ping(7)])));
        assert!(link.next().await.unwrap().is_err());
    }
}
