//! `skep agents`: who is known to the hub.

use clap::Subcommand;
use serde_json::Value;
use skep_protocol::{AgentId, AgentInfo, Answer, Ask, Command, QueueName, WorkspaceId};

use crate::advice::{Named, advised};
use crate::context::Context;
use crate::exit::Usage;
use crate::health::warn_if_damaged;
use crate::output::{Table, presence};

/// Show, add and remove agents
///
/// An agent that was added has an inbox, which keeps its messages also while it is not there.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  skep agents add bob
  skep agents add coder --metadata '{\"model\":\"small\",\"skills\":[\"rust\"]}'
  skep agents join bob docs          # what is said in workspace.docs.> reaches bob's inbox
  skep agents ls
  skep agents rm bob --force         # even if messages wait for it";

#[derive(Subcommand)]
enum Verb {
    /// Show all agents, what waits for them, and when they were last seen
    #[command(after_help = "Examples:\n  skep agents ls\n  skep agents ls --json | jq .[].agent")]
    Ls,
    /// Add an agent: it has an inbox from now on
    #[command(
        after_help = "Examples:\n  skep agents add bob\n  skep agents add coder --metadata '{\"model\":\"small\"}'"
    )]
    Add {
        /// Its id: letters, digits, _ and -
        agent: AgentId,
        /// What it says of itself, a JSON object; unsaid, of an agent that is there nothing changes
        #[arg(long, value_name = "JSON")]
        metadata: Option<String>,
    },
    /// Remove an agent and its inbox
    #[command(
        after_help = "Examples:\n  skep agents rm bob\n  skep agents rm bob --force         # even if messages wait for it"
    )]
    Rm {
        /// Its id
        agent: AgentId,
        /// Even if messages wait in its inbox; they are lost
        #[arg(long)]
        force: bool,
    },
    /// Let what is said in a workspace reach an agent's inbox
    #[command(
        after_help = "Examples:\n  skep agents join bob docs          # what is said in workspace.docs.> reaches bob's inbox"
    )]
    Join {
        /// The agent
        agent: AgentId,
        /// The workspace
        workspace: WorkspaceId,
    },
    /// Let what is said in a workspace reach an agent's inbox no more
    #[command(after_help = "Examples:\n  skep agents leave bob docs")]
    Leave {
        /// The agent
        agent: AgentId,
        /// The workspace
        workspace: WorkspaceId,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.verb {
            Verb::Ls => list(context),
            Verb::Add { agent, metadata } => add(context, &agent, metadata),
            Verb::Rm { agent, force } => {
                let words = [format!("removed {agent} and its inbox"), format!("{agent} was not there")];
                manage(context, Named::GoneAgent(&agent), Command::Deregister { agent: agent.clone(), force }, words)
            }
            Verb::Join { agent, workspace } => {
                let words = [
                    format!("{agent} joined {workspace}: what is said in workspace.{workspace}.> reaches its inbox"),
                    format!("{agent} was in {workspace} already"),
                ];
                manage(context, Named::Agent(&agent), Command::Join { agent: agent.clone(), workspace }, words)
            }
            Verb::Leave { agent, workspace } => {
                let words = [format!("{agent} left {workspace}"), format!("{agent} was not in {workspace}")];
                manage(context, Named::Agent(&agent), Command::Leave { agent: agent.clone(), workspace }, words)
            }
        }
    }
}

fn add(context: &Context, agent: &AgentId, metadata: Option<String>) -> anyhow::Result<()> {
    let unsaid = metadata.is_none();
    let metadata = metadata.map_or_else(|| Ok("{}".into()), checked)?;
    context.attached_as(context.global().agent.clone(), async |client| {
        let was_there = client.query(Ask::Queue { queue: QueueName::inbox(agent) }).await.is_ok();
        // What an agent said of itself before stays, unless something else is said.
        if unsaid && was_there {
            return tell(
                context,
                &Answer::Done { changed: false },
                [String::new(), format!("{agent} was there already")],
            );
        }
        let answer = client.manage(Command::Register { agent: agent.clone(), metadata }).await?;
        let changed = match was_there {
            true => format!("{agent} was there already; what it says of itself is now as given"),
            false => format!("added {agent}; it has an inbox now"),
        };
        let words = [changed, format!("{agent} was there already, and says this of itself")];
        tell(context, &answer, words)
    })
}

/// Runs a command on an agent, and says what it changed, or else that it was so before.
fn manage(context: &Context, agent: Named<'_>, command: Command, words: [String; 2]) -> anyhow::Result<()> {
    context.attached_as(context.global().agent.clone(), async |client| {
        let answer = advised(context, client, agent, client.manage(command)).await?;
        tell(context, &answer, words)
    })
}

fn tell(context: &Context, answer: &Answer, [changed, unchanged]: [String; 2]) -> anyhow::Result<()> {
    let words = if *answer == (Answer::Done { changed: false }) { unchanged } else { changed };
    Ok(context.output().answer(answer, words)?)
}

fn checked(metadata: String) -> Result<String, Usage> {
    let object: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(&metadata);
    object.map_err(|error| Usage(format!("--metadata: {error}; expected a JSON object")))?;
    Ok(metadata)
}

fn list(context: &Context) -> anyhow::Result<()> {
    context.attached(async |client| {
        let agents = client.agents().await?;
        let table = table(&agents);
        if table.is_empty() && !warn_if_damaged(context, client).await {
            let add = context.command("agents add bob");
            context.output().note(format!("no agents yet. Add one: {add}"));
        }
        let values: Vec<Value> = agents.iter().map(shown).collect::<Result<_, _>>()?;
        Ok(context.output().answer(&values, if table.is_empty() { String::new() } else { table.to_string() })?)
    })
}

/// An agent as it is shown over HTTP, too: what it says of itself is the object that it is, not a text that holds one.
fn shown(info: &AgentInfo) -> serde_json::Result<Value> {
    let mut shown = serde_json::to_value(info)?;
    if let (Some(metadata), Ok(object)) = (shown.get_mut("metadata"), serde_json::from_str(&info.metadata)) {
        *metadata = object;
    }
    Ok(shown)
}

fn table(agents: &[AgentInfo]) -> Table {
    let mut table = Table::new(["agent", "waiting", "presence", "workspaces"]);
    for info in agents {
        let workspaces: Vec<&str> = info.workspaces.iter().map(WorkspaceId::as_str).collect();
        table.row([
            info.agent.to_string(),
            info.waiting.to_string(),
            presence(info.connected, info.last_seen_ms),
            workspaces.join(", "),
        ]);
    }
    table
}
