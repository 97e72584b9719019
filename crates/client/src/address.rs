//! Where a hub is: an address as text, or the nearest `.skep/`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use skep_protocol::{Code, Error, Retry};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::ours;

const START_ONE: &str = "start one with `skep serve --detach`";

/// A hub's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `ws://host:port/ws`.
    WebSocket(Uri),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            let rule = "expected ws://host:port, host:port or unix:/path/hub.sock";
            Error::new(Code::InvalidArgument, format!("address {url:?}: {why}; {rule}"))
        };
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(invalid("it names no path")) } else { Ok(Address::Unix(path.into())) };
        }
        if url.starts_with("wss:") || url.starts_with("https:") {
            return Err(invalid("this client does not speak TLS itself; put a TLS tunnel before it"));
        }
        // What people copy from a ready line, or from what they gave curl, means the same hub.
        let rest = match url.split_once("://") {
            Some(("ws" | "http", rest)) => rest,
            None if url.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => url,
            _ => return Err(invalid("its scheme is not known")),
        };
        let bare = rest.strip_suffix('/').unwrap_or(rest);
        let whole = if bare.contains('/') { format!("ws://{rest}") } else { format!("ws://{bare}/ws") };
        let uri: Uri = whole.parse().map_err(|e| invalid(&format!("{e}")))?;
        if uri.host().unwrap_or_default().is_empty() {
            Err(invalid("it names no host"))
        } else {
            Ok(Address::WebSocket(uri))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::WebSocket(uri) => uri.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Nobody answers at an address.
pub(crate) fn no_hub(address: &str, why: &dyn fmt::Display) -> Error {
    Error::new(
        Code::NoHub,
        format!(
            "no hub answers at {address} ({why}); expected a Skep hub that listens there: check the address, or start one at it"
        ),
    )
}

/// What the environment says, which goes before what is found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// `SKEP_URL`.
    pub(crate) url: Option<String>,
    /// The caller's token, else `SKEP_TOKEN`.
    pub(crate) token: Option<String>,
}

/// What the hub writes into `.skep/hub.json`.
#[derive(Deserialize)]
struct HubFile {
    #[serde(default)]
    http: Option<String>,
    #[serde(default)]
    unix: Option<PathBuf>,
    #[serde(default)]
    pid: u32,
}

/// Where a hub is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its addresses, the one to be tried first before the others.
    pub(crate) addresses: Vec<Address>,
    /// For all of them.
    pub(crate) token: Option<String>,
    /// The data folder that said so, if one did.
    pub(crate) home: Option<PathBuf>,
}

impl Found {
    /// Nobody answers at any of the addresses.
    pub(crate) fn gone(&self, error: Error) -> Error {
        let Some(home) = self.home.as_ref().filter(|_| error.code == Code::NoHub) else { return error };
        let file = home.join("hub.json");
        let text = format!("{}. {} names the address; if its hub has ended, {START_ONE}", error.text, file.display());
        Error { text, ..error }
    }
}

/// The addresses and the token of the hub that is meant in `folder`.
///
/// A token that was found in a folder is given to the hub of that folder only, never to an
/// address that came from elsewhere. A hub that was killed leaves its `hub.json` behind, and
/// anybody may listen at its address by now: what the file says holds while the hub's lock is held.
///
/// A `.skep/` that another user can have put there is passed over.
///
/// # Errors
/// `no_hub`, naming the folder, with `retry: never` where nothing is running; `invalid_argument`.
pub(crate) fn find(folder: &Path, said: Said) -> Result<Found, Error> {
    if let Some(url) = said.url {
        return Ok(Found { addresses: vec![Address::parse(&url)?], token: said.token, home: None });
    }
    let home = home(folder)?;
    let file = home.join("hub.json");
    let text = ours::read(&file).ok_or_else(|| never(format!("no hub runs in {}; {START_ONE}", home.display())))?;
    let hub: HubFile = serde_json::from_str(&text)
        .map_err(|e| Error::new(Code::NoHub, format!("{} cannot be read: {e}; {START_ONE}", file.display())))?;
    if !ours::is_held(&home.join("lock")) {
        let (home, file, pid) = (home.display(), file.display(), hub.pid);
        let text =
            format!("no hub runs in {home}: {file} was left behind by one that has gone (pid {pid}); {START_ONE}");
        return Err(never(text));
    }
    let token = said.token.or_else(|| ours::read(&home.join("token")).map(|text| text.trim().to_owned()));
    let unix = hub.unix.filter(|path| cfg!(unix) && path.exists()).map(Address::Unix);
    let http = hub.http.map(|http| Address::parse(&format!("ws://{http}/ws"))).transpose()?;
    let addresses: Vec<Address> = unix.into_iter().chain(http).collect();
    if addresses.is_empty() {
        return Err(never(format!("{} names no address; {START_ONE}", file.display())));
    }
    Ok(Found { addresses, token, home: Some(home) })
}

