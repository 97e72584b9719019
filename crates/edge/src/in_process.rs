//! Within the process: frames travel as values, in batches, over two bounded channels.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use skep_core::{Connection, Credentials, Form, Incoming};
use skep_protocol::{Error, Frame};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::driver::drive;
use crate::edge::Shared;
use crate::limits::{IN_PROCESS_BATCHES_MAX, IN_PROCESS_BATCHES_OUT_MAX};
use crate::wire::{Gone, Outbox, Wire};

/// The client's end of a link: batches of frames to the hub, and from it.
pub type InProcess = (mpsc::Sender<Vec<Frame>>, mpsc::Receiver<Vec<Frame>>);

/// Opens a link; its task ends when the client drops its end, or on shutdown.
pub(crate) fn connect(shared: &Arc<Shared>, credentials: Credentials) -> Result<InProcess, Error> {
    let seat = shared.seat()?;
    let (to_hub, from_client) = mpsc::channel(IN_PROCESS_BATCHES_MAX);
    let (to_client, from_hub) = mpsc::channel(IN_PROCESS_BATCHES_OUT_MAX);
    let (hub, shutdown) = (shared.hub.clone(), shared.shutdown.clone());
    let connection = Connection::new(hub.clone(), Form::Values, credentials, hub.now());
    let wire = ChannelWire { from_client, to_client: PollSender::new(to_client) };
    // The seat counts it: whoever closes the edge waits until it is free.
    tokio::spawn(async move {
        drive(wire, Form::Values, connection, hub, &shutdown).await;
        drop(seat);
    });
    Ok((to_hub, from_hub))
}

struct ChannelWire {
    from_client: mpsc::Receiver<Vec<Frame>>,
    to_client: PollSender<Vec<Frame>>,
}

impl Wire for ChannelWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        match ready!(self.from_client.poll_recv(cx)) {
            None => Poll::Ready(Err(Gone::Closed("it dropped its end".into()))),
            Some(frames) => {
                into.extend(frames.into_iter().map(Incoming::Frame));
                Poll::Ready(Ok(1))
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        let gone = |_| Gone::Closed("it dropped its end".into());
        while !out.is_empty() {
            ready!(self.to_client.poll_reserve(cx)).map_err(gone)?;
            self.to_client.send_item(out.take_values()).map_err(gone)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        self.to_client.close();
        Poll::Ready(())
    }
}
