//! The Unix socket: local parties only (mode 0600), compact frames with their length before.
//!
//! The token is asked for here, too: a file that anybody of this user may open does not say
//! that whoever opens it may act as any agent.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_core::{Connection, Credentials, Form};
use skep_protocol::{Encoding, Error, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::driver::drive;
use crate::edge::Shared;
use crate::error::EdgeError;
use crate::limits::{ACCEPT_PAUSE, FAREWELL_MAX, TURN_BYTES_MAX};
use crate::listener::{drain, log_end};
use crate::prefixed::{self, PrefixedWire};
use crate::seats::Seat;

/// Serves a socket until shutdown, then removes it.
pub(crate) async fn serve(shared: Arc<Shared>, socket: BoundSocket) {
    let turned_away = Arc::new(Semaphore::new(shared.turned_away_max));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => log_end(ended),
            accepted = socket.listener.accept() => match (accepted, shared.seats.take()) {
                (Ok((stream, _)), Some(seat)) => {
                    connections.spawn(serve_one(shared.clone(), stream, seat));
                }
                (Ok((stream, _)), None) => {
                    let permit = turned_away.clone().try_acquire_owned();
                    drop(permit.map(|permit| connections.spawn(turn_away(stream, shared.full(), permit))));
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "cannot accept at the socket; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(socket);
    drain(&shared, &mut connections).await;
}

async fn serve_one(shared: Arc<Shared>, stream: UnixStream, seat: Seat) {
    let (hub, form) = (shared.hub.clone(), Form::Encoded(Encoding::Compact));
    let connection = Connection::new(hub.clone(), form, Credentials::default(), hub.now());
    drive(PrefixedWire::new(stream), form, connection, hub, &shared.shutdown).await;
    drop(seat);
}

/// Says why it is not served, and takes what the peer says first: closed at once, its end would break under its Connect
/// before it has read why.
async fn turn_away(mut stream: UnixStream, error: Error, permit: OwnedSemaphorePermit) {
    tracing::debug!(%error, "a connection to the socket is refused");
    let farewell = async {
        stream.write_all(&prefixed::encode(&Frame::Error(error))).await?;
        stream.shutdown().await?;
        copy(&mut stream.take(TURN_BYTES_MAX as u64), &mut sink()).await
    };
    let _ = timeout(FAREWELL_MAX, farewell).await;
    drop(permit);
}

/// A Unix socket (mode 0600) that is bound and not yet served. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct BoundSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: a file that another hub put in its place is not ours to remove.
    identity: (u64, u64),
}

impl BoundSocket {
    /// Binds a socket. One that is there already is replaced if nobody answers at it. To be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// When somebody answers there, something else stands there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, EdgeError> {
        let failed = |what| move |source| EdgeError::Socket { what, path: path.to_owned(), source };
        clear(path)?;
        let listener = UnixListener::bind(path).map_err(failed("bind the socket"))?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("restrict the socket"))?;
        let identity = fs::symlink_metadata(path).map(|found| identity(&found)).map_err(failed("look at"))?;
        Ok(BoundSocket { listener, path: path.to_owned(), identity })
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Removes a socket at which nobody answers, and nothing else.
fn clear(path: &Path) -> Result<(), EdgeError> {
    let failed = |what| move |source| EdgeError::Socket { what, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(EdgeError::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(EdgeError::SocketInUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("remove the stale socket"))
        }
        Err(error) => Err(failed("find out whether somebody answers at")(error)),
    }
}
