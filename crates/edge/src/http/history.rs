//! The past, and the hub itself.

use serde::Deserialize;
use skep_core::limits::LOOK_MAX;
use skep_protocol::{Ask, Filter, Position};

use super::Answered;
use super::extract::{Asked, Bare, Caller, at_most};
use super::queues::page;
use crate::limits::LOOK;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    filter: Option<String>,
    from: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/replay`: stored messages, settled or not, from a position on.
pub(crate) async fn replay(caller: Caller, Asked(since): Asked<Since>) -> Answered {
    let filter = Filter::new(since.filter.as_deref().unwrap_or(">"))?;
    let from = since.from.as_deref().map_or(Ok(Position::Number(0)), str::parse)?;
    let ask = Ask::Replay { filter, from, limit: at_most(since.limit, LOOK, LOOK_MAX)? };
    Ok(page(caller.visit()?.ask(ask).await?))
}

/// `GET /v1/status`
pub(crate) async fn status(caller: Caller, _: Bare) -> Answered {
    Ok(page(caller.visit()?.ask(Ask::Status).await?))
}
