//! The only file that names implementations: which backend, which policy, which edge.

use std::sync::Arc;

use skep_auth::{Token, TokenPolicy, token};
pub(crate) use skep_embedded::offline;

use skep_core::{Clock, Hub, HubOptions};
use skep_edge::{Edge, EdgeOptions};
use skep_embedded::{Embedded, EmbeddedOptions, Retention, TreeRetention};
use skep_protocol::{Code, Error};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, RetentionTree};
use crate::folder::DataFolder;
use crate::places::Places;
use crate::running::ServerError;

/// A hub put together, not yet listening.
pub(crate) struct Wired {
    pub(crate) hub: Arc<Hub>,
    pub(crate) edge: Edge,
    pub(crate) token: Token,
}

/// Opens the store and puts the hub together; with `shutdown` its connections end. The token, if there is none yet, is made of
/// random bytes.
pub(crate) async fn wire(
    config: &Config,
    folder: &DataFolder,
    random: &[u8; token::RANDOM_BYTES],
    shutdown: CancellationToken,
) -> Result<Wired, ServerError> {
    let clock = Clock::new();
    let store = folder.store();
    // To open a store may take seconds, and whoever embeds the hub has other tasks.
    let mut options = EmbeddedOptions::default();
    options.memory_bytes = Some(config.memory_bytes);
    options.retention = Retention { age: config.retention_age, bytes: config.retention_bytes };
    let tree = |tree: &RetentionTree| {
        let RetentionTree { filter, age, bytes, messages } = tree.clone();
        (filter, TreeRetention { age, bytes, messages })
    };
    options.retained = config.retention.iter().map(tree).collect();
    options.durability = config.durability.clone();
    let backend = spawn_blocking(move || Embedded::open(&store, clock, options)).await;
    let backend =
        backend.map_err(|error| Error::new(Code::Internal, format!("the store was not opened: {error}")))??;
    // Not before there is a log: a token without a log says that the log was lost.
    let token = folder.token(random)?;
    let policy = Arc::new(TokenPolicy::new(token.clone()));
    let name = format!("skep {}", env!("CARGO_PKG_VERSION"));
    let options = HubOptions { name, payload_bytes_max: config.payload_bytes_max, guards: config.guards };
    let hub = Hub::open(options, clock, backend.clone(), backend, policy).await?;
    let Places { connections_max, turned_away_max } = Places::within_limit(config.connections_max);
    let edge_options = EdgeOptions {
        allowed_hosts: config.allowed_hosts.clone(),
        allowed_origins: config.allowed_origins.clone(),
        connections_max,
        turned_away_max,
    };
    let edge = Edge::new(hub.clone(), edge_options, shutdown);
    Ok(Wired { hub, edge, token })
}
