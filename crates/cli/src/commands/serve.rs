//! `skep serve`: a hub, here or detached.

mod detach;

use std::path::Path;

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use skep_server::config::Config;
use skep_server::{Addresses, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config_flags::ConfigFlags;
use crate::context::Context;
use crate::exit::Exit;
use crate::health::is_damage;
use crate::logging;
use crate::output::path;

/// Start a hub
///
/// It listens on 127.0.0.1:7537 and on a Unix socket, and keeps its data in the nearest .skep/
/// upward, else in a new one here. Clients on this machine find it there by themselves.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Let it run in the background; its log is hub.log in the data folder
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

const EXAMPLES: &str = "\
Examples:
  skep serve --detach                        # in the background; end it with skep stop
  skep serve                                 # here; end it with Ctrl-C
  skep serve --listen 127.0.0.1:0            # any free port; the ready line names it
  skep serve --data /var/lib/skep --log warn
  skep config show                           # every value, and where it comes from";

/// Threads that serve connections; the store has its own.
const WORKERS: usize = 2;

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let loaded = self.config.load(context.global())?;
        let filter = logging::filter(&loaded)?;
        if self.detach {
            return detach::run(context, &loaded.config);
        }
        logging::begin(&loaded.config, filter);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("skep-hub")
            .enable_all()
            .build()
            .context("the hub's threads cannot be started")?;
        runtime.block_on(serve(context, loaded.config))
    }
}

async fn serve(context: &Context, config: Config) -> anyhow::Result<()> {
    raise_file_limit();
    let mut signals = Signals::new()?;
    let data = config.data.clone();
    let running = tokio::select! {
        running = Server::start(config) => running?,
        () = signals.next() => return Ok(()),
    };
    let trouble = running.hub().trouble().map(|error| error.to_string());
    tell_ready(context, running.addresses(), &data, trouble.as_deref())?;
    let failed = tokio::select! {
        () = signals.next() => None,
        error = running.failed() => Some(error),
    };
    if let Some(error) = failed {
        // Nothing more is stored, and to close it would only fail again.
        return Err(error.into());
    }
    let second = async {
        signals.next().await;
        // Whoever says it twice does not want to wait; the store stands that.
        std::process::exit(Exit::Interrupted as i32);
    };
    tokio::select! {
        done = running.shutdown() => Ok(done?),
        () = second => Ok(()),
    }
}

/// Connections and segments need files: as many as the system allows, not the usual soft limit.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

/// The signals that end a hub.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate()).context("signals cannot be heard")? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// `ready 127.0.0.1:7537  data ./.skep`, and if it takes nothing new, why.
fn tell_ready(context: &Context, addresses: &Addresses, data: &Path, trouble: Option<&str>) -> std::io::Result<()> {
    #[derive(Serialize)]
    struct Ready<'a> {
        ready: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        trouble: Option<&'a str>,
        #[serde(flatten)]
        at: Place<'a>,
        data: &'a Path,
    }
    #[derive(Serialize)]
    struct Place<'a> {
        http: Option<String>,
        unix: Option<&'a Path>,
    }
    let (http, unix) = (addresses.http.map(|http| http.to_string()), addresses.unix.as_deref());
    let place = match (&http, unix) {
        (Some(http), _) => http.clone(),
        (None, Some(unix)) => format!("unix:{}", unix.display()),
        (None, None) => "nowhere".into(),
    };
    let words = format!("ready {place}  data {}", path(data));
    context.output().answer(&Ready { ready: true, trouble, at: Place { http, unix }, data }, words)?;
    if let Some(why) = trouble {
        let words = match is_damage(why) {
            true => format!("read-only: the store is damaged, see {}: {why}", context.command("verify")),
            false => format!("not ready: {why}"),
        };
        context.output().warning(&words);
    }
    Ok(())
}
