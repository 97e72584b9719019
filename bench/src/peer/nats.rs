//! The client side of the NATS protocol, as much as is measured with. See "Client Protocol" in its documentation.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::wire::PATIENCE;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 256 * 1024;

/// A connection.
pub(super) struct Nats {
    stream: TcpStream,
    out: Vec<u8>,
    read: Vec<u8>,
    /// What was taken of it.
    taken: usize,
}

/// A message that came: where its parts lie, until the next is asked for.
#[derive(Debug)]
pub(super) struct Heard {
    reply: Range<usize>,
    payload: Range<usize>,
}

impl Nats {
    pub(super) fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut nats = Nats { stream, out: Vec::new(), read: Vec::new(), taken: 0 };
        let hello = nats.line()?;
        ensure!(hello.starts_with("INFO "), "the server greets with {hello:?}");
        nats.out.extend(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n");
        nats.settle()?;
        Ok(nats)
    }

    /// Waits until the server has read everything.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        self.out.extend(b"PING\r\n");
        self.flush()?;
        while self.line()? != "PONG" {}
        Ok(())
    }

    pub(super) fn subscribe(&mut self, subject: &str) -> anyhow::Result<()> {
        write!(self.out, "SUB {subject} 1\r\n")?;
        self.settle()
    }

    pub(super) fn put(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        let gap = if reply.is_empty() { "" } else { " " };
        for part in ["PUB ", subject, " ", reply, gap, payload.len().to_string().as_str(), "\r\n"] {
            self.out.extend(part.as_bytes());
        }
        self.out.extend(payload);
        self.out.extend(b"\r\n");
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Asks JetStream's management; an error of it is one here.
    pub(super) fn ask(&mut self, subject: &str, body: &Value) -> anyhow::Result<Value> {
        self.put(&format!("$JS.API.{subject}"), "_INBOX.bench.api", body.to_string().as_bytes());
        self.flush()?;
        let heard = self.next().with_context(|| format!("{subject} is asked"))?;
        let said: Value = serde_json::from_slice(self.payload(&heard))?;
        ensure!(said.get("error").is_none(), "{subject} is answered by {said}");
        Ok(said)
    }

    /// The next message, waited for.
    pub(super) fn next(&mut self) -> anyhow::Result<Heard> {
        loop {
            if let Some(heard) = self.next_here()? {
                return Ok(heard);
            }
            self.fill()?;
        }
    }

    pub(super) fn payload(&self, heard: &Heard) -> &[u8] {
        self.read.get(heard.payload.clone()).unwrap_or_default()
    }

    pub(super) fn reply(&self, heard: &Heard) -> anyhow::Result<String> {
        let reply = self.read.get(heard.reply.clone()).unwrap_or_default();
        ensure!(!reply.is_empty(), "a message without reply came");
        Ok(String::from_utf8(reply.into())?)
    }

    /// The next message, if it is here.
    pub(super) fn next_here(&mut self) -> anyhow::Result<Option<Heard>> {
        loop {
            let from = self.taken;
            let Some(line) = self.line_here() else { return Ok(None) };
            let said = &self.read[line.clone()];
            let has_headers = said.starts_with(b"HMSG ");
            if has_headers || said.starts_with(b"MSG ") {
                let heard = self.message(line, has_headers)?;
                if heard.is_none() {
                    self.taken = from;
                }
                return Ok(heard);
            }
            match said {
                b"PING" => self.stream.write_all(b"PONG\r\n")?,
                b"PONG" | b"+OK" => {}
                said if said.starts_with(b"INFO ") => {}
                said => bail!("the server says {:?}", String::from_utf8_lossy(said)),
            }
        }
    }

    /// What follows a message's first line, if it is here.
    fn message(&mut self, line: Range<usize>, has_headers: bool) -> anyhow::Result<Option<Heard>> {
        let start = line.start;
        let text = std::str::from_utf8(&self.read[line])?;
        let (mut rest, total) = text.rsplit_once(' ').context("a message without length")?;
        let (total, mut head) = (total.parse::<usize>()?, 0);
        if has_headers {
            let (before, len) = rest.rsplit_once(' ').context("a head without length")?;
            (rest, head) = (before, len.parse::<usize>()?);
        }
        // The verb, the subject, the subscription, and perhaps where to reply.
        let gaps = rest.bytes().filter(|byte| *byte == b' ').count();
        let reply = match rest.rfind(' ') {
            Some(gap) if gaps == 3 => start + gap + 1..start + rest.len(),
            _ => 0..0,
        };
        if self.read.len() < self.taken + total + 2 {
            return Ok(None);
        }
        if has_headers && head == total {
            let said = &self.read[self.taken..self.taken + total];
            bail!("the server says {:?}", String::from_utf8_lossy(said));
        }
        let payload = self.taken + head..self.taken + total;
        self.taken += total + 2;
        Ok(Some(Heard { reply, payload }))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(line) = self.line_here() {
                return Ok(String::from_utf8_lossy(&self.read[line]).into_owned());
            }
            self.fill()?;
        }
    }

    fn line_here(&mut self) -> Option<Range<usize>> {
        let start = self.taken;
        let end = start + self.read[start..].iter().position(|byte| *byte == b'\n')?;
        self.taken = end + 1;
        let is_pair = end > start && self.read[end - 1] == b'\r';
        Some(start..end - usize::from(is_pair))
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        self.read.drain(..self.taken);
        self.taken = 0;
        let had = self.read.len();
        self.read.resize(had + READ_BYTES, 0);
        let got = self.stream.read(&mut self.read[had..]).context("the server says nothing")?;
        self.read.truncate(had + got);
        ensure!(got > 0, "the server ended the connection");
        Ok(())
    }
}
