//! `hub.json`: where the running hub is. It is there only while the hub is ready.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skep_auth::private;

use super::{FolderError, failed};

const NAME: &str = "hub.json";
/// Through this it is replaced; between two hubs it keeps room for the next one's, which a full disk would not have.
const FRESH: &str = "hub.json.new";
/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How often it is tried on a full disk, and after how long again.
const FULL_TRIES: u32 = 40;
const FULL_RETRY: Duration = Duration::from_millis(50);

/// What a hub that is ready says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Where HTTP and WebSocket listen, as `address:port`.
    pub http: Option<String>,
    /// Where the Unix socket is.
    pub unix: Option<PathBuf>,
    /// Since when it is ready, in unix milliseconds.
    pub started_ms: u64,
    /// Why it takes nothing new, or no publishes, as `code: text`; none if it took all when it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl HubFile {
    /// What the hub in a data folder says; none when there is none, it cannot be read, or another
    /// user may have written it.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let file = private::open(&folder.join(NAME), File::options().read(true)).ok()?;
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Readers see the old content or the new one, never a part. On a full disk the log may just try whether there is room for
    /// more of it, and let go what it found: so this is tried again for a moment.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), FolderError> {
        // Of a hub that was killed.
        Self::remove(folder)?;
        for _ in 1..FULL_TRIES {
            match self.try_write(folder) {
                Err(FolderError::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => sleep(FULL_RETRY),
                done => return done,
            }
        }
        self.try_write(folder)
    }

    fn try_write(&self, folder: &Path) -> Result<(), FolderError> {
        let fresh = folder.join(FRESH);
        let text = serde_json::to_string(self).map_err(std::io::Error::from).map_err(failed(&fresh))?;
        let mut file = match private::open(&fresh, File::options().write(true)) {
            Ok(file) => file,
            // What is not ours alone is not written through.
            Err(_) => {
                remove(&fresh)?;
                private::open(&fresh, File::options().write(true).create_new(true))?
            }
        };
        let written = writeln!(file, "{text}").and_then(|()| file.set_len(text.len() as u64 + 1));
        written.map_err(failed(&fresh))?;
        fs::rename(&fresh, folder.join(NAME)).map_err(failed(&fresh))
    }

    /// The hub is ready no more.
    pub(crate) fn remove(folder: &Path) -> Result<(), FolderError> {
        match fs::rename(folder.join(NAME), folder.join(FRESH)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&folder.join(NAME))(error)),
            _ => Ok(()),
        }
    }
}

fn remove(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}
