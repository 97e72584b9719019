//! Skep for embedders: a hub and its clients in one process.
