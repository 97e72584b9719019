//! The embedded backend, seen from outside.

mod conformance {
    //! What every backend must do.

    use std::sync::Arc;

    use skep_core::{Backend, Clock, Facts};
    use skep_embedded::{Embedded, EmbeddedOptions};

    fn store() -> impl Fn() -> (Arc<dyn Backend>, Arc<dyn Facts>) {
        let folder = tempfile::tempdir().expect("a folder");
        move || {
            let open = Embedded::open(folder.path(), Clock::new(), EmbeddedOptions::default()).expect("a store");
            (open.clone(), open)
        }
    }

    skep_testkit::backend_suite!(store());
}

mod burst;
mod cold;
mod crowd;
mod drain;
mod faults;
mod full;
mod levels;
mod lives;
mod memory;
mod panic;
mod repair;
mod retained;
mod retention;
mod slices;
mod step;
mod stepped;
mod trace;
