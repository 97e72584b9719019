//! Ways to the hub that hide nothing: frames over the Unix socket, and HTTP.

pub(crate) mod http;
pub(crate) mod wire;
