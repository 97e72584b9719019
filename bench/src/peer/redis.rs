//! The client side of RESP, as much as is measured with. See "RESP protocol description" in its documentation.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail, ensure};

use crate::wire::PATIENCE;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 256 * 1024;

/// A connection.
pub(super) struct Redis {
    stream: TcpStream,
    out: Vec<u8>,
    read: Vec<u8>,
    /// What was taken of it.
    taken: usize,
}

/// An answer. An error of the server is one here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
    Nothing,
    List(Vec<Answer>),
}

impl Answer {
    pub(super) fn number(&self) -> anyhow::Result<i64> {
        match self {
            Answer::Number(number) => Ok(*number),
            other => bail!("expected a number, got {other:?}"),
        }
    }

    pub(super) fn bytes(&self) -> anyhow::Result<&[u8]> {
        match self {
            Answer::Bytes(bytes) => Ok(bytes),
            other => bail!("expected bytes, got {other:?}"),
        }
    }

    pub(super) fn list(&self) -> anyhow::Result<&[Answer]> {
        match self {
            Answer::List(list) => Ok(list),
            other => bail!("expected a list, got {other:?}"),
        }
    }
}

impl Redis {
    pub(super) fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Redis { stream, out: Vec::new(), read: Vec::new(), taken: 0 })
    }

    pub(super) fn put(&mut self, words: &[&[u8]]) {
        self.out.extend(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out.extend(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend(*word);
            self.out.extend(b"\r\n");
        }
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    pub(super) fn ask(&mut self, words: &[&str]) -> anyhow::Result<Answer> {
        self.put(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.flush()?;
        self.next().with_context(|| format!("{words:?} is asked"))
    }

    /// The next answer, waited for.
    pub(super) fn next(&mut self) -> anyhow::Result<Answer> {
        loop {
            if let Some(answer) = self.next_here()? {
                return Ok(answer);
            }
            self.read.drain(..self.taken);
            self.taken = 0;
            let had = self.read.len();
            self.read.resize(had + READ_BYTES, 0);
            let got = self.stream.read(&mut self.read[had..]).context("the server says nothing")?;
            self.read.truncate(had + got);
            ensure!(got > 0, "the server ended the connection");
        }
    }

    /// The next answer, if all of it is here.
    pub(super) fn next_here(&mut self) -> anyhow::Result<Option<Answer>> {
        let mut at = self.taken;
        let answer = parse(&self.read, &mut at)?;
        if answer.is_some() {
            self.taken = at;
        }
        Ok(answer)
    }
}

/// None when the end is not here yet.
fn parse(bytes: &[u8], at: &mut usize) -> anyhow::Result<Option<Answer>> {
    let here = bytes.get(*at..).unwrap_or_default();
    let Some(end) = here.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = std::str::from_utf8(&here[..end])?.trim_end();
    *at += end + 1;
    let Some(rest) = line.get(1..) else { bail!("the server says {line:?}") };
    Ok(Some(match line.as_bytes().first() {
        Some(b'+') => Answer::Text(rest.to_owned()),
        Some(b':') => Answer::Number(rest.parse()?),
        Some(b'$' | b'*') if rest == "-1" => Answer::Nothing,
        Some(b'$') => {
            let len: usize = rest.parse()?;
            if bytes.len() < *at + len + 2 {
                return Ok(None);
            }
            let value = bytes[*at..*at + len].to_vec();
            *at += len + 2;
            Answer::Bytes(value)
        }
        Some(b'*') => {
            let mut list = Vec::new();
            for _ in 0..rest.parse::<usize>()? {
                let Some(item) = parse(bytes, at)? else { return Ok(None) };
                list.push(item);
            }
            Answer::List(list)
        }
        _ => bail!("the server says {line:?}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_all_of_it_is_here() {
        let whole = b"*2\r\n$3\r\nabc\r\n:7\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end], &mut 0).unwrap(), None, "{end}");
        }
        let list = Answer::List(vec![Answer::Bytes(b"abc".into()), Answer::Number(7)]);
        assert_eq!(parse(whole, &mut 0).unwrap(), Some(list));
        assert!(parse(b"-ERR no\r\n", &mut 0).is_err());
    }
}
