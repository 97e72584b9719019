//! What the commands share that work on a store without a hub.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::connect::folder_meant;
use crate::context::{Context, Global};
use crate::exit::Usage;
use crate::output::path;

/// How long nothing is said of the progress, and how often it is said then.
const QUIET: Duration = Duration::from_millis(500);

/// Something durable in the store is damaged.
#[derive(Debug)]
pub(crate) struct Damaged(pub(crate) String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// The data folder that is meant; it must be there.
pub(crate) fn data_folder(global: &Global) -> anyhow::Result<PathBuf> {
    let folder = folder_meant(global);
    if folder.is_dir() {
        return Ok(folder);
    }
    let text = format!("there is no data folder {}; name the one that holds the store with --data", path(&folder));
    Err(Usage(text).into())
}

/// A command to be typed next.
pub(crate) fn next(verb: &str, folder: &Path) -> String {
    format!("skep {verb} --data {}", path(folder))
}

/// Runs something that tells its progress, and shows it on a terminal when it takes long.
pub(crate) fn with_progress<T>(context: &Context, run: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
    let shown = context.output().shows_progress();
    let (mut last, mut said) = (Instant::now(), false);
    let done = run(&mut |bytes, of| {
        if shown && last.elapsed() > QUIET {
            (last, said) = (Instant::now(), true);
            say(&format!("read {} of {} MiB", bytes >> 20, of >> 20));
        }
    });
    if said {
        say("");
    }
    done
}

/// Over the line that stands there.
fn say(words: &str) {
    // Nobody sees it if standard error is gone, and nothing depends on it.
    let _ = write!(std::io::stderr(), "\r\u{1b}[K{words}");
}
