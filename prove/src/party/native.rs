//! The Rust client, as the parties use it: a new one after some lives of the hub.

use std::sync::Arc;
use std::time::Duration;

use skep_client::{Client, Options};
use tokio::time::sleep;

use crate::limits::LIVES_OF_A_CLIENT;
use crate::world::{Stage, World};

/// How it connects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    WebSocket,
    Unix,
}

/// A client and the life in which it was made.
pub(crate) struct Native {
    pub(crate) client: Client,
    pub(crate) born: u64,
}

impl Native {
    /// A client, as soon as there is a hub; none when the run ends before.
    pub(crate) async fn connect(world: &Arc<World>, way: Way, name: &str) -> anyhow::Result<Option<Self>> {
        let url = match way {
            Way::WebSocket => format!("ws://{}", world.door.http),
            Way::Unix => format!("unix:{}", world.door.unix.display()),
        };
        while world.stage() < Stage::End {
            let born = world.life();
            let token = Some(world.door.token()?);
            let options = Options { token, name: name.to_owned(), ..Options::default() };
            match Client::connect(&url, options).await {
                Ok(client) => return Ok(Some(Native { client, born })),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
        Ok(None)
    }

    /// It waits longer and longer for its hub: time for a new one.
    pub(crate) fn is_old(&self, world: &World) -> bool {
        world.life() >= self.born + LIVES_OF_A_CLIENT
    }
}
