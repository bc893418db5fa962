//! Parses, runs, prints the error and its hint, sets the exit code.

use std::process::ExitCode;

use quaymaster::cli::CommandLine;

/// A call makes and drops thousands of small texts, which the C library's allocator takes a fifth of its time for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = CommandLine::read();
    line.run().unwrap_or_else(|error| quaymaster::cli::report(&error))
}
