//! `skep inbox`: look at what waits for an agent.

use skep_protocol::{AgentId, QueueName};

use crate::context::Context;
use crate::exit::Usage;
use crate::stored::peek;

/// Look at what waits for an agent; nothing is taken
///
/// Shows of each message its id, and whether somebody has it: who, and for how long.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Whose; unsaid, the agent of --as
    agent: Option<AgentId>,
    /// Show at most so many, oldest first
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 100)]
    count: u32,
}

const EXAMPLES: &str = "\
Examples:
  skep inbox bob
  skep inbox bob --json | jq '.[].message.data'
  skep inbox --as bob -n 3";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let agent = self.agent.or_else(|| context.global().agent.clone());
        let agent = agent.ok_or_else(|| Usage("name an agent, or say who you are: --as AGENT".into()))?;
        // To look is not to be there: the look is nobody's, so that it does not count as the agent's presence.
        context
            .attached_as(None, async |client| peek(context, client, &QueueName::inbox(&agent), None, self.count).await)
    }
}
