//! The ways into a Skep hub: HTTP, WebSocket, Unix socket, in process.
//!
//! Every transport of frames is a `Wire` under the one driver (`driver.rs`), which runs an
//! I/O-free [`Connection`](skep_core::Connection). HTTP calls a [`Session`](skep_core::Session)
//! directly, one a request.

mod driver;
mod edge;
mod error;
mod http;
mod in_process;
pub mod limits;
mod listener;
mod prefixed;
mod seats;
mod stalled;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unix;
mod websocket;
mod wire;

pub use edge::{Edge, EdgeOptions};
pub use error::EdgeError;
pub use in_process::InProcess;
#[cfg(fuzzing)]
pub use prefixed::frames_in;
pub use unix::BoundSocket;
#[cfg(fuzzing)]
pub use websocket::web_socket_frames_in;
