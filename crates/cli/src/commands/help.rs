//! `skep help`: of a command, or on exit codes.

use clap::CommandFactory;

use crate::Cli;
use crate::context::Context;
use crate::exit::{PAGE, Usage};

/// Show help on a command, or the page exit-codes
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A command such as send or `queue add`, or exit-codes
    #[arg(value_name = "COMMAND|exit-codes")]
    topic: Vec<String>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        if self.topic == ["exit-codes"] {
            return Ok(context.output().line(PAGE)?);
        }
        let mut command = Cli::command();
        command.build();
        for name in &self.topic {
            let unknown = || Usage(format!("no command {name:?}; expected one that `skep help` names, or exit-codes"));
            command = command.find_subcommand(name).cloned().ok_or_else(unknown)?;
        }
        Ok(context.output().line(command.render_long_help().to_string().trim_end())?)
    }
}
