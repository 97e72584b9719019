//! Agents and their workspaces.

use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use skep_core::limits::LIST_MAX;
use skep_protocol::{AgentId, AgentInfo, Ask, Command, WorkspaceId};

use super::extract::{Asked, At, AtTwo, Bare, Caller, Members, Nothing, Object, at_most};
use super::problem::Problem;
use super::queues::{Force, Listed, command, linked};
use super::{Answered, json};

/// An agent, whose metadata is shown as the object that it is.
#[derive(Serialize)]
struct Shown {
    agent: AgentId,
    metadata: Option<Box<RawValue>>,
    connected: Option<bool>,
    last_seen_ms: Option<u64>,
    waiting: u64,
    workspaces: Vec<WorkspaceId>,
}

/// `GET /v1/agents`: a page of them.
pub(crate) async fn list(caller: Caller, Asked(how): Asked<Listed>) -> Answered {
    let after = how.after.as_deref().map(str::parse).transpose()?;
    let limit = at_most(how.limit, LIST_MAX, LIST_MAX)?;
    Ok(linked("agents", how.limit, caller.visit()?.ask(Ask::AgentsAfter { after, limit }).await?))
}

/// Agents as they are shown over HTTP, and behind which to go on.
pub(crate) fn shown(agents: Vec<AgentInfo>, next: Option<AgentId>) -> Response {
    #[derive(Serialize)]
    struct Agents {
        agents: Vec<Shown>,
        next: Option<AgentId>,
    }
    let agents = agents.into_iter().map(|info| Shown {
        agent: info.agent,
        metadata: RawValue::from_string(info.metadata).ok(),
        connected: info.connected,
        last_seen_ms: info.last_seen_ms,
        waiting: info.waiting,
        workspaces: info.workspaces,
    });
    json(&Agents { agents: agents.collect(), next })
}

/// `PUT /v1/agents/{agent}`
pub(crate) async fn register(caller: Caller, At(agent): At<AgentId>, _: Bare, body: Object) -> Answered {
    let body = body.or_empty();
    let metadata: Box<RawValue> = serde_json::from_slice::<Members>(&body)
        .and_then(|_| serde_json::from_slice(&body))
        .map_err(|error| Problem::argument(format!("agent {agent}: {error}; expected its metadata, a JSON object")))?;
    command(caller, Command::Register { agent, metadata: metadata.get().to_owned() }).await
}

/// `DELETE /v1/agents/{agent}`
pub(crate) async fn deregister(caller: Caller, At(agent): At<AgentId>, Asked(how): Asked<Force>) -> Answered {
    command(caller, Command::Deregister { agent, force: how.force }).await
}

/// `PUT /v1/agents/{agent}/workspaces/{workspace}`
pub(crate) async fn join(
    caller: Caller,
    AtTwo(agent, workspace): AtTwo<AgentId, WorkspaceId>,
    _: Bare,
    body: Object,
) -> Answered {
    let Nothing {} = body.read()?;
    command(caller, Command::Join { agent, workspace }).await
}

/// `DELETE /v1/agents/{agent}/workspaces/{workspace}`
pub(crate) async fn leave(caller: Caller, AtTwo(agent, workspace): AtTwo<AgentId, WorkspaceId>, _: Bare) -> Answered {
    command(caller, Command::Leave { agent, workspace }).await
}
