//! `skep config`: what a hub started here would be told.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Serialize;
use skep_server::config::{KEYS, Loaded};

use crate::config_flags::ConfigFlags;
use crate::context::Context;
use crate::logging;
use crate::output::{Table, path};

/// Check or show the configuration that a hub started here would have
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  skep config check
  skep config show                       # each value, and where it came from
  skep config show --listen 127.0.0.1:0
  SKEP_LOG=debug skep config show --json

Flags go before the environment, the environment before the file, the file before the default.";

#[derive(Subcommand)]
enum Verb {
    /// Check it; every problem is told with its place
    #[command(after_help = "Examples:\n  skep config check\n  skep config check --listen 127.0.0.1:0")]
    Check(ConfigFlags),
    /// Show each value, and where it came from
    #[command(after_help = "Examples:\n  skep config show\n  SKEP_LOG=debug skep config show --json")]
    Show(ConfigFlags),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let (Verb::Check(flags) | Verb::Show(flags)) = &self.verb;
        let loaded = flags.load(context.global())?;
        logging::filter(&loaded)?;
        match self.verb {
            Verb::Check(_) => check(context, &loaded),
            Verb::Show(_) => show(context, &loaded),
        }
    }
}

fn check(context: &Context, loaded: &Loaded) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Checked {
        ok: bool,
        file: Option<String>,
    }
    let file = loaded.file.as_ref().map(|file| path(file));
    let words = format!("ok: {}", file.as_deref().unwrap_or("no file, and none is needed"));
    Ok(context.output().answer(&Checked { ok: true, file }, words)?)
}

fn show(context: &Context, loaded: &Loaded) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown {
        value: serde_json::Value,
        source: String,
    }
    let mut table = Table::new(["key", "value", "source"]);
    let mut values = BTreeMap::new();
    for key in KEYS {
        let (value, source) = ((key.show)(&loaded.config), loaded.source(key).to_string());
        table.row([key.name.into(), value.clone(), source.clone()]);
        // As skep.toml says it is nearly always JSON, too; what is not stays text.
        let value = serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value));
        values.insert(key.name, Shown { value, source });
    }
    Ok(context.output().answer(&values, table)?)
}
