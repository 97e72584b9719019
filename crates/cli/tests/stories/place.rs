//! A folder with a hub in it, and the command `skep` run there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder of one story. Its hub is ended with it, also when the story fails.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// A folder without a hub.
    pub(crate) fn empty() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with a hub that is ready.
    pub(crate) fn with_hub() -> Self {
        let place = Place::empty();
        place.serve().done();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the hub, detached, on a free port.
    pub(crate) fn serve(&self) -> Ran {
        self.skep(&["serve", "--detach", "--listen", "127.0.0.1:0"])
    }

    /// What the hub says of itself.
    pub(crate) fn hub(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.path().join(".skep/hub.json")).ok()?).ok()
    }

    /// Kills the hub, and returns when the system has cleared it away.
    pub(crate) fn kill(&self) {
        let pid = self.hub().unwrap()["pid"].to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        std::fs::File::open(self.path().join(".skep/lock")).unwrap().lock_shared().unwrap();
    }

    pub(crate) fn skep(&self, args: &[&str]) -> Ran {
        self.skep_with(args, &[], b"")
    }

    /// In a folder below this one.
    pub(crate) fn skep_in(&self, folder: &str, args: &[&str]) -> Ran {
        Ran::from(self.command(args).current_dir(self.path().join(folder)).output().unwrap())
    }

    pub(crate) fn skep_with(&self, args: &[&str], variables: &[(&str, &str)], stdin: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    /// With this as its standard output.
    pub(crate) fn skep_to(&self, args: &[&str], out: std::fs::File) -> Ran {
        let mut command = self.command(args);
        Ran::from(command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).output().unwrap())
    }

    /// By a script that holds a file open, as by `exec 9< FILE`.
    pub(crate) fn skep_holding(&self, args: &[&str], file: std::fs::File) -> Ran {
        let mut script = self.clean(Command::new("sh"));
        script.args(["-c", "exec 9<&0 </dev/null; exec \"$@\"", "sh"]).arg(binary()).args(args);
        Ran::from(script.stdin(file).output().unwrap())
    }

    /// Starts a command that goes on; whoever starts it ends it.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same of one that reads what it is fed.
    pub(crate) fn spawn_fed(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.clean(Command::new(binary()));
        command.args(args);
        command
    }

    /// In this folder, with nothing said by the environment.
    pub(crate) fn clean(&self, mut command: Command) -> Command {
        let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SKEP_"));
        for name in ours {
            command.env_remove(name);
        }
        command.current_dir(self.path());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(hub) = self.hub() else { return };
        if self.skep(&["stop", "--wait", "5s"]).code != 0 {
            let _ = Command::new("kill").args(["-KILL", &hub["pid"].to_string()]).stderr(Stdio::null()).status();
        }
    }
}

pub(crate) fn binary() -> PathBuf {
    std::env::var_os("SKEP_BIN").map_or_else(|| env!("CARGO_BIN_EXE_skep").into(), PathBuf::from)
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// It must have gone well.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// It must have failed so, and say this.
    pub(crate) fn failed(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(says), "{says:?} is not in {self:?}");
        self
    }

    /// The value on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
