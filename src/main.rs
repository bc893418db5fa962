//! Parses, runs, prints the error and its hint, sets the exit code.

use std::process::ExitCode;

use quaymaster::cli::CommandLine;

fn main() -> ExitCode {
    let line = CommandLine::read();
    line.run().unwrap_or_else(|error| quaymaster::cli::report(&error))
}
