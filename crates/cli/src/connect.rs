//! Finds the hub and connects to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_client::{Client, Error, Options};
use skep_protocol::{AgentId, Code};
use skep_server::folder::{HubFile, Seen, look};

use crate::context::Global;
use crate::output::path as shown;

/// How long a hub may take to answer, or to get ready.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a lost hub is looked for: a restart takes less.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How often a hub that is starting is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Connects to the hub that is meant: `--url`, else the one in the data folder.
pub(crate) async fn connect(global: &Global, agent: Option<AgentId>) -> Result<Client, Error> {
    let token = said(global.token.clone());
    let options = Options {
        agent,
        token: token.clone(),
        name: "skep".into(),
        connect_timeout: CONNECT_MAX,
        give_up_after: Some(GIVE_UP_AFTER),
        ..Options::default()
    };
    if let Some(url) = said(global.url.clone()) {
        return Client::connect(&url, options).await;
    }
    let folder = data_folder(global)?;
    let hub = ready(&folder).await?;
    let token = token.or_else(|| fs::read_to_string(folder.join("token")).ok().map(|text| text.trim().into()));
    Client::connect(&address(&hub, &folder)?, Options { token, ..options }).await
}

/// The data folder that is meant; it must be there.
pub(crate) fn data_folder(global: &Global) -> Result<PathBuf, Error> {
    let here = std::env::current_dir().unwrap_or_default();
    let named = said(global.data.clone()).or_else(|| said(std::env::var("SKEP_DATA").ok()));
    let folder = named.map_or_else(|| skep_server::config::data_folder(&here), |named| here.join(named));
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(no_hub(&format!("no hub: there is no data folder {}, nor one above it", shown(&folder))))
}

/// Waits while the hub in a data folder is starting.
async fn ready(folder: &Path) -> Result<HubFile, Error> {
    let internal = |error| Error::new(Code::Internal, format!("{error}"));
    let looking = async {
        loop {
            match look(folder).map_err(internal)? {
                Seen::Ready(hub) => return Ok(hub),
                Seen::Nobody => return Err(no_hub(&format!("no hub runs in {}", shown(folder)))),
                Seen::Unready => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    };
    let late = || no_hub(&format!("the hub in {} is starting or closing, for {CONNECT_MAX:?} now", shown(folder)));
    tokio::time::timeout(CONNECT_MAX, looking).await.unwrap_or_else(|_| Err(late()))
}

fn address(hub: &HubFile, folder: &Path) -> Result<String, Error> {
    match (hub.unix.as_ref().filter(|path| path.exists()), &hub.http) {
        (Some(path), _) => Ok(format!("unix:{}", path.display())),
        (None, Some(http)) => Ok(format!("ws://{http}")),
        (None, None) => Err(Error::new(Code::NoHub, format!("the hub in {} listens nowhere", shown(folder)))),
    }
}

fn no_hub(what: &str) -> Error {
    Error::new(Code::NoHub, format!("{what}. Start one: skep serve --detach"))
}

/// An empty variable says nothing.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
