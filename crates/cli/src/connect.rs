//! Finds the hub and connects to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skep_client::{Client, Error, Options};
use skep_protocol::{AgentId, Code};
use skep_server::config::{self, PassedOver};
use skep_server::folder::{self, HubFile, Seen, look};
use tokio::net::{TcpStream, UnixStream};

use crate::context::Global;
use crate::output::{Output, path as shown};

/// How long a hub may take to answer, or to get ready.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long somebody may take who listens to take a connection: the system does it for them.
const LISTENS_MAX: Duration = Duration::from_millis(500);
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
        return Ok(connected.map_err(|error| unanswered(global, &url, error))?);
    }
    let folder = data_folder(global)?;
    let hub = ready(global, &folder).await?;
    let token = match token {
        Some(token) => Some(token),
        None => folder::token(&folder)?.map(|token| token.expose().to_owned()),
    };
    let address = address(&hub, &folder)?;
    let begun = Instant::now();
    match Client::connect(&address, Options { token, ..options }).await {
        Err(error) if error.code == Code::NoHub && begun.elapsed() >= CONNECT_MAX && listens(&address).await => {
            Err(silent(&hub, &folder, &address).into())
        }
        done => Ok(done?),
    }
}

/// Whether somebody takes connections there, though nothing is said on them.
async fn listens(address: &str) -> bool {
    let connecting = async {
        match (address.strip_prefix("unix:"), address.strip_prefix("ws://")) {
            (Some(path), _) => UnixStream::connect(path).await.is_ok(),
            (None, Some(at)) => TcpStream::connect(at).await.is_ok(),
            (None, None) => false,
        }
    };
    tokio::time::timeout(LISTENS_MAX, connecting).await.unwrap_or(false)
}

/// A hub that is there and says nothing: to start another one would be refused.
fn silent(hub: &HubFile, folder: &Path, address: &str) -> Error {
    let (folder, pid) = (shown(folder), hub.pid);
    let text = format!(
        "the hub in {folder} listens at {address} and does not answer, for {CONNECT_MAX:?} now; it is frozen or overloaded. \
         Try again, or look what process {pid} does: ps -o stat,time,args -p {pid} (one that is stopped, state T, goes on \
         with kill -CONT {pid})"
    );
    Error::new(Code::NoHub, text)
}

/// The hub that runs in the data folder that is meant, and that folder; none if an address was said.
pub(crate) fn hub_of_folder(global: &Global) -> anyhow::Result<Option<(HubFile, PathBuf)>> {
    if said(global.url.clone()).is_some() {
        return Ok(None);
    }
    let folder = data_folder(global)?;
    Ok(match look(&folder)? {
        Seen::Ready(hub) => Some((hub, folder)),
        Seen::Nobody | Seen::Unready => None,
    })
}

/// The data folder that is meant; it must be there. One that is named and is not ours is refused by whoever looks at it.
pub(crate) fn data_folder(global: &Global) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let named = said(global.data.clone()).or_else(|| said(std::env::var("SKEP_DATA").ok()));
    if let Some(folder) = named.map(|named| here.join(named)) {
        let none = || no_hub(global, &format!("no hub: there is no data folder {}", shown(&folder)));
        return if folder.is_dir() { Ok(folder) } else { Err(none().into()) };
    }
    let found = config::data_folder(&here);
    warn_passed_over(global, &found.passed_over);
    let looked = config::new_data_folder(&here);
    let none = || {
        let text = format!("no hub: there is no data folder {} of yours, nor one above it", shown(&looked));
        no_hub(global, &text)
    };
    Ok(found.folder.ok_or_else(none)?)
}

/// Says what is nearer than what is used, and why it is not used.
pub(crate) fn warn_passed_over(global: &Global, passed_over: &[PassedOver]) {
    for passed in passed_over {
        Output::new(global.json).warning(&passed.to_string());
    }
}

/// The data folder that is meant, whether or not it is there.
pub(crate) fn folder_meant(global: &Global) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let named = said(global.data.clone()).or_else(|| said(std::env::var("SKEP_DATA").ok()));
    if let Some(named) = named {
        return here.join(named);
    }
    let config::Found { folder, mut passed_over } = config::data_folder(&here);
    let folder = folder.unwrap_or_else(|| config::new_data_folder(&here));
    // Of the one that is meant after all, whoever opens it says what is wrong.
    passed_over.retain(|passed| passed.path != folder);
    warn_passed_over(global, &passed_over);
    folder
}

/// Waits while the hub in a data folder is starting.
async fn ready(global: &Global, folder: &Path) -> anyhow::Result<HubFile> {
    let looking = async {
        loop {
            match look(folder)? {
                Seen::Ready(hub) => return Ok(hub),
                Seen::Nobody => return Err(no_hub(global, &format!("no hub runs in {}", shown(folder))).into()),
                Seen::Unready => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    };
    let late = || {
        let text = format!("the hub in {} is starting or closing, for {CONNECT_MAX:?} now; try again", shown(folder));
        Error::new(Code::NoHub, text)
    };
    tokio::time::timeout(CONNECT_MAX, looking).await.unwrap_or_else(|_| Err(late().into()))
}

fn address(hub: &HubFile, folder: &Path) -> Result<String, Error> {
    match (hub.unix.as_ref().filter(|path| path.exists()), &hub.http) {
        (Some(path), _) => Ok(format!("unix:{}", path.display())),
        (None, Some(http)) => Ok(format!("ws://{http}")),
        (None, None) => Err(Error::new(Code::NoHub, format!("the hub in {} listens nowhere", shown(folder)))),
    }
}

pub(crate) fn no_hub(global: &Global, what: &str) -> Error {
    Error::new(Code::NoHub, format!("{what}. Start one: {}", global.command("serve --detach")))
}

/// Nobody answers at an address that was said: then the address may be wrong, too.
fn unanswered(global: &Global, url: &str, error: Error) -> Error {
    if error.code == Code::Unauthenticated && said(global.token.clone()).is_none() {
        let advice =
            "an address from --url or SKEP_URL is sent no token of a data folder: say --token or SKEP_TOKEN, too";
        return Error { text: format!("{}; {advice}", error.text), ..error };
    }
    if error.code != Code::NoHub {
        return error;
    }
    // The client's advice, after the last semicolon, is for a hub that would be found here.
    let what = error.text.rsplit_once("; ").map_or(error.text.as_str(), |(what, _)| what);
    let source = if global.url_is_typed() { "--url" } else { "SKEP_URL" };
    let text = match url.split_once("://").map_or(Some(url), |(scheme, at)| (scheme != "unix").then_some(at)) {
        Some(at) if at.starts_with("127.") || at.starts_with("localhost") => {
            let at = at.split('/').next().unwrap_or(at);
            format!("{what}. Correct {source}, or start one there: skep serve --detach --listen {at}")
        }
        _ => format!("{what}. Correct {source}, or leave it out to find the hub of this folder"),
    };
    Error { text, ..error }
}

/// An empty variable says nothing.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
