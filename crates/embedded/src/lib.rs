//! Skep's default backend: durable queues on one own log.
