//! How the program ends: exit codes, and errors in words.

use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

use serde::Serialize;
use skep_protocol::{Code, Error, Outcome, Retry};
use skep_server::ServerError;
use skep_server::config::ConfigError;
use skep_server::folder::FolderError;

use crate::offline::Damaged;
use crate::output::Output;
use crate::usage::Misuse;

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Internal = 1,
    Usage = 2,
    Refused = 3,
    Unknown = 4,
    NoHub = 5,
    Nothing = 6,
    Damaged = 7,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// The page `skep help exit-codes`.
pub(crate) const PAGE: &str = "\
Exit codes

    0  done: what was printed is true
    1  internal: a fault of this program or of this machine
    2  usage: the command or the configuration is not understood; nothing was done
    3  refused: the hub did not do it, and says why (unknown_agent, queue_full, lease_lost, ...),
       or a reply reached nobody
    4  outcome unknown: it may have happened; look with `skep trace` for the id that the
       error names. What was sent with --guarantee exactly_once may be sent again as it was, with
       the same --id: it is recognised; anything else would be a second message
    5  no hub: nobody answers; start one with `skep serve --detach`
    6  timeout, or nothing there: no reply, no message, no such thing in time
    7  damaged: something durable in the store cannot be read, and nothing was changed; see
       `skep verify` and `skep repair` (also of `skep status`, which ends with 3 where the hub
       refuses publishes for another reason, such as a full disk)
  130  interrupted by Ctrl-C

An error is one line on standard error, `error <code>: <what, what was expected, what to do>`; a
command that is not understood is told with its usage and an example. With --json it is one JSON
object: {\"error\":{\"code\",\"text\",\"outcome\",\"retry\"},\"exit\"}. The code is stable.";

/// The command makes no sense as it stands.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// Somebody pressed Ctrl-C.
#[derive(Debug)]
pub(crate) struct Interrupted;

/// The hub did what it could, and it is not what was wanted.
#[derive(Debug)]
pub(crate) struct Fell {
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

/// The hub that was started in the background did not start, and has said why itself.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) exit: u8,
    pub(crate) text: String,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl fmt::Display for Fell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Usage {}
impl std::error::Error for Fell {}
impl std::error::Error for Relayed {}
impl std::error::Error for Interrupted {}

/// An error as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    code: &'static str,
    text: String,
    outcome: Option<Outcome>,
    retry: Option<Retry>,
    #[serde(flatten)]
    misuse: Option<Misuse>,
}

/// Says what went wrong, if something did, and gives the exit code.
pub(crate) fn report(output: &Output, done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else { return Exit::Done.into() };
    // Whoever read our output has seen enough.
    if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) {
        return Exit::Done.into();
    }
    if let Some(relayed) = error.downcast_ref::<Relayed>() {
        output.relay(&relayed.text);
        return ExitCode::from(relayed.exit);
    }
    let (exit, shown) = judge(&error);
    if exit != Exit::Interrupted {
        #[derive(Serialize)]
        struct Failure {
            error: Shown,
            exit: u8,
        }
        let mut text = format!("error {}: {}", shown.code, shown.text);
        if let Some(Misuse { usage, example, .. }) = &shown.misuse {
            text.push_str(&format!("\nusage: {usage}"));
            text.extend(example.iter().map(|example| format!("\nexample: {example}")));
        }
        output.failure(&text, &Failure { error: shown, exit: exit as u8 });
    }
    exit.into()
}

