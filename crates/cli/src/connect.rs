//! Finds the hub and connects to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_client::{Client, Error, Options};
use skep_protocol::{AgentId, Code};
use skep_server::config;
use skep_server::folder::{self, HubFile, Seen, look};

use crate::context::Global;
use crate::output::{Output, path as shown};

/// How long a hub may take to answer, or to get ready.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a lost hub is looked for: a restart takes less.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How often a hub that is starting is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Connects to the hub that is meant: `--url`, else the one in the data folder.
pub(crate) async fn connect(global: &Global, agent: Option<AgentId>) -> anyhow::Result<Client> {
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
        let connected = Client::connect(&url, options).await;
        return Ok(connected.map_err(|error| with_advice(error, token.is_some()))?);
    }
    let folder = data_folder(global)?;
    let hub = ready(&folder).await?;
    let token = match token {
        Some(token) => Some(token),
        None => folder::token(&folder)?.map(|token| token.expose().to_owned()),
    };
    Ok(Client::connect(&address(&hub, &folder)?, Options { token, ..options }).await?)
}

/// What to do about an address that `--url` named.
fn with_advice(error: Error, has_token: bool) -> Error {
    let advice = match error.code {
        Code::NoHub => "the address is from --url or SKEP_URL; without them the hub of this folder is meant",
        Code::Unauthenticated if !has_token => {
            "an address from --url or SKEP_URL is sent no token of a data folder: say --token or SKEP_TOKEN, too"
        }
        _ => return error,
    };
    Error { text: format!("{}; {advice}", error.text), ..error }
}

/// The data folder that is meant; it must be there. One that is named and is not ours is refused by whoever looks at it.
pub(crate) fn data_folder(global: &Global) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let named = said(global.data.clone()).or_else(|| said(std::env::var("SKEP_DATA").ok()));
    if let Some(folder) = named.map(|named| here.join(named)) {
        let none = || no_hub(&format!("no hub: there is no data folder {}", shown(&folder)));
        return if folder.is_dir() { Ok(folder) } else { Err(none().into()) };
    }
    let found = config::data_folder(&here);
    warn_passed_over(global, &found.passed_over);
    let looked = config::new_data_folder(&here);
    let none = || no_hub(&format!("no hub: there is no data folder {} of yours, nor one above it", shown(&looked)));
    Ok(found.folder.ok_or_else(none)?)
}

/// Says which data folders are nearer than the one that is used, and why they are not.
pub(crate) fn warn_passed_over(global: &Global, passed_over: &[String]) {
    for why in passed_over {
        Output::new(global.json).warning(&format!("passed over a data folder: {why}"));
    }
}

/// Waits while the hub in a data folder is starting.
async fn ready(folder: &Path) -> anyhow::Result<HubFile> {
    let looking = async {
        loop {
            match look(folder)? {
                Seen::Ready(hub) => return Ok(hub),
                Seen::Nobody => return Err(no_hub(&format!("no hub runs in {}", shown(folder))).into()),
                Seen::Unready => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    };
    let late = || no_hub(&format!("the hub in {} is starting or closing, for {CONNECT_MAX:?} now", shown(folder)));
    tokio::time::timeout(CONNECT_MAX, looking).await.unwrap_or_else(|_| Err(late().into()))
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
