//! kill -9, and SIGSTOP.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::Nemesis;

impl Nemesis {
    /// Kills the hub and starts it again; now and then it is killed while it starts, too.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.hub.kill().await?;
        self.count("kill -9");
        while self.random.percent(25) {
            self.world.next_life();
            self.hub.spawn()?;
            sleep(Duration::from_millis(self.random.below(80))).await;
            self.hub.kill().await?;
            self.count("kill -9 while starting");
        }
        self.restart().await
    }

    /// Lets the hub stand still for a while.
    pub(super) async fn pause(&mut self) -> anyhow::Result<()> {
        self.hub.signal(Signal::STOP)?;
        sleep(Duration::from_millis(self.random.between(50, 2_500))).await;
        self.count("SIGSTOP, SIGCONT");
        self.hub.signal(Signal::CONT)
    }
}
