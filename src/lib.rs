pub mod config;
pub mod docker;
pub mod error;
pub mod gateway;
pub mod mcp;
pub mod redact;
pub mod tool;
pub mod tools;
