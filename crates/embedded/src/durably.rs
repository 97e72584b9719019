//! Verbs that are not hot: a step of the engine, whose answer waits until what it staged is durable.

use skep_core::BoxFuture;
use skep_protocol::{Code, Error};
use tokio::sync::oneshot;

use crate::backend::Embedded;
use crate::engine::{Effects, Engine};

/// Runs a step now, and answers once everything staged so far is durable. A store that stopped
/// or opened read-only refuses it.
pub(crate) fn durably<T: Send + 'static>(
    embedded: &Embedded,
    step: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
) -> BoxFuture<'static, Result<T, Error>> {
    durably_with(embedded, move |engine, _| step(engine))
}

/// The same of a step that stages so many records of so many bytes and is refused on a full disk; where nobody knows yet whether it
/// is full, the step waits.
pub(crate) fn durably_grown<T: Send + 'static>(
    embedded: &Embedded,
    need: impl FnOnce(&Engine) -> (usize, u32) + Send + 'static,
    step: impl FnOnce(&mut Engine, &mut Effects) -> Result<T, Error> + Send + 'static,
) -> BoxFuture<'static, Result<T, Error>> {
    let store = embedded.store().clone();
    Box::pin(async move {
        let (answer, done) = oneshot::channel();
        store.grow(
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

pub(crate) fn durably_with<T: Send + 'static>(
    embedded: &Embedded,
    step: impl FnOnce(&mut Engine, &mut Effects) -> Result<T, Error> + Send + 'static,
) -> BoxFuture<'static, Result<T, Error>> {
    let store = embedded.store().clone();
    Box::pin(async move {
        let (answer, done) = oneshot::channel();
        store.step(move |engine, fx| match step(engine, fx) {
            // Whoever waits may have gone.
            Ok(value) => engine.when_durable(move || drop(answer.send(Ok(value)))),
            Err(error) => drop(answer.send(Err(error))),
        })?;
        done.await.map_err(|_| lost())?
    })
}

fn lost() -> Error {
    Error::new(Code::StoreFailed, "the log stopped before this was known to be durable")
}
