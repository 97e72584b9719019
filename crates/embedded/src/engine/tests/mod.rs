//! The engine as a whole, on a bench that keeps its records and moves its time.

mod bench;
mod bytes;
mod dead;
mod describe;
mod duplicates;
mod facts;
mod keys;
mod leases;
mod levels;
mod long;
mod memory;
mod moments;
mod notices;
mod replay;
mod steps;
mod tries;
