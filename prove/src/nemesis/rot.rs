//! A bit that flips in what was proven durable: the hub must open read-only, name the range and change nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{bail, ensure};
use skep_protocol::{Ask, Page};

use super::Nemesis;
use super::segments::{Segments, Stretch};
use super::tail::flip;
use crate::history::{Told, hash};
use crate::hub::Hub;
use crate::link::wire::Wire;
use crate::queues::TORN;

impl Nemesis {
    /// Ends the hub, flips a bit, looks at what the hub makes of it, flips it back, and goes on.
    pub(super) async fn rot(&mut self) -> anyhow::Result<()> {
        let world = Arc::clone(&self.world);
        let _halted = world.halt().await;
        if self.random.percent(50) {
            self.hub.stop().await?
        } else {
            self.hub.kill().await?
        }
        let log = Segments::read(&self.hub.data)?;
        let covered = Segments::covered(&self.hub.data)?;
        let proven: Vec<&Stretch> = log.0.iter().filter(|batch| batch.is_proven && batch.position >= covered).collect();
        if proven.is_empty() {
            return self.restart().await;
        }
        let batch = *self.random.pick(&proven);
        let (at, bit) = (batch.offset + self.random.below(batch.bytes), self.random.below(8));
        let file = File::options().read(true).write(true).open(&batch.file)?;
        flip(&file, at, bit)?;
        self.count("a bit flip in what was proven durable");
        let before = hashes(&Segments::folder(&self.hub.data))?;
        let found = self.opens_read_only(&batch.file, at).await;
        if let Err(error) = found {
            let (file, bytes) = (batch.file.display(), batch.bytes);
            let what = format!(
                "bit {bit} of byte {at} of {file} was flipped, in a batch of {bytes} bytes from {}",
                batch.offset
            );
            self.problem(format!("{what}: {error:#}"));
        }
        if hashes(&Segments::folder(&self.hub.data))? != before {
            self.problem(format!("byte {at} of {} was damaged, and the hub changed the log", batch.file.display()));
        }
        flip(&file, at, bit)?;
        self.restart().await
    }

    /// Starts a hub where no client looks for it, and ends it again.
    async fn opens_read_only(&mut self, file: &Path, at: u64) -> anyhow::Result<()> {
        let mut aside = self.hub.aside(&mut self.random);
        aside.spawn()?;
        let looked = self.look(&mut aside, file, at).await;
        if looked.is_err() {
            // However it is: it must be gone before the next one opens the store.
            let _ = aside.kill().await;
            return looked;
        }
        aside.stop().await
    }

    async fn look(&mut self, aside: &mut Hub, file: &Path, at: u64) -> anyhow::Result<()> {
        aside.ready().await?;
        let mut wire = Wire::connect(aside.door(), self.producer).await?;
        let status = match wire.ask(Ask::Status).await?? {
            Page::Status(status) => status,
            other => bail!("expected a status, got {other:?}"),
        };
        let (message, _) = self.maker.message(TORN.topic, &mut self.random)?;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let refused = wire.publish(sequence, vec![message]).await?;
        ensure!(refused.iter().all(Told::is_refused), "a damaged store took a message: {refused:?}");
        ensure!(status.not_ready.is_some(), "a damaged store is ready");
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        ensure!(names(&status.recovery, name, at), "the damage is not named in {:?}", status.recovery);
        Ok(())
    }
}

/// Whether a report names the file and a range with this byte: `<file>: bytes <from>..<until>, ..`.
fn names(report: &str, file: &str, at: u64) -> bool {
    let range = report.split_once(&format!("{file}: bytes ")).and_then(|(_, rest)| rest.split_once(','));
    let range = range.and_then(|(range, _)| range.split_once(".."));
    let number = |text: &str| text.parse::<u64>().ok();
    range.and_then(|(from, until)| Some((number(from)?..number(until)?).contains(&at))).unwrap_or(false)
}

fn hashes(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, u64>> {
    let mut hashes = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hash = hash(&fs::read(&path)?);
        hashes.insert(path, hash);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_the_damage_only_with_its_file_and_a_range_around_it() {
        let report = "9 records in 2 segments, damaged: 0000000002.seg: bytes 4096..8192, positions 1..4 were durable";
        assert!(names(report, "0000000002.seg", 4096) && names(report, "0000000002.seg", 8191));
        assert!(!names(report, "0000000002.seg", 8192) && !names(report, "0000000001.seg", 5000));
        assert!(!names("9 records in 2 segments", "0000000002.seg", 5000));
    }
}
