//! Starts this program once more, as a hub in the background, and waits until it is ready.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use skep_server::Addresses;
use skep_server::config::Config;
use skep_server::folder::{self, FolderError, HubFile, Seen, create, look};

use super::tell_ready;
use crate::context::Context;
use crate::exit::Relayed;
use crate::output::path;

/// How long a hub may take to get ready: a large store is read from end to end.
const READY_MAX: Duration = Duration::from_secs(120);
/// How long a hub may hold the data folder before it is taken for one that lives.
const ENDING_MAX: Duration = Duration::from_millis(300);
/// How often it is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// How much of its log is shown when it fails, in bytes.
const TAIL_BYTES: u64 = 2048;

pub(super) fn run(context: &Context, config: &Config) -> anyhow::Result<()> {
    // Before anything of ours is open: what a script left open for us would stay open as long as the hub lives, and a lock held.
    close_inherited();
    refuse_second(&config.data)?;
    let made = create(&config.data)?;
    let log = config.data.join(folder::LOG);
    let mut log_file = folder::open_log(&config.data)?;
    let begin = log_file.seek(SeekFrom::End(0))?;
    let mut child = start(log_file)?;
    let hub = match wait(&mut child, config, &log, begin) {
        // What was refused leaves nothing behind; its log is told here.
        Err(error) if error.is::<Relayed>() => {
            made.undo();
            return Err(error);
        }
        waited => waited?,
    };
    let http = hub.http.as_deref().and_then(|http| http.parse().ok());
    Ok(tell_ready(context, &Addresses { http, unix: hub.unix }, &config.data, hub.trouble.as_deref())?)
}

/// Closes what this process was left beside its standard streams. Where the system does not list it, it stays.
fn close_inherited() {
    let Ok(open) = fs::read_dir("/dev/fd") else { return };
    let named = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok();
    // All are read before one is closed: the list itself is open, too, and closed by then.
    let inherited: Vec<RawFd> = open.filter_map(named).filter(|fd| *fd > 2).collect();
    for fd in inherited {
        // Fails for the one by which the list was read.
        let _ = nix::unistd::close(fd);
    }
}

/// One that was told to stop, or was killed an instant ago, is given time to be gone.
fn refuse_second(folder: &Path) -> Result<(), FolderError> {
    let since = Instant::now();
    loop {
        let hub = match look(folder)? {
            Seen::Nobody => return Ok(()),
            Seen::Ready(hub) => Some(hub),
            Seen::Unready => None,
        };
        if since.elapsed() > ENDING_MAX {
            return Err(FolderError::Taken { folder: folder.into(), hub: hub.map(Box::new) });
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// The same command without `--detach`, in a process group of its own, so that Ctrl-C here does
/// not reach it.
fn start(log: File) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let args = std::env::args_os().skip(1).filter(|arg| arg != "--detach");
    let mut command = Command::new(program);
    command.args(args).process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("the hub cannot be started")
}

fn wait(child: &mut Child, config: &Config, log: &Path, begin: u64) -> anyhow::Result<HubFile> {
    let since = Instant::now();
    while since.elapsed() < READY_MAX {
        if let Some(hub) = HubFile::read(&config.data).filter(|hub| hub.pid == child.id() && answers(hub)) {
            return Ok(hub);
        }
        if let Some(status) = child.try_wait()? {
            let said = tail(log, begin);
            if let Some(relayed) = own_words(status, &said) {
                return Err(relayed.into());
            }
            bail!("the hub ended while it started ({status}); its log, {}, says:\n{said}", path(log));
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    bail!("the hub (pid {}) is not ready after {READY_MAX:?}; it goes on starting, see {}", child.id(), path(log))
}

/// The error with which the hub ended, as it is shown where it is not detached: it is the last that it said.
fn own_words(status: ExitStatus, log: &str) -> Option<Relayed> {
    let exit = status.code().and_then(|code| u8::try_from(code).ok()).filter(|exit| *exit != 0)?;
    let begins = |start: &str| start.starts_with("error ") || start.starts_with("{\"error\":");
    let starts = log.match_indices('\n').map(|(at, _)| at + 1).chain([0]);
    let start = starts.filter(|at| log.get(*at..).is_some_and(begins)).max()?;
    Some(Relayed { exit, text: log.get(start..)?.into() })
}

/// Whether somebody accepts at one of its addresses.
fn answers(hub: &HubFile) -> bool {
    let unix = hub.unix.as_ref().map(|path| std::os::unix::net::UnixStream::connect(path).is_ok());
    let http = || hub.http.as_ref().map(|http| std::net::TcpStream::connect(http).is_ok());
    unix.or_else(http).unwrap_or(true)
}

/// The end of what was logged since.
fn tail(log: &Path, begin: u64) -> String {
    let Ok(mut file) = File::open(log) else { return String::new() };
    let end = fs::metadata(log).map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let from = begin.max(end.saturating_sub(TAIL_BYTES));
    // What cannot be read is not shown.
    let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.take(TAIL_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}
