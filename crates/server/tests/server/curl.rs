//! `curl`, as a user would run it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// What curl was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// One call of curl in the making.
pub(crate) struct Curl {
    command: Command,
    body: Option<Vec<u8>>,
}

/// A call under way; it is ended with the test.
pub(crate) struct Calling(Option<Child>);

impl Curl {
    /// A call that says nothing but method and path.
    pub(crate) fn bare(hub: SocketAddr, method: &str, path: &str) -> Self {
        let mut command = Command::new("curl");
        // Its own configuration and proxies of this machine are not part of the test.
        command.args(["-q", "--noproxy", "*", "-sS", "-i", "--http1.1", "--max-time", "20", "-X", method]);
        command.arg(format!("http://{hub}{path}"));
        Curl { command, body: None }
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        self.command.args(["-H", header]);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header(&format!("Authorization: Bearer {token}"))
    }

    /// A body of JSON.
    pub(crate) fn json(self, body: &str) -> Self {
        self.body("application/json", body)
    }

    pub(crate) fn body(mut self, content_type: &str, body: &str) -> Self {
        self.command.args(["--data-binary", "@-"]);
        self.body = Some(body.into());
        self.header(&format!("Content-Type: {content_type}"))
    }

    /// Begins the call.
    pub(crate) fn begin(mut self) -> Calling {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("curl is needed for this test; install it");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A hub that refuses early does not read it all.
        let _ = stdin.write_all(&self.body.unwrap_or_default());
        Calling(Some(child))
    }

    /// Calls and waits for the answer.
    pub(crate) fn call(self) -> Answer {
        self.begin().answer()
    }
}

impl Calling {
    pub(crate) fn answer(mut self) -> Answer {
        let child = self.0.take().expect("it runs");
        Answer::read(&child.wait_with_output().expect("curl ends"))
    }

    /// The user gave up.
    pub(crate) fn give_up(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.end();
    }
}

impl Answer {
    fn read(output: &Output) -> Self {
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8(output.stdout.clone()).expect("text");
        let (mut head, mut body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {errors}"));
        while head.starts_with("HTTP/1.1 100") {
            (head, body) = body.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {errors}"));
        }
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status: status.parse().expect("a number"), headers, body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body of a call that went well.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It was refused so; the body says the same as the status, in the form of RFC 9457.
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:skep:error:{code}"));
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{self:?}");
        problem
    }
}
