//! One agent of the demo, in a process of its own: who it is, how it hears orders and tells.

mod coordinator;
mod ledger;
mod service;
mod worker;

use std::io::BufRead;
use std::time::Duration;

use serde::de::DeserializeOwned;
use skep_client::{Client, Options};
use skep_protocol::{Code, Error, Message, Retry};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use super::http::Http;
use super::report::{Order, Report};
use crate::context::Context;
use crate::exit::{Exit, Usage};
use crate::output::Output;

/// How long an agent looks for its hub, at first and when it is lost.
const HUB_GONE_MAX: Duration = Duration::from_secs(60);
/// Pause before something is tried again that the hub could not do just now.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// What an agent logs.
const LOG: &str = "info,skep=debug,skep_client=debug";
/// Orders that wait; there are never more than a few.
const ORDERS_MAX: usize = 16;

/// What an agent does.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Role {
    /// Splits the input into tasks, and collects the results
    Coordinator,
    /// Counts files
    Worker {
        /// The task to hold, on its first attempt, until told otherwise
        #[arg(long)]
        hold: Option<u32>,
    },
    /// Answers what language a file is of
    Service,
    /// Keeps the books, over HTTP alone
    Ledger,
}

/// What every agent is given.
struct Agent<'a> {
    output: &'a Output,
    http: Http,
    orders: mpsc::Receiver<Order>,
}

impl Role {
    /// Runs an agent until it is told to stop, or the demo is gone.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
        log.with_env_filter(EnvFilter::new(LOG)).init();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(self.act(context));
        if let Err(error) = &done {
            // Nobody listens any more if that fails, and then nothing depends on it.
            let _ = context.output().value(&Report::Failed { why: format!("{error:#}") });
        }
        done
    }

    async fn act(self, context: &Context) -> anyhow::Result<()> {
        let global = context.global();
        let (Some(address), Some(token)) = (&global.url, &global.token) else {
            return Err(Usage("the demo starts its agents itself: skep demo".into()).into());
        };
        let http = Http::new(address, token, global.agent.clone());
        let agent = Agent { output: context.output(), http, orders: orders() };
        if let Role::Ledger = self {
            return agent.keep_books().await;
        }
        let options = Options {
            agent: global.agent.clone(),
            token: Some(token.clone()),
            name: "skep-demo".into(),
            connect_timeout: HUB_GONE_MAX,
            give_up_after: Some(HUB_GONE_MAX),
            ..Options::default()
        };
        let client = Client::connect(&format!("ws://{address}"), options).await?;
        let done = match self {
            Role::Coordinator => agent.coordinate(&client).await,
            Role::Worker { hold } => agent.work(&client, hold).await,
            Role::Service => agent.serve(&client).await,
            Role::Ledger => Ok(()),
        };
        client.close().await;
        done
    }
}

impl Agent<'_> {
    /// Tells the demo. If nobody listens any more, this agent has nothing left to do.
    fn tell(&self, report: &Report) -> anyhow::Result<()> {
        Ok(self.output.value(report)?)
    }
}

/// Hears orders on a thread of its own: reads of standard input cannot be cancelled, and a thread
/// does not keep the process from ending. When orders end and none was to stop, the demo is gone,
/// and nobody waits for a farewell.
fn orders() -> mpsc::Receiver<Order> {
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    std::thread::spawn(move || {
        let mut stopped = false;
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(order) => {
                    stopped |= matches!(order, Order::Stop);
                    // An agent that ends by itself hears no more.
                    let _ = sender.blocking_send(order);
                }
                Err(error) => tracing::error!(%error, "an order cannot be read"),
            }
        }
        if !stopped {
            std::process::exit(Exit::Interrupted as i32);
        }
    });
    orders
}

/// Whether it is worth trying again, and if so, after the pause that it needs.
async fn may_retry(error: &Error) -> bool {
    let pause = match error.retry {
        // The hub is gone for good, or the message is wrong.
        Retry::Never => return false,
        Retry::Unchanged => RETRY_PAUSE,
        Retry::After(ms) => Duration::from_millis(ms).min(RETRY_PAUSE),
    };
    tokio::time::sleep(pause).await;
    true
}

/// The payload of a message of the demo.
fn payload<T: DeserializeOwned>(message: &Message) -> Result<T, Error> {
    serde_json::from_slice(&message.payload())
        .map_err(|error| Error::new(Code::InvalidMessage, format!("{message:?}: payload: {error}")))
}
