//! Whether the hub takes what it should: of a damaged store much is not seen, and what is not there means little.

use skep_client::{Client, Error};
use skep_protocol::{Ask, Code, Page};

use crate::context::Context;
use crate::stored::unexpected;

/// Whether this, as a status tells it, is that the store is damaged.
pub(crate) fn is_damage(why: &str) -> bool {
    why.starts_with(Code::ReadOnly.as_str())
}

/// Why the hub is not ready, as `code: text`; none if it is.
pub(crate) async fn trouble(client: &Client) -> Result<Option<String>, Error> {
    match client.query(Ask::Status).await? {
        Page::Status(status) => Ok(status.not_ready),
        other => Err(unexpected(&other)),
    }
}

/// Whether the hub's store is damaged, and so takes nothing new.
pub(crate) async fn is_damaged(client: &Client) -> bool {
    // Whoever cannot be asked has answered the question before.
    trouble(client).await.ok().flatten().is_some_and(|why| is_damage(&why))
}

/// Says beside an empty list that more may be there than a damaged store shows; answers whether.
pub(crate) async fn warn_if_damaged(context: &Context, client: &Client) -> bool {
    // Whoever cannot be asked has answered the question before.
    let Some(why) = trouble(client).await.ok().flatten().filter(|why| is_damage(why)) else { return false };
    let words =
        format!("the store is damaged, so what it held may be missing here; see {}: {why}", context.command("status"));
    context.output().warning(&words);
    true
}
