//! No chore leaves its children behind, however it is ended: by Ctrl-C, by a signal, even by a kill.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

/// In the environment of whatever runs under a watch: which one.
pub(crate) const MARK: &str = "XTASK_WATCH";

/// It waits for the end of a pipe that nobody but us holds open. Then we are gone, and it ends its
/// process group: politely, and after five seconds with what is left of it also itself. A hub that
/// was started in the background has left the group: it is known by the mark, where the system shows
/// the environment of a process (Linux).
const SCRIPT: &str = r#"read -r line; trap '' TERM
strays() {
    for at in $(grep -Flzx "$1" /proc/[0-9]*/environ 2>/dev/null); do
        at=${at#/proc/}
        kill "$2" "${at%/environ}" 2>/dev/null
    done
}
kill -TERM 0; strays "$1" -TERM; sleep 5; strays "$1" -KILL; kill -KILL 0"#;

/// A process that outlives us only to end what we started. Its group is the children's.
pub(crate) struct Watch {
    shell: Child,
    mark: String,
}

impl Watch {
    /// Begins before there is a child, so that no moment is unwatched.
    ///
    /// # Errors
    /// When there is no shell.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mark = format!("{}-{}", std::process::id(), now.as_nanos());
        let mut shell = Command::new("sh");
        // Of the mark it is told, and does not bear it.
        shell.args(["-c", SCRIPT, "sh", &format!("{MARK}={mark}")]).env_remove(MARK);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = shell.process_group(0).spawn().context("cannot start sh")?;
        Ok(Watch { shell, mark })
    }

    /// Lets a command, and whatever it starts, run under the watch.
    pub(crate) fn over<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let group = i32::try_from(self.shell.id()).expect("a process id is a positive i32");
        command.env(MARK, &self.mark).process_group(group)
    }
}

impl Drop for Watch {
    /// The child has ended: there is nothing to watch any more.
    fn drop(&mut self) {
        // It may have been ended by somebody else.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