fn judge(error: &anyhow::Error) -> (Exit, Shown) {
    let own = |exit: Exit, code: &'static str| {
        (exit, Shown { code, text: words(error), outcome: None, retry: None, misuse: None })
    };
    if let Some(error) = error.downcast_ref::<Error>() {
        return (exit_of(error), coded(error));
    }
    if error.is::<Interrupted>() {
        return own(Exit::Interrupted, "interrupted");
    }
    if let Some(Fell { exit, code, .. }) = error.downcast_ref() {
        return own(*exit, code);
    }
    if error.is::<Damaged>() {
        return own(Exit::Damaged, "damaged");
    }
    if let Some(misuse) = error.downcast_ref::<Misuse>() {
        let (exit, shown) = own(Exit::Usage, "usage");
        return (exit, Shown { misuse: Some(misuse.clone()), ..shown });
    }
    if error.is::<Usage>() {
        return own(Exit::Usage, "usage");
    }
    if error.is::<ConfigError>() {
        return own(Exit::Usage, "config");
    }
    let folder = match error.downcast_ref::<ServerError>() {
        Some(ServerError::Listen { .. } | ServerError::Edge(_)) => return own(Exit::Refused, "address_taken"),
        Some(ServerError::Store(error)) => return (Exit::Internal, coded(error)),
        Some(ServerError::Folder(error)) => Some(error),
        _ => error.downcast_ref::<FolderError>(),
    };
    match folder {
        Some(FolderError::Taken { .. } | FolderError::LogTaken { .. }) => own(Exit::Refused, "hub_running"),
        Some(FolderError::LogGone { .. }) => own(Exit::Refused, "log_gone"),
        Some(FolderError::Private(_)) => own(Exit::Refused, "data_folder"),
        Some(FolderError::Token(_)) => own(Exit::Refused, "token"),
        _ => own(Exit::Internal, Code::Internal.as_str()),
    }
}

/// An error with its causes; one that has told its cause does not tell it twice.
fn words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

fn coded(error: &Error) -> Shown {
    let (outcome, retry) = (Some(error.outcome), Some(error.retry));
    Shown { code: error.code.as_str(), text: error.text.clone(), outcome, retry, misuse: None }
}

fn exit_of(error: &Error) -> Exit {
    match error.code {
        Code::NoHub => Exit::NoHub,
        Code::Timeout | Code::NotFound => Exit::Nothing,
        Code::InvalidArgument | Code::InvalidName | Code::InvalidTopic | Code::InvalidFilter => Exit::Usage,
        _ if error.outcome == Outcome::Unknown => Exit::Unknown,
        _ => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(error: impl Into<anyhow::Error>) -> Exit {
        judge(&error.into()).0
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        for (code, expected) in [
            (Code::UnknownAgent, Exit::Refused),
            (Code::Unauthenticated, Exit::Refused),
            (Code::NoResponders, Exit::Refused),
            (Code::ConnectionLost, Exit::Unknown),
            (Code::StoreFailed, Exit::Unknown),
            (Code::NoHub, Exit::NoHub),
            (Code::Timeout, Exit::Nothing),
            (Code::NotFound, Exit::Nothing),
            (Code::InvalidArgument, Exit::Usage),
        ] {
            assert_eq!(exit(Error::new(code, "x")), expected, "{code}");
        }
        assert_eq!(exit(Usage("x".into())), Exit::Usage);
        assert_eq!(exit(Damaged("x".into())), Exit::Damaged);
        assert_eq!(exit(Interrupted), Exit::Interrupted);
        assert_eq!(exit(ConfigError { problems: Vec::new() }), Exit::Usage);
        assert_eq!(exit(anyhow::anyhow!("x")), Exit::Internal);
    }

    #[test]
    fn each_cause_is_told_once() {
        let cause = || std::io::Error::other("no room");
        let listen = ServerError::Listen { address: ([127, 0, 0, 1], 1).into(), source: cause() };
        assert_eq!(words(&listen.into()).matches("no room").count(), 1);
        let wrapped = anyhow::Error::new(cause()).context("cannot write");
        assert_eq!(words(&wrapped), "cannot write: no room");
    }

    #[test]
    fn the_page_names_every_exit_code() {
        for exit in [
            Exit::Done,
            Exit::Internal,
            Exit::Usage,
            Exit::Refused,
            Exit::Unknown,
            Exit::NoHub,
            Exit::Nothing,
            Exit::Damaged,
            Exit::Interrupted,
        ] {
            assert!(PAGE.contains(&format!("  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