/// The nearest `.skep/` upward that is ours alone.
fn home(folder: &Path) -> Result<PathBuf, Error> {
    let mut passed_over = String::new();
    for home in folder.ancestors().map(|at| at.join(".skep")).filter(|home| home.is_dir()) {
        let Some(why) = ours::not_ours(&home) else { return Ok(home) };
        passed_over.push_str(&format!("; {} is passed over: {why}", home.display()));
    }
    let none = format!("no hub: neither {} nor a folder above it has a .skep/ of yours", folder.display());
    Err(never(format!("{none}{passed_over}; {START_ONE}")))
}

fn never(text: String) -> Error {
    Error { retry: Retry::Never, ..Error::new(Code::NoHub, text) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    /// A `.skep/` as a hub makes it.
    fn home_in(folder: &Path) -> PathBuf {
        let home = folder.join(".skep");
        fs::create_dir_all(&home).unwrap();
        #[cfg(unix)]
        set_mode(&home, 0o700);
        home
    }

    /// The lock of a hub that runs there, for as long as it is held.
    fn lock(home: &Path) -> File {
        write(&home.join("lock"), "");
        let lock = File::open(home.join("lock")).unwrap();
        lock.lock().unwrap();
        lock
    }

    fn shown(found: &Found) -> Vec<String> {
        found.addresses.iter().map(ToString::to_string).collect()
    }

    fn write(file: &Path, text: &str) {
        fs::write(file, text).unwrap();
        #[cfg(unix)]
        set_mode(file, 0o600);
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_address_is_a_websocket_or_a_unix_socket() {
        for (url, expected) in [
            ("ws://127.0.0.1:7537", "ws://127.0.0.1:7537/ws"),
            ("ws://127.0.0.1:7537/", "ws://127.0.0.1:7537/ws"),
            ("ws://[::1]:7537/ws", "ws://[::1]:7537/ws"),
            ("ws://hub.example/teams/ws", "ws://hub.example/teams/ws"),
            ("http://127.0.0.1:7537/", "ws://127.0.0.1:7537/ws"),
            ("127.0.0.1:7537", "ws://127.0.0.1:7537/ws"),
            ("[::1]:7537", "ws://[::1]:7537/ws"),
            ("unix:/tmp/hub.sock", "unix:/tmp/hub.sock"),
            ("unix:///tmp/hub.sock", "unix:/tmp/hub.sock"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), expected);
        }
        for (url, why) in [
            ("wss://hub", "TLS"),
            ("https://hub", "TLS"),
            ("unix:", "no path"),
            ("hub:x", "scheme"),
            ("ftp://hub:1", "scheme"),
            ("ws://", "address"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.code == Code::InvalidArgument && error.text.contains(why), "{error}");
        }
    }

    #[test]
    fn the_nearest_hub_upward_is_found_with_its_token() {
        let root = tempfile::tempdir().unwrap();
        let (home, deep) = (home_in(root.path()), root.path().join("a/b"));
        fs::create_dir_all(&deep).unwrap();
        write(&home.join("token"), "secret\n");
        write(&home.join("hub.json"), r#"{"http":"127.0.0.1:7537","unix":null,"pid":123}"#);
        let _lock = lock(&home);
        let found = find(&deep, Said::default()).unwrap();
        assert_eq!((shown(&found), found.token.as_deref()), (vec!["ws://127.0.0.1:7537/ws".into()], Some("secret")));
        let said = Said { url: None, token: Some("other".into()) };
        assert_eq!(find(&deep, said).unwrap().token.as_deref(), Some("other"));
    }

    #[test]
    fn what_a_hub_that_was_killed_left_behind_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let home = home_in(root.path());
        write(&home.join("token"), "secret");
        write(&home.join("hub.json"), r#"{"http":"127.0.0.1:7537","pid":123}"#);
        let killed = lock(&home);
        assert!(find(root.path(), Said::default()).is_ok());
        drop(killed);
        for lock in [true, false] {
            let error = find(root.path(), Said::default()).unwrap_err();
            assert_eq!((error.code, error.retry), (Code::NoHub, Retry::Never));
            for part in ["hub.json was left behind", "pid 123", "skep serve --detach"] {
                assert!(error.text.contains(part), "{part}: {error}");
            }
            lock.then(|| fs::remove_file(home.join("lock")).unwrap());
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_unix_socket_is_preferred_while_it_exists() {
        let root = tempfile::tempdir().unwrap();
        let (home, socket) = (home_in(root.path()), root.path().join("hub.sock"));
        let json = serde_json::json!({ "http": "127.0.0.1:1", "unix": socket, "pid": 1 });
        write(&home.join("hub.json"), &json.to_string());
        let _lock = lock(&home);
        let found = || shown(&find(root.path(), Said::default()).unwrap());
        assert_eq!(found(), ["ws://127.0.0.1:1/ws"]);
        fs::write(&socket, "").unwrap();
        assert_eq!(found(), [format!("unix:{}", socket.display()), "ws://127.0.0.1:1/ws".into()]);
    }

    #[test]
    fn without_a_hub_the_error_names_the_folder_and_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        home_in(root.path());
        let error = find(root.path(), Said::default()).unwrap_err();
        assert_eq!((error.code, error.retry), (Code::NoHub, Retry::Never));
        assert!(error.text.contains(".skep") && error.text.contains("skep serve --detach"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_have_made_is_passed_over_with_what_lies_in_it() {
        use std::os::unix::fs::{chown, symlink};
        let root = tempfile::tempdir().unwrap();
        let (far, near) = (home_in(root.path()), home_in(&root.path().join("a")));
        for (home, port) in [(&far, 1), (&near, 2)] {
            write(&home.join("hub.json"), &format!(r#"{{"http":"127.0.0.1:{port}"}}"#));
        }
        let _locks = [lock(&far), lock(&near)];
        let found = |folder: &Path| find(folder, Said::default()).map(|found| shown(&found).concat());
        assert_eq!(found(&root.path().join("a")).unwrap(), "ws://127.0.0.1:2/ws");
        let mut strange = Vec::new();
        for mode in [0o777, 0o720] {
            set_mode(&near, mode);
            strange.push(found(&root.path().join("a")));
        }
        // A link leads to what is as open as if it lay here.
        fs::create_dir(root.path().join("b")).unwrap();
        symlink(&near, root.path().join("b/.skep")).unwrap();
        strange.push(found(&root.path().join("b")));
        // Only root can give a folder away.
        if rustix::process::geteuid().is_root() {
            set_mode(&near, 0o700);
            chown(&near, Some(65534), None).unwrap();
            strange.extend([found(&root.path().join("a")), found(&root.path().join("b"))]);
        }
        for found in strange {
            assert_eq!(found.unwrap(), "ws://127.0.0.1:1/ws");
        }
        fs::remove_dir_all(&far).unwrap();
        let error = found(&root.path().join("a")).unwrap_err().text;
        assert!(
            error.contains("a/.skep is passed over: it") || error.contains("a/.skep is passed over: others"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_hub_file_or_token_that_is_a_link_or_open_to_others_is_not_read() {
        use std::os::unix::fs::{chown, symlink};
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("file"), root.path().join("link"));
        write(&file, "x");
        symlink(&file, &link).unwrap();
        assert_eq!((ours::read(&file).as_deref(), ours::read(&link)), (Some("x"), None));
        set_mode(&file, 0o666);
        assert_eq!(ours::read(&file), None);
        set_mode(&file, 0o644);
        // Only root can give a file away; for all others root's own stands for one.
        let strange = if rustix::process::geteuid().is_root() {
            chown(&file, Some(65534), None).unwrap();
            file.as_path()
        } else {
            Path::new("/etc/passwd")
        };
        assert_eq!(ours::read(strange), None);
    }

    #[test]
    fn a_found_token_is_not_given_to_an_address_from_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join(".skep");
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("token"), "secret").unwrap();
        let said = Said { url: Some("ws://elsewhere:1".into()), token: None };
        assert_eq!(find(root.path(), said).unwrap().token, None);
    }
}
