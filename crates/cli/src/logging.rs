//! The hub's log, on standard error.

use std::io::IsTerminal;

use skep_server::config::{Config, KEYS, Loaded};
use tracing_subscriber::EnvFilter;

use crate::exit::Usage;

/// The filter that a configuration asks for.
pub(crate) fn filter(loaded: &Loaded) -> Result<EnvFilter, Usage> {
    EnvFilter::try_new(&loaded.config.log).map_err(|error| {
        let key = KEYS.iter().find(|key| key.name == "log");
        let place = key.map(|key| loaded.source(key).to_string()).unwrap_or_default();
        let expected = key.map(|key| key.expected).unwrap_or_default();
        Usage(format!("{place}: log is {:?}: {error}; expected {expected}", loaded.config.log))
    })
}

/// Begins to log.
pub(crate) fn begin(config: &Config, filter: EnvFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
}
