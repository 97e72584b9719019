//! The hand that writes a client's history: a line at a time, before the client goes on.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::{Event, Seen, Told, What};
use crate::world::World;

/// Writes the history of one client. What is written survives this program, so a line that cannot be
/// written ends the run: a history with a gap would prove nothing.
pub(crate) struct Scribe {
    world: Arc<World>,
    page: Mutex<Page>,
}

struct Page {
    file: File,
    next_op: u64,
}

impl Scribe {
    pub(crate) fn open(world: &Arc<World>, name: &str) -> anyhow::Result<Self> {
        let path = world.histories.join(format!("{name}.jsonl"));
        Ok(Scribe { world: Arc::clone(world), page: Mutex::new(Page { file: create(&path)?, next_op: 1 }) })
    }

    /// An operation is about to be sent to the hub of this life or a later one.
    pub(crate) fn begin(&self, life: u64, what: What) -> anyhow::Result<u64> {
        self.world.counts.began(&what);
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let op = page.next_op;
        page.next_op += 1;
        page.write(&Event::Begin { at: self.world.at(), op, life, what })?;
        Ok(op)
    }

    /// Its answer came.
    pub(crate) fn end(&self, op: u64, results: Vec<Told>) -> anyhow::Result<()> {
        let at = self.world.at();
        self.world.counts.ended(&results);
        self.page.lock().unwrap_or_else(PoisonError::into_inner).write(&Event::End { at, op, results })
    }

    pub(crate) fn delivered(&self, seen: Seen) -> anyhow::Result<()> {
        let at = self.world.at();
        self.world.counts.delivered(&seen);
        self.page.lock().unwrap_or_else(PoisonError::into_inner).write(&Event::Delivered { at, seen })
    }
}

impl Page {
    fn write(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line).context("the history cannot be written")
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("{} cannot be written", path.display()))
}
