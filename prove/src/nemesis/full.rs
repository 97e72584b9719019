//! A disk without room: publishes are refused, settles are taken, and when there is room again all goes on.

use std::time::{Duration, Instant};

use skep_protocol::{Message, MessageId, Topic};
use tokio::time::sleep;

use super::Nemesis;
use crate::history::{Sent, Told, What};
use crate::hub::LOOK_EVERY;
use crate::link::wire::Wire;
use crate::queues::TORN;

/// Bytes of a message that is to fill the disk.
const FILLER_BYTES: usize = 256 * 1024;
/// How long it is filled; also the most that it grows the log by.
const FILL_MAX: Duration = Duration::from_secs(4);
/// Fillers of one fault.
const FILLERS_MAX: u64 = 400;
/// How long the hub may refuse after there is room again.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

impl Nemesis {
    /// Takes the room away, fills what is left, and gives it back after a while.
    pub(super) async fn full(&mut self) -> anyhow::Result<()> {
        let free = self.random.below(256 * 1024);
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.shrink(free)?;
        let was_refused = self.fill().await?;
        self.count(if was_refused { "disk full" } else { "disk full, but the log had room to the end" });
        sleep(Duration::from_millis(self.random.between(100, 1_500))).await;
        self.revive().await?;
        if self.random.percent(40) {
            self.hub.kill().await?;
            self.count("kill -9 with the disk full");
            self.world.next_life();
            if let Err(error) = self.hub.start().await {
                self.problem(format!(
                    "the hub does not start on a full disk: {error:#}; its log ends:\n{}",
                    self.hub.log_end()
                ));
                self.grow()?;
                self.restart().await?;
            }
            sleep(Duration::from_millis(self.random.between(100, 1_000))).await;
        }
        self.grow()?;
        self.accepts_again().await
    }

    fn grow(&self) -> anyhow::Result<()> {
        self.disk.as_ref().map_or(Ok(()), super::Disk::grow)
    }

    /// Publishes large messages until one is refused for want of room; answers whether one was.
    async fn fill(&mut self) -> anyhow::Result<bool> {
        let until = Instant::now() + FILL_MAX;
        let Ok(mut wire) = Wire::open(&self.world, self.producer).await else { return Ok(false) };
        for _ in 0..FILLERS_MAX {
            if Instant::now() > until {
                break;
            }
            match self.publish_large(&mut wire, FILLER_BYTES).await? {
                Some(Told::Refused(code)) if &*code == "disk_full" => return Ok(true),
                Some(Told::Refused(_)) => sleep(LOOK_EVERY).await,
                Some(_) => {}
                None => break,
            }
        }
        Ok(false)
    }

    /// None when no answer came.
    async fn publish_large(&mut self, wire: &mut Wire, bytes: usize) -> anyhow::Result<Option<Told>> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let id = MessageId::new(&format!("filler-{sequence}"))?;
        let message = Message::build(&id, "prove/nemesis", "note").to(&Topic::new(TORN.topic)?);
        let message = message.text(&format!("{id} {}", "x".repeat(bytes))).finish()?;
        let sent = Sent::of(&message, "filler", sequence);
        let op = self.scribe.begin(wire.lives.0, What::Publish { messages: vec![sent] })?;
        let Ok(mut results) = wire.publish(sequence, vec![message]).await else { return Ok(None) };
        self.scribe.end(op, results.clone())?;
        Ok(results.pop())
    }

    /// With room again, publishes are taken again, without a restart.
    async fn accepts_again(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + RECOVERY_MAX;
        loop {
            self.revive().await?;
            let told = match Wire::open(&self.world, self.producer).await {
                Ok(mut wire) => self.publish_large(&mut wire, 1).await?,
                Err(_) => None,
            };
            if told.as_ref().is_some_and(Told::is_ok) {
                return Ok(());
            }
            if Instant::now() > until {
                self.problem(format!("there is room again for {RECOVERY_MAX:?}, and a publish ends with {told:?}"));
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
