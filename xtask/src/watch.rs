//! No chore leaves its children behind, however it is ended: by Ctrl-C, by a signal, even by a kill.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// It waits for the end of a pipe that nobody but us holds open. Then we are gone, and it ends its
/// process group: politely, and after five seconds with what is left of it also itself.
const SCRIPT: &str = "read -r line; trap '' TERM; kill -TERM 0; sleep 5; kill -KILL 0";

/// A process that outlives us only to end what we started. Its group is the children's.
pub(crate) struct Watch {
    shell: Child,
}

impl Watch {
    /// Begins before there is a child, so that no moment is unwatched.
    ///
    /// # Errors
    /// When there is no shell.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = shell.process_group(0).spawn().context("cannot start sh")?;
        Ok(Watch { shell })
    }

    /// Lets a command, and whatever it starts, run under the watch.
    pub(crate) fn over<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let group = i32::try_from(self.shell.id()).expect("a process id is a positive i32");
        command.process_group(group)
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
