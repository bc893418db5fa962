//! Tests through the public path that need no engine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect is to end there"
)]

mod answers;
mod approvals;
mod arguments;
mod asking;
mod audit;
mod catalogue;
mod cleanup;
mod cli;
mod completion;
mod config;
mod daemon;
mod docs;
mod floods;
mod forward;
mod hostile;
mod jobs;
mod layers;
mod liveness;
mod matrix;
mod mcp;
mod own_container;
mod probe;
mod proxy_config;
mod rig;
mod routes;
mod scale;
mod secrets;
mod sight;
mod simulated;
mod snapshots;
mod terminal;
