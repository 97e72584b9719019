//! The threads of a store. None ends unnoticed: without any of them something would be waited for that never comes.

use std::sync::Arc;
use std::thread;

use skep_protocol::{Code, Error};

use crate::store::Store;

/// Starts one. If it panics, the store takes nothing any more, and says so.
pub(crate) fn spawn(
    name: &'static str,
    store: &Arc<Store>,
    run: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, Error> {
    let watch = Watch { name, store: store.clone() };
    let watched = move || {
        let _watch = watch;
        run();
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(watched)
        .map_err(|error| Error::new(Code::StoreFailed, format!("the thread {name} cannot be started: {error}")))
}

struct Watch {
    name: &'static str,
    store: Arc<Store>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            let text = format!("the thread {} failed; restart the hub, nothing durable is lost", self.name);
            self.store.fail(Error::new(Code::StoreFailed, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_core::Clock;

    use super::*;
    use crate::disk::recording::RecordingDisk;
    use crate::engine::Engine;
    use crate::log::{OpenWith, open};
    use crate::store::State;

    #[test]
    fn a_thread_that_panics_stops_the_store_and_is_named() {
        let opened = open(Arc::new(RecordingDisk::new()), OpenWith::new([1; 16], 1), &mut |_| Ok(())).expect("opens");
        let store = Arc::new(Store::new(Engine::new(1), Clock::new(), opened.reader, None, State::Open));
        spawn("skep-well", &store, || {}).expect("starts").join().expect("ends well");
        assert!(matches!(store.lock().state, State::Open));
        spawn("skep-ill", &store, || panic!("as a fault would")).expect("starts").join().expect_err("panicked");
        let why = store.lock().refusal().expect("it takes nothing");
        assert!(why.text.contains("skep-ill"), "{why}");
    }
}
