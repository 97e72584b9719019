//! What keeps an edge from serving.

use std::io;
use std::path::PathBuf;

/// What keeps a listener from serving.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Somebody answers at that socket: another hub runs there.
    #[error("somebody answers at {}: another hub serves it; stop that one, or choose another path", .path.display())]
    SocketInUse {
        /// Where.
        path: PathBuf,
    },
    /// Something else is where the socket should be. It is left alone.
    #[error("{} is no socket and is left alone; choose another path for the socket", .path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot {what} {}: {source}", .path.display())]
    Socket {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
