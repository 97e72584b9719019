//! How a client presents itself and how patient it is; how much a reader takes.

use std::fmt;
use std::time::Duration;

use skep_protocol::{AgentId, Binding, Code, Error};

use crate::limits::WINDOW_MESSAGES_MAX;
use crate::verb::Credit;

/// How a client presents itself to the hub, and how long it waits.
#[derive(Clone)]
pub struct Options {
    /// The agent to act as. Unsaid, the hub may know one by the token.
    pub agent: Option<AgentId>,
    /// The token. Unsaid, [`Client::find`](crate::Client::find) takes `SKEP_TOKEN`, else the one beside the hub.
    pub token: Option<String>,
    /// The program's name, for people; without an agent, messages have the source `client/<name>`.
    pub name: String,
    /// How long [`request`](crate::Client::request) waits for a reply, unless it says otherwise. Default 30 s.
    pub request_timeout: Duration,
    /// How long the first connection may take, all tries together. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a lost hub is looked for before the client ends. Default: for as long as there is a handle.
    pub give_up_after: Option<Duration>,
    /// How long [`close`](crate::Client::close) waits for answers. Default 5 s.
    pub close_timeout: Duration,
}

impl Options {
    /// The defaults, acting as an agent.
    #[must_use]
    pub fn agent(agent: AgentId) -> Self {
        Options { agent: Some(agent), ..Options::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            agent: None,
            token: None,
            name: "rust".into(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            give_up_after: None,
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Options {
    /// All but the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("agent", &self.agent).field("name", &self.name).finish_non_exhaustive()
    }
}

/// How much a reader of a queue takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// The most unsettled messages, 1 to 65,536. Default 32.
    pub window: u32,
    /// The most unsettled bytes; one message always passes. Default 16 MiB.
    pub window_bytes: u64,
    /// How many are worked on at once, at most the window: only so many are charged an attempt when this
    /// client is lost. Default 1.
    pub handlers: u32,
    /// When leases end: with the connection, or at their deadline.
    pub binding: Binding,
}

impl ReceiveOptions {
    /// The defaults, with so many handlers, and a window of twice as many at least.
    #[must_use]
    pub fn handlers(handlers: u32) -> Self {
        let default = ReceiveOptions::default();
        ReceiveOptions { handlers, window: handlers.saturating_mul(2).max(default.window), ..default }
    }

    pub(crate) fn checked(self) -> Result<Credit, Error> {
        for (field, value, max) in
            [("window", self.window, WINDOW_MESSAGES_MAX), ("handlers", self.handlers, self.window)]
        {
            if value == 0 || value > max {
                let text = format!("{field} is {value}; expected 1 to {max}");
                return Err(Error::new(Code::InvalidArgument, text));
            }
        }
        let ReceiveOptions { window, window_bytes, handlers, binding } = self;
        Ok(Credit { messages: window, bytes: window_bytes, handlers, binding })
    }
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        ReceiveOptions { window: 32, window_bytes: 16 * 1024 * 1024, handlers: 1, binding: Binding::Connection }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_handlers_than_window_are_refused_with_the_range() {
        let error = ReceiveOptions { handlers: 9, window: 4, ..ReceiveOptions::default() }.checked().unwrap_err();
        assert!(error.text.contains("handlers is 9; expected 1 to 4"), "{error}");
        assert!(ReceiveOptions { window: 0, ..ReceiveOptions::default() }.checked().is_err());
        assert_eq!(ReceiveOptions::handlers(100).checked().unwrap().messages, 200);
    }

    #[test]
    fn options_do_not_show_the_token() {
        let options = Options { token: Some("secret".into()), ..Options::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
