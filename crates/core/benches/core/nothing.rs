//! A backend that holds nothing, and a policy that lets anyone do anything.

use std::time::Duration;

use skep_core::{
    Action, Backend, BoxFuture, Changed, Consume, Consumer, Credentials, Fact, FactPage, Facts, Now, Outlet, Party,
    Policy, QueueCommand, Read, Reply, Seen, Watch, Write,
};
use skep_protocol::{Code, Error, MessageRef, QueueInfo, QueueName};

/// No queue, no fact.
pub(crate) struct Nothing;

/// No judgement.
pub(crate) struct Anyone;

fn refused() -> Error {
    Error::new(Code::Unsupported, "nothing is held here")
}

fn done<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Backend for Nothing {
    /// The reply answers for itself when it is dropped.
    fn submit(&self, _: Write<'_>, _: Now, _: Reply) {}

    fn consume(&self, _: &QueueName, _: Consume, _: Outlet) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>> {
        done(Err(refused()))
    }

    fn manage(&self, _: QueueCommand, _: Now) -> BoxFuture<'_, Result<Changed, Error>> {
        done(Err(refused()))
    }

    fn read(&self, _: Read) -> BoxFuture<'_, Result<Seen, Error>> {
        done(Ok(Seen::Queues(Vec::new(), None)))
    }

    fn matches(&self, _: &MessageRef<'_>) -> bool {
        false
    }

    fn info(&self, _: &QueueName) -> Option<QueueInfo> {
        None
    }

    fn trouble(&self) -> Option<Error> {
        None
    }

    fn recovery(&self) -> String {
        String::new()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        done(Ok(()))
    }
}

impl Facts for Nothing {
    fn get(&self, _: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>> {
        done(Ok(None))
    }

    fn list(&self, _: &str, _: Option<&str>, _: usize) -> BoxFuture<'_, Result<FactPage, Error>> {
        done(Ok(FactPage::default()))
    }

    fn watch(&self, _: &str) -> BoxFuture<'_, Result<Watch, Error>> {
        done(Err(refused()))
    }

    fn put(&self, _: &str, _: &[u8], _: Option<u64>, _: Option<Duration>, _: Now) -> BoxFuture<'_, Result<u64, Error>> {
        done(Err(refused()))
    }

    fn delete(&self, _: &str, _: Now) -> BoxFuture<'_, Result<bool, Error>> {
        done(Ok(false))
    }
}

impl Policy for Anyone {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Party, Error>> {
        done(Ok(Party { name: "local".into(), agent: credentials.agent }))
    }

    fn authorize(&self, _: &Party, _: Action<'_>) -> Result<(), Error> {
        Ok(())
    }
}
