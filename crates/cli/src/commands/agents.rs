//! `skep agents`: who is known to the hub.

use clap::Subcommand;
use skep_protocol::{AgentId, AgentInfo, Answer, Ask, Command, Page, WorkspaceId};

use crate::context::Context;
use crate::exit::Usage;
use crate::output::Table;
use crate::receipt::presence;
use crate::stored::unexpected;

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
    Ls,
    /// Add an agent: it has an inbox from now on
    Add {
        /// Its id: letters, digits, _ and -
        agent: AgentId,
        /// What it says of itself, a JSON object
        #[arg(long, value_name = "JSON", default_value = "{}")]
        metadata: String,
    },
    /// Remove an agent and its inbox
    Rm {
        /// Its id
        agent: AgentId,
        /// Even if messages wait in its inbox; they are lost
        #[arg(long)]
        force: bool,
    },
    /// Let what is said in a workspace reach an agent's inbox
    Join {
        /// The agent
        agent: AgentId,
        /// The workspace
        workspace: WorkspaceId,
    },
    /// And no more
    Leave {
        /// The agent
        agent: AgentId,
        /// The workspace
        workspace: WorkspaceId,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (command, unchanged) = match self.verb {
            Verb::Ls => return list(context),
            Verb::Add { agent, metadata } => {
                let known = format!("{agent} was there already; what it says of itself is now as given");
                (Command::Register { agent, metadata: checked(metadata)? }, known)
            }
            Verb::Rm { agent, force } => (Command::Deregister { agent, force }, "it was not there".into()),
            Verb::Join { agent, workspace } => {
                let known = format!("{agent} was in {workspace} already");
                (Command::Join { agent, workspace }, known)
            }
            Verb::Leave { agent, workspace } => {
                let known = format!("{agent} was not in {workspace}");
                (Command::Leave { agent, workspace }, known)
            }
        };
        context.attached(async |client| {
            let answer = client.manage(command).await?;
            if answer == (Answer::Done { changed: false }) {
                context.output().note(unchanged);
            }
            // What was asked for is so now; that needs no words.
            Ok(context.output().answer(&answer, "")?)
        })
    }
}

fn checked(metadata: String) -> Result<String, Usage> {
    let object: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&metadata);
    object.map_err(|error| Usage(format!("--metadata: {error}; expected a JSON object")))?;
    Ok(metadata)
}

fn list(context: &Context) -> anyhow::Result<()> {
    context.attached(async |client| match client.query(Ask::Agents).await? {
        Page::Agents(agents) => {
            let table = table(&agents);
            if table.is_empty() {
                context.output().note("no agents yet. Add one: skep agents add bob");
            }
            Ok(context.output().answer(&agents, if table.is_empty() { String::new() } else { table.to_string() })?)
        }
        other => Err(unexpected(&other).into()),
    })
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
