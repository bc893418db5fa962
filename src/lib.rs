//! Quaymaster: one MCP server through which an agent sees and manages every Docker daemon of its owner.
//!
//! # A call, end to end
//!
//! ```text
//! client ── mcp ── gateway ─┬─ policy    may this call happen, here, with these arguments? body: and with this body?
//!                           ├─ confirm   does a person have to say yes?
//!                           ├─ audit     what is about to happen, and what happened
//!                           └─ tool      parse, plan, run, shape ── docker ── sight, guard ── unix | tcp | tls | ssh ── daemon
//!                                                                   redact: where text enters, and where anything leaves
//! ```
//!
//! [`gateway::Gateway::call`] is the one path for the protocol, the command line, resources and
//! prompts; it fits on one screen. A tool first says what it is going to do
//! ([`tool::Tool::plan`], over a connection that can only read), the policy decides on that, and
//! only then - after a person's yes where one is needed, and with its line in the audit - the tool
//! gets a [`docker::Docker`] whose ceiling is the decision. A call that carries another one (`read_tool`,
//! `call_tool`) is taken apart before all that: everything sees the inner call only. Below it
//! [`docker::guard`] looks at every final, decoded request once more, at the single exit towards
//! a daemon. There is no second way to one.
//!
//! # Rooms, from top to bottom
//!
//! | room | what it owns |
//! | --- | --- |
//! | [`cli`] | the process: arguments, environment, standard streams, exit codes |
//! | [`mcp`], [`docs`] | the protocol; the pages that are generated |
//! | [`gateway`] | the one path, the policy, bodies, approvals, the audit, jobs, the catalogue, the tools about the gateway itself |
//! | [`tools`] | one file or folder for each domain, each opening with its slice of tools |
//! | [`tool`] | what a tool is: traits, schemas, pages, the text channel |
//! | [`docker`] | hosts, connections, breaker and bulkhead, the guard, what exists for callers, streams, objects, runs of the docker CLI |
//! | [`files`], [`registry`] | the files of this machine that arguments may name; registries over HTTPS and the credentials for them |
//! | [`redact`], [`secret`], [`config`], [`error`] | what may be shown; what never is; what was configured; what went wrong |
//!
//! Dependencies point downwards only; a test reads the `use` lines and fails on an edge upwards or
//! sideways.
//!
//! # Invariants
//!
//! - A tool cannot know how it was called: [`tools`] never names the protocol, the policy or another domain.
//! - [`docker`] never names a tool.
//! - Only [`gateway`] hands out a [`docker::Docker`] with a ceiling above read, after the decision.
//! - Only [`mcp`] names the protocol's SDK: an upgrade of it is one folder.
//! - Nothing below [`cli`] reads the environment or writes to standard output.
//! - What is denied is filtered, and what is secret is masked, before a tool sees a document.
//! - Nothing that changes an engine is sent before its line is on the disk.
//! - No daemon is contacted before a call needs it.
//! - A write that was sent is never cut off and never sent again.
//! - Everything that a daemon sends is read through a limit.
//! - A program that is run here reaches a host through its call only: the same ceiling, rules and filters.
//! - A read connection carries no body and no upgrade, and sends GET, HEAD and a container's wait only.

// What the tests in `integration` use serves the tests in here too.
#[cfg(test)]
extern crate self as quaymaster;

pub mod cli;
pub mod config;
pub mod docker;
pub mod docs;
pub mod error;
pub mod files;
pub mod gateway;
pub mod mcp;
pub mod redact;
pub mod registry;
pub mod secret;
pub mod tool;
pub mod tools;
