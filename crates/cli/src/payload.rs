//! The payload of a message: words, a file, or standard input.

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;

use anyhow::Context as _;
use skep_protocol::limits::PAYLOAD_BYTES_MAX;
use skep_protocol::{Code, Error, content_is_json};
use tokio::sync::mpsc;

use crate::exit::Usage;

/// Lines that were read and not yet sent. Full: reading waits.
const LINES_MAX: usize = 16;

/// What a message says.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PayloadArgs {
    /// The text; - reads standard input
    #[arg(value_name = "TEXT", required_unless_present = "file")]
    text: Option<String>,
    /// Read the payload from a file
    #[arg(long, value_name = "PATH", conflicts_with = "text", help_heading = "Message")]
    file: Option<PathBuf>,
    /// The payload's media type; unsaid, text/plain for text and application/octet-stream for other bytes
    #[arg(long, value_name = "TYPE", help_heading = "Message")]
    content_type: Option<String>,
    /// The payload is JSON: it is checked, and sent as application/json
    #[arg(long, conflicts_with = "content_type", help_heading = "Message")]
    data_json: bool,
}

/// A payload and its media type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl PayloadArgs {
    /// Reads the payload.
    pub(crate) fn read(&self) -> anyhow::Result<Payload> {
        let bytes = match (&self.file, self.text.as_deref()) {
            (Some(path), _) => {
                let file = fs::File::open(path).map_err(|e| Usage(format!("--file {}: {e}", path.display())))?;
                bounded(file, || format!("cannot read {}", path.display()))?
            }
            (None, Some("-")) => bounded(std::io::stdin().lock(), || "cannot read standard input".into())?,
            (None, text) => text.unwrap_or_default().as_bytes().to_vec(),
        };
        self.typed(bytes)
    }

    /// Reads the payload line by line, as it comes; each line keeps its end, but where it is JSON. Ends with the first error.
    pub(crate) fn lines(&self) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Payload>>> {
        let mut reader: Box<dyn BufRead + Send> = match (&self.file, self.text.as_deref()) {
            (Some(path), _) => {
                let file = fs::File::open(path).map_err(|e| Usage(format!("--file {}: {e}", path.display())))?;
                Box::new(BufReader::new(file))
            }
            (None, Some("-")) => Box::new(BufReader::new(std::io::stdin())),
            (None, text) => Box::new(Cursor::new(text.unwrap_or_default().as_bytes().to_vec())),
        };
        let (lines, taken) = mpsc::channel(LINES_MAX);
        let how = self.clone();
        // A thread that nobody waits for: a read of standard input ends when it will, or with the program.
        let work = move || {
            while let Some(line) = how.line(&mut reader) {
                let failed = line.is_err();
                if lines.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("skep-lines".into()).spawn(work).context("cannot start a thread")?;
        Ok(taken)
    }

    fn line(&self, reader: &mut impl BufRead) -> Option<anyhow::Result<Payload>> {
        loop {
            let mut line = Vec::new();
            match reader.take(PAYLOAD_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.len() > PAYLOAD_BYTES_MAX => return Some(Err(too_large().into())),
                Ok(_) if self.data_json && line.trim_ascii().is_empty() => {}
                Ok(_) if self.data_json => return Some(self.typed(line.trim_ascii().to_vec())),
                Ok(_) => return Some(self.typed(line)),
                Err(error) => return Some(Err(anyhow::Error::new(error).context("cannot read the next line"))),
            }
        }
    }

    fn typed(&self, bytes: Vec<u8>) -> anyhow::Result<Payload> {
        let content_type = match &self.content_type {
            _ if self.data_json => "application/json",
            Some(content_type) => content_type,
            None if std::str::from_utf8(&bytes).is_ok() => "text/plain",
            None => "application/octet-stream",
        };
        if content_is_json(Some(content_type)) {
            let checked: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&bytes);
            checked.map_err(|e| Usage(format!("the payload is not JSON: {e}; expected one JSON value")))?;
        }
        Ok(Payload { content_type: content_type.into(), bytes })
    }
}

/// All there is, if it may be sent: too much is refused, not cut, and not read to its end.
fn bounded(reader: impl Read, failed: impl FnOnce() -> String) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(PAYLOAD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(failed)?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(too_large().into());
    }
    Ok(bytes)
}

/// Nobody has counted how much it is.
fn too_large() -> Error {
    let text = format!(
        "the payload has more than {PAYLOAD_BYTES_MAX} bytes, the most that a hub takes; its setting payload_bytes_max may \
         allow less. Send it in pieces, or send where it lies"
    );
    Error::new(Code::TooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> PayloadArgs {
        PayloadArgs { text: Some(text.into()), ..PayloadArgs::default() }
    }

    #[test]
    fn words_are_text_even_if_they_look_like_json() {
        assert_eq!(text("{\"a\":1}").read().unwrap().content_type, "text/plain");
        assert_eq!(text("hi").read().unwrap(), Payload { content_type: "text/plain".into(), bytes: b"hi".into() });
    }

    #[test]
    fn declared_json_is_checked() {
        let json = |args: PayloadArgs| PayloadArgs { data_json: true, ..args };
        assert_eq!(json(text("{\"a\":1}")).read().unwrap().content_type, "application/json");
        assert!(json(text("{a}")).read().unwrap_err().to_string().contains("not JSON"));
        let typed = PayloadArgs { content_type: Some("application/vnd.x+json".into()), ..text("{") };
        assert!(typed.read().is_err());
    }

    #[test]
    fn lines_keep_their_ends_and_lines_of_json_are_values() {
        let lines = |args: PayloadArgs| {
            let mut taken = args.lines().unwrap();
            std::iter::from_fn(move || taken.blocking_recv()).collect::<Vec<_>>()
        };
        let read = lines(text("one\n\ntwo"));
        let bytes: Vec<&[u8]> = read.iter().map(|line| line.as_ref().unwrap().bytes.as_slice()).collect();
        assert_eq!(bytes, [&b"one\n"[..], b"\n", b"two"]);
        let read = lines(PayloadArgs { data_json: true, ..text("{\"a\":1}\n\n2\nno\n3") });
        assert_eq!(read.len(), 3, "nothing is read behind an error");
        assert_eq!((read[0].as_ref().unwrap().bytes.as_slice(), read[2].is_err()), (&b"{\"a\":1}"[..], true));
    }

    #[test]
    fn bytes_of_a_file_are_kept_and_named_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [0xff, 0]).unwrap();
        let args = PayloadArgs { file: Some(path.clone()), ..PayloadArgs::default() };
        let payload = args.read().unwrap();
        assert_eq!(
            (payload.content_type.as_str(), payload.bytes.as_slice()),
            ("application/octet-stream", &[0xff, 0][..])
        );
        fs::remove_file(path).unwrap();
        assert!(args.read().unwrap_err().is::<Usage>());
    }

    #[test]
    fn of_a_payload_that_is_too_large_no_size_is_told_that_nobody_counted() {
        let read = |bytes: usize| bounded(std::io::repeat(b'x').take(bytes as u64), || "cannot read".into());
        assert_eq!(read(PAYLOAD_BYTES_MAX).unwrap().len(), PAYLOAD_BYTES_MAX);
        let error = read(2_000_000).unwrap_err().downcast::<Error>().unwrap();
        assert_eq!(error.code, Code::TooLarge);
        assert!(error.text.contains("more than 1048576 bytes") && error.text.contains("payload_bytes_max"), "{error}");
    }
}
