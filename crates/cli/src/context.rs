//! What every command is given: the options they share, the output, a way to the hub.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use skep_client::Client;
use skep_protocol::{AgentId, Ask, Code, QueueName};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::advice::{Named, advised};
use crate::connect;
use crate::exit::Interrupted;
use crate::output::{Output, word};

/// How long a hub may take for its last word; a lease that it gave meanwhile ends by itself.
const HEAR_OUT_MAX: Duration = Duration::from_secs(1);

/// The options that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Act as this agent: messages name it as their sender, and `inbox` and `receive` mean its inbox
    #[arg(id = "as", long = "as", value_name = "AGENT", global = true)]
    pub(crate) agent: Option<AgentId>,
    /// The hub's address, ws://host:port, host:port or unix:/path; unsaid, the hub in the data folder.
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

impl Global {
    /// A command to type next, with the options by which this one found its hub.
    pub(crate) fn command(&self, words: &str) -> String {
        let url = self.url.as_ref().filter(|_| self.url_is_typed());
        let options = [("--data", self.data.as_ref()), ("--url", url)];
        let options =
            options.map(|(flag, said)| said.map(|said| format!(" {flag} {}", word(said))).unwrap_or_default());
        format!("skep {words}{}", options.concat())
    }

    /// Whether the address stands on the command line; what the environment says, it says again.
    pub(crate) fn url_is_typed(&self) -> bool {
        self.url.is_some() && self.url != std::env::var("SKEP_URL").ok()
    }
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

    /// A command to type next, with the options by which this one found its hub.
    pub(crate) fn command(&self, words: &str) -> String {
        self.global.command(words)
    }

    /// Runs a command that talks to the hub as the agent of `--as`, and takes leave of it, also
    /// after Ctrl-C.
    pub(crate) fn attached(&self, run: impl AsyncFnOnce(&Client) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.attached_as(self.global.agent.clone(), async |client| {
            self.tell_if_unknown(client).await;
            run(client).await
        })
    }

    /// Anyone with the token may act as any agent; one that nobody added is probably mistyped.
    async fn tell_if_unknown(&self, client: &Client) {
        let Some(agent) = self.global.agent.as_ref().filter(|_| !self.output.is_json()) else { return };
        let inbox = QueueName::inbox(agent);
        if let Err(error) = advised(self, client, Named::Agent(agent), client.query(Ask::Queue { queue: inbox })).await
            && error.code == Code::UnknownAgent
        {
            self.output.note(format!("--as {agent}: {}. Nobody can send to it until then", error.text));
        }
    }

    /// The same as another agent, or as nobody.
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
            hear_out(&client).await;
            client.close().await;
            done
        })
    }
}

/// Waits until the hub has heard what was said to it, and what it said before is heard: a message
/// that was on its way to a reader who has gone is seen, and given back.
async fn hear_out(client: &Client) {
    // Any answer will do: it comes behind all else.
    let Ok(queue) = QueueName::new("$hear-out") else { return };
    let _any = timeout(HEAR_OUT_MAX, client.query(Ask::Queue { queue })).await;
}

/// Ends when somebody presses Ctrl-C, or ends the program: what it holds then goes back at once.
async fn interrupt() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    Err(Interrupted.into())
}
