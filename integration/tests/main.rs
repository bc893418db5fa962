//! The tests that need real engines: `integration/test` brings the lab up and runs them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that meets what it does not expect is to end there"
)]

mod approvals;
#[path = "../../tests/it/registry/authority.rs"]
mod authority;
mod bare;
mod engine;
#[path = "../../tests/it/hostile.rs"]
mod hostile;
mod recorder;
mod rig;

mod answers;
mod audit;
mod bodies;
mod build;
mod buildx;
mod cleanup;
mod cli;
mod compose;
mod container_reads;
mod containers;
mod containers_exec;
mod containers_write;
mod contexts;
mod faults;
mod files;
mod guard;
mod hosts;
mod images;
mod large;
mod networks;
mod own_container;
mod plugins;
mod probe;
mod projects;
mod proxy_config;
mod prunes;
mod push;
mod recreate;
mod registries;
mod scout;
mod sharing;
mod sight;
mod ssh;
mod ssh_load;
mod swarm;
mod system;
mod volumes;
