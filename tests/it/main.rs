//! Tests through the public path that need no engine.

mod config;
