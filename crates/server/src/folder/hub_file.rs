//! `hub.json`: where the running hub is. It is there only while the hub is ready.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FolderError, failed, private_file};

const NAME: &str = "hub.json";

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
}

impl HubFile {
    /// What the hub in a data folder says; none when there is none, or it cannot be read.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(NAME)).ok()?).ok()
    }

    /// Readers see the old content or the new one, never a part.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), FolderError> {
        let fresh = folder.join("hub.json.new");
        let text = serde_json::to_string(self).map_err(std::io::Error::from).map_err(failed(&fresh))?;
        let mut file = private_file().truncate(true).open(&fresh).map_err(failed(&fresh))?;
        writeln!(file, "{text}").map_err(failed(&fresh))?;
        fs::rename(&fresh, folder.join(NAME)).map_err(failed(&fresh))
    }

    pub(crate) fn remove(folder: &Path) -> Result<(), FolderError> {
        let path = folder.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }
}
