//! A Unix socket: each frame after its length, u32 little-endian.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{Code, Error, Frame};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::encoded::Encoded;
use super::{Duplex, lost};
use crate::address::no_hub;
use crate::limits::SOCKET_BUFFER_BYTES;
use crate::ours;

pub(super) async fn open(path: &Path) -> Result<impl Duplex + use<>, Error> {
    let none = |error: io::Error| no_hub(&format!("unix:{}", path.display()), &error);
    let socket = UnixStream::connect(path).await.map_err(none)?;
    check_peer(path, socket.peer_cred().map_err(none)?.uid(), ours::user())?;
    Ok(over(socket))
}

/// Whoever serves the socket will be told the token, and can read every message.
fn check_peer(path: &Path, owner: u32, user: u32) -> Result<(), Error> {
    if owner == user {
        return Ok(());
    }
    let text = format!("unix:{} is served by user {owner}, but this is user {user}", path.display());
    Err(Error::new(Code::Forbidden, format!("{text}; expected a hub of your own: start one, or run as user {owner}")))
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

    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// Where the stranger of the test below listens; only its own second process is told.
    const STRANGER: &str = "TEST_STRANGERS_SOCKET";

    #[tokio::test]
    async fn a_hub_of_another_user_is_told_nothing() {
        if let Some(path) = std::env::var_os(STRANGER) {
            let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
            // Until the test closes it.
            std::io::stdin().read_line(&mut String::new()).unwrap();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.sock");
        let own = folder.path().join("own.sock");
        let _listener = tokio::net::UnixListener::bind(&own).unwrap();
        assert!(open(&own).await.is_ok());
        assert_eq!(check_peer(&path, 1, 2).unwrap_err().code, Code::Forbidden);
        // Only root can become another user.
        if ours::user() != 0 {
            return;
        }
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        // A copy, for the stranger may not be let to where the tests are built.
        let program = folder.path().join("stranger");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let mut stranger = Command::new(&program)
            .args(["--exact", "link::unix::tests::a_hub_of_another_user_is_told_nothing"])
            .env(STRANGER, &path)
            .current_dir(folder.path())
            .uid(65534)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let error = loop {
            match open(&path).await {
                Err(error) if error.code == Code::NoHub && Instant::now() < until => tokio::task::yield_now().await,
                Err(error) => break error,
                Ok(_) => panic!("a stranger is taken for a hub"),
            }
        };
        drop(stranger.stdin.take());
        stranger.wait().unwrap();
        assert!(error.code == Code::Forbidden && error.text.contains("is served by user 65534"), "{error}");
    }

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
