//! Damage to the end of the log that nothing proves durable, while the hub is dead: what a power loss may leave there.
//!
//! Nobody may have been told of what is damaged, else the promise is broken by the nemesis and not by the hub. So all
//! clients are halted, a marker is published and answered, and then messages of which no receipt is read; the hub is
//! killed, and only batches behind the marker's position are touched.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::Context as _;
use skep_protocol::{Frame, Message, Publish};

use super::Nemesis;
use super::segments::{Segments, Stretch};
use crate::history::{Sent, Told, What};
use crate::link::wire::Wire;
use crate::queues::TORN;

/// Messages that nobody was told of.
struct Unheard {
    sequence: u64,
    messages: Vec<Message>,
    sent: Vec<Sent>,
}

impl Nemesis {
    /// Kills the hub under writes that nobody is told of, damages what is unproven of them, and starts it again.
    pub(super) async fn tail(&mut self) -> anyhow::Result<()> {
        let world = Arc::clone(&self.world);
        let _halted = world.halt().await;
        let mut wire = Wire::open(&world, self.producer).await?;
        let marker = self.unheard(1)?;
        let Some(Told::Ok { position: Some(told), .. }) = self.resend(&mut wire, &marker).await?.pop() else {
            // Refused, as on a disk that was full a moment ago: another time.
            return Ok(());
        };
        let mut burst = Vec::new();
        for _ in 0..self.random.between(4, 80) {
            let unheard = self.unheard(8)?;
            self.scribe.begin(wire.lives.0, What::Publish { messages: unheard.sent.clone() })?;
            let publish = Publish { sequence: unheard.sequence, messages: unheard.messages.clone() };
            wire.say(&Frame::Publish(publish)).await?;
            burst.push(unheard);
        }
        self.hub.kill().await?;
        let done = self.damage_tail(told)?;
        self.count(done);
        self.restart().await?;
        let mut wire = Wire::open(&world, self.producer).await?;
        for unheard in &burst {
            self.resend(&mut wire, unheard).await?;
        }
        Ok(())
    }

    fn unheard(&mut self, messages_max: u64) -> anyhow::Result<Unheard> {
        let count = self.random.between(1, messages_max);
        let made =
            (0..count).map(|_| self.maker.message(TORN.topic, &mut self.random)).collect::<Result<Vec<_>, _>>()?;
        let (messages, sent) = made.into_iter().unzip();
        let sequence = self.next_sequence;
        self.next_sequence += count;
        Ok(Unheard { sequence, messages, sent })
    }

    async fn resend(&self, wire: &mut Wire, unheard: &Unheard) -> anyhow::Result<Vec<Told>> {
        let op = self.scribe.begin(wire.lives.0, What::Publish { messages: unheard.sent.clone() })?;
        let results = wire.publish(unheard.sequence, unheard.messages.clone()).await?;
        self.scribe.end(op, results.clone())?;
        Ok(results)
    }

    /// Damages a batch behind a position that nothing proves durable.
    fn damage_tail(&mut self, told: u64) -> anyhow::Result<&'static str> {
        let log = Segments::read(&self.hub.data)?;
        let untold: Vec<&Stretch> = log.0.iter().filter(|batch| batch.position > told && !batch.is_proven).collect();
        if untold.is_empty() {
            return Ok("kill -9 with all of the log proven: nothing to damage");
        }
        let batch = *self.random.pick(&untold);
        let file = File::options().read(true).write(true).open(&batch.file)?;
        let at = batch.offset + self.random.below(batch.bytes);
        if self.random.percent(50) {
            flip(&file, at, self.random.below(8))?;
            return Ok("kill -9 and a bit flip in the unproven tail");
        }
        // The length stays: it was synced before the segment was used, so that no crash takes it back, and a shorter file
        // is rightly held for damage.
        let end = file.metadata()?.len();
        file.set_len(at)?;
        file.set_len(end)?;
        Ok("kill -9 and the unproven tail zeroed")
    }
}

/// Turns one bit of a byte of a file over.
pub(super) fn flip(file: &File, at: u64, bit: u64) -> anyhow::Result<()> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).context("a byte that was there a moment ago")?;
    file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
    Ok(file.sync_all()?)
}
