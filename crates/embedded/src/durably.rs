//! Verbs that are not hot: a step of the engine, whose answer waits until what it staged is durable.

use skep_core::BoxFuture;
use skep_protocol::{Code, Error};
use tokio::sync::oneshot;

use crate::backend::Embedded;
use crate::engine::{Effects, Engine, Need};

/// Runs a step that stages nothing now, and answers once everything staged so far is durable. A store that stopped
/// or opened read-only refuses it.
pub(crate) fn durably<T: Send + 'static>(
    embedded: &Embedded,
    step: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
) -> BoxFuture<'static, Result<T, Error>> {
    let store = embedded.store().clone();
    Box::pin(async move {
        let (answer, done) = oneshot::channel();
        store.step(move |engine, _| match step(engine) {
            // Whoever waits may have gone.
            Ok(value) => engine.when_durable(move || drop(answer.send(Ok(value)))),
            Err(error) => drop(answer.send(Err(error))),
        })?;
        done.await.map_err(|_| lost())?
    })
}

/// The same of a step that stages so much: without room for it on a full disk it is refused; where nobody knows yet whether the disk
/// is full, it waits.
pub(crate) fn durably_staged<T: Send + 'static>(
    embedded: &Embedded,
    need: impl FnOnce(&Engine) -> Need + Send + 'static,
    step: impl FnOnce(&mut Engine, &mut Effects) -> Result<T, Error> + Send + 'static,
) -> BoxFuture<'static, Result<T, Error>> {
    let store = embedded.store().clone();
    Box::pin(async move {
        let (answer, done) = oneshot::channel();
        store.stage(
            need,
            Box::new(move |room| match room.and_then(|(engine, fx)| step(engine, fx).map(|value| (engine, value))) {
                // Whoever waits may have gone.
                Ok((engine, value)) => engine.when_durable(move || drop(answer.send(Ok(value)))),
                Err(error) => drop(answer.send(Err(error))),
            }),
        );
        done.await.map_err(|_| lost())?
    })
}

fn lost() -> Error {
    Error::new(Code::StoreFailed, "the log stopped before this was known to be durable")
}
