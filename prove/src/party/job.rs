//! What the parties over the Rust client take from a queue, some at once.

use std::sync::Arc;
use std::time::Duration;

use skep_client::{Leased, ReceiveOptions};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::native::{Native, Way};
use crate::history::{Scribe, Seen};
use crate::world::{Stage, World};

/// Messages it works on at once.
const AT_ONCE: usize = 8;
/// How long it waits for the next before it looks around.
const WAIT: Duration = Duration::from_millis(200);

/// A message that was taken, and where what becomes of it is written down.
pub(super) struct Job {
    pub(super) world: Arc<World>,
    pub(super) scribe: Arc<Scribe>,
    /// The life of the hub in which the client was made.
    pub(super) life: u64,
    pub(super) leased: Leased,
}

/// Takes from a queue to the end, and begins the work on each message, which then goes on beside the others.
pub(super) async fn work<W>(
    world: &Arc<World>,
    name: &str,
    way: Way,
    queue: &str,
    mut begin: impl FnMut(Job) -> anyhow::Result<W> + Send,
) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let scribe = Arc::new(Scribe::open(world, name)?);
    while let Some(native) = Native::connect(world, way, name).await? {
        let window = u32::try_from(AT_ONCE)?;
        let options = ReceiveOptions { window, handlers: window, ..ReceiveOptions::default() };
        let mut at_work = JoinSet::new();
        if let Ok(mut jobs) = native.client.receive(&queue.parse()?, options).await {
            while !native.is_old(world) && world.stage() < Stage::End {
                while at_work.len() >= AT_ONCE {
                    at_work.join_next().await.transpose()?.transpose()?;
                }
                let Ok(leased) = timeout(WAIT, jobs.next()).await else { continue };
                let Some(leased) = leased else { break };
                scribe.delivered(Seen::of(&leased, (native.born, world.life())))?;
                let (world, scribe) = (Arc::clone(world), Arc::clone(&scribe));
                at_work.spawn(begin(Job { world, scribe, life: native.born, leased })?);
            }
        }
        while let Some(done) = at_work.join_next().await {
            done??;
        }
        native.client.close().await;
    }
    Ok(())
}
