//! The table of keys: one row says all there is to know of one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_protocol::limits::PAYLOAD_BYTES_MAX;

use super::durability;
use super::filter::is_filter;
use super::given::Given;
use super::{Config, MEMORY_BYTES_MIN, UnixSocket};
use super::{retention, span};

/// All there is to know of one key.
pub struct Key {
    /// Its name in `skep.toml`.
    pub name: &'static str,
    /// Its name in the environment.
    pub variable: &'static str,
    /// Its name as a flag, without the dashes.
    pub flag: &'static str,
    /// What the flag takes.
    pub takes: Takes,
    /// What it is, in one line.
    pub doc: &'static str,
    /// What a value looks like; an error says so.
    pub expected: &'static str,
    /// What it is unless said.
    pub default: &'static str,
    /// The value in a configuration, as `skep.toml` would say it.
    pub show: fn(&Config) -> String,
    /// Takes a value; none when it is not one.
    pub(super) set: fn(&mut Config, &Given<'_>) -> Option<()>,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// One value, called so in help; said again, the last one counts.
    One(&'static str),
    /// A list; said again, it adds up.
    Many(&'static str),
    /// Nothing: to say it is to switch it on.
    Switch,
}

/// What a limit of the guards looks like.
const LIMIT: &str = "a number from 1 to 4294967295, or 0 for no limit";

/// Every key there is.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        variable: "SKEP_LISTEN",
        flag: "listen",
        takes: Takes::One("ADDRESS"),
        doc: "Where HTTP and WebSocket listen",
        expected: "an address and a port such as \"127.0.0.1:7537\" (port 0: any free one), or \"off\"",
        default: "127.0.0.1:7537",
        show: |config| quoted(&config.listen.map_or_else(|| "off".into(), |listen| listen.to_string())),
        set: |config, given| given.text().and_then(parse_listen).map(|listen| config.listen = listen),
    },
    Key {
        name: "unix",
        variable: "SKEP_UNIX",
        flag: "unix",
        takes: Takes::One("PATH|true|false"),
        doc: "The Unix socket: a path, true for one in the data folder, false for none",
        expected: "a path with a / or a dot in it such as \"./hub.sock\", true or false",
        default: "true (<data>/hub.sock)",
        show: |config| match &config.unix {
            UnixSocket::Off => "false".into(),
            UnixSocket::InData => "true".into(),
            UnixSocket::At(path) => quoted(&path.display().to_string()),
        },
        set: |config, given| {
            config.unix = match given.boolean() {
                Some(true) => UnixSocket::InData,
                Some(false) => UnixSocket::Off,
                None => UnixSocket::At(given.text().filter(|text| is_path(text)).and_then(|_| given.path())?),
            };
            Some(())
        },
    },
    Key {
        name: "data",
        variable: "SKEP_DATA",
        flag: "data",
        takes: Takes::One("FOLDER"),
        doc: "The data folder",
        expected: "a path of a folder",
        default: "the nearest .skep/ upward, else ./.skep",
        show: |config| quoted(&config.data.display().to_string()),
        set: |config, given| given.path().map(|path| config.data = path),
    },
    Key {
        name: "allowed_hosts",
        variable: "SKEP_ALLOWED_HOSTS",
        flag: "allowed-hosts",
        takes: Takes::Many("HOSTS"),
        doc: "Host names that HTTP requests may name, besides those of the loopback",
        expected: "host names such as [\"hub.example\"], with or without a port; in a flag or variable separated by commas",
        default: "none",
        show: |config| list(&config.allowed_hosts),
        set: |config, given| {
            let hosts = given.texts()?;
            hosts.iter().all(|host| is_host(host)).then(|| config.allowed_hosts = hosts)
        },
    },
    Key {
        name: "allowed_origins",
        variable: "SKEP_ALLOWED_ORIGINS",
        flag: "allowed-origins",
        takes: Takes::Many("ORIGINS"),
        doc: "Origins that browsers may come from",
        expected: "origins such as [\"http://localhost:3000\"]; in a flag or variable separated by commas",
        default: "none",
        show: |config| list(&config.allowed_origins),
        set: |config, given| {
            let origins = given.texts()?;
            origins.iter().all(|origin| is_origin(origin)).then(|| config.allowed_origins = origins)
        },
    },
    Key {
        name: "payload_bytes_max",
        variable: "SKEP_PAYLOAD_BYTES_MAX",
        flag: "payload-bytes-max",
        takes: Takes::One("BYTES"),
        doc: "Largest payload of a message, in bytes",
        expected: "a number of bytes from 1 to 1048576",
        default: "1048576",
        show: |config| config.payload_bytes_max.to_string(),
        set: |config, given| {
            let bytes = given.number().filter(|bytes| (1..=PAYLOAD_BYTES_MAX).contains(bytes));
            bytes.map(|bytes| config.payload_bytes_max = bytes)
        },
    },
    Key {
        name: "connections_max",
        variable: "SKEP_CONNECTIONS_MAX",
        flag: "connections-max",
        takes: Takes::One("COUNT"),
        doc: "Connections at a time, of all kinds together; more are refused",
        expected: "a number from 1 to 1000000",
        default: "10000",
        show: |config| config.connections_max.to_string(),
        set: |config, given| {
            let count = given.number().filter(|count| (1..=1_000_000).contains(count));
            count.map(|count| config.connections_max = count)
        },
    },
    Key {
        name: "guards.hops",
        variable: "SKEP_GUARDS_HOPS",
        flag: "guards-hops",
        takes: Takes::One("COUNT"),
        doc: "Messages in a row of which each caused the next; the one after them is refused",
        expected: LIMIT,
        default: "32",
        show: |config| config.guards.hops.to_string(),
        set: |config, given| given.limit().map(|hops| config.guards.hops = hops),
    },
    Key {
        name: "guards.conversation_messages",
        variable: "SKEP_GUARDS_CONVERSATION_MESSAGES",
        flag: "guards-conversation-messages",
        takes: Takes::One("COUNT"),
        doc: "Messages of one conversation; more are refused until it was silent for its hours",
        expected: LIMIT,
        default: "1000",
        show: |config| config.guards.conversation_messages.to_string(),
        set: |config, given| given.limit().map(|count| config.guards.conversation_messages = count),
    },
    Key {
        name: "guards.conversation_hours",
        variable: "SKEP_GUARDS_CONVERSATION_HOURS",
        flag: "guards-conversation-hours",
        takes: Takes::One("HOURS"),
        doc: "Hours that a conversation may last; after as many of silence it begins anew",
        expected: LIMIT,
        default: "24",
        show: |config| config.guards.conversation_hours.to_string(),
        set: |config, given| given.limit().map(|hours| config.guards.conversation_hours = hours),
    },
    Key {
        name: "guards.messages_per_second",
        variable: "SKEP_GUARDS_MESSAGES_PER_SECOND",
        flag: "guards-messages-per-second",
        takes: Takes::One("COUNT"),
        doc: "Messages a second from one agent, or from all that come as none; faster ones are refused",
        expected: LIMIT,
        default: "0 (no limit)",
        show: |config| config.guards.messages_per_second.to_string(),
        set: |config, given| given.limit().map(|count| config.guards.messages_per_second = count),
    },
    Key {
        name: "durability",
        variable: "SKEP_DURABILITY",
        flag: "durability",
        takes: Takes::Many("TREES"),
        doc: "Topics whose messages need not be synced before they are answered; of several filters the first that matches",
        expected: "up to 64 filters, each with fsync, interval(1ms) to interval(60s), os or memory behind it, such as \
                   [\"logs.> interval(100ms)\", \"ticks.* os\"]; in a flag or variable separated by commas",
        default: "none: fsync",
        show: |config| list(&durability::show(&config.durability)),
        set: |config, given| durability::parse(&given.phrases()?).map(|trees| config.durability = trees),
    },
    Key {
        name: "retention",
        variable: "SKEP_RETENTION",
        flag: "retention",
        takes: Takes::Many("TREES"),
        doc: "Topics kept for replay and trace by bounds of their own, also where no queue takes them; of several filters the first \
              that matches",
        expected: "up to 64 filters, each with one or more of age=1m to age=36500d, bytes=1 to bytes=1125899906842624 and messages=1 \
                   to messages=1125899906842624 behind it, such as [\"logs.> age=30d messages=100000\", \"ticks.* bytes=1048576\"]; \
                   in a flag or variable separated by commas",
        default: "none: retention_age and retention_bytes count for all",
        show: |config| list(&retention::show(&config.retention)),
        set: |config, given| retention::parse(&given.phrases()?).map(|trees| config.retention = trees),
    },
    Key {
        name: "retention_age",
        variable: "SKEP_RETENTION_AGE",
        flag: "retention-age",
        takes: Takes::One("SPAN"),
        doc: "How long settled messages are kept for replay and trace; unsettled ones always are",
        expected: "a span of time such as \"12h\" or \"7d\", from \"1m\" to \"36500d\"",
        default: "7d",
        show: |config| quoted(&span::show(config.retention_age)),
        set: |config, given| {
            let age = given.text().and_then(span::parse).filter(|age| span::is_retention(*age));
            age.map(|age| config.retention_age = age)
        },
    },
    Key {
        name: "retention_bytes",
        variable: "SKEP_RETENTION_BYTES",
        flag: "retention-bytes",
        takes: Takes::One("BYTES"),
        doc: "Size of the log, in bytes, beyond which the oldest settled messages go before that",
        expected: "a number of bytes from 1048576 (1 MiB) to 1125899906842624",
        default: "1073741824 (1 GiB)",
        show: |config| config.retention_bytes.to_string(),
        set: |config, given| given.bytes(1 << 20..=1 << 50).map(|bytes| config.retention_bytes = bytes),
    },
    Key {
        name: "memory_bytes",
        variable: "SKEP_MEMORY_BYTES",
        flag: "memory-bytes",
        takes: Takes::One("BYTES"),
        doc: "Memory for the index of queues, in bytes, beyond which publishes that add messages are refused",
        expected: "a number of bytes from 67108864 (64 MiB) to 1125899906842624",
        default: "1073741824 (1 GiB)",
        show: |config| config.memory_bytes.to_string(),
        set: |config, given| given.bytes(MEMORY_BYTES_MIN..=1 << 50).map(|bytes| config.memory_bytes = bytes),
    },
    Key {
        name: "log",
        variable: "SKEP_LOG",
        flag: "log",
        takes: Takes::One("FILTER"),
        doc: "What is logged: error, warn, info, debug, trace, or a filter for parts of the program",
        expected: "error, warn, info, debug, trace or off, also for parts of the program: \"warn,skep_core=debug\"",
        default: "info",
        show: |config| quoted(&config.log),
        set: |config, given| given.text().filter(|text| is_filter(text)).map(|text| config.log = text.into()),
    },
    Key {
        name: "log_json",
        variable: "SKEP_LOG_JSON",
        flag: "log-json",
        takes: Takes::Switch,
        doc: "Log in JSON, one object a line",
        expected: "true or false",
        default: "false",
        show: |config| config.log_json.to_string(),
        set: |config, given| given.boolean().map(|on| config.log_json = on),
    },
];

/// The outer option: whether it is a value; the inner one: whether anything listens.
#[expect(clippy::option_option, reason = "to listen nowhere is a value, too")]
fn parse_listen(text: &str) -> Option<Option<SocketAddr>> {
    match text.strip_prefix("localhost:") {
        _ if text == "off" => Some(None),
        Some(port) => Some(Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into())),
        None => text.parse().ok().map(Some),
    }
}

/// A bare word is none: whoever says `yes` means no file of that name.
fn is_path(text: &str) -> bool {
    text.contains(['/', '.'])
}

/// `name`, `name:port`, `address` or `[address]:port`.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let named = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(of_name),
    };
    named && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn list(texts: &[String]) -> String {
    format!("{texts:?}")
}
