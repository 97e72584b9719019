//! A history read again: operations with their ends, and sights of messages, as the checkers want them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::{Event, Seen, Told, What};

/// All that happened, by all clients.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// In the order of their begins.
    pub(crate) ops: Vec<Op>,
    /// In the order in which they were written down.
    pub(crate) sights: Vec<Sight>,
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) client: Arc<str>,
    pub(crate) begin: u64,
    /// None when no answer came.
    pub(crate) end: Option<u64>,
    pub(crate) life: u64,
    pub(crate) what: What,
    /// As many as were asked for; unknown without an answer.
    pub(crate) results: Vec<Told>,
    number: u64,
}

/// A delivery that a client saw.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) client: Arc<str>,
    pub(crate) at: u64,
    pub(crate) seen: Seen,
}

impl History {
    /// Reads the files of all clients.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut history = History::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
            history
                .read_client(&name.into(), BufReader::new(File::open(&path)?))
                .with_context(|| path.display().to_string())?;
        }
        history.sort();
        Ok(history)
    }

    fn read_client(&mut self, client: &Arc<str>, lines: impl std::io::BufRead) -> anyhow::Result<()> {
        let mut open: HashMap<u64, usize> = HashMap::new();
        for line in lines.lines() {
            self.add(client, &mut open, serde_json::from_str(&line?)?);
        }
        Ok(())
    }

    /// The history of these events.
    #[cfg(test)]
    pub(crate) fn of(events: Vec<(&str, Event)>) -> Self {
        let mut history = History::default();
        let mut open: HashMap<&str, HashMap<u64, usize>> = HashMap::new();
        for (client, event) in events {
            history.add(&client.into(), open.entry(client).or_default(), event);
        }
        history.sort();
        history
    }

    fn add(&mut self, client: &Arc<str>, open: &mut HashMap<u64, usize>, event: Event) {
        match event {
            Event::Begin { at, op, life, what } => {
                open.insert(op, self.ops.len());
                let results = vec![Told::Unknown("no_answer".into()); what.count()];
                let client = Arc::clone(client);
                self.ops.push(Op { client, begin: at, end: None, life, what, results, number: op });
            }
            Event::End { at, op, results } => {
                if let Some(op) = open.remove(&op).and_then(|index| self.ops.get_mut(index)) {
                    op.end = Some(at);
                    op.results.splice(..results.len().min(op.results.len()), results);
                }
            }
            Event::Delivered { at, seen } => self.sights.push(Sight { client: Arc::clone(client), at, seen }),
        }
    }

    fn sort(&mut self) {
        self.ops.sort_by_key(|op| op.begin);
        self.sights.sort_by_key(|sight| sight.at);
    }
}

impl What {
    fn count(&self) -> usize {
        match self {
            What::Publish { messages } => messages.len(),
            What::Settle { settles, messages, .. } => settles.len() + messages.len(),
            What::Request { .. } => 1,
        }
    }

    /// The messages it sends, and where the first one's result stands.
    pub(crate) fn messages(&self) -> (&[super::Sent], usize) {
        match self {
            What::Publish { messages } => (messages, 0),
            What::Settle { settles, messages, .. } => (messages, settles.len()),
            What::Request { message, .. } => (std::slice::from_ref(message), 0),
        }
    }
}

impl Op {
    /// The item of a message, for people.
    pub(crate) fn line(&self, item: usize) -> String {
        let (messages, first) = self.what.messages();
        let told = self.results.get(item).map_or_else(String::new, say);
        let what = match &self.what {
            What::Settle { settles, atomic, .. } if item < first => {
                let settle = &settles[item];
                format!("{} of lease {}{}", settle.action, settle.lease, if *atomic { " (atomic)" } else { "" })
            }
            what => match item.checked_sub(first).and_then(|at| messages.get(at)) {
                Some(sent) => {
                    let how = match what {
                        What::Settle { .. } => "hands over",
                        What::Publish { .. } => "publishes",
                        What::Request { .. } => "requests",
                    };
                    let cause = sent.cause.as_ref().map_or_else(String::new, |cause| format!(", made of {cause},"));
                    format!("{how} {}{cause} to {}", sent.id, sent.to)
                }
                None => "nothing".into(),
            },
        };
        let (client, number, life) = (&self.client, self.number, self.life);
        let end = self.end.map_or_else(|| "never".into(), seconds);
        format!("{} to {end}  {client} #{number} in life {life} {what}: {told}", seconds(self.begin))
    }
}

impl Sight {
    pub(crate) fn line(&self) -> String {
        let Seen { queue, id, position, attempt, lease, lives, .. } = &self.seen;
        let (client, (from, to)) = (&self.client, lives);
        format!(
            "{}  {client} sees {id} in {queue} at position {position}, attempt {attempt}, lease {lease}, life {from}..={to}",
            seconds(self.at)
        )
    }
}

fn say(told: &Told) -> String {
    match told {
        Told::Ok { position: Some(position), duplicate, .. } => {
            format!("ok at {position}{}", if *duplicate { ", a duplicate" } else { "" })
        }
        Told::Ok { .. } => "ok".into(),
        Told::Refused(code) => format!("refused, {code}"),
        Told::Unknown(code) => format!("unknown, {code}"),
    }
}

fn seconds(at: u64) -> String {
    format!("{}.{:06}", at / 1_000_000_000, at % 1_000_000_000 / 1000)
}
