//! The tests that need real engines: `integration/test` brings the lab up and runs them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that meets what it does not expect is to end there"
)]

mod engine;
mod rig;

mod cli;
mod container_reads;
mod containers;
mod containers_exec;
mod containers_write;
mod hosts;
mod images;
mod networks;
mod ssh;
mod system;
mod volumes;
