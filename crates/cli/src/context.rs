//! What every command is given: the options they share, the output, a way to the hub.

use clap::builder::NonEmptyStringValueParser;
use skep_client::Client;
use skep_protocol::AgentId;

use crate::connect;
use crate::exit::Interrupted;
use crate::output::Output;

/// The options that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Act as this agent
    #[arg(id = "as", long = "as", value_name = "AGENT", global = true)]
    pub(crate) agent: Option<AgentId>,
    /// The hub's address, ws://host:port or unix:/path; unsaid, the hub in the data folder.
    /// It goes before --data, whose token is not sent there: say --token, too
    #[arg(long, value_name = "URL", env = "SKEP_URL", hide_env_values = true, global = true)]
    pub(crate) url: Option<String>,
    /// The hub's token; unsaid, the one in the data folder, which is for the hub of that folder
    /// only: with --url the token must be said, here or in SKEP_TOKEN
    #[arg(long, value_name = "TOKEN", env = "SKEP_TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// The data folder; unsaid SKEP_DATA, else the nearest .skep/ upward
    #[arg(long, value_name = "FOLDER", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub(crate) data: Option<String>,
}

/// What every command is given.
pub(crate) struct Context {
    global: Global,
    output: Output,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let output = Output::new(global.json);
        Context { global, output }
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// Runs a command that talks to the hub, and takes leave of it, also after Ctrl-C.
    pub(crate) fn attached(&self, run: impl AsyncFnOnce(&Client) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.attached_as(self.global.agent.clone(), run)
    }

    /// The same as another agent.
    pub(crate) fn attached_as(
        &self,
        agent: Option<AgentId>,
        run: impl AsyncFnOnce(&Client) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = tokio::select! {
                client = connect::connect(&self.global, agent) => client?,
                interrupted = interrupt() => return interrupted,
            };
            let done = tokio::select! {
                done = run(&client) => done,
                interrupted = interrupt() => interrupted,
            };
            client.close().await;
            done
        })
    }
}

/// Ends when somebody presses Ctrl-C.
async fn interrupt() -> anyhow::Result<()> {
    tokio::signal::ctrl_c().await?;
    Err(Interrupted.into())
}
