//! A Skep hub put together: configuration, wiring, shutdown.
