//! Commands and questions, by tag.

use std::collections::BTreeMap;

use skep_protocol::{Answer, Ask, Command, Error, Frame, Manage, Managed, Page, Query, Report};

use crate::verb::{Asker, Paid, unknown, unsent};

/// What is not answered. Bounded by what callers paid for.
#[derive(Default)]
pub(super) struct Calls {
    open: BTreeMap<u64, Call>,
}

struct Call {
    what: What,
    sent: bool,
    _room: Paid,
}

enum What {
    Manage(Command, Asker<Answer>),
    Query(Ask, Asker<Page>),
}

impl Calls {
    pub(super) fn manage(&mut self, tag: u64, command: Command, asker: Asker<Answer>, room: Paid) {
        self.open.insert(tag, Call { what: What::Manage(command, asker), sent: false, _room: room });
    }

    pub(super) fn query(&mut self, tag: u64, ask: Ask, asker: Asker<Page>, room: Paid) {
        self.open.insert(tag, Call { what: What::Query(ask, asker), sent: false, _room: room });
    }

    pub(super) fn is_answered(&self) -> bool {
        self.open.is_empty()
    }

    /// The frame that says it.
    pub(super) fn frame(&mut self, tag: u64) -> Option<Frame> {
        let call = self.open.get_mut(&tag)?;
        call.sent = true;
        Some(match &call.what {
            What::Manage(command, _) => Frame::Manage(Manage { tag, command: command.clone() }),
            What::Query(ask, _) => Frame::Query(Query { tag, ask: ask.clone() }),
        })
    }

    /// What may be said twice is said again, over the next link; of the rest nobody can know
    /// what became of it.
    pub(super) fn link_down(&mut self) {
        let done: Vec<u64> =
            self.open.iter().filter(|(_, call)| call.sent && !may_repeat(&call.what)).map(|(tag, _)| *tag).collect();
        for tag in done {
            if let Some(Call { what: What::Manage(_, asker), .. }) = self.open.remove(&tag) {
                let _gave_up = asker.send(Err(unknown("the command")));
            }
        }
    }

    /// The tags to say, in order.
    pub(super) fn tags(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    pub(super) fn managed(&mut self, managed: Managed) {
        if let Some(Call { what: What::Manage(_, asker), .. }) = self.open.remove(&managed.tag) {
            let _gave_up = asker.send(managed.result.into());
        }
    }

    pub(super) fn page(&mut self, report: Report) {
        if let Some(Call { what: What::Query(_, asker), .. }) = self.open.remove(&report.tag) {
            let _gave_up = asker.send(report.result.into());
        }
    }

    pub(super) fn end(&mut self) {
        for call in std::mem::take(&mut self.open).into_values() {
            let error = |what: &str| if call.sent { unknown(what) } else { unsent(what) };
            match call.what {
                What::Manage(_, asker) => drop(asker.send(Err::<_, Error>(error("the command")))),
                What::Query(_, asker) => drop(asker.send(Err::<_, Error>(error("the question")))),
            }
        }
    }
}

/// Whether doing it twice is as good as once.
fn may_repeat(what: &What) -> bool {
    match what {
        What::Query(..) => true,
        What::Manage(command, _) => matches!(
            command,
            Command::Declare(_) | Command::Register { .. } | Command::Join { .. } | Command::Leave { .. }
        ),
    }
}
