//! The generator's own client: blocking sockets and frames encoded beforehand, so that it costs
//! little beside the hub. Only what is counted is decoded; anything unexpected is decoded whole,
//! by the protocol crate, and named in the error.

mod answers;
mod cursor;
mod link;
mod reader;
mod template;
mod writer;

pub(crate) use answers::{Said, listen};
pub(crate) use cursor::Cursor;
pub(crate) use link::{Link, PATIENCE, Party};
pub(crate) use reader::Reader;
pub(crate) use template::{Template, nth_queue, publish_head, put_bin_head, queue_of, settle_frame};
pub(crate) use writer::Writer;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// WebSocket over TCP, subprotocol `skep.v1.msgpack`.
    Ws,
    /// Unix socket, each frame after its length.
    Unix,
}

/// A connected socket of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Stream::Tcp(_) => Kind::Ws,
            Stream::Unix(_) => Kind::Unix,
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        })
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
